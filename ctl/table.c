/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "base/str.h"
#include "ctl/table.h"
#include "json/json.h"

struct Table {
        const TableColumn *columns;
        size_t n_columns, n_shown;      /* those for JSON alone come last */
        json_t **cells;                 /* row after row */
        size_t n;
        bool failed;
};

int table_new(const TableColumn *columns, Table **ret) {
        Table *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        t->columns = columns;
        while (columns[t->n_columns].key)
                t->n_shown += !!columns[t->n_columns++].title;
        *ret = t;
        return 0;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n; i++)
                json_decref(t->cells[i]);
        free(t->cells);
        free(t);
        return NULL;
}

void table_add(Table *t, json_t *value_consume) {
        json_t **slot = value_consume && !t->failed ? GREEDY_APPEND(t->cells, t->n) : NULL;

        if (!slot) {
                json_decref(value_consume);
                t->failed = true;
                return;
        }
        *slot = value_consume;
        t->n++;
}

void table_add_text(Table *t, const char *s) {
        table_add(t, s ? json_string_lossy(s, strlen(s)) : json_null());
}

void table_add_number(Table *t, uint64_t n) {
        table_add(t, n <= INT64_MAX ? json_integer((json_int_t) n) : json_null());
}

void table_add_bool(Table *t, bool b) {
        table_add(t, json_boolean(b));
}

void table_add_none(Table *t) {
        table_add(t, json_null());
}

size_t table_rows(const Table *t) {
        return t->n / t->n_columns;
}

/* What would move the cursor, colour the terminal, or show a name in another order than it is written. */
static bool is_unfit(wchar_t c) {
        return wcwidth(c) < 0 || (c >= 0x80 && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f || c == 0x2028 || c == 0x2029 ||
               (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

/* The next character of s: how many bytes; 0 at the end. One that is not to be shown has width SIZE_MAX. */
static size_t next_character(const char *s, size_t *ret_width) {
        mbstate_t state = {};
        wchar_t c;
        size_t k;

        if (!*s)
                return 0;
        if ((unsigned char) *s >= ' ' && (unsigned char) *s < 0x7f) {
                *ret_width = 1;
                return 1;
        }
        k = mbrtowc(&c, s, MB_LEN_MAX, &state);
        if (k == 0 || k > MB_LEN_MAX) {
                *ret_width = SIZE_MAX;
                return 1;
        }
        *ret_width = is_unfit(c) ? SIZE_MAX : (size_t) wcwidth(c);
        return k;
}

char *text_escape(const char *s) {
        _cleanup_strbuf_ StrBuf b = {};
        size_t k, width;
        char *text;

        for (; (k = next_character(s, &width)) > 0; s += k)
                if (width != SIZE_MAX)
                        strbuf_add(&b, s, k);
                else
                        for (size_t i = 0; i < k; i++)
                                strbuf_addf(&b, "\\x%02x", (unsigned char) s[i]);
        return strbuf_finish(&b, &text, NULL) < 0 ? NULL : text;
}

/* Of an escaped text. */
static size_t text_width(const char *s) {
        size_t k, width, n = 0;

        for (; (k = next_character(s, &width)) > 0; s += k)
                n += width == SIZE_MAX ? 0 : width;
        return n;
}

char *format_bytes(uint64_t n) {
        static const char units[] = "BKMGTPE";
        size_t i = 0;
        double d = (double) n;

        while (d >= 1023.95 && i + 2 < sizeof(units)) {
                d /= 1024;
                i++;
        }
        if (i == 0)
                return strf("%" PRIu64 "B", n);
        return d == (double) (uint64_t) d ? strf("%.0f%c", d, units[i]) : strf("%.1f%c", d, units[i]);
}

char *format_time(uint64_t usec) {
        time_t t = (time_t) (usec / USEC_PER_SEC);
        char text[64];
        struct tm tm;

        if (!localtime_r(&t, &tm) || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
                return strdup("-");
        return strdup(text);
}

char *format_duration(uint64_t usec) {
        uint64_t s = usec / USEC_PER_SEC;

        if (s >= 86400)
                return strf("%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
        if (s >= 3600)
                return strf("%" PRIu64 "h %" PRIu64 "min", s / 3600, s / 60 % 60);
        if (s >= 60)
                return strf("%" PRIu64 "min %" PRIu64 "s", s / 60, s % 60);
        if (s >= 10)
                return strf("%" PRIu64 "s", s);
        return s > 0 ? strf("%.1fs", (double) usec / USEC_PER_SEC) : strf("%" PRIu64 "ms", usec / USEC_PER_MSEC);
}

static char *format_cell(const TableColumn *column, const json_t *value) {
        switch (json_typeof(value)) {
        case JSON_NULL:
                return strdup("-");
        case JSON_STRING:
                return text_escape(*json_string_value(value) ? json_string_value(value) : "-");
        case JSON_TRUE:
                return strdup("yes");
        case JSON_FALSE:
                return strdup("no");
        case JSON_INTEGER: {
                uint64_t n = (uint64_t) json_integer_value(value);

                return column->kind == TABLE_BYTES    ? format_bytes(n) :
                       column->kind == TABLE_TIME     ? format_time(n) :
                       column->kind == TABLE_DURATION ? format_duration(n) :
                                                        strf("%" PRIu64, n);
        }
        case JSON_REAL:
                return strf("%g", json_real_value(value));
        case JSON_ARRAY: {
                _cleanup_strbuf_ StrBuf b = {};
                _cleanup_free_ char *text = NULL;
                const json_t *item;
                size_t i;

                json_array_foreach(value, i, item)
                        strbuf_addf(&b, "%s%s", i > 0 ? ", " : "", json_string_value(item) ?: "?");
                if (strbuf_finish(&b, &text, NULL) < 0)
                        return NULL;
                return text_escape(*text ? text : "-");
        }
        case JSON_OBJECT:
                break;
        }
        return strdup("?");
}

/* Pads or cuts a text to a width. */
static void add_padded(StrBuf *b, const char *text, size_t width, bool right, bool last) {
        size_t have = text_width(text), k, w, n = 0;

        if (right && have < width)
                for (size_t i = have; i < width; i++)
                        strbuf_adds(b, " ");
        if (have <= width)
                strbuf_adds(b, text);
        else {
                for (const char *s = text; (k = next_character(s, &w)) > 0 && n + w + 1 <= width; s += k, n += w)
                        strbuf_add(b, s, k);
                strbuf_adds(b, "…");
                have = n + 1;
        }
        if (!right && !last)
                for (size_t i = have; i < width; i++)
                        strbuf_adds(b, " ");
        strbuf_adds(b, last ? "\n" : "  ");
}

/* Takes from the widest column that may shrink until all fits, or none is left to take from. */
static void fit(const Table *t, size_t *widths, size_t limit) {
        enum { LEAST = 8 };

        for (;;) {
                size_t sum = 2 * (t->n_shown - 1), widest = t->n_shown;

                for (size_t i = 0; i < t->n_shown; i++) {
                        sum += widths[i];
                        if (t->columns[i].shrinks && widths[i] > LEAST && (widest == t->n_shown || widths[i] > widths[widest]))
                                widest = i;
                }
                if (sum <= limit || widest == t->n_shown)
                        return;
                widths[widest]--;
        }
}

int table_format(const Table *t, size_t limit, char **ret) {
        _cleanup_free_ size_t *widths = calloc(t->n_shown, sizeof(size_t));
        _cleanup_strv_ char **texts = calloc((table_rows(t) + 1) * t->n_shown + 1, sizeof(char *));
        _cleanup_strbuf_ StrBuf b = {};
        size_t n = 0;

        if (t->failed || !widths || !texts)
                return -ENOMEM;
        for (size_t row = 0; row <= table_rows(t); row++)
                for (size_t i = 0; i < t->n_shown; i++) {
                        texts[n] = row == 0 ? strdup(t->columns[i].title) : format_cell(t->columns + i, t->cells[(row - 1) * t->n_columns + i]);
                        if (!texts[n])
                                return -ENOMEM;
                        widths[i] = MAX(widths[i], text_width(texts[n++]));
                }
        if (limit > 0)
                fit(t, widths, limit);
        for (size_t k = 0; k < n; k++) {
                size_t i = k % t->n_shown;
                TableKind kind = t->columns[i].kind;

                add_padded(&b, texts[k], widths[i], kind == TABLE_NUMBER || kind == TABLE_BYTES, i + 1 == t->n_shown);
        }
        return strbuf_finish(&b, ret, NULL);
}

json_t *table_to_json(const Table *t) {
        _cleanup_json_ json_t *rows = t->failed ? NULL : json_array();

        if (!rows)
                return NULL;
        for (size_t i = 0; i < table_rows(t); i++) {
                json_t *row = json_object();

                for (size_t k = 0; row && k < t->n_columns; k++)
                        if (json_object_set(row, t->columns[k].key, t->cells[i * t->n_columns + k]) < 0) {
                                json_decref(row);
                                row = NULL;
                        }
                if (json_array_append_new(rows, row) < 0)
                        return NULL;
        }
        return TAKE_PTR(rows);
}

size_t terminal_width(void) {
        struct winsize w = {};

        if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0)
                return 0;
        return w.ws_col;
}
