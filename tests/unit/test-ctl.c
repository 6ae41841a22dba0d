/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <locale.h>
#include <time.h>

#include "base/fd.h"
#include "ctl/completion.h"
#include "ctl/logs.h"
#include "ctl/options.h"
#include "ctl/table.h"
#include "ctl/when.h"
#include "json/json.h"
#include "test.h"

/* Parses; the sentence of an error is in `said`. */
static char *said;

#define PARSE(line, ...)                                                                                        \
        ({                                                                                                      \
                const char *_argv[] = { "infernoctl", __VA_ARGS__, NULL };                                      \
                free(said);                                                                                     \
                said = NULL;                                                                                    \
                command_line_parse((int) ELEMENTSOF(_argv) - 1, (char **) _argv, line, &said);                  \
        })

static void test_command_line(void **state) {
        _cleanup_command_line_ CommandLine a = {}, b = {}, c = {}, d = {}, e = {}, f = {}, g = {}, h = {};

        assert_ok(PARSE(&a, "list", "--state", "active", "--state=failed", "-q", "--format=json"));
        assert_string_equal(a.command->name, "list");
        assert_int_equal(a.n_args, 0);
        assert_true(a.quiet);
        assert_string_equal(a.format, "json");

        assert_ok(PARSE(&b, "--format", "table", "ps"));
        assert_string_equal(b.command->name, "list");
        assert_string_equal(b.format, "table");

        assert_ok(PARSE(&c, "completion", "--", "--help"));
        assert_int_equal(c.n_args, 1);
        assert_string_equal(c.args[0], "--help");
        assert_null(c.args[1]);
        assert_false(c.help);

        assert_ok(PARSE(&d, "completion", "--help"));
        assert_true(d.help);
        assert_ok(PARSE(&e, "-h"));
        assert_true(e.help);
        assert_null(e.command);

        /* A command of two words whose first is one by itself. */
        assert_ok(PARSE(&f, "logs", "tail", "--format=text"));
        assert_string_equal(f.command->name, "logs tail");
        assert_int_equal(f.n_args, 0);
        assert_ok(PARSE(&g, "logs", "--", "tail", "web"));
        assert_string_equal(g.command->name, "logs");
        assert_string_equal(g.args[0], "tail");
        assert_int_equal(g.n_args, 2);
        assert_ok(PARSE(&h, "logs", "web", "tail"));
        assert_string_equal(h.command->name, "logs");
        assert_int_equal(h.n_args, 2);
        free(said);
        said = NULL;
}

static void test_wrong_command_lines(void **state) {
        static const struct {
                const char *words[4], *said;
        } cases[] = {
                { { NULL }, "What is to be done? See infernoctl --help." },
                { { "nonsense" }, "There is no command \"nonsense\": see infernoctl --help." },
                { { "list", "--nonsense=1" }, "list: unknown option \"--nonsense\"." },
                { { "list", "-x" }, "list: unknown option \"-x\"." },
                { { "list", "--state" }, "list: option --state needs a value: --state=STATE." },
                { { "list", "--state=running" }, "list: \"running\" is no value for --state=STATE." },
                { { "list", "--format=xml" }, "list: \"xml\" is no value for --format=FORMAT." },
                { { "list", "--quiet=1" }, "list: option --quiet takes no value." },
                { { "list", "word" }, "list: \"word\" is a word too many: infernoctl list " },
                { { "completion" }, "completion: something is missing: infernoctl completion bash|zsh|fish" },
                { { "completion", "--format=json", "bash" }, "completion: unknown option \"--format\"." },
                { { "--format=json", "completion", "bash" }, "completion: unknown option \"--format\"." },
                { { "--nonsense" }, "infernoctl: unknown option \"--nonsense\"." },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *const *w = cases[i].words;
                _cleanup_command_line_ CommandLine l = {};

                assert_error(PARSE(&l, w[0], w[1], w[2], w[3]), EINVAL);
                assert_string_equal(said, cases[i].said);
        }
        free(said);
        said = NULL;
}

/* What every entry must have, so that parser, help and completion can rely on it. */
static void test_commands(void **state) {
        for (const Command *const *p = commands; *p; p++) {
                const Command *c = *p;
                _cleanup_strv_ char **words = NULL;
                const char *space = strchr(c->name, ' ');
                size_t n;

                assert_ok(strv_consume(&words, space ? strndup(c->name, (size_t) (space - c->name)) : strdup(c->name)));
                if (space)
                        assert_ok(strv_extend(&words, space + 1));
                assert_ptr_equal(command_find(words, strv_length(words), &n), c);
                assert_int_equal(n, strv_length(words));
                assert_non_null(c->synopsis);
                assert_non_null(c->run);
                assert_false(endswith(c->summary, "."));
                assert_true(c->min_args <= c->max_args);
                assert_true((c->max_args == 0) == isempty(c->synopsis));
                /* Those of a group stand together. */
                if (space && p > commands && !command_is_group(words[0]))
                        fail();
                for (const CtlOption *o = c->options; o && o->name; o++) {
                        assert_non_null(o->target);
                        assert_non_null(o->help);
                        assert_true((o->kind == CTL_OPTION_FLAG) == !o->argument);
                        assert_true((o->word == CTL_WORD_CHOICE) == !!o->choices);
                        for (const CtlOption *other = c->options; other < o; other++) {
                                assert_string_not_equal(other->name, o->name);
                                assert_true(o->letter == 0 || o->letter != other->letter);
                        }
                        for (const CtlOption *other = common_options; other->name; other++) {
                                assert_string_not_equal(other->name, o->name);
                                assert_true(o->letter == 0 || o->letter != other->letter);
                        }
                }
        }
}

/* Not to be inlined: gcc 12 takes what points into the text for pointers to the variable. */
static __attribute__((noinline)) char *read_source(const char *path) {
        _cleanup_free_ char *whole = strjoin(getenv("INFERNO_SOURCE") ?: ".", "/", path);
        char *text;

        assert_non_null(whole);
        assert_ok(read_file_at(AT_FDCWD, whole, MIB(1), &text, NULL));
        return text;
}

/* Whether a word of roff, "\-\-name", stands in a text and ends there. */
static bool has_option(const char *text, const char *name) {
        _cleanup_free_ char *word = strjoin("\\-\\-", name);
        const char *p = text;

        /* Names of options have "-" as "\-". */
        for (char *q = word + 4; (q = strchr(q, '-')); q += 2) {
                size_t at = (size_t) (q - word);
                char *longer = strf("%.*s\\-%s", (int) at, word, q + 1);

                free(word);
                word = longer;
                q = word + at;
        }
        while ((p = strstr(p, word))) {
                p += strlen(word);
                if (!strchr("abcdefghijklmnopqrstuvwxyz", *p) && p[0] != '\\')
                        return true;
                if (p[0] == '\\' && p[1] != '-')
                        return true;
        }
        return false;
}

/* man/infernoctl.1 has a section ".SS NAME" for each command, with each of its options, and no other sections of that kind. */
static void test_man_page(void **state) {
        _cleanup_free_ char *page = read_source("man/infernoctl.1");
        size_t n_sections = 0, n_commands = 0;

        for (const char *p = page; (p = strstr(p, "\n.SS ")); p++)
                n_sections++;
        for (const Command *const *c = commands; *c; c++) {
                _cleanup_free_ char *title = strjoin("\n.SS ", (*c)->name, "\n"), *section = NULL;
                const char *begin = strstr(page, title), *end;

                n_commands++;
                if (!begin)
                        fail_msg("man/infernoctl.1 has no section for %s", (*c)->name);
                begin += strlen(title);
                end = strstr(begin, "\n.S");
                section = strndup(begin, end ? (size_t) (end - begin) : strlen(begin));
                for (const CtlOption *o = (*c)->options; o && o->name; o++)
                        if (!has_option(section, o->name))
                                fail_msg("man/infernoctl.1 does not say what --%s of %s is", o->name, (*c)->name);
                for (const char *p = section; (p = strstr(p, "\n.BI \\-\\-"));) {
                        _cleanup_free_ char *name = NULL;
                        bool known = false;

                        p += strlen("\n.BI \\-\\-");
                        name = strndup(p, strspn(p, "abcdefghijklmnopqrstuvwxyz"));
                        for (const CtlOption *o = (*c)->options; o && o->name; o++)
                                known = known || startswith(o->name, name);
                        if (!known)
                                fail_msg("man/infernoctl.1 has an option --%s that %s has not", name, (*c)->name);
                }
        }
        assert_int_equal(n_sections, n_commands);
}

/* Columns are of characters, not of bytes. */
static void test_help(void **state) {
        _cleanup_command_line_ CommandLine l = {};
        _cleanup_free_ char *text = NULL;
        size_t n;
        FILE *f = open_memstream(&text, &n);

        assert_non_null(f);
        help_print(f, &l);
        fclose(f);
        assert_non_null(strstr(text, "\n  list                          List the VMs"));
        assert_non_null(strstr(text, "\n  start NAME…                   Start a VM"));
        assert_non_null(strstr(text, "\n  create NAME --image=REFERENCE [-- COMMAND…]\n                                Define a VM"));
}

static int names(CtlWord word, char ***ret, void *userdata) {
        static const char *const all[] = {
                [CTL_WORD_VM] = "web1 web2 \n db",
                [CTL_WORD_IMAGE] = "docker://docker.io/library/nginx:latest oci:/images/x",
                [CTL_WORD_VOLUME] = "data",
        };
        _cleanup_free_ char *text = strdup(all[word]);

        assert_non_null(text);
        for (char *p = text, *name; (name = strsep(&p, " "));)
                assert_ok(strv_extend(ret, name));
        return 0;
}

/* What is offered for the last of the words, descriptions left out, a blank behind each. */
static char *complete(const char *line) {
        _cleanup_free_ char *copy = strdup(line), *text = NULL;
        _cleanup_strv_ char **words = NULL;
        StrBuf b = {};
        char *out;

        assert_non_null(copy);
        for (char *p = copy, *word; (word = strsep(&p, " "));)
                assert_ok(strv_extend(&words, word));
        assert_ok(completion_words(words, strv_length(words), names, NULL, &text));
        for (char *p = text, *l; (l = strsep(&p, "\n")) && p;)
                strbuf_addf(&b, "%.*s ", (int) strcspn(l, "\t"), l);
        assert_ok(strbuf_finish(&b, &out, NULL));
        return out;
}

static void test_completion(void **state) {
        static const struct {
                const char *line, *offered;
        } cases[] = {
                { "sta", "status start " },
                { "-q sta", "status start " },
                { "nothing ", "" },
                { "start ", "web1 web2 db " },
                { "start web1 w", "web1 web2 " },
                { "status web1 ", "" },
                { "start --det", "--detach " },
                { "start -- --det", "" },
                { "start -- w", "web1 web2 " },
                { "--", "--quiet --help --version " },
                { "list --st", "--state= " },
                { "list --state=f", "--state=failed " },
                { "list --state f", "failed " },
                { "list --state failed --fo", "--format= " },
                { "list --nothing=f", "" },
                { "ps --state=inact", "--state=inactive " },
                { "status --format json w", "web1 web2 " },
                { "stop -t 5 w", "web1 web2 " },
                { "stop -t5 w", "web1 web2 " },
                { "stop -kt 5 w", "web1 web2 " },
                { "stop -s SIGT", "SIGTERM " },
                { "signal web1 SIGUSR", "SIGUSR1 SIGUSR2 " },
                { "signal web1 HUP ", "" },
                { "volume r", "resize restore rm " },
                { "volume rm ", "data " },
                { "volume list --q", "--quiet " },
                { "volume nothing ", "" },
                { "logs ", "tail status restart clear web1 web2 db " },
                { "logs -f ", "web1 web2 db " },
                { "logs -- ", "web1 web2 db " },
                { "logs web1 --str", "--stream= " },
                { "logs web1 --stream=me", "--stream=metrics " },
                { "logs tail ", "" },
                { "logs tail --pri", "--priority= " },
                { "create x --image=oci", "--image=oci:/images/x " },
                { "create x --image=docker://docker.io/library/nginx:l", "--image=docker://docker.io/library/nginx:latest " },
                { "create x --root=", "--root=ephemeral --root=persistent " },
                { "create x --env-file=/e", ":files " },
                { "create x -- --ro", "" },
                { "exec web1 --ti", "--timeout= " },
                { "exec web1 -- l", "" },
                { "exec web1 sh -", "" },
                { "verify /et", ":files " },
                { "completion ", "words bash zsh fish " },
                { "completion words -- --he", "" },
        };
        _cleanup_free_ char *all = NULL, *none = NULL;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *offered = complete(cases[i].line);

                if (!streq(offered, cases[i].offered))
                        fail_msg("for \"%s\": \"%s\"", cases[i].line, offered);
        }
        /* All commands and options, each once. */
        all = complete("");
        for (const Command *const *c = commands; *c; c++) {
                _cleanup_free_ char *word = strf(" %.*s ", (int) strcspn((*c)->name, " "), (*c)->name), *line = strf("%s --", (*c)->name), *options = complete(line);
                _cleanup_free_ char *padded = strjoin(" ", all);
                const char *found = strstr(padded, word);

                assert_non_null(found);
                assert_null(strstr(found + 1, word));
                for (const CtlOption *o = (*c)->options; o && o->name; o++) {
                        _cleanup_free_ char *option = strf("--%s%s ", o->name, o->argument ? "=" : "");

                        assert_non_null(strstr(options, option));
                }
        }
        assert_ok(completion_words(NULL, 0, names, NULL, &none));
        assert_non_null(strstr(none, "\nstart\tStart a VM"));

        assert_non_null(strstr(completion_script("bash"), "complete -F"));
        assert_non_null(strstr(completion_script("zsh"), "#compdef infernoctl\n"));
        assert_non_null(strstr(completion_script("fish"), "complete -c infernoctl"));
        assert_null(completion_script("tcsh"));
}

static const TableColumn columns[] = {
        { "NAME", "name", TABLE_TEXT },
        { "SIZE", "size", TABLE_BYTES },
        { "TEXT", "text", TABLE_TEXT, .shrinks = true },
        { NULL, "more" },
        {},
};

static Table *make_table(void) {
        Table *t;

        assert_ok(table_new(columns, &t));
        table_add_text(t, "a");
        table_add_number(t, 1536);
        table_add_text(t, "short");
        table_add_bool(t, true);
        table_add_text(t, "bcd");
        table_add_number(t, UINT64_MAX);
        table_add_text(t, "a text that is rather long");
        table_add_none(t);
        return t;
}

static void test_table(void **state) {
        _cleanup_(table_freep) Table *t = make_table();
        _cleanup_free_ char *wide = NULL, *narrow = NULL, *json = NULL;
        _cleanup_json_ json_t *j = NULL;

        assert_int_equal(table_rows(t), 2);
        assert_ok(table_format(t, 0, &wide));
        assert_string_equal(wide, "NAME  SIZE  TEXT\n"
                                  "a     1.5K  short\n"
                                  "bcd      -  a text that is rather long\n");
        assert_ok(table_format(t, 24, &narrow));
        assert_string_equal(narrow, "NAME  SIZE  TEXT\n"
                                    "a     1.5K  short\n"
                                    "bcd      -  a text that…\n");
        j = table_to_json(t);
        json = json_format(j);
        assert_string_equal(json, "[{\"more\":true,\"name\":\"a\",\"size\":1536,\"text\":\"short\"},"
                                  "{\"more\":null,\"name\":\"bcd\",\"size\":null,\"text\":\"a text that is rather long\"}]\n");
}

/* Columns that may not shrink stay whole, however narrow the terminal is. */
static void test_narrow_table(void **state) {
        _cleanup_(table_freep) Table *t = make_table();
        _cleanup_free_ char *text = NULL;

        assert_ok(table_format(t, 1, &text));
        assert_string_equal(text, "NAME  SIZE  TEXT\n"
                                  "a     1.5K  short\n"
                                  "bcd      -  a text …\n");
}

static void test_escape(void **state) {
        static const struct {
                const char *raw, *fit;
        } cases[] = {
                { "plain", "plain" },
                { "\033]0;title\a", "\\x1b]0;title\\x07" },
                { "a\nb\tc", "a\\x0ab\\x09c" },
                { "grün €", "grün €" },
                { "\xff\xfe", "\\xff\\xfe" },
                { "\xc3", "\\xc3" },
                { "\xc2\x9b", "\\xc2\\x9b" },                           /* CSI as one character of C1 */
                { "a\xe2\x80\xae" "b", "a\\xe2\\x80\\xae" "b" },        /* right-to-left override */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *text = text_escape(cases[i].raw);

                assert_string_equal(text, cases[i].fit);
        }
}

static void test_formats(void **state) {
        static const struct {
                uint64_t n;
                const char *text;
        } bytes[] = { { 0, "0B" }, { 1023, "1023B" }, { 1024, "1K" }, { 1536, "1.5K" }, { MIB(128), "128M" }, { GIB(5) / 2, "2.5G" }, { UINT64_MAX, "16E" } },
          durations[] = { { 350000, "350ms" }, { 1500000, "1.5s" }, { 59 * USEC_PER_SEC, "59s" }, { 61 * USEC_PER_SEC, "1min 1s" },
                          { 3660 * USEC_PER_SEC, "1h 1min" }, { 90000 * USEC_PER_SEC, "1d 1h" } };

        for (size_t i = 0; i < ELEMENTSOF(bytes); i++) {
                _cleanup_free_ char *text = format_bytes(bytes[i].n);

                assert_string_equal(text, bytes[i].text);
        }
        for (size_t i = 0; i < ELEMENTSOF(durations); i++) {
                _cleanup_free_ char *text = format_duration(durations[i].n);

                assert_string_equal(text, durations[i].text);
        }
}

static void test_when(void **state) {
        static const struct {
                const char *text;
                uint64_t sec;                                           /* UINT64_MAX: is none */
        } cases[] = {
                { "now", 1795255200 },                                  /* Saturday, 21 November 2026, 11:00:00 in Berlin */
                { "2026-11-21 11:00:00", 1795255200 },
                { "2026-11-21T11:00", 1795255200 },
                { "2026-11-21 10:00:00 UTC", 1795255200 },
                { "11:00", 1795255200 },
                { "10:00:00 UTC", 1795255200 },
                { "2026-11-21", 1795215600 },
                { "today", 1795215600 },
                { "yesterday", 1795129200 },
                { "tomorrow", 1795302000 },
                { "yesterday 11:00", 1795168800 },
                { "today UTC", 1795219200 },
                { "2026-07-01 12:00", 1782900000 },                     /* summer time */
                { "@1795255200", 1795255200 },
                { "-1h 30min", 1795249800 },
                { "+5min", 1795255500 },
                { "2 days ago", 1795082400 },
                { "-1000 weeks", 1190455200 },
                { "", UINT64_MAX }, { "2026-02-30", UINT64_MAX }, { "25:00", UINT64_MAX }, { "10:60", UINT64_MAX }, { "2026-13-01", UINT64_MAX },
                { "2026-11-21 ", UINT64_MAX }, { "2026-11-21 10", UINT64_MAX }, { "10:00:00.", UINT64_MAX }, { "2026-1-1", UINT64_MAX },
                { "yesterdays", UINT64_MAX }, { "noon", UINT64_MAX }, { "@", UINT64_MAX }, { "-", UINT64_MAX }, { "1h", UINT64_MAX },
                { "@infinity", UINT64_MAX }, { "-1h ago", UINT64_MAX }, { "10:00x", UINT64_MAX }, { "10", UINT64_MAX },
        };
        uint64_t usec;

        setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", true);
        tzset();
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int r = parse_when(cases[i].text, 1795255200 * USEC_PER_SEC, &usec);

                if (cases[i].sec == UINT64_MAX ? r != -EINVAL : r != 0 || usec != cases[i].sec * USEC_PER_SEC)
                        fail_msg("\"%s\": %d, %llu", cases[i].text, r, (unsigned long long) (usec / USEC_PER_SEC));
        }
        assert_ok(parse_when("2026-11-21 11:00:00.1234567", 0, &usec));
        assert_int_equal(usec, 1795255200123456);
        /* The day on which clocks are put forward at 2 has 23 hours. */
        assert_ok(parse_when("yesterday", 1774818000 * USEC_PER_SEC, &usec));
        assert_int_equal(usec, 1774652400 * USEC_PER_SEC);
        unsetenv("TZ");
        tzset();
}

static void test_log_priorities(void **state) {
        int min, max;

        assert_ok(logs_parse_priority("err", &min, &max));
        assert_int_equal(min, 0);
        assert_int_equal(max, 3);
        assert_ok(logs_parse_priority("7", &min, &max));
        assert_int_equal(max, 7);
        assert_ok(logs_parse_priority("warning..2", &min, &max));
        assert_int_equal(min, 2);
        assert_int_equal(max, 4);
        assert_error(logs_parse_priority("loud", &min, &max), EINVAL);
        assert_error(logs_parse_priority("err..", &min, &max), EINVAL);
        assert_error(logs_parse_priority("8", &min, &max), EINVAL);
}

static void test_log_messages(void **state) {
        static const struct {
                const char *raw;
                size_t n;
                bool fit;
                const char *text;
        } cases[] = {
                { "plain", 5, false, "plain" },
                { "", 0, true, "" },
                { "two\nlines\n", 10, false, "two\n    lines" },
                { "a\tb\0c\033[1m", 9, true, "a\tb\\x00c\\x1b[1m" },
                { "\xff\033", 2, false, "\xff\033" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *text = logs_format_message(cases[i].raw, cases[i].n, 4, cases[i].fit);

                assert_string_equal(text, cases[i].text);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_command_line),
                cmocka_unit_test(test_wrong_command_lines),
                cmocka_unit_test(test_commands),
                cmocka_unit_test(test_man_page),
                cmocka_unit_test(test_help),
                cmocka_unit_test(test_completion),
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_narrow_table),
                cmocka_unit_test(test_escape),
                cmocka_unit_test(test_formats),
                cmocka_unit_test(test_when),
                cmocka_unit_test(test_log_priorities),
                cmocka_unit_test(test_log_messages),
        };

        setlocale(LC_CTYPE, "C.UTF-8");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
