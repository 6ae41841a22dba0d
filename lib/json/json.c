/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <limits.h>

#include "base/fd.h"
#include "base/str.h"
#include "json/json.h"

int json_field_error(char *error, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        if (vsnprintf(error, JSON_ERROR_MAX, format, ap) < 0)
                error[0] = 0;
        va_end(ap);
        return -EBADMSG;
}

int json_parse(const void *data, size_t n, size_t max, json_t **ret, char *error) {
        json_error_t e;
        json_t *j;

        if (n > max) {
                (void) json_field_error(error, "larger than %zu bytes", max);
                return -EFBIG;
        }
        j = json_loadb(data, n, JSON_REJECT_DUPLICATES, &e);
        if (!j) {
                if (json_error_code(&e) == json_error_out_of_memory)
                        return -ENOMEM;
                return json_field_error(error, "line %d column %d: %s", e.line, e.column, e.text);
        }
        *ret = j;
        return 0;
}

int json_parse_file(int dir_fd, const char *path, size_t max, json_t **ret, char *error) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        r = read_file_at(dir_fd, path, max, &text, &n);
        if (r < 0) {
                (void) json_field_error(error, "cannot read: %s", strerror(-r));
                return r;
        }
        return json_parse(text, n, max, ret, error);
}

int json_read_object(json_t *object, const JsonField *fields, JsonReadFlags flags, void *base, char *error) {
        const char *key;
        json_t *value;

        if (!json_is_object(object))
                return json_field_error(error, "not an object");

        json_object_foreach(object, key, value) {
                const JsonField *f = fields;
                int r;

                while (f->name && !streq(f->name, key))
                        f++;
                if (!f->name) {
                        if (flags & JSON_ALLOW_UNKNOWN)
                                continue;
                        return json_field_error(error, "unknown key \"%.64s\"", key);
                }
                if (json_is_null(value))
                        continue;
                if (f->flags & JSON_UNSUPPORTED) {
                        (void) json_field_error(error, "\"%s\" is not supported", key);
                        return -EOPNOTSUPP;
                }
                if (f->read) {
                        char inner[JSON_ERROR_MAX] = "";

                        r = f->read(f, value, (char *) base + f->offset, inner);
                        if (r < 0) {
                                if (r != -ENOMEM)
                                        (void) json_field_error(error, "\"%.64s\": %.180s", key, inner);
                                return r;
                        }
                }
        }
        for (const JsonField *f = fields; f->name; f++)
                if (f->flags & JSON_MANDATORY) {
                        value = json_object_get(object, f->name);
                        if (!value || json_is_null(value))
                                return json_field_error(error, "\"%s\" is missing", f->name);
                }
        return 0;
}

int json_read_string(const JsonField *f, json_t *v, void *target, char *error) {
        if (!json_is_string(v))
                return json_field_error(error, "not a string");
        return free_and_strdup(target, json_string_value(v));
}

int json_read_strv(const JsonField *f, json_t *v, void *target, char *error) {
        _cleanup_strv_ char **l = NULL;
        size_t i, n;
        json_t *e;

        if (!json_is_array(v))
                return json_field_error(error, "not an array of strings");
        n = json_array_size(v);
        l = calloc(n + 1, sizeof(char *));
        if (!l)
                return -ENOMEM;
        json_array_foreach(v, i, e) {
                if (!json_is_string(e))
                        return json_field_error(error, "element %zu is not a string", i);
                l[i] = strdup(json_string_value(e));
                if (!l[i])
                        return -ENOMEM;
        }
        strv_free(*(char ***) target);
        *(char ***) target = TAKE_PTR(l);
        return 0;
}

int json_read_bool(const JsonField *f, json_t *v, void *target, char *error) {
        if (!json_is_boolean(v))
                return json_field_error(error, "not true or false");
        *(bool *) target = json_is_true(v);
        return 0;
}

int json_read_int64(const JsonField *f, json_t *v, void *target, char *error) {
        if (!json_is_integer(v))
                return json_field_error(error, "not an integer");
        *(int64_t *) target = json_integer_value(v);
        return 0;
}

int json_read_uint64(const JsonField *f, json_t *v, void *target, char *error) {
        if (!json_is_integer(v) || json_integer_value(v) < 0)
                return json_field_error(error, "not a non-negative integer");
        *(uint64_t *) target = (uint64_t) json_integer_value(v);
        return 0;
}

int json_read_uint(const JsonField *f, json_t *v, void *target, char *error) {
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT_MAX)
                return json_field_error(error, "not an integer of 0 to %u", UINT_MAX);
        *(unsigned *) target = (unsigned) json_integer_value(v);
        return 0;
}

int json_read_value(const JsonField *f, json_t *v, void *target, char *error) {
        json_t **t = target;

        json_decref(*t);
        *t = json_incref(v);
        return 0;
}

int json_read_array(json_t *array, const JsonField *fields, size_t max, size_t element_size, void **ret, size_t *ret_n, char *error) {
        size_t i;
        json_t *e;
        int r;

        if (!json_is_array(array))
                return json_field_error(error, "not an array");
        if (json_array_size(array) > max)
                return json_field_error(error, "more than %zu entries", max);
        if (json_array_size(array) == 0)
                return 0;
        *ret = calloc(json_array_size(array), element_size);
        if (!*ret)
                return -ENOMEM;
        json_array_foreach(array, i, e) {
                char inner[JSON_ERROR_MAX] = "";

                *ret_n = i + 1;
                r = json_read_object(e, fields, 0, (char *) *ret + i * element_size, inner);
                if (r < 0) {
                        if (r != -ENOMEM)
                                (void) json_field_error(error, "entry %zu: %.200s", i, inner);
                        return r;
                }
        }
        return 0;
}

char *json_format(const json_t *j) {
        _cleanup_free_ char *s = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);

        return s ? strf("%s\n", s) : NULL;
}

json_t *json_string_lossy(const char *s, size_t n) {
        _cleanup_strbuf_ StrBuf b = {};

        strbuf_add(&b, "", 0);
        while (n > 0) {
                size_t k = utf8_sequence(s, n);

                if (k > 0)
                        strbuf_add(&b, s, k);
                else
                        strbuf_adds(&b, "\xef\xbf\xbd");
                s += MAX(k, (size_t) 1);
                n -= MAX(k, (size_t) 1);
        }
        return b.failed ? NULL : json_stringn(b.data, b.size);
}
