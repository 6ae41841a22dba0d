/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/str.h"
#include "definition/loader.h"
#include "definition/problems.h"
#include "layout/layout.h"

/* One name of the search path, with the folders that have NAME.vm and NAME.vm.d. */
typedef struct SetEntry {
        char *name;
        SearchHint hint;
} SetEntry;

struct DefinitionSet {
        SearchPath search;
        SetEntry *entries;
        size_t n;
};

DefinitionSet *definition_set_free(DefinitionSet *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->n; i++)
                free(s->entries[i].name);
        free(s->entries);
        search_close(&s->search);
        free(s);
        return NULL;
}

static int add_entry(DefinitionSet *s, size_t dir, const struct dirent *de, DefinitionErrors *errors) {
        const char *file = de->d_name;
        bool is_dropins = endswith(file, ".vm.d");
        _cleanup_free_ char *name = NULL;
        SetEntry *slot;
        unsigned bit = 1U << dir;

        if (file[0] == '.' || (!is_dropins && !endswith(file, ".vm")))
                return 0;
        name = strndup(file, strlen(file) - (is_dropins ? strlen(".vm.d") : strlen(".vm")));
        if (!name)
                return -ENOMEM;
        if (!vm_name_is_valid(name)) {
                /* A mask of such a name hides a problem on purpose. */
                if (search_is_mask(&s->search, dir, file))
                        return 0;
                return problems_add(errors, "%s%s/%.100s: \"%.100s\" is no name of a VM: " VM_NAME_WANTED ".", layout_root(), s->search.dirs[dir],
                                    file, name);
        }
        slot = GREEDY_APPEND(s->entries, s->n);
        if (!slot)
                return -ENOMEM;
        *slot = (SetEntry) { .name = TAKE_PTR(name), .hint = {
                        .main = is_dropins ? 0 : bit,
                        .dropins = is_dropins ? bit : 0,
                        .regular = !is_dropins && de->d_type == DT_REG ? bit : 0,
        } };
        s->n++;
        return 0;
}

static int list_dir(DefinitionSet *s, size_t dir, DefinitionErrors *errors) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int r;

        r = dir_open_at(s->search.fds[dir], ".", 0, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &de)) > 0)
                if (add_entry(s, dir, de, errors) == -ENOMEM)
                        return -ENOMEM;
        return r;
}

static int compare_entries(const void *a, const void *b) {
        return strcmp(((const SetEntry *) a)->name, ((const SetEntry *) b)->name);
}

/* Sorts, and makes one entry of all with the same name. */
static void merge_entries(DefinitionSet *s) {
        size_t n = 0;

        if (s->n > 1)
                qsort(s->entries, s->n, sizeof(SetEntry), compare_entries);
        for (size_t i = 0; i < s->n; i++) {
                SetEntry *e = s->entries + i;

                if (n > 0 && streq(s->entries[n - 1].name, e->name)) {
                        s->entries[n - 1].hint.main |= e->hint.main;
                        s->entries[n - 1].hint.dropins |= e->hint.dropins;
                        s->entries[n - 1].hint.regular |= e->hint.regular;
                        free(e->name);
                } else
                        s->entries[n++] = *e;
        }
        s->n = n;
}

int definition_set_new(DefinitionSet **ret, DefinitionErrors *errors) {
        _cleanup_(definition_set_freep) DefinitionSet *s = calloc(1, sizeof(DefinitionSet));
        int r;

        if (!s)
                return -ENOMEM;
        /* One folder that cannot be looked into does not hinder the definitions of the others. */
        r = search_open(layout_definition_dirs, &s->search, errors);
        if (r < 0)
                return r;
        for (size_t i = 0; i < s->search.n; i++) {
                if (s->search.fds[i] < 0)
                        continue;
                r = list_dir(s, i, errors);
                if (r == -ENOMEM)
                        return r;
                if (r < 0 && problems_add(errors, "%s%s: %s", layout_root(), s->search.dirs[i], strerror(-r)) == -ENOMEM)
                        return -ENOMEM;
        }
        merge_entries(s);
        *ret = TAKE_PTR(s);
        return 0;
}

size_t definition_set_size(const DefinitionSet *s) {
        return s->n;
}

const char *definition_set_name(const DefinitionSet *s, size_t i) {
        return s->entries[i].name;
}

int definition_set_load(const DefinitionSet *s, size_t i, const SiteConfig *site, Definition **ret, DefinitionErrors *errors) {
        return definition_set_load_full(s, i, site, ret, NULL, errors);
}

int definition_set_load_full(const DefinitionSet *s, size_t i, const SiteConfig *site, Definition **ret, Definition **ret_wrong,
                             DefinitionErrors *errors) {
        const SetEntry *e = s->entries + i;

        if (e->hint.main == 0)
                return -ENOENT;
        return loader_load(&s->search, e->name, e->hint, site, ret, ret_wrong, errors);
}

int definition_enumerate(char ***ret, DefinitionErrors *errors) {
        _cleanup_(definition_set_freep) DefinitionSet *s = NULL;
        _cleanup_strv_ char **names = NULL;
        size_t n = 0;
        int r;

        r = definition_set_new(&s, errors);
        if (r < 0)
                return r;
        names = calloc(s->n + 1, sizeof(char *));
        if (!names)
                return -ENOMEM;
        for (size_t i = 0; i < s->n; i++) {
                const SetEntry *e = s->entries + i;
                _cleanup_free_ char *file = strjoin(e->name, ".vm");

                if (!file)
                        return -ENOMEM;
                /* The first folder that has it decides; without any there are drop-ins only. */
                if (e->hint.main == 0 || search_is_mask(&s->search, (size_t) __builtin_ctz(e->hint.main), file))
                        continue;
                names[n++] = strdup(e->name);
                if (!names[n - 1])
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(names);
        return 0;
}
