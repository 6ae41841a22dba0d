/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/base64.h"
#include "base/str.h"
#include "ssh/public-key.h"

/* What dropbear takes, and of how many strings the body consists (RFC 4253, 5656, 8709; OpenSSH's PROTOCOL.u2f). */
static const struct {
        const char *name;
        size_t n_strings;
} types[] = {
        { "ssh-ed25519", 2 },
        { "ecdsa-sha2-nistp256", 3 },
        { "ecdsa-sha2-nistp384", 3 },
        { "ecdsa-sha2-nistp521", 3 },
        { "ssh-rsa", 3 },
        { "sk-ssh-ed25519@openssh.com", 3 },
        { "sk-ecdsa-sha2-nistp256@openssh.com", 4 },
};

static int wrong(const char **ret_reason, const char *reason) {
        *ret_reason = reason;
        return -EINVAL;
}

/* The next word of *p, which goes behind it; 0 bytes at the end. */
static size_t next_word(const char **p, const char *end, const char **ret) {
        while (*p < end && (**p == ' ' || **p == '\t'))
                (*p)++;
        *ret = *p;
        while (*p < end && **p != ' ' && **p != '\t')
                (*p)++;
        return (size_t) (*p - *ret);
}

/* Strings with their lengths before them, of which the first one is the type, and nothing behind. */
static bool body_is_valid(const uint8_t *data, size_t n, const char *type, size_t n_strings) {
        for (size_t i = 0; i < n_strings; i++) {
                size_t k;

                if (n < 4)
                        return false;
                k = (size_t) data[0] << 24 | (size_t) data[1] << 16 | (size_t) data[2] << 8 | data[3];
                data += 4;
                n -= 4;
                if (k < 1 || k > n || (i == 0 && (k != strlen(type) || memcmp(data, type, k) != 0)))
                        return false;
                data += k;
                n -= k;
        }
        return n == 0;
}

int ssh_public_key_parse(const char *line, size_t n, char **ret, const char **ret_reason) {
        _cleanup_strbuf_ StrBuf b = {};
        const char *p = line, *end = line + n, *type, *body, *comment;
        uint8_t data[SSH_KEY_LINE_MAX];
        _cleanup_free_ char *key = NULL;
        size_t n_type, n_body, n_key, i = 0;
        ssize_t k;
        int r;

        if (n > SSH_KEY_LINE_MAX)
                return wrong(ret_reason, "a key has more than 4096 characters");
        if (n >= 5 && memcmp(line, "-----", 5) == 0)
                return wrong(ret_reason, "this is no public key, it may well be a private one; the public one is in the file that ends in \".pub\"");
        n_type = next_word(&p, end, &type);
        n_body = next_word(&p, end, &body);
        (void) next_word(&p, end, &comment);
        while (end > comment && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        while (i < ELEMENTSOF(types) && (strlen(types[i].name) != n_type || memcmp(types[i].name, type, n_type) != 0))
                i++;
        if (i == ELEMENTSOF(types))
                return wrong(ret_reason, "wanted is a public key, \"ssh-ed25519 AAAA… COMMENT\", of the types ssh-ed25519, ecdsa-sha2-nistp256 (384, 521), "
                                         "ssh-rsa and sk-…, without options before it");
        k = base64_decode(body, n_body, data, sizeof(data));
        if (k < 0 || !body_is_valid(data, (size_t) k, types[i].name, types[i].n_strings))
                return wrong(ret_reason, "behind the type of this public key there is not the whole key in base64");

        strbuf_addf(&b, "%s %.*s", types[i].name, (int) n_body, body);
        if (end > comment) {
                strbuf_adds(&b, " ");
                strbuf_add(&b, comment, (size_t) (end - comment));
        }
        r = strbuf_finish(&b, &key, &n_key);
        if (r < 0)
                return r;
        for (char *c = key; c < key + n_key; c++)
                if (*c < ' ' || *c > '~')
                        *c = '?';
        *ret = TAKE_PTR(key);
        return 0;
}

/* Up to the end of the body. */
static size_t key_length(const char *key) {
        size_t n = strcspn(key, " ") + 1;

        return n + strcspn(key + n, " ");
}

int ssh_public_key_add(char ***keys, const char *key) {
        size_t n = key_length(key);

        STRV_FOREACH(k, *keys)
                if (key_length(*k) == n && memcmp(*k, key, n) == 0)
                        return 0;
        return strv_length(*keys) >= SSH_KEYS_MAX ? -E2BIG : strv_extend(keys, key);
}

int ssh_public_keys_parse(const char *text, size_t n, char ***keys, unsigned *ret_line, const char **ret_reason) {
        const char *end = text + n, *next;
        bool any = false;
        unsigned line = 0;
        int r;

        for (const char *p = text; p < end; p = next) {
                const char *newline = memchr(p, '\n', (size_t) (end - p)), *stop = newline ?: end;
                _cleanup_free_ char *key = NULL;

                next = newline ? newline + 1 : end;
                line++;
                while (stop > p && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t'))
                        stop--;
                while (p < stop && (*p == ' ' || *p == '\t'))
                        p++;
                if (p == stop || *p == '#')
                        continue;
                r = ssh_public_key_parse(p, (size_t) (stop - p), &key, ret_reason);
                if (r >= 0)
                        r = ssh_public_key_add(keys, key);
                if (r == -E2BIG)
                        r = wrong(ret_reason, "there are more than 256 keys");
                if (r < 0) {
                        *ret_line = line;
                        return r;
                }
                any = true;
        }
        if (!any) {
                *ret_line = 0;
                return wrong(ret_reason, "there is no key in it");
        }
        return 0;
}
