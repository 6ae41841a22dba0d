/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <elf.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "base/wire.h"
#include "bundle/bundle-internal.h"
#include "bundle/bundle.h"
#include "bundle/elf-file.h"
#include "layout/layout.h"

enum {
        ENTRIES_MAX = 4096,
        INPUTS_MAX = 16384,
        OBJECTS_MAX = 512,              /* of one program */
        SYMLINKS_MAX = 40,              /* on the way to one file, as the kernel has it */
        CONFIG_SIZE_MAX = 64 * 1024,
        CONFIG_DEPTH_MAX = 8,
        CONFIG_DIRS_MAX = 256,
        SCRIPT_LINE_MAX = 256,          /* as the kernel has it since 5.1 */
        SCRIPT_DEPTH_MAX = 4,           /* and this: scripts whose interpreters are scripts */
};

int bundle_open_root(void) {
        int fd = open(*layout_root() ? layout_root() : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? negative_errno() : fd;
}

int bundle_open_in_root(int root_fd, const char *path, int flags) {
        return open_in_root(root_fd, path, flags);
}

static bool is_absence(int r) {
        return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

int bundle_stat_input(int root_fd, InputType type, const char *path, BundleInput *ret) {
        struct stat st;

        if (type == INPUT_ABSENT) {
                _cleanup_close_ int fd = bundle_open_in_root(root_fd, path, O_PATH);

                if (fd >= 0)
                        return 0;
                if (!is_absence(fd))
                        return fd;
                *ret = (BundleInput) { .type = type };
                return 1;
        }
        /* The paths of the others have no symlinks on their way. */
        if (fstatat(root_fd, path + 1, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return is_absence(negative_errno()) ? 0 : negative_errno();
        if (type == INPUT_FILE ? !S_ISREG(st.st_mode) : type == INPUT_LINK ? !S_ISLNK(st.st_mode) : !S_ISDIR(st.st_mode))
                return 0;
        *ret = (BundleInput) {
                .type = type,
                .size = type == INPUT_FILE ? (uint64_t) st.st_size : 0,
                .mtime_nsec = (uint64_t) st.st_mtim.tv_sec * NSEC_PER_SEC + (uint64_t) st.st_mtim.tv_nsec,
                .inode = st.st_ino,
        };
        return 1;
}

void bundle_inputs_free(BundleInput *inputs, size_t n) {
        for (size_t i = 0; i < n; i++)
                free(inputs[i].path);
        free(inputs);
}

Bundle *bundle_free(Bundle *b) {
        if (!b)
                return NULL;
        safe_close(b->root_fd);
        for (size_t i = 0; i < b->n_entries; i++) {
                free(b->entries[i].target);
                free(b->entries[i].source);
                free(b->entries[i].link);
                free(b->entries[i].content);
        }
        free(b->entries);
        bundle_inputs_free(b->inputs, b->n_inputs);
        strv_free(b->config_dirs);
        free(b);
        return NULL;
}

const BundleEntry *bundle_entries(const Bundle *b, size_t *ret_n) {
        *ret_n = b->n_entries;
        return b->entries;
}

static int add_input(Bundle *b, InputType type, const char *path) {
        BundleInput input, *slot;
        int r;

        for (size_t i = 0; i < b->n_inputs; i++)
                if (b->inputs[i].type == type && streq(b->inputs[i].path, path))
                        return 0;
        if (strchr(path, '\n'))
                return -EINVAL;
        if (b->n_inputs >= INPUTS_MAX)
                return -E2BIG;
        r = bundle_stat_input(b->root_fd, type, path, &input);
        if (r < 0)
                return r;
        if (r == 0)
                return -ESTALE; /* it has changed under our hands */
        input.path = strdup(path);
        slot = input.path ? GREEDY_APPEND(b->inputs, b->n_inputs) : NULL;
        if (!slot) {
                free(input.path);
                return -ENOMEM;
        }
        *slot = input;
        b->n_inputs++;
        return 0;
}

/* The first to claim a place in the tree has it: a second one can only be a shorter way to the same library. One of source, link and content. */
static int add_any_entry(Bundle *b, const char *target, const char *source, const char *link, const char *content, bool executable) {
        BundleEntry *slot;

        for (size_t i = 0; i < b->n_entries; i++)
                if (streq(b->entries[i].target, target))
                        return 0;
        if (b->n_entries >= ENTRIES_MAX)
                return -E2BIG;
        slot = GREEDY_APPEND(b->entries, b->n_entries);
        if (!slot)
                return -ENOMEM;
        *slot = (BundleEntry) {
                .target = strdup(target),
                .source = source ? strdup(source) : NULL,
                .link = link ? strdup(link) : NULL,
                .content = content ? strdup(content) : NULL,
                .executable = executable,
        };
        b->n_entries++;
        return slot->target && (slot->source || slot->link || slot->content) ? 0 : -ENOMEM;
}

static int add_entry(Bundle *b, const char *target, const char *source, const char *link, bool executable) {
        return add_any_entry(b, target, source, link, NULL, executable);
}

/* The path without symlinks, which are noted as inputs and, if wanted, as entries of the tree. */
static int walk(Bundle *b, const char *path, bool keep_links, char **ret) {
        _cleanup_free_ char *todo = strdup(path), *done = strdup("");
        unsigned n_links = 0;
        int r;

        if (!todo || !done)
                return -ENOMEM;
        for (char *p = todo;;) {
                _cleanup_free_ char *next = NULL, *rest = NULL;
                char content[PATH_MAX];
                ssize_t k;
                size_t n;

                p += strspn(p, "/");
                n = strcspn(p, "/");
                if (n == 0)
                        break;
                if (n == 1 && p[0] == '.') {
                        p += n;
                        continue;
                }
                if (n == 2 && p[0] == '.' && p[1] == '.') {
                        char *slash = strrchr(done, '/');

                        if (slash)
                                *slash = 0;
                        p += n;
                        continue;
                }
                next = strf("%s/%.*s", done, (int) n, p);
                if (!next)
                        return -ENOMEM;
                p += n;
                k = readlinkat(b->root_fd, next + 1, content, sizeof(content) - 1);
                if (k < 0 && errno != EINVAL)
                        return negative_errno();
                if (k < 0) {
                        free(done);
                        done = TAKE_PTR(next);
                        continue;
                }
                content[k] = 0;
                if (++n_links > SYMLINKS_MAX)
                        return -ELOOP;
                r = add_input(b, INPUT_LINK, next);
                if (r >= 0 && keep_links)
                        r = add_entry(b, next, NULL, content, false);
                if (r < 0)
                        return r;
                rest = strf("%s/%s", content, p);
                if (!rest)
                        return -ENOMEM;
                if (content[0] == '/')
                        done[0] = 0;
                free(todo);
                p = todo = TAKE_PTR(rest);
        }
        *ret = TAKE_PTR(done);
        return 0;
}

/* Takes "." and ".." out of an absolute path, in place. */
static void normalize(char *path) {
        char *out = path;

        for (const char *p = path; *p;) {
                size_t n;

                p += strspn(p, "/");
                n = strcspn(p, "/");
                if (n == 2 && p[0] == '.' && p[1] == '.') {
                        while (out > path && *--out != '/')
                                ;
                } else if (n > 0 && !(n == 1 && p[0] == '.')) {
                        *out++ = '/';
                        memmove(out, p, n);
                        out += n;
                }
                p += n;
        }
        *out = 0;
}

/* Adds a file that exists: under its own path with the symlinks that lead to it, or under `target`. */
static int add_file(Bundle *b, const char *path, const char *target) {
        _cleanup_free_ char *real = NULL, *place = NULL;
        struct stat st;
        int r;

        r = walk(b, path, !target, &real);
        if (r < 0)
                return r;
        if (target) {
                place = strdup(target);
                if (!place)
                        return -ENOMEM;
                normalize(place);
        }
        r = add_input(b, INPUT_FILE, real);
        if (r < 0)
                return r;
        if (fstatat(b->root_fd, real + 1, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return negative_errno();
        return add_entry(b, place ?: real, real, NULL, st.st_mode & 0111);
}

static int parse_config(Bundle *b, const char *path, unsigned depth);

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* An "include" line: ldconfig(8) takes glob(7) patterns, which stand in the last component. */
static int include_config(Bundle *b, const char *from, const char *pattern, unsigned depth) {
        _cleanup_free_ char *path = NULL, *dir = NULL;
        _cleanup_strv_ char **names = NULL;
        struct dirent *de;
        char *slash;
        _cleanup_closedir_ DIR *d = NULL;
        int fd, r;

        path = pattern[0] == '/' ? strdup(pattern) : strf("%.*s/%s", (int) (strrchr(from, '/') - from), from, pattern);
        if (!path)
                return -ENOMEM;
        slash = strrchr(path, '/');
        *slash = 0;
        r = walk(b, path, false, &dir);
        if (is_absence(r))
                return add_input(b, INPUT_ABSENT, path);
        if (r < 0)
                return r;
        r = add_input(b, INPUT_DIRECTORY, dir);
        if (r < 0)
                return r;
        fd = bundle_open_in_root(b->root_fd, dir, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return fd;
        r = dir_from_fd(fd, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &de)) > 0) {
                r = fnmatch(slash + 1, de->d_name, FNM_PERIOD) == 0 ? strv_extend(&names, de->d_name) : 0;
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (names)
                qsort(names, strv_length(names), sizeof(char *), compare_names);
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *file = strf("%s/%s", dir, *name);

                r = file ? parse_config(b, file, depth + 1) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A line of ld.so.conf: directories apart by spaces, tabs, commas or colons; "include PATTERN"; "hwcap …" is for ancient loaders. */
static int parse_config_line(Bundle *b, const char *path, char *line, unsigned depth) {
        static const char space[] = " \t\r", separators[] = " \t\r,:";
        char *word, *state = NULL;
        int r;

        line[strcspn(line, "#")] = 0;
        line += strspn(line, space);
        if (startswith(line, "include") && line[7] && strchr(space, line[7])) {
                for (word = strtok_r(line + 7, space, &state); word; word = strtok_r(NULL, space, &state)) {
                        r = include_config(b, path, word, depth);
                        if (r < 0)
                                return r;
                }
                return 0;
        }
        if (startswith(line, "hwcap") && (line[5] == 0 || strchr(space, line[5])))
                return 0;
        for (word = strtok_r(line, separators, &state); word; word = strtok_r(NULL, separators, &state)) {
                word[strcspn(word, "=")] = 0;
                if (word[0] != '/' || strv_contains(b->config_dirs, word))
                        continue;
                if (strv_length(b->config_dirs) >= CONFIG_DIRS_MAX)
                        return -E2BIG;
                r = strv_extend(&b->config_dirs, word);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_config(Bundle *b, const char *path, unsigned depth) {
        _cleanup_free_ char *real = NULL, *text = NULL;
        char *line, *state = NULL;
        int r;

        if (depth > CONFIG_DEPTH_MAX)
                return -ELOOP;
        r = walk(b, path, false, &real);
        if (is_absence(r))
                return add_input(b, INPUT_ABSENT, path);
        if (r >= 0)
                r = add_input(b, INPUT_FILE, real);
        if (r >= 0)
                r = read_file_at(b->root_fd, real + 1, CONFIG_SIZE_MAX, &text, NULL);
        if (r < 0)
                return r == -ESTALE ? 0 : r;    /* a name that matches is a directory, say: ldconfig(8) goes on too */
        for (line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                r = parse_config_line(b, real, line, depth);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int load_config(Bundle *b) {
        if (b->config_dirs)
                return 0;
        b->config_dirs = calloc(1, sizeof(char *));
        return b->config_dirs ? parse_config(b, "/etc/ld.so.conf", 0) : -ENOMEM;
}

/* One file of a program, in the order in which ld.so(8) would map them. */
typedef struct Object {
        char *name;                     /* that it was asked for by */
        char *path;                     /* on the host */
        char *origin;                   /* directory that $ORIGIN is in the search */
        char *tree_origin;              /* and in the tree */
        char *tree_path;                /* of a library: other than path where $ORIGIN is another in the tree; NULL: the same */
        ElfFile *elf;
        size_t parent;                  /* who asked first; itself for the program */
        bool by_cache;                  /* of a library: in a directory that is searched by way of ld.so.cache, or by default */
} Object;

/* A program, and the libraries that it needs. */
typedef struct Objects {
        Object *items;
        size_t n;
} Objects;

static void objects_done(Objects *o) {
        for (size_t i = 0; i < o->n; i++) {
                free(o->items[i].name);
                free(o->items[i].path);
                free(o->items[i].origin);
                free(o->items[i].tree_origin);
                free(o->items[i].tree_path);
                elf_file_free(o->items[i].elf);
        }
        free(o->items);
}

static char *directory_of(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
}

/* Reads the ELF file at a path of the host. -ENOEXEC also where it is one of another machine, which the loader passes over; *ret_why, static, says
 * what it is instead. */
static int read_object(Bundle *b, const char *path, ElfFile **ret, const char **ret_why, char **ret_error) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_(elf_file_freep) ElfFile *e = NULL;
        const char *why = NULL;
        int r;

        fd = bundle_open_in_root(b->root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return fd;
        r = elf_file_read(fd, &e, &why);
        if (r == -EBADMSG)
                return sentence(ret_error, r, "'%s' is a malformed ELF file (%s): install its package again.", path, why);
        if (r == -ENOEXEC)
                *ret_why = why;
        if (r < 0)
                return r;
        if (e->machine != ELF_MACHINE) {
                *ret_why = elf_machine_description(e->machine);
                return -ENOEXEC;
        }
        *ret = TAKE_PTR(e);
        return 0;
}

/* Takes over elf_consume, also where it fails. */
static int add_object(Objects *objects, const char *name, const char *path, const char *tree_path, ElfFile *elf_consume, size_t parent) {
        _cleanup_(elf_file_freep) ElfFile *elf = elf_consume;
        Object o = { .parent = parent }, *slot;

        if (objects->n >= OBJECTS_MAX)
                return -E2BIG;
        slot = GREEDY_APPEND(objects->items, objects->n);
        if (!slot)
                return -ENOMEM;
        o.name = strdup(name);
        o.path = strdup(path);
        o.origin = directory_of(path);
        o.tree_origin = directory_of(tree_path);
        o.tree_path = streq(path, tree_path) ? NULL : strdup(tree_path);
        o.elf = TAKE_PTR(elf);
        *slot = o;
        objects->n++;
        return o.name && o.path && o.origin && o.tree_origin && (o.tree_path || streq(path, tree_path)) ? 0 : -ENOMEM;
}

/* One directory of a search path with $ORIGIN put in; NULL with *ret_ok where it is none that the loader would take here. */
static char *expand(const char *dir, size_t n, const char *origin, bool *ret_skip) {
        const char *rest = NULL;
        char *s;

        *ret_skip = false;
        if (n >= 7 && strncmp(dir, "$ORIGIN", 7) == 0 && (n == 7 || dir[7] == '/'))
                rest = dir + 7;
        else if (n >= 9 && strncmp(dir, "${ORIGIN}", 9) == 0)
                rest = dir + 9;
        s = rest ? strf("%s%.*s", origin, (int) (dir + n - rest), rest) : strndup(dir, n);
        /* Relative ones depend on where one stands; $LIB and $PLATFORM on how the loader was built. */
        if (s && (s[0] != '/' || strchr(s, '$'))) {
                *ret_skip = true;
                free(s);
                return NULL;
        }
        return s;
}

typedef struct Found {
        char *path;                     /* on the host */
        char *tree_path;                /* other than path where $ORIGIN is another in the tree; NULL: the same */
        ElfFile *elf;
        bool by_cache;
        /* What was passed over. */
        char *unfit;                    /* the first file of that name that is none for this machine; NULL: none */
        const char *unfit_why;
} Found;

static void found_done(Found *f) {
        free(f->path);
        free(f->tree_path);
        free(f->unfit);
        elf_file_free(f->elf);
}

/* 1: it is in this directory. 0: it is not. */
static int try_directory(Bundle *b, const char *dir, const char *name, Found *ret, char **ret_error) {
        _cleanup_free_ char *path = strf("%s/%s", dir, name);
        const char *why = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = read_object(b, path, &ret->elf, &why, ret_error);
        if (is_absence(r)) {
                r = add_input(b, INPUT_ABSENT, path);
                return r < 0 ? r : 0;
        }
        if (r == -ENOEXEC) {
                if (!ret->unfit) {
                        ret->unfit = TAKE_PTR(path);
                        ret->unfit_why = why;
                }
                return 0;
        }
        if (r < 0)
                return r;
        ret->path = TAKE_PTR(path);
        return 1;
}

static int try_search_path(Bundle *b, const char *list, const Object *o, const char *name, Found *ret, char **ret_error) {
        for (const char *p = list; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
                _cleanup_free_ char *dir = NULL, *tree_dir = NULL;
                size_t n = strcspn(p, ":");
                bool skip;
                int r;

                dir = expand(p, n, o->origin, &skip);
                if (skip)
                        continue;
                tree_dir = expand(p, n, o->tree_origin, &skip);
                if (!dir || !tree_dir)
                        return -ENOMEM;
                r = try_directory(b, dir, name, ret, ret_error);
                if (r < 0)
                        return r;
                if (r > 0) {
                        if (!streq(dir, tree_dir)) {
                                ret->tree_path = strf("%s/%s", tree_dir, name);
                                if (!ret->tree_path)
                                        return -ENOMEM;
                        }
                        return 1;
                }
        }
        return 0;
}

/* Those that loaders of the distributions are built with, for the machines that Inferno runs on. */
static const char *const default_directories[] = {
        "/lib/" ELF_MULTIARCH, "/usr/lib/" ELF_MULTIARCH, "/lib64", "/usr/lib64", "/lib", "/usr/lib", NULL,
};

/* ld.so(8), "dynamic string tokens" and the order of the search. 1: found. 0: nowhere. */
static int find_library(Bundle *b, const Objects *objects, size_t who, const char *name, Found *ret, char **ret_error) {
        const Object *o = objects->items + who;
        int r;

        if (strchr(name, '/')) {
                if (name[0] != '/')
                        return sentence(ret_error, -EBADMSG,
                                        "'%s' needs the library '%s' relative to wherever it is started.", o->path, name);
                r = read_object(b, name, &ret->elf, &ret->unfit_why, ret_error);
                if (r >= 0)
                        ret->path = strdup(name);
                else if (r == -ENOEXEC)
                        ret->unfit = strdup(name);
                else
                        return is_absence(r) ? 0 : r;
                return !ret->path && !ret->unfit ? -ENOMEM : ret->path ? 1 : 0;
        }
        if (!o->elf->runpath)
                for (size_t i = who;; i = objects->items[i].parent) {
                        const Object *a = objects->items + i;

                        if (a->elf->rpath && !a->elf->runpath) {
                                r = try_search_path(b, a->elf->rpath, a, name, ret, ret_error);
                                if (r != 0)
                                        return r;
                        }
                        if (a->parent == i)
                                break;
                }
        if (o->elf->runpath) {
                r = try_search_path(b, o->elf->runpath, o, name, ret, ret_error);
                if (r != 0)
                        return r;
        }
        r = load_config(b);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot read /etc/ld.so.conf");
        ret->by_cache = true;
        STRV_FOREACH(dir, b->config_dirs) {
                r = try_directory(b, *dir, name, ret, ret_error);
                if (r != 0)
                        return r;
        }
        for (const char *const *dir = default_directories; *dir; dir++) {
                r = try_directory(b, *dir, name, ret, ret_error);
                if (r != 0)
                        return r;
        }
        return 0;
}

static bool is_loaded(const Objects *objects, const char *name, const char *interpreter) {
        if (interpreter && streq(strrchr(interpreter, '/') + 1, name))
                return true;
        for (size_t i = 0; i < objects->n; i++)
                if (streq(objects->items[i].name, name))
                        return true;
        return false;
}

static int find_needed(Bundle *b, Objects *objects, size_t who, const char *name, char **ret_error) {
        _cleanup_(found_done) Found found = {};
        int r;

        r = find_library(b, objects, who, name, &found, ret_error);
        if (r == 0 && found.unfit)
                return sentence(ret_error, -ENOENT, "'%s' needs the library '%s', but '%s' is %s: install the package that has it for this machine.",
                                objects->items[who].path, name, found.unfit, found.unfit_why);
        if (r == 0)
                return sentence(ret_error, -ENOENT,
                                "'%s' needs the library '%s', which is in none of the loader's directories: install the "
                                "package that has it.", objects->items[who].path, name);
        if (r < 0)
                return r;
        r = add_object(objects, name, found.path, found.tree_path ?: found.path, TAKE_PTR(found.elf), who);
        if (r >= 0)
                objects->items[objects->n - 1].by_cache = found.by_cache;
        return r;
}

/* The program at `path`, which will be at tree_path, first, and then its libraries. -ENOEXEC without a sentence, but with *ret_why: it is no ELF
 * program of this machine. */
static int find_objects(Bundle *b, const char *path, const char *tree_path, Objects *objects, const char **ret_why, char **ret_error) {
        const char *interpreter;
        ElfFile *e;
        int r;

        r = read_object(b, path, &e, ret_why, ret_error);
        if (r < 0)
                return r;
        interpreter = e->interpreter;
        r = add_object(objects, path, path, tree_path, e, 0);
        if (r < 0)
                return r;
        if (interpreter && interpreter[0] != '/')
                return sentence(ret_error, -EBADMSG, "'%s' has the loader '%s', which is no absolute path.", path, interpreter);
        for (size_t i = 0; i < objects->n; i++)
                STRV_FOREACH(name, objects->items[i].elf->needed) {
                        if (is_loaded(objects, *name, interpreter))
                                continue;
                        r = find_needed(b, objects, i, *name, ret_error);
                        if (r < 0)
                                return r;
                }
        return 0;
}

static int missing_loader(const Objects *objects, char **ret_error) {
        return sentence(ret_error, -ENOENT, "'%s' needs the loader '%s', which is not there: install the package that has it.", objects->items[0].path,
                        objects->items[0].elf->interpreter);
}

/* The loader of the tree has no ld.so.cache, and looks in its own directory: there goes a symlink to what the cache would have found. */
static int link_into_loader_dir(Bundle *b, const char *loader_dir, const char *name, const char *path) {
        _cleanup_free_ char *dir = directory_of(path), *real = NULL, *link = NULL;
        int r;

        if (!dir)
                return -ENOMEM;
        r = walk(b, dir, false, &real);
        if (r < 0)
                return r;
        if (streq(real, loader_dir))
                return 0;
        link = strf("%s/%s", loader_dir, name);
        return link ? add_entry(b, link, NULL, path, false) : -ENOMEM;
}

/* "#!" of a script (execve(2)). */
typedef struct Script {
        char *interpreter;              /* the word behind it; in place of env(1), the program that this would find on the host */
        char **arguments;               /* of the interpreter, before the script */
        char **programs;                /* all that have to be there */
} Script;

static void script_done(Script *s) {
        free(s->interpreter);
        strv_free(s->arguments);
        strv_free(s->programs);
}

static int find_in_path(Bundle *b, const char *name, char **ret) {
        static const char *const dirs[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin" };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(dirs); i++) {
                _cleanup_free_ char *path = strf("%s/%s", dirs[i], name);
                _cleanup_close_ int fd = -EBADF;

                if (!path)
                        return -ENOMEM;
                fd = bundle_open_in_root(b->root_fd, path, O_PATH);
                if (fd >= 0) {
                        *ret = TAKE_PTR(path);
                        return 0;
                }
                r = is_absence(fd) ? add_input(b, INPUT_ABSENT, path) : fd;
                if (r < 0)
                        return r;
        }
        return -ENOENT;
}

/* "#!/usr/bin/env NAME", or "-S NAME ARGUMENT…": which program that is, is decided here, by the host. */
static int resolve_env(Bundle *b, const char *path, char *words, Script *s, char **ret_error) {
        const char *rest = startswith(words, "-S");
        char *word, *state = NULL;
        int r;

        word = strtok_r(rest ? words + 2 : words, rest ? " \t" : "", &state);
        if (!word || word[0] == '-' || strpbrk(word, "= \t\\\"'$"))
                return sentence(ret_error, -ENOEXEC, "'%s' is run by '%s %s', of which it cannot be told which program that is: name one in its first line.", path,
                                s->interpreter, words);
        if (word[0] == '/')
                r = free_and_strdup(&s->interpreter, word);
        else {
                free(TAKE_PTR(s->interpreter));
                r = find_in_path(b, word, &s->interpreter);
        }
        if (r == -ENOENT)
                return sentence(ret_error, r, "'%s' is run by '%s', which is in no directory of the usual PATH: install the package that has it.", path, word);
        while (r >= 0 && (word = strtok_r(NULL, " \t", &state)))
                r = strv_extend(&s->arguments, word);
        return r < 0 ? r : strv_extend(&s->programs, s->interpreter);
}

/* 1: it is one. 0: it is not. */
static int script_read(Bundle *b, const char *path, Script *s, char **ret_error) {
        _cleanup_close_ int fd = bundle_open_in_root(b->root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        char line[SCRIPT_LINE_MAX + 1], *interpreter, *rest, *name;
        ssize_t n;
        int r;

        if (fd < 0)
                return fd;
        n = pread(fd, line, SCRIPT_LINE_MAX, 0);
        if (n < 0)
                return negative_errno();
        line[n] = 0;
        if (!startswith(line, "#!"))
                return 0;
        if (!strchr(line, '\n') && n == SCRIPT_LINE_MAX)
                return sentence(ret_error, -ENOEXEC, "'%s' has a first line that is too long: %d bytes are the most.", path, SCRIPT_LINE_MAX - 1);
        line[strcspn(line, "\n")] = 0;
        for (size_t k = strlen(line); k > 0 && strchr(" \t", line[k - 1]); k--)
                line[k - 1] = 0;
        interpreter = line + 2 + strspn(line + 2, " \t");
        rest = interpreter + strcspn(interpreter, " \t");
        if (*rest) {
                *rest++ = 0;
                rest += strspn(rest, " \t");
        }
        if (interpreter[0] != '/')
                return sentence(ret_error, -ENOEXEC, "'%s' has the interpreter '%s', which is no absolute path.", path, interpreter);
        for (const char *p = line; *p; p++)
                if ((unsigned char) *p < ' ' && *p != '\t')
                        return sentence(ret_error, -ENOEXEC, "'%s' has control characters in its first line: does it have DOS line ends?", path);

        s->interpreter = strdup(interpreter);
        if (!s->interpreter)
                return -ENOMEM;
        r = strv_extend(&s->programs, interpreter);
        name = strrchr(interpreter, '/') + 1;
        if (r >= 0 && streq(name, "env"))
                r = resolve_env(b, path, rest, s, ret_error);
        else if (r >= 0 && *rest)
                r = strv_extend(&s->arguments, rest);
        if (r < 0)
                return r;
        STRV_FOREACH(p, s->programs) {
                _cleanup_close_ int program_fd = bundle_open_in_root(b->root_fd, *p, O_PATH);

                if (is_absence(program_fd))
                        return sentence(ret_error, -ENOENT, "'%s' is run by '%s', which does not exist: install the package that has it.", path, *p);
                if (program_fd < 0)
                        return program_fd;
        }
        return 1;
}

/* All but the program itself, each at its own path. */
static int place_libraries(Bundle *b, const Objects *objects, char **ret_error) {
        const char *interpreter = objects->items[0].elf->interpreter;
        _cleanup_free_ char *real = NULL, *loader_dir = NULL;
        int r;

        if (interpreter) {
                r = add_file(b, interpreter, NULL);
                if (is_absence(r))
                        return missing_loader(objects, ret_error);
                if (r < 0)
                        return r;
                /* Where the file itself is: there its libc is too, and it knows that directory. */
                r = walk(b, interpreter, false, &real);
                if (r < 0)
                        return r;
                loader_dir = directory_of(real);
                if (!loader_dir)
                        return -ENOMEM;
        }
        for (size_t i = 1; i < objects->n; i++) {
                const Object *o = objects->items + i;

                r = loader_dir && o->by_cache ? link_into_loader_dir(b, loader_dir, o->name, o->path) : 0;
                if (r >= 0)
                        r = add_file(b, o->path, o->tree_path);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int not_a_program(const char *path, const char *why, char **ret_error) {
        return sentence(ret_error, -ENOEXEC, "'%s' is %s: wanted is a program for this machine (" ELF_MACHINE_NAME "), or a script.", path, why);
}

/* A program and all that it needs where they are on the host; of a script, its interpreter. The file itself is add_item()'s. */
static int add_program(Bundle *b, const char *source, const char *target, unsigned depth, char **ret_error) {
        _cleanup_(objects_done) Objects objects = {};
        _cleanup_(script_done) Script script = {};
        const char *why = NULL;
        int r;

        r = find_objects(b, source, target, &objects, &why, ret_error);
        if (r >= 0)
                return place_libraries(b, &objects, ret_error);
        if (r != -ENOEXEC)
                return r;
        r = script_read(b, source, &script, ret_error);
        if (r == 0 || depth >= SCRIPT_DEPTH_MAX)
                return not_a_program(source, r == 0 ? why : "a script of a script of a script", ret_error);
        if (r < 0)
                return r;
        STRV_FOREACH(p, script.programs) {
                r = add_program(b, *p, *p, depth + 1, ret_error);
                if (r >= 0)
                        r = add_file(b, *p, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Where the parts of one program of BUNDLE_PORTABLE are, which is PREFIX/bin/NAME:
 *
 *      PREFIX/bin/NAME                 what is run: lines for the launcher, or a link to a static program
 *      PREFIX/files/…                  all files by their paths on the host, shared by all programs
 *      PREFIX/lib/bin/NAME/…           by the names that they are asked for, links to this program's libraries
 *      PREFIX/loader/bin/NAME          link to the loader, so that the process has the program's name
 *      PREFIX/lib/init                 the launcher, which is the guest's init and no matter of the bundle
 */
typedef struct Portable {
        const char *target;
        char *prefix;
        const char *name;               /* "/bin/NAME" of target */
} Portable;

static void portable_done(Portable *p) {
        free(p->prefix);
}

static int portable_init(Portable *p, const char *target) {
        const char *slash = strrchr(target, '/');

        while (slash > target && *--slash != '/')
                ;
        if (slash == target)
                return -EINVAL;
        p->target = target;
        p->prefix = strndup(target, (size_t) (slash - target));
        p->name = slash;
        return p->prefix ? 0 : -ENOMEM;
}

/* Puts a file below PREFIX/files, and a link to it at PREFIX/<link>, which is `up` below PREFIX; both may be NULL. *ret_path, if asked for, is
 * the file's. */
static int place_portable(Bundle *b, const Portable *p, const char *path, const char *up, const char *link, char **ret_path) {
        _cleanup_free_ char *real = NULL, *place = NULL, *from = NULL, *to = NULL;
        int r;

        r = walk(b, path, false, &real);
        if (r < 0)
                return r;
        place = strf("%s/files%s", p->prefix, real);
        if (!place)
                return -ENOMEM;
        r = add_file(b, path, place);
        if (r >= 0 && link) {
                from = strf("%s%s", p->prefix, link);
                to = strf("%s/files%s", up, real);
                r = from && to ? add_entry(b, from, NULL, to, false) : -ENOMEM;
        }
        if (r >= 0 && ret_path)
                *ret_path = TAKE_PTR(place);
        return r;
}

/* The words before the program that have its loader take these libraries and no others: not those of the image's ld.so.cache, nor of the paths
 * that are written into programs and libraries, of which the program itself has the empty name. */
static int portable_loader(Bundle *b, const Portable *p, const Objects *objects, const char *name, StrBuf *words, char **ret_error) {
        const char *interpreter = objects->items[0].elf->interpreter;
        bool musl = startswith(strrchr(interpreter, '/') + 1, "ld-musl-");
        _cleanup_free_ char *link = strf("/loader%s", p->name);
        int r;

        r = link ? place_portable(b, p, interpreter, "../..", link, NULL) : -ENOMEM;
        if (is_absence(r))
                return missing_loader(objects, ret_error);
        if (r < 0)
                return r;
        strbuf_addf(words, "%s%s\n%s\n", p->prefix, link, name);
        if (!musl)
                strbuf_adds(words, "--inhibit-cache\n--inhibit-rpath\n");
        for (size_t i = 1; i < objects->n; i++) {
                const Object *o = objects->items + i;
                _cleanup_free_ char *library = strf("/lib%s/%s", p->name, o->name);

                if (strchr(o->name, '/'))
                        return sentence(ret_error, -EBADMSG, "'%s' needs the library '%s' at just that place, so it cannot be brought along into other systems.",
                                        objects->items[o->parent].path, o->name);
                r = library ? place_portable(b, p, o->path, "../../..", library, NULL) : -ENOMEM;
                if (r < 0)
                        return r;
                if (!musl && (o->elf->rpath || o->elf->runpath))
                        strbuf_addf(words, ":%s%s", p->prefix, library);
        }
        if (!musl)
                strbuf_adds(words, ":\n");
        strbuf_addf(words, "--library-path\n%s/lib%s\n--argv0\n%s\n", p->prefix, p->name, name);
        return 0;
}

/* A program, or a script with its interpreter, that runs in any root directory, whatever that has for libraries. */
static int add_portable(Bundle *b, const BundleItem *item, char **ret_error) {
        _cleanup_(portable_done) Portable p = {};
        _cleanup_(objects_done) Objects objects = {};
        _cleanup_(script_done) Script script = {};
        _cleanup_strbuf_ StrBuf words = {};
        _cleanup_free_ char *file = NULL, *script_file = NULL, *text = NULL;
        const char *program = item->source, *why = NULL;
        bool is_script = false;
        size_t n;
        int r;

        r = item->target ? portable_init(&p, item->target) : -EINVAL;
        if (r < 0)
                return r;
        r = find_objects(b, program, program, &objects, &why, ret_error);
        if (r == -ENOEXEC) {
                r = script_read(b, item->source, &script, ret_error);
                if (r == 0)
                        return not_a_program(item->source, why, ret_error);
                if (r < 0)
                        return r;
                is_script = true;
                program = script.interpreter;
                objects_done(&objects);
                objects = (Objects) {};
                r = find_objects(b, program, program, &objects, &why, ret_error);
                if (r == -ENOEXEC)
                        return not_a_program(program, why, ret_error);
        }
        if (r < 0)
                return r;
        if (!is_script && !objects.items[0].elf->interpreter)
                return place_portable(b, &p, program, "..", p.name, NULL);

        strbuf_addf(&words, "#!%s/lib/init\n", p.prefix);
        if (objects.items[0].elf->interpreter) {
                r = portable_loader(b, &p, &objects, is_script ? program : WIRE_CALLED_AS, &words, ret_error);
                if (r < 0)
                        return r;
        }
        r = place_portable(b, &p, program, NULL, NULL, &file);
        if (r < 0)
                return r;
        strbuf_addf(&words, "%s\n", file);
        if (is_script) {
                if (!objects.items[0].elf->interpreter)
                        strbuf_addf(&words, "%s\n", program);
                STRV_FOREACH(a, script.arguments)
                        strbuf_addf(&words, "%s\n", *a);
                r = place_portable(b, &p, item->source, NULL, NULL, &script_file);
                if (r < 0)
                        return r;
                strbuf_addf(&words, "%s\n", script_file);
        }
        r = strbuf_finish(&words, &text, &n);
        return r < 0 ? r : add_any_entry(b, item->target, NULL, NULL, text, true);
}

/* A kernel's own headers are the VMM's matter; this tells a compressed one, or something else, from what a VMM can load at all. */
static int check_kernel(Bundle *b, const char *path, char **ret_error) {
        _cleanup_close_ int fd = bundle_open_in_root(b->root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        static const char magic[] = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64 };
        char start[sizeof(magic)];
        ssize_t n;

        if (fd < 0)
                return fd;
        n = pread(fd, start, sizeof(start), 0);
        if (n < 0)
                return negative_errno();
        if ((size_t) n < sizeof(start) || memcmp(start, magic, sizeof(magic)) != 0)
                return sentence(ret_error, -EBADMSG,
                                "'%s%s' is not an uncompressed kernel: Kernel= wants a vmlinux, which is an ELF file.", layout_root(), path);
        return 0;
}

static int add_item(Bundle *b, const BundleItem *item, char **ret_error) {
        BundleKind kind = item->kind & ~(unsigned) BUNDLE_OPTIONAL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (item->source[0] != '/' || (item->target && item->target[0] != '/'))
                return -EINVAL;
        fd = bundle_open_in_root(b->root_fd, item->source, O_PATH);
        if (is_absence(fd) && item->kind & BUNDLE_OPTIONAL)
                return add_input(b, INPUT_ABSENT, item->source);
        if (is_absence(fd))
                return sentence(ret_error, -ENOENT,
                                "'%s%s' does not exist: install the package that has it.", layout_root(), item->source);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode))
                return sentence(ret_error, -EBADMSG, "'%s%s' is not a regular file.", layout_root(), item->source);
        if (kind == BUNDLE_KERNEL) {
                r = check_kernel(b, item->source, ret_error);
                if (r < 0)
                        return r;
        }
        if (kind == BUNDLE_PORTABLE)
                return add_portable(b, item, ret_error);
        if (kind == BUNDLE_PROGRAM || kind == BUNDLE_LIBRARIES) {
                r = add_program(b, item->source, item->target ?: item->source, 0, ret_error);
                if (r < 0)
                        return r;
        }
        if (kind == BUNDLE_LIBRARIES) {
                _cleanup_free_ char *real = NULL;

                r = walk(b, item->source, false, &real);
                return r < 0 ? r : add_input(b, INPUT_FILE, real);
        }
        return add_file(b, item->source, item->target);
}

static int compare_entries(const void *a, const void *b) {
        return strcmp(((const BundleEntry *) a)->target, ((const BundleEntry *) b)->target);
}

int bundle_resolve(const BundleItem *items, Bundle **ret, char **ret_error) {
        _cleanup_(bundle_freep) Bundle *b = calloc(1, sizeof(Bundle));
        _cleanup_free_ char *error = NULL;
        int r;

        if (!b)
                return -ENOMEM;
        b->root_fd = bundle_open_root();
        if (b->root_fd < 0)
                return sentence_errno(ret_error, b->root_fd, "Cannot open '%s'", layout_root());
        for (const BundleItem *i = items; i->source; i++) {
                r = add_item(b, i, &error);
                if (r < 0)
                        return error ? sentence(ret_error, r, "%s", error)
                                     : sentence_errno(ret_error, r, "Cannot collect what '%s' needs", i->source);
        }
        qsort(b->entries, b->n_entries, sizeof(BundleEntry), compare_entries);
        *ret = TAKE_PTR(b);
        return 0;
}
