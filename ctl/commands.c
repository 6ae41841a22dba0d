/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "ctl/command.h"

/* One line for each command, in the order of --help within its group. */
#define COMMANDS(X)             \
        X(list)                 \
        X(status)               \
        X(start)                \
        X(stop)                 \
        X(restart)              \
        X(wait)                 \
        X(create)               \
        X(show)                 \
        X(edit)                 \
        X(set)                  \
        X(destroy)              \
        X(verify)               \
        X(top)                  \
        X(init)                 \
        X(doctor)               \
        X(env_print)            \
        X(logs)                 \
        X(logs_tail)            \
        X(logs_status)          \
        X(logs_restart)         \
        X(logs_clear)           \
        X(images_ls)            \
        X(images_pull)          \
        X(images_inspect)       \
        X(images_exposed)       \
        X(images_process)       \
        X(images_rm)            \
        X(images_prune)         \
        X(versions)             \
        X(rollback)             \
        X(prune)                \
        X(update)               \
        X(volume_create)        \
        X(volume_ls)            \
        X(volume_inspect)       \
        X(volume_resize)        \
        X(volume_snapshot)      \
        X(volume_restore)       \
        X(volume_rm)            \
        X(volume_key)           \
        X(exec)                 \
        X(shell)                \
        X(cp)                   \
        X(ssh)                  \
        X(signal)               \
        X(console)              \
        X(attach)               \
        X(proxy)                \
        X(completion)           \
        X(completion_words)     \
        X(version)

#define DECLARE(name) extern const Command command_##name;
COMMANDS(DECLARE)

#define ENTRY(name) &command_##name,
const Command *const commands[] = {
        COMMANDS(ENTRY)
        NULL,
};

static bool aliases_have(const char *aliases, const char *word) {
        size_t n = strlen(word);

        for (const char *p = aliases; p && *p;) {
                size_t k = strcspn(p, " ");

                if (k == n && strncmp(p, word, n) == 0)
                        return true;
                p += k + strspn(p + k, " ");
        }
        return false;
}

/* "volume ls" by its own two words. An alias is of the last word of a name: "volume list". */
static bool names(const Command *c, char *const *words, size_t n_words, size_t *ret_n) {
        const char *space = strchr(c->name, ' '), *last = space ? space + 1 : c->name;
        size_t n = space ? 2 : 1;

        if (n_words < n || (space && (strncmp(c->name, words[0], (size_t) (space - c->name)) != 0 || words[0][space - c->name] != 0)))
                return false;
        if (!streq(last, words[n - 1]) && !aliases_have(c->aliases, words[n - 1]))
                return false;
        *ret_n = n;
        return true;
}

const Command *command_find(char *const *words, size_t n_words, size_t *ret_n) {
        const Command *found = NULL;
        size_t n, longest = 0;

        for (const Command *const *c = commands; *c; c++)
                if (names(*c, words, n_words, &n) && n > longest) {
                        found = *c;
                        longest = *ret_n = n;
                }
        return found;
}

bool command_is_group(const char *word) {
        size_t n = strlen(word);

        for (const Command *const *c = commands; *c; c++)
                if (strncmp((*c)->name, word, n) == 0 && (*c)->name[n] == ' ')
                        return true;
        return false;
}
