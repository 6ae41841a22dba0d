/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "jailer/options.h"

#define BASE_DEFAULT "/srv/jailer"

enum {
        N_FILES_DEFAULT = 2048,
        ID_BYTES_MAX = 64,
};

static const char usage[] =
        "Usage: inferno-jailer --id ID --exec-file PATH --uid UID --gid GID [OPTIONS…] [-- ARGUMENTS…]\n"
        "\n"
        "Runs a program as another user in a root directory, mount namespace and cgroup of its own, with the command line of\n"
        "Firecracker's jailer.\n"
        "\n"
        "      --id ID                  Name of the jail: letters, digits and hyphens, 64 at most\n"
        "      --exec-file PATH         Program to copy into the jail and to run\n"
        "      --uid UID                User to run it as\n"
        "      --gid GID                Group to run it as\n"
        "      --chroot-base-dir DIR    Where jails are: the root is DIR/<name of the program>/<ID>/root [" BASE_DEFAULT "]\n"
        "      --netns PATH             Network namespace to join\n"
        "      --resource-limit R=N     fsize=BYTES or no-file=COUNT [no-file=2048]; may be repeated\n"
        "      --cgroup FILE=VALUE      Value of a control group's file, cpu.shares=10; may be repeated\n"
        "      --cgroup-version 1|2     Hierarchy to use [1]\n"
        "      --parent-cgroup PATH     Group above the jail's, relative to the hierarchy [name of the program]\n"
        "      --daemonize              Detach from the terminal, with /dev/null as standard input and output\n"
        "      --new-pid-ns             Run the program as PID 1 of a new PID namespace, and exit\n"
        "  -h, --help                   Show this help\n"
        "      --version                Show the version\n"
        "\n"
        "What follows \"--\" goes to the program. See inferno-jailer(8).\n";

/* The words of the command line as given, before anything is made of them. */
typedef struct Words {
        const char *id, *exec_file, *uid, *gid, *base, *netns, *cgroup_version, *parent_cgroup;
        char **cgroups, **limits;       /* owned arrays of owned strings */
        bool daemonize, new_pid_ns;
} Words;

static void words_done(Words *w) {
        strv_free(w->cgroups);
        strv_free(w->limits);
}

static int parse_words(char **argv, Words *w) {
        const struct {
                const char *name;
                const char **single;
                char ***multiple;
                bool *flag;
        } options[] = {
                { "id", .single = &w->id },
                { "exec-file", .single = &w->exec_file },
                { "uid", .single = &w->uid },
                { "gid", .single = &w->gid },
                { "chroot-base-dir", .single = &w->base },
                { "netns", .single = &w->netns },
                { "cgroup-version", .single = &w->cgroup_version },
                { "parent-cgroup", .single = &w->parent_cgroup },
                { "cgroup", .multiple = &w->cgroups },
                { "resource-limit", .multiple = &w->limits },
                { "daemonize", .flag = &w->daemonize },
                { "new-pid-ns", .flag = &w->new_pid_ns },
        };

        for (char **a = argv; *a && !streq(*a, "--"); a++) {
                const char *name = startswith(*a, "--"), *value = NULL;
                size_t name_size = name ? strcspn(name, "=") : 0, i;

                for (i = 0; i < ELEMENTSOF(options); i++)
                        if (name && strlen(options[i].name) == name_size && strncmp(options[i].name, name, name_size) == 0)
                                break;
                if (i == ELEMENTSOF(options))
                        return log_error_errno(EINVAL, "Unknown option '%s'. See --help.", *a);
                if (name[name_size] == '=')
                        value = name + name_size + 1;
                if (options[i].flag) {
                        if (value)
                                return log_error_errno(EINVAL, "Option '--%s' takes no value. See --help.", options[i].name);
                        if (*options[i].flag)
                                return log_error_errno(EINVAL, "Option '--%s' is given more than once.", options[i].name);
                        *options[i].flag = true;
                        continue;
                }
                if (!value) {
                        value = a[1];
                        if (!value || startswith(value, "--"))
                                return log_error_errno(EINVAL, "Option '--%s' needs a value. See --help.", options[i].name);
                        a++;
                }
                if (options[i].multiple) {
                        if (strv_extend(options[i].multiple, value) < 0)
                                return log_oom();
                } else {
                        if (*options[i].single)
                                return log_error_errno(EINVAL, "Option '--%s' is given more than once.", options[i].name);
                        *options[i].single = value;
                }
        }
        return 0;
}

static bool id_is_valid(const char *s) {
        size_t n = strlen(s);

        if (n < 1 || n > ID_BYTES_MAX)
                return false;
        for (; *s; s++)
                if (!isascii(*s) || (!isalnum((unsigned char) *s) && *s != '-'))
                        return false;
        return true;
}

/* -1 means "leave as it is" to setresuid(2). */
static int parse_user(const char *option, const char *value, unsigned *ret) {
        if (parse_uint(value, ret) < 0 || *ret == UINT_MAX)
                return log_error_errno(EINVAL, "Not a user or group number: --%s '%s'.", option, value);
        return 0;
}

/* Relative, and nothing in it that leads elsewhere. */
static bool path_is_plain(const char *s) {
        if (*s == '/')
                return false;
        while (*s) {
                size_t n = strcspn(s, "/");

                if ((n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
                        return false;
                s += n;
                s += strspn(s, "/");
        }
        return true;
}

static int parse_cgroups(char *const *args, JailerOptions *o) {
        STRV_FOREACH(arg, args) {
                const char *eq = strchr(*arg, '='), *dot = strchr(*arg, '.');
                CgroupSetting *c;

                if (!eq || !eq[1] || strchr(eq + 1, '='))
                        return log_error_errno(EINVAL, "Not of the form FILE=VALUE: --cgroup '%s'.", *arg);
                c = GREEDY_APPEND(o->cgroups, o->n_cgroups);
                if (!c)
                        return log_oom();
                *c = (CgroupSetting) {
                        .file = strndup(*arg, (size_t) (eq - *arg)),
                        .value = strdup(eq + 1),
                        .controller = strndup(*arg, dot && dot < eq ? (size_t) (dot - *arg) : 0),
                };
                o->n_cgroups++;
                if (!c->file || !c->value || !c->controller)
                        return log_oom();
                if (isempty(c->controller) || strchr(c->file, '/'))
                        return log_error_errno(EINVAL, "Not a file of a control group, CONTROLLER.PROPERTY: --cgroup '%s'.", *arg);
        }
        return 0;
}

static int parse_limits(char *const *args, JailerOptions *o) {
        STRV_FOREACH(arg, args) {
                const char *value;
                uint64_t n;
                rlim_t *limit;

                if ((value = startswith(*arg, "fsize=")))
                        limit = &o->file_size;
                else if ((value = startswith(*arg, "no-file=")))
                        limit = &o->n_files;
                else
                        return log_error_errno(EINVAL, "Neither fsize=BYTES nor no-file=COUNT: --resource-limit '%s'.", *arg);
                if (parse_u64(value, &n) < 0)
                        return log_error_errno(EINVAL, "Not a number: --resource-limit '%s'.", *arg);
                *limit = n;
        }
        return 0;
}

static int resolve_paths(const Words *w, JailerOptions *o) {
        struct stat st;

        o->exec_path = realpath(w->exec_file, NULL);
        if (!o->exec_path)
                return log_error_errno(errno, "Cannot find the program '%s' (--exec-file): %m.", w->exec_file);
        if (stat(o->exec_path, &st) < 0)
                return log_error_errno(errno, "Cannot look at '%s' (--exec-file): %m.", o->exec_path);
        if (!S_ISREG(st.st_mode))
                return log_error_errno(ENOEXEC, "'%s' (--exec-file) is not a file.", o->exec_path);
        o->exec_name = strrchr(o->exec_path, '/') + 1;

        o->base = realpath(w->base ?: BASE_DEFAULT, NULL);
        if (!o->base)
                return log_error_errno(errno, "Cannot find the directory '%s' (--chroot-base-dir): %m.", w->base ?: BASE_DEFAULT);
        if (stat(o->base, &st) < 0)
                return log_error_errno(errno, "Cannot look at '%s' (--chroot-base-dir): %m.", o->base);
        if (!S_ISDIR(st.st_mode))
                return log_error_errno(ENOTDIR, "'%s' (--chroot-base-dir) is not a directory.", o->base);
        return 0;
}

static int parse_values(const Words *w, JailerOptions *o) {
        const struct {
                const char *name, *value;
        } required[] = {
                { "id", w->id },
                { "exec-file", w->exec_file },
                { "uid", w->uid },
                { "gid", w->gid },
        };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(required); i++)
                if (!required[i].value)
                        return log_error_errno(EINVAL, "Option '--%s' is missing. See --help.", required[i].name);
        o->id = w->id;
        if (!id_is_valid(o->id))
                return log_error_errno(EINVAL, "Not 1 to %d letters, digits and hyphens: --id '%s'.", ID_BYTES_MAX, o->id);
        r = parse_user("uid", w->uid, &o->uid);
        if (r < 0)
                return r;
        r = parse_user("gid", w->gid, &o->gid);
        if (r < 0)
                return r;
        o->netns = w->netns;
        o->daemonize = w->daemonize;
        o->new_pid_ns = w->new_pid_ns;

        o->cgroup_version = 1;
        if (w->cgroup_version && (parse_uint(w->cgroup_version, &o->cgroup_version) < 0 || o->cgroup_version < 1 || o->cgroup_version > 2))
                return log_error_errno(EINVAL, "Neither 1 nor 2: --cgroup-version '%s'.", w->cgroup_version);
        if (w->parent_cgroup && !path_is_plain(w->parent_cgroup))
                return log_error_errno(EINVAL, "Not a relative path without '.' and '..': --parent-cgroup '%s'.", w->parent_cgroup);
        r = parse_cgroups(w->cgroups, o);
        if (r < 0)
                return r;
        o->file_size = RLIM_INFINITY;
        o->n_files = N_FILES_DEFAULT;
        r = parse_limits(w->limits, o);
        if (r < 0)
                return r;

        r = resolve_paths(w, o);
        if (r < 0)
                return r;
        o->parent_cgroup = w->parent_cgroup ?: o->exec_name;
        return 0;
}

/* Both win over everything else before "--", however wrong that is. */
static int print_information(char **argv) {
        static const struct {
                const char *option, *text;
        } information[] = {
                { "--help", usage },
                { "-h", usage },
                { "--version", "inferno-jailer " INFERNO_VERSION "\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(information); i++)
                for (char **a = argv; *a && !streq(*a, "--"); a++)
                        if (streq(*a, information[i].option)) {
                                fputs(information[i].text, stdout);
                                return JAILER_OPTIONS_DONE;
                        }
        return 0;
}

int jailer_options_parse(JailerOptions *ret, char **argv) {
        _cleanup_jailer_options_ JailerOptions o = {};
        _cleanup_(words_done) Words w = {};
        int r;

        if (*argv)
                argv++;
        r = print_information(argv);
        if (r != 0)
                return r;
        r = parse_words(argv, &w);
        if (r < 0)
                return r;
        r = parse_values(&w, &o);
        if (r < 0)
                return r;
        o.extra = argv;
        while (*o.extra && !streq(*o.extra, "--"))
                o.extra++;
        if (*o.extra)
                o.extra++;
        *ret = o;
        o = (JailerOptions) {};
        return 0;
}

void jailer_options_done(JailerOptions *o) {
        for (size_t i = 0; i < o->n_cgroups; i++) {
                free(o->cgroups[i].controller);
                free(o->cgroups[i].file);
                free(o->cgroups[i].value);
        }
        free(o->cgroups);
        free(o->exec_path);
        free(o->base);
        *o = (JailerOptions) {};
}
