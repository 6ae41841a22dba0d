/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/parse.h"
#include "base/str.h"
#include "runspec/env-file.h"

#define BLANKS " \t\r"

int env_set(char ***env, const char *assignment) {
        size_t n = strcspn(assignment, "=") + 1;

        STRV_FOREACH(e, *env)
                if (strncmp(*e, assignment, n) == 0)
                        return free_and_strdup(e, assignment);
        return strv_extend(env, assignment);
}

/* A character at a time, since quotes go over lines. The states are systemd's (src/basic/env-file.c names them alike), so that the same
 * file means the same here and there. */
typedef enum EnvState {
        BEFORE_NAME,
        IN_NAME,
        BEFORE_VALUE,           /* also behind a closing quote */
        IN_VALUE,
        IN_VALUE_ESCAPE,
        IN_SINGLE_QUOTES,
        IN_DOUBLE_QUOTES,
        IN_DOUBLE_QUOTES_ESCAPE,
        IN_COMMENT,
        IN_COMMENT_ESCAPE,
} EnvState;

static void chomp(StrBuf *b) {
        while (b->size > 0 && strchr(BLANKS, b->data[b->size - 1]))
                b->data[--b->size] = 0;
}

static void clear(StrBuf *b) {
        b->size = 0;
        strbuf_add(b, "", 0);
}

static int emit(StrBuf *name, StrBuf *value, char ***env) {
        _cleanup_free_ char *assignment = NULL;

        chomp(name);
        if (name->failed || value->failed)
                return -ENOMEM;
        if (!env_name_is_valid(name->data))
                return -EBADMSG;
        assignment = strf("%s=%s", name->data, value->data);
        clear(name);
        clear(value);
        return assignment ? env_set(env, assignment) : -ENOMEM;
}

int env_file_parse(const char *text, size_t n, char ***env, unsigned *ret_line) {
        _cleanup_strbuf_ StrBuf name = {}, value = {};
        EnvState state = BEFORE_NAME;
        unsigned line = 1, name_line = 1;
        int r = 0;

        clear(&name);
        clear(&value);
        for (size_t i = 0; i <= n && r >= 0; i++) {
                bool end = i == n;
                char c = end ? '\n' : text[i];

                if (c == 0) {
                        r = -EBADMSG;
                        name_line = line;
                        break;
                }
                switch (state) {
                case BEFORE_NAME:
                        name_line = line;
                        if (c == '#' || c == ';')
                                state = IN_COMMENT;
                        else if (c != '\n' && !strchr(BLANKS, c)) {
                                strbuf_add(&name, &c, 1);
                                state = IN_NAME;
                        }
                        break;
                case IN_NAME:
                        if (c == '\n') {
                                clear(&name);
                                state = BEFORE_NAME;
                        } else if (c == '=')
                                state = BEFORE_VALUE;
                        else
                                strbuf_add(&name, &c, 1);
                        break;
                case BEFORE_VALUE:
                        if (c == '\n') {
                                r = emit(&name, &value, env);
                                state = BEFORE_NAME;
                        } else if (c == '\'')
                                state = IN_SINGLE_QUOTES;
                        else if (c == '"')
                                state = IN_DOUBLE_QUOTES;
                        else if (c == '\\')
                                state = IN_VALUE_ESCAPE;
                        else if (!strchr(BLANKS, c)) {
                                strbuf_add(&value, &c, 1);
                                state = IN_VALUE;
                        }
                        break;
                case IN_VALUE:
                        if (c == '\n') {
                                chomp(&value);
                                r = emit(&name, &value, env);
                                state = BEFORE_NAME;
                        } else if (c == '\\')
                                state = IN_VALUE_ESCAPE;
                        else
                                strbuf_add(&value, &c, 1);
                        break;
                case IN_VALUE_ESCAPE:
                        if (c != '\n')
                                strbuf_add(&value, &c, 1);
                        state = IN_VALUE;
                        break;
                case IN_SINGLE_QUOTES:
                        if (c == '\'')
                                state = BEFORE_VALUE;
                        else if (!end)
                                strbuf_add(&value, &c, 1);
                        break;
                case IN_DOUBLE_QUOTES:
                        if (c == '"')
                                state = BEFORE_VALUE;
                        else if (c == '\\')
                                state = IN_DOUBLE_QUOTES_ESCAPE;
                        else if (!end)
                                strbuf_add(&value, &c, 1);
                        break;
                case IN_DOUBLE_QUOTES_ESCAPE:
                        if (c != '\n') {
                                if (!strchr("\"\\`$", c))
                                        strbuf_adds(&value, "\\");
                                strbuf_add(&value, &c, 1);
                        }
                        state = IN_DOUBLE_QUOTES;
                        break;
                case IN_COMMENT:
                        if (c == '\\')
                                state = IN_COMMENT_ESCAPE;
                        else if (c == '\n')
                                state = BEFORE_NAME;
                        break;
                case IN_COMMENT_ESCAPE:
                        state = IN_COMMENT;
                        break;
                }
                if (c == '\n')
                        line++;
        }
        /* A file may end within quotes or behind a backslash. */
        if (r >= 0 && state >= BEFORE_VALUE && state <= IN_DOUBLE_QUOTES_ESCAPE) {
                if (state == IN_VALUE)
                        chomp(&value);
                r = emit(&name, &value, env);
        }
        if (r < 0)
                *ret_line = name_line;
        return r;
}
