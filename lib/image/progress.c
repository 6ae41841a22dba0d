/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "base/str.h"
#include "image/oci.h"
#include "image/progress.h"

#define HEX "0123456789abcdef"

void progress_done(Progress *p) {
        free(p->layers);
        *p = (Progress) {};
}

ImageLayer *progress_layer(Progress *p, const char *digest) {
        const char *hex = startswith(digest, "sha256:") ?: digest;
        ImageLayer *l;

        for (size_t i = 0; i < p->n; i++)
                if (strncmp(p->layers[i].id, hex, IMAGE_LAYER_ID_MAX) == 0)
                        return p->layers + i;
        if (p->n >= OCI_LAYERS_MAX)
                return NULL;
        l = GREEDY_APPEND(p->layers, p->n);
        if (!l)
                return NULL;
        *l = (ImageLayer) { .state = IMAGE_LAYER_WAITING };
        snprintf(l->id, sizeof(l->id), "%s", hex);
        p->n++;
        return l;
}

/* "1.1MiB", as mpb's CountersKibiByte has it. What is behind it is *ret_end. */
static bool parse_size(const char *s, uint64_t *ret, const char **ret_end) {
        static const struct {
                const char *unit;
                uint64_t factor;
        } units[] = { { "KiB", KIB(1) }, { "MiB", MIB(1) }, { "GiB", GIB(1) }, { "TiB", 1024 * GIB(1) }, { "b", 1 } };
        size_t n = strspn(s, "0123456789");
        double value = 0, digit = 1;

        if (n == 0 || n > 12)
                return false;
        for (size_t i = 0; i < n; i++)
                value = value * 10 + (s[i] - '0');
        s += n;
        if (*s == '.')
                for (s++; *s >= '0' && *s <= '9'; s++)
                        value += (*s - '0') * (digit /= 10);
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                const char *end = startswith(s, units[i].unit);

                if (end && value * (double) units[i].factor < 1e18) {
                        *ret = (uint64_t) (value * (double) units[i].factor);
                        *ret_end = end;
                        return true;
                }
        }
        return false;
}

/* The last two sizes of the line, "1.1MiB / 8.0MiB": what a later skopeo puts between, or behind, is its rate. */
static bool parse_counters(const char *s, uint64_t *ret_done, uint64_t *ret_size) {
        for (const char *slash = strstr(s, " / "); slash; slash = strstr(slash + 1, " / ")) {
                const char *begin = slash, *end;

                while (begin > s && begin[-1] != ' ')
                        begin--;
                if (parse_size(begin, ret_done, &end) && end == slash && parse_size(slash + 3, ret_size, &end) && (*end == 0 || *end == ' '))
                        return true;
        }
        return false;
}

bool progress_take_line(Progress *p, const char *line) {
        const char *id = startswith(line, "Copying blob "), *rest;
        char digest[IMAGE_LAYER_ID_MAX + 1] = "";
        uint64_t done, size;
        ImageLayer *l, before;
        size_t n;

        if (!id)
                return false;
        id = startswith(id, "sha256:") ?: id;
        n = strspn(id, HEX);
        rest = id + n;
        if (n < IMAGE_LAYER_ID_MAX || *rest != ' ')
                return false;
        memcpy(digest, id, IMAGE_LAYER_ID_MAX);
        rest += strspn(rest, " ");

        l = progress_layer(p, digest);
        if (!l)
                return false;
        before = *l;
        if (startswith(rest, "done") || startswith(rest, "skipped"))
                l->state = IMAGE_LAYER_HERE;
        else if (parse_counters(rest, &done, &size)) {
                /* The manifest knows its size to the byte. */
                l->size = l->size > 0 ? l->size : size;
                l->done = MIN(done, l->size);
                if (l->state == IMAGE_LAYER_WAITING)
                        l->state = IMAGE_LAYER_GETTING;
        }
        return l->state != before.state || l->done != before.done || l->size != before.size;
}

const char *terminal_lines_take(TerminalLines *t, char c) {
        switch (t->state) {
        case LINES_ESCAPE:
                t->state = c == '[' ? LINES_SEQUENCE : LINES_TEXT;
                return NULL;
        case LINES_SEQUENCE:
                if (c >= 0x40 && c <= 0x7e)
                        t->state = LINES_TEXT;
                return NULL;
        case LINES_TEXT:
                break;
        }
        if (c == '\033') {
                t->state = LINES_ESCAPE;
                return NULL;
        }
        if (c == '\n' || c == '\r') {
                bool any = t->n > 0;

                t->line[t->n] = 0;
                t->n = 0;
                return any ? t->line : NULL;
        }
        if ((unsigned char) c >= ' ' && t->n < sizeof(t->line) - 1)
                t->line[t->n++] = c;
        return NULL;
}
