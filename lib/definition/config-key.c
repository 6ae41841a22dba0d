/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <ctype.h>

#include "base/parse.h"
#include "base/str.h"
#include "definition/config-key.h"
#include "definition/definition.h"
#include "definition/words.h"
#include "ssh/public-key.h"

const ConfigKey *config_key_find(const ConfigKey *keys, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(keys[i].name, name))
                        return keys + i;
        return NULL;
}

int config_key_assign(const ConfigKey *key, const char *value, void *object, const void *defaults, const char **ret_reason) {
        void *field = (char *) object + key->offset;

        if (*value)
                return key->parse(value, field, ret_reason);
        switch (key->kind) {
        case CONFIG_STRING:
                return free_and_strdup(field, NULL);
        case CONFIG_LIST:
        case CONFIG_WORDS:
                *(char ***) field = strv_free(*(char ***) field);
                return 0;
        case CONFIG_SCALAR:
                memcpy(field, (const char *) defaults + key->offset, key->size);
                return 0;
        }
        return -EINVAL;
}

static int wrong(const char **ret_reason, const char *reason) {
        *ret_reason = reason;
        return -EINVAL;
}

static int parse_choice(const char *value, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (streq(value, names[i]))
                        return (int) i;
        return -EINVAL;
}

static bool has_blank(const char *s) {
        return s[strcspn(s, " \t")] != 0;
}

/* All words at the end of the list, or none. */
static int append_words(char ***list, char **words, const char **ret_reason) {
        size_t n = strv_length(*list), m = strv_length(words);
        char **w;

        if (n + m > CONFIG_LIST_MAX)
                return wrong(ret_reason, "there are more than 4096 entries");
        w = reallocarray(*list, n + m + 1, sizeof(char *));
        if (!w)
                return -ENOMEM;
        memcpy(w + n, words, (m + 1) * sizeof(char *));
        *list = w;
        words[0] = NULL;
        return 0;
}

/* Splits, checks each word, appends. */
static int parse_list(const char *value, bool (*is_valid)(const char *word), const char *wanted, void *field, const char **ret_reason) {
        _cleanup_strv_ char **words = NULL;
        int r;

        r = words_split(value, &words, ret_reason);
        if (r < 0)
                return r;
        STRV_FOREACH(w, words)
                if (!is_valid(*w))
                        return wrong(ret_reason, wanted);
        return append_words(field, words, ret_reason);
}

int config_parse_image(const char *value, void *field, const char **ret_reason) {
        if (has_blank(value) || strlen(value) > 4096)
                return wrong(ret_reason, "an image reference has no white space, and at most 4096 bytes");
        return free_and_strdup(field, value);
}

int config_parse_pull(const char *value, void *field, const char **ret_reason) {
        static const char *const names[] = { [PULL_MISSING] = "missing", [PULL_ALWAYS] = "always", [PULL_NEVER] = "never" };
        int k = parse_choice(value, names, ELEMENTSOF(names));

        if (k < 0)
                return wrong(ret_reason, "wanted is missing, always or never");
        *(PullPolicy *) field = (PullPolicy) k;
        return 0;
}

int config_parse_auto_update(const char *value, void *field, const char **ret_reason) {
        static const char *const names[] = { "no", "registry" };
        int k = parse_choice(value, names, ELEMENTSOF(names));

        if (k < 0)
                return wrong(ret_reason, "wanted is registry or no");
        *(bool *) field = k == 1;
        return 0;
}

int config_parse_words(const char *value, void *field, const char **ret_reason) {
        char **words;
        int r;

        r = words_split(value, &words, ret_reason);
        if (r < 0)
                return r;
        strv_free(*(char ***) field);
        *(char ***) field = words;
        return 0;
}

/* As with docker run --entrypoint "", an empty word takes the image's away and puts nothing in its place. */
int config_parse_entrypoint(const char *value, void *field, const char **ret_reason) {
        char ***v = field;
        int r;

        r = config_parse_words(value, field, ret_reason);
        if (r >= 0 && strv_length(*v) == 1 && isempty(**v)) {
                free(**v);
                **v = NULL;
        }
        return r;
}

static bool is_environment(const char *word) {
        const char *equals = strchr(word, '=');
        _cleanup_free_ char *name = equals ? strndup(word, (size_t) (equals - word)) : NULL;

        return name && env_name_is_valid(name);
}

int config_parse_environment(const char *value, void *field, const char **ret_reason) {
        return parse_list(value, is_environment, "wanted are words NAME=VALUE, quoted where a value has white space", field, ret_reason);
}

/* Absolute, and the same path however it is read. */
static bool path_is_plain(const char *s) {
        if (s[0] != '/' || strlen(s) >= 4096)
                return false;
        for (const char *p = s; *p; p += strcspn(p, "/")) {
                size_t n;

                p++;
                n = strcspn(p, "/");
                if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
                        return false;
        }
        return true;
}

static const char path_wanted[] = "wanted is an absolute path without \".\" and \"..\"";

int config_parse_environment_file(const char *value, void *field, const char **ret_reason) {
        _cleanup_free_ char *copy = NULL;
        char *one[] = { NULL, NULL };
        int r;

        if (!path_is_plain(value + (value[0] == '-')))
                return wrong(ret_reason, "wanted is an absolute path, with \"-\" before it if the file may be missing");
        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        one[0] = copy;
        r = append_words(field, one, ret_reason);
        if (r >= 0)
                TAKE_PTR(copy);
        return r;
}

/* By its last component it is found in the guest. */
int config_parse_bundle(const char *value, void *field, const char **ret_reason) {
        const char *name = strrchr(value, '/');
        _cleanup_free_ char *copy = NULL;
        char *one[] = { NULL, NULL };
        int r;

        if (!path_is_plain(value) || name[1] == 0)
                return wrong(ret_reason, "wanted is the absolute path of a program, without \".\" and \"..\"");
        STRV_FOREACH(other, *(char ***) field)
                if (streq(strrchr(*other, '/'), name))
                        return wrong(ret_reason, "there is a program of this name already");
        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        one[0] = copy;
        r = append_words(field, one, ret_reason);
        if (r >= 0)
                TAKE_PTR(copy);
        return r;
}

static bool user_part_is_valid(const char *s, size_t n) {
        uint64_t id = 0;
        size_t digits = 0;

        if (n < 1 || n > 255 || s[0] == '-')
                return false;
        for (size_t i = 0; i < n; i++) {
                if (s[i] == ':' || s[i] == '/' || s[i] == ' ' || s[i] == '\t')
                        return false;
                if (s[i] >= '0' && s[i] <= '9') {
                        digits++;
                        id = MIN(id * 10 + (uint64_t) (s[i] - '0'), UINT64_C(1) << 40);
                }
        }
        /* All digits is a number, and (uint32_t) -1 is no user. */
        return digits < n || id < UINT32_MAX;
}

int config_parse_user(const char *value, void *field, const char **ret_reason) {
        size_t n = strcspn(value, ":");

        if (!user_part_is_valid(value, n) || (value[n] && !user_part_is_valid(value + n + 1, strlen(value + n + 1))))
                return wrong(ret_reason, "wanted is USER or USER:GROUP, names or numbers below 4294967295");
        return free_and_strdup(field, value);
}

int config_parse_path(const char *value, void *field, const char **ret_reason) {
        if (!path_is_plain(value))
                return wrong(ret_reason, path_wanted);
        return free_and_strdup(field, value);
}

/* A path that goes into a unit file, and means the same there without any quoting. */
int config_parse_program(const char *value, void *field, const char **ret_reason) {
        if (!path_is_plain(value) ||
            value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-")] != 0)
                return wrong(ret_reason, "wanted is an absolute path of letters, digits and \"/._+-\", without \".\" and \"..\"");
        return free_and_strdup(field, value);
}

int config_parse_hostname(const char *value, void *field, const char **ret_reason) {
        if (!hostname_is_valid(value))
                return wrong(ret_reason, "wanted is a host name: letters, digits, inner hyphens and dots, 64 at most");
        return free_and_strdup(field, value);
}

int config_parse_vcpus(const char *value, void *field, const char **ret_reason) {
        static const char wanted[] = "wanted is a number from 0.01 to 32, with three decimals at most";
        size_t whole = strspn(value, "0123456789"), decimals = 0;
        uint64_t v = 0;

        if (value[whole] == '.') {
                decimals = strspn(value + whole + 1, "0123456789");
                if (decimals < 1 || value[whole + 1 + decimals])
                        return wrong(ret_reason, wanted);
        } else if (value[whole])
                return wrong(ret_reason, wanted);
        if (whole < 1 || whole > 4 || decimals > 3)
                return wrong(ret_reason, wanted);
        for (size_t i = 0; i < whole; i++)
                v = v * 10 + (uint64_t) (value[i] - '0');
        for (size_t i = 0; i < 3; i++)
                v = v * 10 + (uint64_t) (i < decimals ? value[whole + 1 + i] - '0' : 0);
        if (v < 10 || v > 32000)
                return wrong(ret_reason, wanted);
        *(unsigned *) field = (unsigned) v;
        return 0;
}

static int parse_size_within(const char *value, uint64_t min, uint64_t max, void *field) {
        uint64_t v;
        int r;

        r = parse_size(value, &v);
        if (r < 0)
                return r;
        if (v < min || v > max || v % MIB(1) != 0)
                return -ERANGE;
        *(uint64_t *) field = v;
        return 0;
}

int config_parse_memory(const char *value, void *field, const char **ret_reason) {
        if (parse_size_within(value, MIB(32), GIB(16384), field) < 0)
                return wrong(ret_reason, "wanted is a size of whole MiB such as 512M or 1.5G, from 32M to 16T");
        return 0;
}

int config_parse_root_size(const char *value, void *field, const char **ret_reason) {
        if (parse_size_within(value, MIB(16), GIB(16384), field) < 0)
                return wrong(ret_reason, "wanted is a size of whole MiB such as 512M or 1.5G, from 16M to 16T");
        return 0;
}

/* The kernel's own quoting has no escapes, so a word that would need any cannot be handed over. What would start something else
 * than Inferno's init is refused. */
static bool is_kernel_arg(const char *word) {
        if (!*word || streq(word, "--") || startswith(word, "rdinit=") || startswith(word, "virtio_mmio.device="))
                return false;
        for (; *word; word++)
                if (*word <= ' ' || *word >= 0x7f || *word == '"')
                        return false;
        return true;
}

int config_parse_kernel_args(const char *value, void *field, const char **ret_reason) {
        char **const *list = field;
        size_t total = strlen(value);

        STRV_FOREACH(w, *list)
                total += strlen(*w) + 1;
        if (total > 1024)
                return wrong(ret_reason, "all kernel arguments together are longer than 1024 bytes");
        return parse_list(value, is_kernel_arg,
                          "wanted are words of printable ASCII without white space and double quotes; "
                          "\"--\", rdinit= and virtio_mmio.device= are Inferno's",
                          field, ret_reason);
}

static bool is_address(const char *s) {
        unsigned char buf[sizeof(struct in6_addr)];

        return inet_pton(AF_INET, s, buf) == 1 || inet_pton(AF_INET6, s, buf) == 1;
}

int config_parse_dns(const char *value, void *field, const char **ret_reason) {
        return parse_list(value, is_address, "wanted are IPv4 or IPv6 addresses", field, ret_reason);
}

/* What stands in hosts(5) need not be a valid host name of this machine's own: underscores are common. */
static bool is_host_alias(const char *s, size_t n) {
        if (n < 1 || n > 253)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char) s[i]) && s[i] != '_' && ((s[i] != '-' && s[i] != '.') || i == 0 || i == n - 1))
                        return false;
        return true;
}

static bool is_add_host(const char *word) {
        const char *colon = strchr(word, ':');

        return colon && is_host_alias(word, (size_t) (colon - word)) && is_address(colon + 1);
}

int config_parse_add_host(const char *value, void *field, const char **ret_reason) {
        return parse_list(value, is_add_host, "wanted is NAME:ADDRESS, the address IPv4 or IPv6 without brackets", field, ret_reason);
}

/* A key, or the file of keys, which whoever starts the VM reads. */
int config_parse_ssh_key(const char *value, void *field, const char **ret_reason) {
        _cleanup_free_ char *entry = NULL;
        int r;

        if (value[0] == '/') {
                if (!path_is_plain(value))
                        return wrong(ret_reason, path_wanted);
                entry = strdup(value);
                r = entry ? 0 : -ENOMEM;
        } else
                r = ssh_public_key_parse(value, strlen(value), &entry, ret_reason);
        if (r < 0)
                return r;
        if (strv_length(*(char ***) field) >= SSH_KEYS_MAX)
                return wrong(ret_reason, "there are more than 256 of them");
        return strv_consume(field, TAKE_PTR(entry));
}

int config_parse_signal(const char *value, void *field, const char **ret_reason) {
        int signo = parse_signal(value);

        if (signo < 0)
                return wrong(ret_reason, "wanted is a signal such as SIGTERM, QUIT, RTMIN+3 or 15");
        *(int *) field = signo;
        return 0;
}

int config_parse_stop_timeout(const char *value, void *field, const char **ret_reason) {
        uint64_t v;

        if (parse_usec(value, &v) < 0 || v > UINT64_C(86400) * USEC_PER_SEC)
                return wrong(ret_reason, "wanted is a time span such as 30s or 2min, at most 1d");
        *(uint64_t *) field = v;
        return 0;
}

int config_parse_root(const char *value, void *field, const char **ret_reason) {
        static const char *const names[] = { [ROOT_EPHEMERAL] = "ephemeral", [ROOT_PERSISTENT] = "persistent" };
        int k = parse_choice(value, names, ELEMENTSOF(names));

        if (k < 0)
                return wrong(ret_reason, "wanted is ephemeral or persistent");
        *(RootMode *) field = (RootMode) k;
        return 0;
}

int config_parse_root_backend(const char *value, void *field, const char **ret_reason) {
        static const char *const names[] = { [ROOT_OVERLAY] = "overlay", [ROOT_LVM_THIN] = "lvm-thin" };
        int k = parse_choice(value, names, ELEMENTSOF(names));

        if (k < 0)
                return wrong(ret_reason, "wanted is overlay or lvm-thin");
        *(RootBackend *) field = (RootBackend) k;
        return 0;
}

int config_parse_vmm(const char *value, void *field, const char **ret_reason) {
        static const char *const names[] = { [VMM_AUTO] = "auto", [VMM_FIRECRACKER] = "firecracker", [VMM_EMBER] = "ember" };
        int k = parse_choice(value, names, ELEMENTSOF(names));

        if (k < 0)
                return wrong(ret_reason, "wanted is auto, firecracker or ember");
        *(VmmChoice *) field = (VmmChoice) k;
        return 0;
}

int config_parse_tenant(const char *value, void *field, const char **ret_reason) {
        if (!vm_name_is_valid(value))
                return wrong(ret_reason, "this is no name as VMs have: " VM_NAME_WANTED);
        return free_and_strdup(field, value);
}

int config_parse_size(const char *value, void *field, const char **ret_reason) {
        if (parse_size_within(value, MIB(1), GIB(UINT64_C(1) << 20), field) < 0)
                return wrong(ret_reason, "wanted is a size of whole MiB such as 512M or 2G");
        return 0;
}

int config_parse_count(const char *value, void *field, const char **ret_reason) {
        uint64_t v;

        if (parse_u64(value, &v) < 0 || v < 1)
                return wrong(ret_reason, "wanted is a number, 1 or more");
        *(uint64_t *) field = v;
        return 0;
}

/* lvm(8), "VALID NAMES", and no longer than leaves room for ours. */
int config_parse_lvm_name(const char *value, void *field, const char **ret_reason) {
        size_t n = strlen(value);

        if (n > 32 || value[0] == '-' || streq(value, ".") || streq(value, "..") || startswith(value, "snapshot") || startswith(value, "pvmove"))
                return wrong(ret_reason, "wanted is a name as lvm(8) takes it, of 32 characters at most");
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char) value[i]) && !strchr("+_.-", value[i]))
                        return wrong(ret_reason, "wanted are letters, digits, \"+\", \"_\", \".\" and \"-\", as lvm(8) takes them");
        return free_and_strdup(field, value);
}

int config_parse_percent(const char *value, void *field, const char **ret_reason) {
        size_t n = strlen(value);
        _cleanup_free_ char *number = strndup(value, n - (n > 0 && value[n - 1] == '%' ? 1 : 0));
        unsigned v;

        if (!number)
                return -ENOMEM;
        if (parse_uint(number, &v) < 0 || v < 1 || v > 100)
                return wrong(ret_reason, "wanted is a percentage from 1% to 100%");
        *(unsigned *) field = v;
        return 0;
}

/* The /30s are cut from it, so it holds one at least; and the address is the network's own. */
int config_parse_network(const char *value, void *field, const char **ret_reason) {
        const char *slash = strchr(value, '/');
        _cleanup_free_ char *address = NULL;
        struct in_addr a;
        unsigned prefix;

        address = strndup(value, slash ? (size_t) (slash - value) : strlen(value));
        if (!address)
                return -ENOMEM;
        if (!slash || inet_pton(AF_INET, address, &a) != 1 || parse_uint(slash + 1, &prefix) < 0 || prefix < 8 || prefix > 30 ||
            (ntohl(a.s_addr) & (UINT32_MAX >> prefix)) != 0)
                return wrong(ret_reason, "wanted is an IPv4 network such as 172.16.0.0/12, its prefix from 8 to 30");
        return free_and_strdup(field, value);
}
