/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Images in the local store: pulled, and flattened to one read-only file each. inferno-image(8). */

#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/log.h"
#include "base/str.h"
#include "combinedlog/log-client.h"
#include "definition/config-key.h"
#include "helpers/context.h"
#include "helpers/loaded-units.h"
#include "helpers/program.h"
#include "helpers/progress-view.h"
#include "image/image.h"

static const char usage[] =
        "inferno-image [OPTIONS…] ensure VM | pull REFERENCE | list | inspect REFERENCE | rm REFERENCE\n"
        "\n"
        "Gets images, and makes of each one read-only file that virtual machines boot from.\n"
        "\n"
        "  ensure VM          Have the image of the VM's definition in the store, by its Pull= policy.\n"
        "  pull REFERENCE     Get an image, or look whether it has changed where it comes from.\n"
        "  list               Print the images of the store.\n"
        "  inspect REFERENCE  Print what is known of an image of the store, as JSON.\n"
        "  rm REFERENCE       Remove an image, and what of it no other image needs.\n"
        "\n"
        "REFERENCE is a name as docker reads it (\"nginx\", \"quay.io/org/app:1.2\"), docker://NAME, oci:/PATH[:NAME],\n"
        "oci-archive:/PATH, docker-archive:/PATH, containers-storage:NAME or docker-daemon:NAME.\n"
        "\n"
        "      --pull=WHEN  With pull: \"always\", \"missing\" (only what the store does not have), or \"never\" (only build)\n"
        "      --root=DIR   Work below DIR instead of /\n"
        "  -h, --help       Show this help\n"
        "      --version    Show the version\n"
        "\n"
        "See inferno-image(8).\n";

/* How often progress becomes a line where nobody watches a terminal. */
#define PROGRESS_SEC 10

/* 0, or an exit code. */
static int context_open(HelperContext *c) {
        int r = helper_load_site(c);

        return r != 0 ? r : helper_open_store(c);
}

static ProgressView *view;              /* NULL: standard error is no terminal, or wants to know of warnings alone */

static uint64_t now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / NSEC_PER_USEC;
}

static void draw(void) {
        struct winsize size = {};
        const char *text;

        (void) ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
        text = progress_view_draw(view, size.ws_row ?: 24, size.ws_col ?: 80);
        if (text)
                fputs(text, stderr);
}

static void on_layers(const ImageLayer *layers, size_t n, void *userdata) {
        progress_view_set_layers(view, layers, n, now_usec());
        draw();
}

/* On a terminal progress is lines that change, in a log one now and then. */
static void notify(ImageNotice kind, const char *text, void *userdata) {
        static char *last_text;
        static uint64_t last;

        if (kind == IMAGE_NOTICE_PROGRESS && view) {
                progress_view_set_text(view, text);
                draw();
                return;
        }
        if (kind == IMAGE_NOTICE_PROGRESS) {
                uint64_t now = now_usec();

                last = last ?: now;
                if (now - last < PROGRESS_SEC * USEC_PER_SEC || streq_ptr(text, last_text))
                        return;
                last = now;
                (void) free_and_strdup(&last_text, text);
        }
        if (view)
                fputs(progress_view_clear(view), stderr);
        if (kind == IMAGE_NOTICE_WARNING)
                log_warning("%s", text);
        else
                log_info("%s", text);
}

static int finish(int r, const char *error) {
        if (view)
                fputs(progress_view_clear(view), stderr);
        view = progress_view_free(view);
        return r < 0 ? helper_log_sentence(r, error) : r;
}

static int get(HelperContext *c, const char *reference, PullPolicy policy) {
        _cleanup_image_config_ ImageConfig config = {};
        _cleanup_free_ char *error = NULL;
        int r;

        if (isatty(STDERR_FILENO) && log_get_max_level() >= LOG_INFO) {
                r = progress_view_new(&view);
                if (r < 0)
                        return log_oom();
        }
        const ImageObserver observer = { .notify = notify, .layers = view ? on_layers : NULL };

        r = image_ensure(c->store, reference, policy, &c->site, &observer, &config, &error);
        return finish(r, error);
}

static int run_ensure(const char *vm) {
        _cleanup_helper_context_ HelperContext c = {};
        char pin[ULID_STRING_SIZE];
        int r;

        combined_log_wake();
        r = context_open(&c);
        if (r == 0)
                r = helper_load_definition(&c, vm);
        if (r != 0)
                return r;
        r = loaded_units_check(c.definition, &c.site);
        if (r != 0)
                return r;
        r = helper_get_pin(&c, pin);
        if (r != 0)
                return r < 0 ? r : 0;
        r = get(&c, c.definition->image, c.definition->pull);
        return r == -EINVAL ? EXIT_BAD_DEFINITION : r;
}

static PullPolicy pull_policy = PULL_ALWAYS;

static int set_pull(const char *value) {
        const char *reason;

        return config_parse_pull(value, &pull_policy, &reason);
}

static int run_pull(const char *reference) {
        _cleanup_helper_context_ HelperContext c = {};
        int r;

        r = context_open(&c);
        if (r != 0)
                return r;
        r = get(&c, reference, pull_policy);
        return r == -EINVAL ? EXIT_USAGE : r;
}

static int run_list(const char *argument) {
        _cleanup_helper_context_ HelperContext c = {};
        StoreImage *images;
        size_t n;
        int r;

        r = context_open(&c);
        if (r != 0)
                return r;
        r = store_image_list(c.store, &images, &n);
        if (r < 0)
                return helper_log_sentence(r, store_error(c.store));
        printf("%-12s  %10s  %-16s  %s\n", "MANIFEST", "SIZE", "CREATED", "REFERENCE");
        for (size_t i = 0; i < n; i++) {
                const char *hex = startswith(images[i].manifest_digest, "sha256:") ?: images[i].manifest_digest;
                time_t t = (time_t) (images[i].created_usec / USEC_PER_SEC);
                char created[32] = "";
                struct tm tm;

                if (localtime_r(&t, &tm))
                        (void) strftime(created, sizeof(created), "%Y-%m-%d %H:%M", &tm);
                printf("%-12.12s  %6.1f MiB  %-16s  %s\n", hex, (double) images[i].size / (double) MIB(1), created, images[i].reference);
                store_image_done(images + i);
        }
        free(images);
        return 0;
}

static int run_inspect(const char *reference) {
        _cleanup_free_ char *text = NULL, *error = NULL;
        _cleanup_helper_context_ HelperContext c = {};
        int r;

        r = context_open(&c);
        if (r != 0)
                return r;
        r = image_inspect(c.store, reference, &text, &error);
        if (r >= 0)
                fputs(text, stdout);
        r = finish(r, error);
        return r == -EINVAL ? EXIT_USAGE : r;
}

static int run_rm(const char *reference) {
        _cleanup_free_ char *error = NULL;
        _cleanup_helper_context_ HelperContext c = {};
        int r;

        r = context_open(&c);
        if (r != 0)
                return r;
        r = image_remove(c.store, reference, notify, NULL, &error);
        r = finish(r, error);
        return r == -EINVAL ? EXIT_USAGE : r;
}

static const HelperVerb verbs[] = {
        { "ensure", "VM", run_ensure },
        { "pull", "REFERENCE", run_pull },
        { "list", NULL, run_list },
        { "inspect", "REFERENCE", run_inspect },
        { "rm", "REFERENCE", run_rm },
        {},
};

static const HelperOption options[] = {
        { "--pull", .set = set_pull },
        {},
};

int main(int argc, char **argv) {
        return helper_main(argc, argv, usage, verbs, options);
}
