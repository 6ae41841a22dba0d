/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/str.h"
#include "ctl/completion.h"
#include "ctl/ctl.h"

static int run(Ctl *c, char **args, size_t n_args) {
        const char *script = completion_script(args[0]);

        if (!script) {
                log_error("completion: \"%.50s\" is none of bash, zsh and fish.", args[0]);
                return EXIT_USAGE;
        }
        fputs(script, stdout);
        return ctl_flush();
}

static int add_vms(char ***names) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_set_freep) DefinitionSet *s = NULL;
        int r;

        r = definition_set_new(&s, &errors);
        for (size_t i = 0; r >= 0 && i < definition_set_size(s); i++)
                r = strv_extend(names, definition_set_name(s, i));
        return r;
}

static int add_images(Store *store, char ***names) {
        StoreImage *images;
        size_t n;
        int r;

        r = store_image_list(store, &images, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                r = r < 0 ? r : strv_extend(names, images[i].reference);
                store_image_done(images + i);
        }
        free(images);
        return r;
}

/* Who may not read the database gets no names out of it. */
static int find_names(CtlWord word, char ***ret, void *userdata) {
        Ctl *c = userdata;
        int r;

        if (word == CTL_WORD_VM)
                return add_vms(ret);
        r = ctl_want_store(c);
        if (r != 0 || !c->store)
                return r != 0 ? -EIO : 0;
        return word == CTL_WORD_VOLUME ? store_volume_list(c->store, ret) : add_images(c->store, ret);
}

static int run_words(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = completion_words(args, n_args, find_names, c, &text);
        if (r < 0)
                return r;
        fputs(text, stdout);
        return ctl_flush();
}

const Command command_completion = {
        .name = "completion",
        .group = GROUP_HOST,
        .synopsis = "bash|zsh|fish",
        .summary = "Print the completion of a shell",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_SHELL,
        .run = run,
};

const Command command_completion_words = {
        .name = "completion words",
        .group = GROUP_HOST,
        .synopsis = "-- WORD…",
        .summary = "Print what may stand for the last of these words of a command line",
        .max_args = COMMAND_ANY_NUMBER,
        .run = run_words,
};
