/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/str.h"
#include "ctl/ask.h"
#include "ctl/image-uses.h"
#include "ctl/images.h"
#include "ctl/program.h"
#include "image/image.h"
#include "json/json.h"

static bool arg_force, arg_yes;

static const CtlOption rm_options[] = {
        { "force", 'f', CTL_OPTION_FLAG, &arg_force, NULL, "Also where VMs need it: those have it still in their versions, or get it again" },
        {},
};

static const CtlOption prune_options[] = {
        { "yes", 'y', CTL_OPTION_FLAG, &arg_yes, NULL, "Do not ask" },
        {},
};

/* All rows of the store, and who needs them. */
typedef struct Images {
        StoreImage *images;
        size_t n;
        ImageUses uses;
} Images;

static void images_done(Images *i) {
        for (size_t k = 0; k < i->n; k++)
                store_image_done(i->images + k);
        free(i->images);
        image_uses_done(&i->uses);
}

/* 0 or an exit code. */
static int load(Ctl *c, Images *i) {
        int r;

        r = ctl_want_store(c);
        if (r != 0)
                return r;
        if (c->store) {
                r = store_image_list(c->store, &i->images, &i->n);
                if (r < 0) {
                        (void) ctl_log_sentence(r, store_error(c->store));
                        return EXIT_FAILED;
                }
        }
        return image_uses_load(c, &i->uses);
}

static json_t *strv_to_json(char *const *v) {
        json_t *a = json_array();

        STRV_FOREACH(s, v)
                if (json_array_append_new(a, json_string_lossy(*s, strlen(*s))) < 0) {
                        json_decref(a);
                        return NULL;
                }
        return a;
}

static json_t *used_by(const Images *i, const StoreImage *image) {
        _cleanup_strv_ char **vms = image_uses_find(&i->uses, image);

        return vms ? strv_to_json(vms) : NULL;
}

static int run_ls(Ctl *c, char **args, size_t n_args) {
        static const TableColumn columns[] = {
                { "REFERENCE", "reference", TABLE_TEXT, .shrinks = true },
                { "SIZE", "size", TABLE_BYTES },
                { "CREATED", "created", TABLE_TIME },
                { "USED BY", "used_by", TABLE_TEXT, .shrinks = true },
                { "DIGEST", "manifest_digest", TABLE_TEXT, .shrinks = true },
                { NULL, "config_digest" },
                {},
        };
        _cleanup_(images_done) Images i = {};
        _cleanup_(table_freep) Table *t = NULL;
        int r;

        r = load(c, &i);
        if (r != 0)
                return r;
        r = table_new(columns, &t);
        if (r < 0)
                return log_oom();
        for (size_t k = 0; k < i.n; k++) {
                table_add_text(t, i.images[k].reference);
                table_add_number(t, i.images[k].size);
                table_add_number(t, i.images[k].created_usec);
                table_add(t, used_by(&i, i.images + k));
                table_add_text(t, i.images[k].manifest_digest);
                table_add_text(t, i.images[k].config_digest);
        }
        return ctl_print_table(c, t);
}

static int run_pull(Ctl *c, char **args, size_t n_args) {
        int first = 0;

        for (size_t i = 0; i < n_args; i++) {
                int r = helper_run("inferno-image", "pull", "--", args[i]);

                first = first ?: r;
        }
        return first == 0 || first == EXIT_USAGE ? first : EXIT_FAILED;
}

/* What the store has of an image, with its documents. 0 or an exit code. */
static int inspect(Ctl *c, const char *reference, json_t **ret) {
        _cleanup_free_ char *text = NULL, *error = NULL;
        char json_error[JSON_ERROR_MAX];
        int r;

        r = ctl_need_store(c);
        if (r != 0)
                return r;
        r = image_inspect(c->store, reference, &text, &error);
        if (r < 0) {
                (void) ctl_log_sentence(r, error);
                return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
        }
        r = json_parse(text, strlen(text), MIB(64), ret, json_error);
        if (r < 0) {
                log_error("What the store has of image \"%s\" cannot be read: %s.", reference, json_error);
                return EXIT_FAILED;
        }
        return 0;
}

/* "config" of image-spec's config.md; NULL where it is not there. */
static const json_t *run_config(const json_t *image) {
        return json_object_get(json_object_get(image, "config"), "config");
}

/* What stands between quotes for a shell to take it as one word. */
static void add_word(StrBuf *b, const char *s) {
        if (*s && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%") == strlen(s)) {
                strbuf_adds(b, s);
                return;
        }
        strbuf_adds(b, "'");
        for (; *s; s++)
                if (*s == '\'')
                        strbuf_adds(b, "'\\''");
                else
                        strbuf_add(b, s, 1);
        strbuf_adds(b, "'");
}

static int print_line(const char *title, const char *value) {
        _cleanup_free_ char *fit = text_escape(isempty(value) ? "-" : value);

        if (!fit)
                return log_oom();
        printf("%-14s %s\n", title, fit);
        return 0;
}

static int print_string(const char *title, const json_t *value) {
        return print_line(title, json_string_value(value));
}

static int print_words(const char *title, const json_t *first, const json_t *second) {
        const json_t *const arrays[] = { first, second };
        _cleanup_free_ char *text = NULL;
        _cleanup_strbuf_ StrBuf b = {};
        const json_t *word;
        size_t i;

        for (size_t k = 0; k < ELEMENTSOF(arrays); k++)
                json_array_foreach(arrays[k], i, word) {
                        if (b.size > 0)
                                strbuf_adds(&b, " ");
                        add_word(&b, json_string_value(word) ?: "");
                }
        return strbuf_finish(&b, &text, NULL) < 0 ? log_oom() : print_line(title, text);
}

/* The names of an object, as those of volumes and ports are. */
static int print_keys(const char *title, const json_t *object) {
        _cleanup_free_ char *text = NULL;
        _cleanup_strbuf_ StrBuf b = {};
        const char *key;
        json_t *value;

        json_object_foreach((json_t *) object, key, value)
                strbuf_addf(&b, "%s%s", b.size > 0 ? " " : "", key);
        return strbuf_finish(&b, &text, NULL) < 0 ? log_oom() : print_line(title, text);
}

static int print_lines(const char *title, const json_t *array) {
        const json_t *line;
        int r = 0;
        size_t i;

        json_array_foreach(array, i, line)
                if (r >= 0)
                        r = print_string(i == 0 ? title : "", line);
        return r;
}

static int print_image(const json_t *j) {
        _cleanup_free_ char *size = format_bytes((uint64_t) json_integer_value(json_object_get(j, "size"))),
                            *created = format_time((uint64_t) json_integer_value(json_object_get(j, "created_usec")));
        const json_t *config = run_config(j);
        int r;

        r = print_string("Reference:", json_object_get(j, "reference"));
        if (r >= 0)
                r = print_string("Digest:", json_object_get(j, "manifest_digest"));
        if (r >= 0)
                r = print_line("Size:", size);
        if (r >= 0)
                r = print_line("Built:", created);
        if (r >= 0)
                r = print_words("Used by:", json_object_get(j, "used_by"), NULL);
        if (r >= 0)
                r = print_words("Entrypoint:", json_object_get(config, "Entrypoint"), NULL);
        if (r >= 0)
                r = print_words("Command:", json_object_get(config, "Cmd"), NULL);
        if (r >= 0)
                r = print_string("User:", json_object_get(config, "User"));
        if (r >= 0)
                r = print_string("Directory:", json_object_get(config, "WorkingDir"));
        if (r >= 0)
                r = print_string("Stop signal:", json_object_get(config, "StopSignal"));
        if (r >= 0)
                r = print_keys("Exposed ports:", json_object_get(config, "ExposedPorts"));
        if (r >= 0)
                r = print_keys("Volumes:", json_object_get(config, "Volumes"));
        if (r >= 0)
                r = print_lines("Environment:", json_object_get(config, "Env"));
        return r < 0 ? r : ctl_flush();
}

static int run_inspect(Ctl *c, char **args, size_t n_args) {
        _cleanup_store_image_ StoreImage row = {};
        _cleanup_(images_done) Images i = {};
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = inspect(c, args[0], &j);
        if (r == 0)
                r = load(c, &i);
        if (r != 0)
                return r;
        r = store_image_get(c->store, json_string_value(json_object_get(j, "reference")), &row);
        if (r < 0)
                return ctl_log_sentence(r, store_error(c->store));
        if (json_object_set_new(j, "used_by", used_by(&i, &row)) < 0)
                return log_oom();
        return c->format == CTL_JSON ? ctl_print_json(TAKE_PTR(j)) : print_image(j);
}

/* "80/tcp"; without a protocol it is TCP. */
static int run_exposed(Ctl *c, char **args, size_t n_args) {
        static const TableColumn columns[] = {
                { "PORT", "port", TABLE_NUMBER },
                { "PROTOCOL", "protocol", TABLE_TEXT },
                {},
        };
        _cleanup_(table_freep) Table *t = NULL;
        _cleanup_json_ json_t *j = NULL;
        const char *key;
        json_t *value;
        int r;

        r = inspect(c, args[0], &j);
        if (r != 0)
                return r;
        r = table_new(columns, &t);
        if (r < 0)
                return log_oom();
        json_object_foreach(json_object_get((json_t *) run_config(j), "ExposedPorts"), key, value) {
                const char *slash = strchr(key, '/');

                table_add_number(t, strtoull(key, NULL, 10));
                table_add_text(t, slash ? slash + 1 : "tcp");
        }
        return ctl_print_table(c, t);
}

static int run_process(Ctl *c, char **args, size_t n_args) {
        _cleanup_json_ json_t *j = NULL, *words = json_array();
        const json_t *config;
        int r;

        r = inspect(c, args[0], &j);
        if (r != 0)
                return r;
        config = run_config(j);
        for (size_t i = 0; i < 2; i++) {
                json_t *part = json_object_get(config, i == 0 ? "Entrypoint" : "Cmd");

                if (!words || (json_is_array(part) && json_array_extend(words, part) < 0))
                        return log_oom();
        }
        if (c->format == CTL_JSON)
                return ctl_print_json(json_pack("{s:O,s:O?,s:O?,s:O?,s:O?}", "args", words, "env", json_object_get(config, "Env"),
                                                "user", json_object_get(config, "User"), "cwd", json_object_get(config, "WorkingDir"),
                                                "stop_signal", json_object_get(config, "StopSignal")));
        r = print_words("Command:", words, NULL);
        if (r >= 0)
                r = print_string("User:", json_object_get(config, "User"));
        if (r >= 0)
                r = print_string("Directory:", json_object_get(config, "WorkingDir"));
        if (r >= 0)
                r = print_lines("Environment:", json_object_get(config, "Env"));
        return r < 0 ? r : ctl_flush();
}

static void notify(ImageNotice kind, const char *text, void *userdata) {
        const Ctl *c = userdata;

        if (kind == IMAGE_NOTICE_WARNING)
                log_warning("%s", text);
        else if (kind == IMAGE_NOTICE_STEP && !c->quiet)
                log_info("%s", text);
}

/* 0 or an exit code. */
static int remove_image(Ctl *c, const char *reference) {
        _cleanup_free_ char *error = NULL;
        int r;

        r = image_remove(c->store, reference, notify, c, &error);
        if (r < 0) {
                (void) ctl_log_sentence(r, error);
                return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
        }
        return 0;
}

static const StoreImage *find_image(const Images *i, const char *reference) {
        _cleanup_free_ char *normal = NULL;

        if (image_reference_normalize(reference, &normal, NULL) < 0)
                return NULL;
        for (size_t k = 0; k < i->n; k++)
                if (streq(i->images[k].reference, normal))
                        return i->images + k;
        return NULL;
}

static int run_rm(Ctl *c, char **args, size_t n_args) {
        _cleanup_(images_done) Images i = {};
        int r, first = 0;

        r = ctl_need_store(c);
        if (r == 0)
                r = load(c, &i);
        if (r != 0)
                return r;
        for (size_t k = 0; k < n_args; k++) {
                const StoreImage *image = arg_force ? NULL : find_image(&i, args[k]);
                _cleanup_strv_ char **vms = image ? image_uses_find(&i.uses, image) : NULL;

                if (image && !vms)
                        return log_oom();
                if (vms && *vms) {
                        log_error("Image \"%s\" is needed by VM '%s'%s: destroy that, prune its versions, or say --force.", args[k], vms[0],
                                  vms[1] ? " and others" : "");
                        first = first ?: EXIT_FAILED;
                        continue;
                }
                r = remove_image(c, args[k]);
                first = first ?: r;
        }
        return first;
}

static int confirm(char *const *references, bool yes) {
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_free_ char *question = NULL;

        if (yes)
                return 1;
        if (!can_ask()) {
                log_error("There is no terminal to ask at whether %zu images shall go: say --yes.", strv_length(references));
                return -EXIT_USAGE;
        }
        strbuf_adds(&b, "Remove the images");
        STRV_FOREACH(reference, references)
                strbuf_addf(&b, "%s \"%s\"", reference == references ? "" : ",", *reference);
        strbuf_adds(&b, ", which no VM needs?");
        return strbuf_finish(&b, &question, NULL) < 0 ? log_oom() : ask(question, false);
}

int images_prune(Ctl *c, bool yes) {
        _cleanup_strv_ char **references = NULL;
        _cleanup_(images_done) Images i = {};
        int r, first = 0;

        r = load(c, &i);
        if (r != 0)
                return r;
        if (i.uses.wrong) {
                log_error("The definition of VM '%s' is wrong, so nobody knows which image it needs: see infernoctl verify.", i.uses.wrong);
                return EXIT_FAILED;
        }
        for (size_t k = 0; k < i.n; k++) {
                _cleanup_strv_ char **vms = image_uses_find(&i.uses, i.images + k);

                if (!vms || (!*vms && strv_extend(&references, i.images[k].reference) < 0))
                        return log_oom();
        }
        if (!references)
                return 0;
        r = confirm(references, yes);
        if (r <= 0)
                return r == -EXIT_USAGE ? EXIT_USAGE : r < 0 ? r : EXIT_FAILED;
        STRV_FOREACH(reference, references) {
                r = remove_image(c, *reference);
                if (r == 0 && !c->quiet)
                        puts(*reference);
                first = first ?: r;
        }
        r = ctl_flush();
        return first ?: r;
}

static int run_prune(Ctl *c, char **args, size_t n_args) {
        return images_prune(c, arg_yes);
}

const Command command_images_ls = {
        .name = "images ls",
        .aliases = "list",
        .group = GROUP_STORAGE,
        .synopsis = "",
        .summary = "List the images of the store, and the VMs that need them",
        .flags = COMMAND_FORMAT | COMMAND_ROOT,
        .run = run_ls,
};

const Command command_images_pull = {
        .name = "images pull",
        .group = GROUP_STORAGE,
        .synopsis = "REFERENCE…",
        .summary = "Get images, or look whether they have changed where they come from",
        .min_args = 1,
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_IMAGE,
        .rest = CTL_WORD_IMAGE,
        .flags = COMMAND_ROOT,
        .run = run_pull,
};

const Command command_images_inspect = {
        .name = "images inspect",
        .group = GROUP_STORAGE,
        .synopsis = "REFERENCE",
        .summary = "Show what an image of the store is",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_IMAGE,
        .flags = COMMAND_FORMAT | COMMAND_ROOT,
        .run = run_inspect,
};

const Command command_images_exposed = {
        .name = "images exposed",
        .group = GROUP_STORAGE,
        .synopsis = "REFERENCE",
        .summary = "List the ports that an image says it listens on",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_IMAGE,
        .flags = COMMAND_FORMAT | COMMAND_ROOT,
        .run = run_exposed,
};

const Command command_images_process = {
        .name = "images process",
        .group = GROUP_STORAGE,
        .synopsis = "REFERENCE",
        .summary = "Show what an image runs, where a definition says nothing else",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_IMAGE,
        .flags = COMMAND_FORMAT | COMMAND_ROOT,
        .run = run_process,
};

const Command command_images_rm = {
        .name = "images rm",
        .group = GROUP_STORAGE,
        .synopsis = "REFERENCE…",
        .summary = "Remove images from the store",
        .min_args = 1,
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_IMAGE,
        .rest = CTL_WORD_IMAGE,
        .flags = COMMAND_ROOT,
        .options = rm_options,
        .run = run_rm,
};

const Command command_images_prune = {
        .name = "images prune",
        .group = GROUP_STORAGE,
        .synopsis = "",
        .summary = "Remove the images that no VM needs",
        .flags = COMMAND_ROOT,
        .options = prune_options,
        .run = run_prune,
};
