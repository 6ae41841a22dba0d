/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The only door to jansson: bounded parsing, and objects read through tables of fields into structs. */

#include <jansson.h>

#include "base/macros.h"

/* json_decrefp() is jansson's own. */
#define _cleanup_json_ _cleanup_(json_decrefp)

enum { JSON_ERROR_MAX = 256 };

/* Parses `n` bytes of at most `max`: one object or array, no duplicate keys, no NUL escapes, nothing behind it, nesting
 * bounded by jansson's own limit. -EFBIG above max; -EBADMSG with "line L column C: reason" in error (JSON_ERROR_MAX bytes). */
int json_parse(const void *data, size_t n, size_t max, json_t **ret, char *error);
/* The same of a file, below dir_fd (AT_FDCWD). Errors of reading as they are, with text in `error` too. */
int json_parse_file(int dir_fd, const char *path, size_t max, json_t **ret, char *error);

typedef enum JsonFieldFlags {
        JSON_MANDATORY = 1 << 0,        /* absent (or null) is -EBADMSG */
        JSON_UNSUPPORTED = 1 << 1,      /* a known key that we do not do: -EOPNOTSUPP where it is not null */
} JsonFieldFlags;

typedef struct JsonField JsonField;

/* Reads value into *target (the struct's base + the field's offset). On failure writes why into error. */
typedef int (*JsonFieldFunc)(const JsonField *field, json_t *value, void *target, char *error);

struct JsonField {
        const char *name;
        JsonFieldFunc read;             /* NULL: the key is known and ignored */
        size_t offset;
        JsonFieldFlags flags;
};

typedef enum JsonReadFlags {
        JSON_ALLOW_UNKNOWN = 1 << 0,    /* otherwise an unknown key is -EBADMSG */
} JsonReadFlags;

/* Reads an object by a table that ends with an entry without name. The caller initialises the struct with its defaults; what was
 * read stays where a later field fails, so the struct's own free function cleans up. `error` names the key. Numbers and null
 * follow RFC 8259; null counts as absent. */
int json_read_object(json_t *object, const JsonField *fields, JsonReadFlags flags, void *base, char *error);

/* Reads an array of at most `max` objects into a new array of structs of that size, all zero before; *ret_n counts also the one that fails,
 * so that what frees the structs frees it. `error` says which entry is wrong. *ret stays as it is where the array is empty. */
int json_read_array(json_t *array, const JsonField *fields, size_t max, size_t element_size, void **ret, size_t *ret_n, char *error);

/* Readers for tables. Targets: char *, char ** (Strv), bool, int64_t, uint64_t, unsigned, json_t * (a new reference). */
int json_read_string(const JsonField *f, json_t *v, void *target, char *error);
int json_read_strv(const JsonField *f, json_t *v, void *target, char *error);
int json_read_bool(const JsonField *f, json_t *v, void *target, char *error);
int json_read_int64(const JsonField *f, json_t *v, void *target, char *error);
int json_read_uint64(const JsonField *f, json_t *v, void *target, char *error);
int json_read_uint(const JsonField *f, json_t *v, void *target, char *error);
int json_read_value(const JsonField *f, json_t *v, void *target, char *error);

/* For readers: writes the reason and returns -EBADMSG. */
int json_field_error(char *error, const char *format, ...) _printf_(2, 3);

/* Compact text with sorted keys, ended by a newline, so that equal documents are equal bytes. NULL: no memory. free() it. */
char *json_format(const json_t *j);
/* A JSON string of any bytes: what is no UTF-8 becomes U+FFFD. NULL: no memory. */
json_t *json_string_lossy(const char *s, size_t n);
