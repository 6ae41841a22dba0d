/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/definition-text.h"

char *definition_quote(const char *word) {
        _cleanup_strbuf_ StrBuf b = {};
        char *text;

        if (*word && !word[strcspn(word, " \t\n\"'\\;#")]) {
                bool plain = true;

                for (const char *p = word; *p; p++)
                        plain = plain && (unsigned char) *p >= 0x20 && *p != 0x7f;
                if (plain)
                        return strdup(word);
        }
        strbuf_adds(&b, "\"");
        for (const char *p = word; *p; p++)
                if (*p == '"' || *p == '\\')
                        strbuf_addf(&b, "\\%c", *p);
                else if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        strbuf_addf(&b, "\\x%02x", (unsigned char) *p);
                else
                        strbuf_add(&b, p, 1);
        strbuf_adds(&b, "\"");
        return strbuf_finish(&b, &text, NULL) < 0 ? NULL : text;
}

bool definition_value_is_valid(const char *value) {
        size_t n = strlen(value);

        for (const char *p = value; *p; p++)
                if (((unsigned char) *p < 0x20 && *p != '\t') || *p == 0x7f)
                        return false;
        return n == 0 || value[n - 1] != '\\';
}

/* What stands at one place of the text: a line, with those that continue it. */
typedef struct Piece {
        const char *begin, *end;        /* end: behind the newline */
        enum { PIECE_BLANK, PIECE_SECTION, PIECE_ASSIGNMENT } kind;
        const char *name;               /* of the section, or key */
        size_t n_name;
} Piece;

static const char *line_end(const char *p) {
        const char *newline = strchr(p, '\n');

        return newline ? newline + 1 : p + strlen(p);
}

static bool continues(const char *begin, const char *end) {
        if (end > begin && end[-1] == '\n')
                end--;
        return end > begin && end[-1] == '\\';
}

static bool is_comment(const char *p) {
        p += strspn(p, " \t");
        return *p == '#' || *p == ';';
}

/* systemd.syntax(7): comments do not continue, and those between continued lines are passed over. */
static bool next_piece(const char **p, Piece *ret) {
        const char *s = *p, *text;

        if (!*s)
                return false;
        *ret = (Piece) { .begin = s, .kind = PIECE_BLANK };
        ret->end = line_end(s);
        text = s + strspn(s, " \t");
        if (text < ret->end && *text != '\n' && !is_comment(s)) {
                const char *last = s;

                while (*ret->end && (is_comment(last) || continues(last, ret->end))) {
                        last = ret->end;
                        ret->end = line_end(last);
                }
                ret->kind = *text == '[' ? PIECE_SECTION : PIECE_ASSIGNMENT;
                ret->name = text + (*text == '[');
                ret->n_name = strcspn(ret->name, *text == '[' ? "]\n" : "=\n");
                while (ret->n_name > 0 && strchr(" \t", ret->name[ret->n_name - 1]))
                        ret->n_name--;
        }
        *p = ret->end;
        return true;
}

static bool is_named(const Piece *p, const char *name) {
        return strlen(name) == p->n_name && strncmp(p->name, name, p->n_name) == 0;
}

static void add_line(StrBuf *b, const char *key, const char *value) {
        if (b->size > 0 && b->data[b->size - 1] != '\n')
                strbuf_adds(b, "\n");
        strbuf_addf(b, "%s=%s\n", key, value);
}

/* Where the new line goes. */
typedef struct Place {
        const char *instead;            /* of the piece that begins here */
        const char *behind;             /* or of the one that ends here; NULL: the section is not there */
} Place;

/* Goes through the text; *ret_match: the piece is an assignment of the key in its section. */
static bool next_of(const char **p, const char *section, const char *key, bool *in_section, Piece *ret, bool *ret_match) {
        if (!next_piece(p, ret))
                return false;
        if (ret->kind == PIECE_SECTION)
                *in_section = is_named(ret, section);
        *ret_match = *in_section && ret->kind == PIECE_ASSIGNMENT && is_named(ret, key);
        return true;
}

static Place find_place(const char *text, const char *section, const char *key, DefinitionChange change) {
        const char *last_match = NULL;
        bool in_section = false, match;
        Place place = {};
        Piece piece;

        while (next_of(&text, section, key, &in_section, &piece, &match)) {
                if (in_section && piece.kind != PIECE_BLANK)
                        place.behind = piece.end;
                if (match)
                        last_match = piece.end;
                if (match && change == DEFINITION_REPLACE && !place.instead)
                        place.instead = piece.begin;
        }
        if (last_match)
                place.behind = last_match;
        return place;
}

int definition_text_set(const char *text, const char *section, const char *key, const char *value, DefinitionChange change, char **ret) {
        Place place = find_place(text, section, key, change);
        bool in_section = false, match;
        _cleanup_strbuf_ StrBuf b = {};
        Piece piece;

        while (next_of(&text, section, key, &in_section, &piece, &match)) {
                if (piece.begin == place.instead && *value)
                        add_line(&b, key, value);
                if (!(match && change == DEFINITION_REPLACE))
                        strbuf_add(&b, piece.begin, (size_t) (piece.end - piece.begin));
                if (piece.end == place.behind && !place.instead && *value)
                        add_line(&b, key, value);
        }
        if (!place.behind && *value) {
                if (b.size > 0 && b.data[b.size - 1] != '\n')
                        strbuf_adds(&b, "\n");
                strbuf_addf(&b, "%s[%s]\n", b.size > 0 ? "\n" : "", section);
                add_line(&b, key, value);
        }
        return strbuf_finish(&b, ret, NULL);
}
