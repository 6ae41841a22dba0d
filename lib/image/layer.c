/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <isa-l.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/digest.h"
#include "image/error.h"
#include "image/layer.h"

/* Three threads work on a layer at the same time, since each has about as much to do as the others: one reads, digests and decompresses
 * the blob, one digests what comes out, one (the caller's) writes it. They pass chunks on through a ring. */
enum {
        CHUNK_SIZE = 256 * 1024,
        N_CHUNKS = 16,
        READ_SIZE = 128 * 1024,
        ZSTD_WINDOW_LOG_MAX = 27,       /* 128 MiB, as the zstd program takes without being told otherwise */
};

typedef enum Consumer { CONSUMER_DIGEST, CONSUMER_WRITE, N_CONSUMERS } Consumer;

typedef struct Pipeline {
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        uint8_t *chunks;                /* N_CHUNKS of CHUNK_SIZE */
        size_t sizes[N_CHUNKS];
        uint64_t n_made, n_taken[N_CONSUMERS];
        bool ended, stopped;            /* no more will come; nobody wants more */

        int blob_fd;
        uint64_t blob_size_expected, size_max;
        bool is_plain;

        /* The reading thread's, for the others once it has been joined. */
        uint64_t blob_size, size;
        struct sha256_ctx blob_hash, hash;
        uint8_t *input;
        size_t input_size, input_used;
        bool input_ended;
        int result;
        char *error;
} Pipeline;

static void hash_finish(struct sha256_ctx *c, char ret[static DIGEST_SIZE]) {
        uint8_t bytes[SHA256_DIGEST_SIZE];

        sha256_digest(c, sizeof(bytes), bytes);
        digest_format(bytes, ret);
}

/* The next chunk to be filled; NULL where nobody wants more. */
static uint8_t *chunk_to_fill(Pipeline *p) {
        uint8_t *c = NULL;

        pthread_mutex_lock(&p->mutex);
        while (!p->stopped && p->n_made - MIN(p->n_taken[CONSUMER_DIGEST], p->n_taken[CONSUMER_WRITE]) >= N_CHUNKS)
                pthread_cond_wait(&p->changed, &p->mutex);
        if (!p->stopped)
                c = p->chunks + p->n_made % N_CHUNKS * CHUNK_SIZE;
        pthread_mutex_unlock(&p->mutex);
        return c;
}

static int chunk_made(Pipeline *p, size_t n) {
        p->size += n;
        if (p->size > p->size_max)
                return image_error(&p->error, -EFBIG,
                                "unpacks to more than %" PRIu64
                                " MiB with the layers below it (ImageSizeMax=)",
                                p->size_max / MIB(1));
        pthread_mutex_lock(&p->mutex);
        p->sizes[p->n_made % N_CHUNKS] = n;
        p->n_made++;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->mutex);
        return 0;
}

static void set_flag(Pipeline *p, bool *flag) {
        pthread_mutex_lock(&p->mutex);
        *flag = true;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->mutex);
}

/* The next chunk for a consumer; NULL at the end. It stays until chunk_taken(). */
static const uint8_t *chunk_to_take(Pipeline *p, Consumer who, size_t *ret_n) {
        const uint8_t *c = NULL;

        pthread_mutex_lock(&p->mutex);
        while (!p->stopped && !p->ended && p->n_taken[who] == p->n_made)
                pthread_cond_wait(&p->changed, &p->mutex);
        if (!p->stopped && p->n_taken[who] < p->n_made) {
                c = p->chunks + p->n_taken[who] % N_CHUNKS * CHUNK_SIZE;
                *ret_n = p->sizes[p->n_taken[who] % N_CHUNKS];
        }
        pthread_mutex_unlock(&p->mutex);
        return c;
}

static void chunk_taken(Pipeline *p, Consumer who) {
        pthread_mutex_lock(&p->mutex);
        p->n_taken[who]++;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->mutex);
}

/* Makes more input unless some is left. At the end of the blob none comes, and input_ended is set. */
static int more_input(Pipeline *p) {
        ssize_t n;

        if (p->input_used < p->input_size || p->input_ended)
                return 0;
        n = read_full(p->blob_fd, p->input, READ_SIZE);
        if (n < 0)
                return image_error_errno(&p->error, (int) n, "cannot read the blob");
        p->input_size = (size_t) n;
        p->input_used = 0;
        p->blob_size += (uint64_t) n;
        if (n == 0)
                p->input_ended = true;
        else
                sha256_update(&p->blob_hash, (size_t) n, p->input);
        /* A file that grows while it is read must not keep us for ever. */
        if (p->blob_size > p->blob_size_expected)
                return image_error(&p->error, -EBADMSG,
                                "the blob is larger than the %" PRIu64 " bytes that the manifest says",
                                p->blob_size_expected);
        return 0;
}

static int copy_plain(Pipeline *p) {
        for (;;) {
                uint8_t *out;
                size_t n;
                int r;

                r = more_input(p);
                if (r < 0)
                        return r;
                if (p->input_ended)
                        return 0;
                out = chunk_to_fill(p);
                if (!out)
                        return -ECANCELED;
                n = p->input_size - p->input_used;
                memcpy(out, p->input + p->input_used, n);
                p->input_used += n;
                r = chunk_made(p, n);
                if (r < 0)
                        return r;
        }
}

/* Some writers fill their blocks up with zeros behind the last member. Whatever else stands there is no gzip. */
static int expect_zeros(Pipeline *p) {
        for (;;) {
                int r = more_input(p);

                if (r < 0)
                        return r;
                if (p->input_ended)
                        return 0;
                for (; p->input_used < p->input_size; p->input_used++)
                        if (p->input[p->input_used] != 0)
                                return image_error(&p->error, -EBADMSG, "has bytes behind the end of its gzip data");
        }
}

static int inflate_gzip(Pipeline *p) {
        _cleanup_free_ struct inflate_state *s = malloc(sizeof(*s));
        bool in_member = false;
        uint8_t *out = NULL;
        size_t filled = 0;
        int r;

        if (!s)
                return -ENOMEM;
        isal_inflate_init(s);
        for (;;) {
                r = more_input(p);
                if (r < 0)
                        return r;
                if (!in_member) {
                        if (p->input_ended)
                                break;
                        if (p->input[p->input_used] == 0) {
                                r = expect_zeros(p);
                                if (r < 0)
                                        return r;
                                break;
                        }
                        isal_inflate_reset(s);
                        s->crc_flag = ISAL_GZIP;
                        in_member = true;
                } else if (p->input_ended)
                        return image_error(&p->error, -EBADMSG, "its gzip data is cut off");

                do {
                        size_t before;

                        if (!out) {
                                out = chunk_to_fill(p);
                                if (!out)
                                        return -ECANCELED;
                        }
                        s->next_in = p->input + p->input_used;
                        s->avail_in = (uint32_t) (p->input_size - p->input_used);
                        s->next_out = out + filled;
                        s->avail_out = (uint32_t) (CHUNK_SIZE - filled);
                        before = s->avail_in;
                        r = isal_inflate(s);
                        if (r == ISAL_INCORRECT_CHECKSUM)
                                return image_error(&p->error, -EBADMSG, "its gzip data does not match its checksum");
                        if (r != ISAL_DECOMP_OK && r != ISAL_END_INPUT && r != ISAL_OUT_OVERFLOW)
                                return image_error(&p->error, -EBADMSG, "its gzip data is broken");
                        p->input_used += before - s->avail_in;
                        filled = CHUNK_SIZE - s->avail_out;
                        if (filled == CHUNK_SIZE) {
                                r = chunk_made(p, filled);
                                if (r < 0)
                                        return r;
                                out = NULL;
                                filled = 0;
                        }
                } while (s->block_state != ISAL_BLOCK_FINISH && (p->input_used < p->input_size || s->avail_out == 0));
                if (s->block_state == ISAL_BLOCK_FINISH)
                        in_member = false;
        }
        return filled > 0 ? chunk_made(p, filled) : 0;
}

DEFINE_TRIVIAL_CLEANUP_FUNC(ZSTD_DCtx *, ZSTD_freeDCtx)

static int decompress_zstd(Pipeline *p) {
        _cleanup_(ZSTD_freeDCtxp) ZSTD_DCtx *z = ZSTD_createDCtx();
        size_t left = 0, filled = 0;
        uint8_t *out = NULL;
        bool flushed = true;
        int r;

        if (!z)
                return -ENOMEM;
        (void) ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
        for (;;) {
                ZSTD_inBuffer in;
                ZSTD_outBuffer o;

                if (flushed) {
                        r = more_input(p);
                        if (r < 0)
                                return r;
                        if (p->input_ended)
                                break;
                }
                if (!out) {
                        out = chunk_to_fill(p);
                        if (!out)
                                return -ECANCELED;
                }
                in = (ZSTD_inBuffer) { p->input, p->input_size, p->input_used };
                o = (ZSTD_outBuffer) { out, CHUNK_SIZE, filled };
                left = ZSTD_decompressStream(z, &o, &in);
                if (ZSTD_isError(left)) {
                        if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
                                return -ENOMEM;
                        return image_error(&p->error, -EBADMSG, "its zstd data is broken: %s", ZSTD_getErrorName(left));
                }
                p->input_used = in.pos;
                filled = o.pos;
                /* A full buffer may have left something behind inside. */
                flushed = filled < CHUNK_SIZE;
                if (!flushed) {
                        r = chunk_made(p, filled);
                        if (r < 0)
                                return r;
                        out = NULL;
                        filled = 0;
                        flushed = left == 0;
                }
        }
        if (left != 0)
                return image_error(&p->error, -EBADMSG, "its zstd data is cut off");
        return filled > 0 ? chunk_made(p, filled) : 0;
}

static int read_blob(Pipeline *p) {
        uint32_t magic = 0;
        int r;

        r = more_input(p);
        if (r < 0)
                return r;
        memcpy(&magic, p->input, MIN(p->input_size, sizeof(magic)));
        if (p->is_plain)
                return copy_plain(p);
        if (p->input_size >= 2 && p->input[0] == 0x1f && p->input[1] == 0x8b)
                return inflate_gzip(p);
        /* A frame, or a skippable one (RFC 8878, 3.1). */
        if (p->input_size >= 4 && (magic == 0xfd2fb528 || (magic & 0xfffffff0) == 0x184d2a50))
                return decompress_zstd(p);
        return copy_plain(p);
}

static void *reading_thread(void *userdata) {
        Pipeline *p = userdata;

        p->result = read_blob(p);
        if (p->result == -EBADMSG || p->result == -EFBIG)
                /* The digest tells which of the two it was: not the blob that was meant, or a bad one. */
                do
                        p->input_used = p->input_size;
                while (more_input(p) >= 0 && !p->input_ended);
        if (p->result < 0)
                set_flag(p, &p->stopped);
        set_flag(p, &p->ended);
        return NULL;
}

static void *digesting_thread(void *userdata) {
        Pipeline *p = userdata;
        const uint8_t *c;
        size_t n;

        while ((c = chunk_to_take(p, CONSUMER_DIGEST, &n))) {
                sha256_update(&p->hash, n, c);
                chunk_taken(p, CONSUMER_DIGEST);
        }
        return NULL;
}

static int write_chunks(Pipeline *p, int fd) {
        const uint8_t *c;
        size_t n;

        while ((c = chunk_to_take(p, CONSUMER_WRITE, &n))) {
                int r = write_full(fd, c, n);

                if (r < 0) {
                        set_flag(p, &p->stopped);
                        return r;
                }
                chunk_taken(p, CONSUMER_WRITE);
        }
        return 0;
}

static int open_scratch(int dir_fd) {
        char name[32];
        uint64_t random;
        int fd;

        fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
                return fd < 0 ? negative_errno() : fd;
        /* A file system without unnamed files. */
        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
                return negative_errno();
        (void) snprintf(name, sizeof(name), ".#layer.%016" PRIx64, random);
        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return negative_errno();
        (void) unlinkat(dir_fd, name, 0);
        return fd;
}

void layer_data_done(LayerData *l) {
        if (l->data)
                (void) munmap(l->data, l->size);
        *l = (LayerData) {};
}

/* It is EAGAIN, too, where there is no memory for the stack. */
static int fail_thread(int k, char **ret_error) {
        return image_error_errno(ret_error, k == EAGAIN ? -ENOMEM : -k, "cannot start a thread");
}

static int run_pipeline(Pipeline *p, int scratch_fd, char **ret_error) {
        pthread_t reader, digester;
        int r, k;

        k = pthread_create(&digester, NULL, digesting_thread, p);
        if (k != 0)
                return fail_thread(k, ret_error);
        k = pthread_create(&reader, NULL, reading_thread, p);
        if (k != 0) {
                set_flag(p, &p->stopped);
                (void) pthread_join(digester, NULL);
                return fail_thread(k, ret_error);
        }
        r = write_chunks(p, scratch_fd);
        (void) pthread_join(reader, NULL);
        (void) pthread_join(digester, NULL);
        if (r < 0)
                return image_error_errno(ret_error, r, "cannot write the unpacked layer");
        return 0;
}

static int check(Pipeline *p, const char *digest, const char *diff_id, bool *ret_blob_is_wrong, char **ret_error) {
        char found[DIGEST_SIZE];

        if (p->result < 0 && p->result != -EBADMSG && p->result != -EFBIG) {
                if (p->error)
                        return image_error(ret_error, p->result, "%s", p->error);
                return p->result;
        }
        if (p->blob_size != p->blob_size_expected) {
                *ret_blob_is_wrong = true;
                return image_error(ret_error, -EBADMSG,
                                "the blob has %s%" PRIu64 " bytes, the manifest says %" PRIu64,
                                p->blob_size > p->blob_size_expected ? "at least " : "", p->blob_size,
                                p->blob_size_expected);
        }
        hash_finish(&p->blob_hash, found);
        if (!streq(found, digest)) {
                *ret_blob_is_wrong = true;
                return image_error(ret_error, -EBADMSG, "the blob's digest is %s", found);
        }
        if (p->result < 0)
                return image_error(ret_error, p->result, "%s", p->error);
        hash_finish(&p->hash, found);
        if (!streq(found, diff_id))
                return image_error(ret_error, -EBADMSG,
                                "unpacks to the digest %s, the configuration says %s", found, diff_id);
        return 0;
}

int layer_unpack(int blob_fd, const char *digest, uint64_t size, const char *diff_id, uint64_t size_max, int scratch_dir_fd,
                LayerData *ret, bool *ret_blob_is_wrong, char **ret_error) {
        _cleanup_free_ uint8_t *chunks = NULL, *input = NULL;
        _cleanup_close_ int fd = -EBADF;
        LayerData l = {};
        Pipeline p;
        int r;

        *ret_blob_is_wrong = false;
        chunks = malloc((size_t) N_CHUNKS * CHUNK_SIZE);
        input = malloc(READ_SIZE);
        if (!chunks || !input)
                return -ENOMEM;
        if (lseek(blob_fd, 0, SEEK_SET) < 0)
                return image_error_errno(ret_error, negative_errno(), "cannot read the blob");
        (void) posix_fadvise(blob_fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        fd = open_scratch(scratch_dir_fd);
        if (fd < 0)
                return image_error_errno(ret_error, fd, "cannot make a file for the unpacked layer");

        p = (Pipeline) {
                .mutex = PTHREAD_MUTEX_INITIALIZER,
                .changed = PTHREAD_COND_INITIALIZER,
                .chunks = chunks,
                .blob_fd = blob_fd,
                .blob_size_expected = size,
                .size_max = size_max,
                .is_plain = streq(digest, diff_id),     /* whatever its first bytes look like */
                .input = input,
        };
        sha256_init(&p.blob_hash);
        sha256_init(&p.hash);
        r = run_pipeline(&p, fd, ret_error);
        if (r >= 0)
                r = check(&p, digest, diff_id, ret_blob_is_wrong, ret_error);
        free(p.error);
        if (r < 0)
                return r;

        l.size = p.size;
        if (l.size > 0) {
                l.data = mmap(NULL, l.size, PROT_READ, MAP_SHARED, fd, 0);
                if (l.data == MAP_FAILED)
                        return negative_errno();
        }
        *ret = l;
        return 0;
}
