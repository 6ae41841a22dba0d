/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "definition/ini.h"

typedef struct IniParser {
        const IniHandler *handler;
        void *userdata;
        bool in_section;
        bool crlf_reported, section_reported;
} IniParser;

bool utf8_is_valid(const char *s) {
        const unsigned char *p = (const unsigned char *) s;

        while (*p) {
                uint32_t c = *p++, min;
                unsigned n;

                if (c < 0x80)
                        continue;
                if (c >= 0xc2 && c <= 0xdf)
                        n = 1, min = 0x80, c &= 0x1f;
                else if (c >= 0xe0 && c <= 0xef)
                        n = 2, min = 0x800, c &= 0x0f;
                else if (c >= 0xf0 && c <= 0xf4)
                        n = 3, min = 0x10000, c &= 0x07;
                else
                        return false;
                for (; n > 0; n--, p++) {
                        if ((*p & 0xc0) != 0x80)
                                return false;
                        c = c << 6 | (*p & 0x3f);
                }
                if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                        return false;
        }
        return true;
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

/* Cuts blanks off both ends of [s, end), and puts a NUL behind what is left. */
static char *strip(char *s, char *end) {
        while (s < end && is_blank(*s))
                s++;
        while (end > s && is_blank(end[-1]))
                end--;
        *end = 0;
        return s;
}

/* An odd number of backslashes at the end continues the line. */
static bool is_continued(const char *s, const char *end) {
        const char *p = end;

        while (p > s && p[-1] == '\\')
                p--;
        return (end - p) % 2 == 1;
}

static int parse_logical_line(IniParser *p, unsigned line, char *s, char *end) {
        char *equals;

        s = strip(s, end);
        if (!*s)
                return 0;
        for (const char *c = s; *c; c++)
                if (((unsigned char) *c < 0x20 && *c != '\t') || *c == 0x7f)
                        return p->handler->problem(p->userdata, line, "Control character in the line.");
        if (!utf8_is_valid(s))
                return p->handler->problem(p->userdata, line, "The line is not valid UTF-8.");
        /* Without the blanks, in a unit file, it would continue. */
        if (is_continued(s, s + strlen(s)))
                return p->handler->problem(p->userdata, line, "White space after the backslash at the end of the line, which continues nothing so.");

        if (*s == '[') {
                size_t n = strlen(s);

                p->in_section = true;
                if (n < 3 || s[n - 1] != ']')
                        return p->handler->problem(p->userdata, line, "Section header without a name in brackets.");
                s[n - 1] = 0;
                return p->handler->section(p->userdata, line, s + 1);
        }
        equals = strchr(s, '=');
        if (!equals)
                return p->handler->problem(p->userdata, line, "Neither a [Section] nor a Key=value.");
        if (equals == s)
                return p->handler->problem(p->userdata, line, "No key before \"=\".");
        if (!p->in_section) {
                if (p->section_reported)
                        return 0;
                p->section_reported = true;
                return p->handler->problem(p->userdata, line, "Assignment before the first [Section].");
        }
        end = s + strlen(s);
        return p->handler->assignment(p->userdata, line, strip(s, equals), strip(equals + 1, end));
}

int ini_parse(char *text, size_t size, const IniHandler *handler, void *userdata) {
        IniParser p = { .handler = handler, .userdata = userdata };
        char *end = text + size, *joined = NULL, *joined_end = NULL;
        unsigned line = 0, first = 0;
        const char *nul;
        int r;

        nul = memchr(text, 0, size);
        if (nul) {
                for (const char *c = text; c < nul; c++)
                        line += *c == '\n';
                return handler->problem(userdata, line + 1, "NUL byte: this is not a text file.");
        }
        if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
                r = handler->problem(userdata, 1, "The file begins with a byte order mark (BOM): save it as UTF-8 without one.");
                if (r < 0)
                        return r;
                text += 3;
        }

        for (char *s = text, *next; s < end; s = next) {
                char *e = memchr(s, '\n', (size_t) (end - s));
                bool continued;

                line++;
                next = e ? e + 1 : end;
                if (!e)
                        e = end;
                if (e > s && e[-1] == '\r') {
                        e--;
                        if (!p.crlf_reported) {
                                p.crlf_reported = true;
                                r = handler->problem(userdata, line, "The line ends in CR LF: save the file with Unix line ends (LF).");
                                if (r < 0)
                                        return r;
                        }
                }
                while (s < e && is_blank(*s))
                        s++;
                /* A comment neither continues nor ends what stands before it. */
                if (s < e && (*s == '#' || *s == ';'))
                        continue;

                continued = is_continued(s, e);
                if (continued)
                        e[-1] = ' ';
                if (joined) {
                        memmove(joined_end, s, (size_t) (e - s));
                        joined_end += e - s;
                } else {
                        joined = s;
                        joined_end = e;
                        first = line;
                }
                if (continued && next < end)
                        continue;

                if (joined_end - joined > INI_LINE_MAX)
                        r = handler->problem(userdata, first, "The line is longer than 64 KiB.");
                else if (continued)
                        r = handler->problem(userdata, line, "The file ends in a continuation line: remove the last backslash.");
                else
                        r = parse_logical_line(&p, first, joined, joined_end);
                if (r < 0)
                        return r;
                joined = NULL;
        }
        /* Comments may follow the backslash up to the end of the file. */
        if (joined)
                return handler->problem(userdata, first, "The file ends in a continuation line: remove the last backslash.");
        return 0;
}
