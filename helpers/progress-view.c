/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "helpers/progress-view.h"

enum { BAR_MAX = 40 };
#define SAMPLE_USEC USEC_PER_SEC        /* what a rate is the average of */

typedef struct ViewLayer {
        ImageLayer layer;
        uint64_t sample_usec, sample_done;      /* when it was measured last; 0: it has not begun */
        double rate;                    /* bytes a second; negative: not known yet */
} ViewLayer;

struct ProgressView {
        ViewLayer *layers;
        size_t n;
        char *text;
        size_t n_above;                 /* lines of what is drawn above the one with the cursor */
        bool drawn;
        StrBuf out;
};

int progress_view_new(ProgressView **ret) {
        *ret = calloc(1, sizeof(ProgressView));
        return *ret ? 0 : -ENOMEM;
}

ProgressView *progress_view_free(ProgressView *v) {
        if (v) {
                free(v->layers);
                free(v->text);
                strbuf_done(&v->out);
                free(v);
        }
        return NULL;
}

static void measure(ViewLayer *l, uint64_t usec) {
        if (l->layer.state != IMAGE_LAYER_GETTING)
                return;
        if (l->sample_usec > 0 && usec - l->sample_usec < SAMPLE_USEC)
                return;
        if (l->sample_usec > 0)
                l->rate = (double) (l->layer.done - MIN(l->sample_done, l->layer.done)) * (double) USEC_PER_SEC / (double) (usec - l->sample_usec);
        l->sample_usec = usec;
        l->sample_done = l->layer.done;
}

void progress_view_set_layers(ProgressView *v, const ImageLayer *layers, size_t n, uint64_t usec) {
        if (n > v->n) {
                ViewLayer *more = reallocarray(v->layers, n, sizeof(ViewLayer));

                if (!more)
                        return;
                for (size_t i = v->n; i < n; i++)
                        more[i] = (ViewLayer) { .rate = -1 };
                v->layers = more;
        }
        v->n = n;
        for (size_t i = 0; i < n; i++) {
                if (!streq(v->layers[i].layer.id, layers[i].id))
                        v->layers[i] = (ViewLayer) { .rate = -1 };
                v->layers[i].layer = layers[i];
                measure(v->layers + i, usec);
        }
}

void progress_view_set_text(ProgressView *v, const char *text) {
        (void) free_and_strdup(&v->text, text);
}

static double mib(double bytes) {
        return bytes / (double) MIB(1);
}

/* Cut to the width, since a line that the terminal breaks would be two. */
static void add_line(ProgressView *v, const char *line, unsigned columns) {
        strbuf_addf(&v->out, "%.*s\033[K", (int) columns - 1, line);
}

static void add_layer(ProgressView *v, const ViewLayer *l, unsigned columns) {
        static const char *const words[] = { "waiting", NULL, "here", "unpacking", "unpacked" };
        static const char bar[BAR_MAX + 1] = "========================================";
        /* What stands beside a bar takes 60 columns. */
        unsigned room = columns < 70 ? 0 : MIN(columns - 60, (unsigned) BAR_MAX), filled = 0;
        char line[256], rate[32] = "";

        if (l->layer.state != IMAGE_LAYER_GETTING) {
                if (l->layer.size > 0)
                        snprintf(line, sizeof(line), "  %s  %-9s  %8.1f MiB", l->layer.id, words[l->layer.state], mib((double) l->layer.size));
                else
                        snprintf(line, sizeof(line), "  %s  %s", l->layer.id, words[l->layer.state]);
                add_line(v, line, columns);
                return;
        }
        if (l->layer.size > 0)
                filled = (unsigned) ((double) room * (double) l->layer.done / (double) l->layer.size);
        if (l->rate >= 0)
                snprintf(rate, sizeof(rate), "  %8.1f MiB/s", mib(l->rate));
        snprintf(line, sizeof(line), "  %s  %s%.*s%*s%s%8.1f / %.1f MiB%s", l->layer.id, room > 0 ? "[" : "", (int) filled, bar, (int) (room - filled), "",
                        room > 0 ? "]" : "", mib((double) l->layer.done), mib((double) l->layer.size), rate);
        add_line(v, line, columns);
}

static bool is_moving(const ViewLayer *l) {
        return l->layer.state == IMAGE_LAYER_GETTING || l->layer.state == IMAGE_LAYER_UNPACKING;
}

/* To the first column of the first line. */
static void add_home(ProgressView *v) {
        if (!v->drawn)
                return;
        strbuf_adds(&v->out, "\r");
        if (v->n_above > 0)
                strbuf_addf(&v->out, "\033[%zuA", v->n_above);
}

const char *progress_view_draw(ProgressView *v, unsigned rows, unsigned columns) {
        /* One for the text, one for the count of the others; what scrolls away could not be written anew. */
        size_t room = rows > 3 ? rows - 2 : 1, n_ready = 0, n_lines = 0;
        bool all = v->n <= room;

        strbuf_done(&v->out);
        add_home(v);
        columns = MAX(columns, 2u);
        for (size_t i = 0; i < v->n; i++) {
                n_ready += v->layers[i].layer.state == IMAGE_LAYER_HERE || v->layers[i].layer.state == IMAGE_LAYER_UNPACKED;
                if (all || (is_moving(v->layers + i) && n_lines + 1 < room)) {
                        add_layer(v, v->layers + i, columns);
                        strbuf_adds(&v->out, "\n");
                        n_lines++;
                }
        }
        if (!all) {
                char line[64];

                snprintf(line, sizeof(line), "  %zu of %zu layers are here", n_ready, v->n);
                add_line(v, line, columns);
                strbuf_adds(&v->out, "\n");
                n_lines++;
        }
        add_line(v, v->text ?: "", columns);
        /* There may be less than there was. */
        strbuf_adds(&v->out, "\033[J");
        if (v->out.failed)
                return NULL;
        v->n_above = n_lines;
        v->drawn = true;
        return v->out.data;
}

const char *progress_view_clear(ProgressView *v) {
        strbuf_done(&v->out);
        add_home(v);
        if (v->drawn)
                strbuf_adds(&v->out, "\033[J");
        v->drawn = false;
        v->n_above = 0;
        return v->out.data ?: "";
}
