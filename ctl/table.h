/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What commands list: rows for people, or the same as JSON, an array of objects. Every text is escaped on its way to the terminal, for guests and
 * images choose some of it. */

#include <jansson.h>

#include "base/macros.h"

typedef enum TableKind {
        TABLE_TEXT,
        TABLE_NUMBER,                   /* to the right */
        TABLE_BYTES,                    /* 1536 is shown as "1.5K" */
        TABLE_TIME,                     /* microseconds since 1970, shown as local time */
        TABLE_DURATION,                 /* microseconds */
} TableKind;

typedef struct TableColumn {
        const char *title;              /* "MEMORY"; NULL: in JSON alone, and behind all others */
        const char *key;                /* in JSON: "memory", which has the plain value: bytes, microseconds */
        TableKind kind;
        bool shrinks;                   /* may be cut where the terminal is too narrow */
} TableColumn;

typedef struct Table Table;

/* The columns, an array that ends with one without key, are borrowed. */
int table_new(const TableColumn *columns, Table **ret);
Table *table_free(Table *t);
DEFINE_TRIVIAL_CLEANUP_FUNC(Table *, table_free)

/* The next cell, row after row. NULL from jansson makes the table fail; no value is table_add_none(), "-" and null. Failures show in table_print(). */
void table_add(Table *t, json_t *value_consume);
void table_add_text(Table *t, const char *s);           /* NULL: none; what is no UTF-8 becomes U+FFFD in JSON */
void table_add_number(Table *t, uint64_t n);            /* also bytes, times, durations; above INT64_MAX: none, as systemd's "not known" */
void table_add_bool(Table *t, bool b);
void table_add_none(Table *t);
size_t table_rows(const Table *t);

/* Columns at most this wide in all, 0: as wide as they are. Logs nothing. -ENOMEM. */
int table_format(const Table *t, size_t width, char **ret);
/* The rows as a JSON array; NULL: no memory. */
json_t *table_to_json(const Table *t);
/* The terminal's width on standard output; 0: it is none. */
size_t terminal_width(void);

/* A text fit for a terminal: control characters, what is no UTF-8, and what changes the direction of writing become "\x1b". NULL: no memory. */
char *text_escape(const char *s);
char *format_bytes(uint64_t n);         /* "1.5G", as parse_size() takes it */
char *format_time(uint64_t usec);       /* "2024-05-01 12:30:00", local time */
char *format_duration(uint64_t usec);   /* "3d 4h", "12min 5s", "350ms" */
