/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/parse.h"
#include "base/sentence.h"
#include "base/str.h"
#include "ctl/options.h"

/* "text" is how one says "table" where there is none. */
static const char *const formats[] = { "table", "text", "json", NULL };

/* What they set is CommandLine's. */
const CtlOption common_options[] = {
        { "format", 0, CTL_OPTION_STRING, NULL, "FORMAT", "\"table\" or \"text\" for people, or \"json\"", CTL_WORD_CHOICE, formats },
        { "quiet", 'q', CTL_OPTION_FLAG, NULL, NULL, "Say only what went wrong; of a list, names alone" },
        { "help", 'h', CTL_OPTION_FLAG, NULL, NULL, "Show this help" },
        { "version", 0, CTL_OPTION_FLAG, NULL, NULL, "Show the version" },
        {},
};

const CtlOption *common_option(const Command *command, size_t i) {
        bool has_format = command && command->flags & COMMAND_FORMAT;
        const CtlOption *o = common_options + i + (has_format ? 0 : 1);

        return o->name ? o : NULL;
}

void command_line_done(CommandLine *l) {
        free(l->args);
        *l = (CommandLine) {};
}

/* By its name of n bytes, or by its letter (name is NULL). */
static const CtlOption *find_option(const CtlOption *options, const char *name, size_t n, char letter) {
        for (const CtlOption *o = options; o && o->name; o++)
                if (name ? strlen(o->name) == n && strncmp(o->name, name, n) == 0 : letter == o->letter)
                        return o;
        return NULL;
}

static int set_common(CommandLine *l, const CtlOption *o, const char *value) {
        if (streq(o->name, "format"))
                l->format = value;
        else if (streq(o->name, "quiet"))
                l->quiet = true;
        else if (streq(o->name, "help"))
                l->help = true;
        else
                l->version = true;
        return 0;
}

static int set_value(const CtlOption *o, const char *value) {
        int r;

        switch (o->kind) {
        case CTL_OPTION_FLAG:
                *(bool *) o->target = true;
                return 0;
        case CTL_OPTION_STRING:
                *(const char **) o->target = value;
                return 0;
        case CTL_OPTION_LIST:
                return strv_extend(o->target, value);
        case CTL_OPTION_UINT:
                return parse_uint(value, o->target);
        case CTL_OPTION_SIZE:
                return parse_size(value, o->target);
        case CTL_OPTION_USEC:
                return parse_usec(value, o->target);
        case CTL_OPTION_SIGNAL:
                r = parse_signal(value);
                if (r < 0)
                        return r;
                *(int *) o->target = r;
                return 0;
        }
        return -EINVAL;
}

static bool is_choice(const CtlOption *o, const char *value) {
        for (const char *const *c = o->choices; *c; c++)
                if (streq(*c, value))
                        return true;
        return false;
}

typedef struct Parser {
        CommandLine *line;
        char **argv;                    /* what has not been looked at yet; ends with NULL */
        size_t n_words;
        bool rest;                      /* no more options */
        char **ret_error;
} Parser;

/* "infernoctl list" for messages. */
static const char *whose(const Parser *p) {
        return p->line->command ? p->line->command->name : "infernoctl";
}

/* value: of "--name=value" or "-nvalue", NULL: none yet. */
static int take_option(Parser *p, const CtlOption *o, bool common, const char *value) {
        int r;

        if (o->kind != CTL_OPTION_FLAG && !value) {
                value = *p->argv;
                if (!value)
                        return sentence(p->ret_error, -EINVAL, "%s: option --%s needs a value: --%s=%s.", whose(p), o->name, o->name, o->argument);
                p->argv++;
        }
        if (o->word == CTL_WORD_CHOICE && !is_choice(o, value))
                r = -EINVAL;
        else
                r = common ? set_common(p->line, o, value) : set_value(o, value);
        if (r == -EINVAL || r == -ERANGE)
                return sentence(p->ret_error, -EINVAL, "%s: \"%.100s\" is no value for --%s=%s.", whose(p), value, o->name, o->argument);
        return r;
}

static const CtlOption *find_any(const Command *command, const char *name, size_t n, char letter, bool *ret_common) {
        const CtlOption *o = find_option(command ? command->options : NULL, name, n, letter);

        *ret_common = !o;
        if (o)
                return o;
        o = find_option(common_options, name, n, letter);
        /* Before the command it is not known yet whether that has it: checked in the end. */
        return o && o->kind != CTL_OPTION_FLAG && command && !(command->flags & COMMAND_FORMAT) ? NULL : o;
}

const CtlOption *command_option_with_value(const Command *command, const char *name, size_t n, char letter) {
        bool common;
        const CtlOption *o = find_any(command, name, n, letter, &common);

        return o && o->kind != CTL_OPTION_FLAG ? o : NULL;
}

static int take_long(Parser *p, const char *arg) {
        const char *equals = strchr(arg, '=');
        size_t n = equals ? (size_t) (equals - arg) : strlen(arg);
        const CtlOption *o;
        bool common;

        o = find_any(p->line->command, arg, n, 0, &common);
        if (!o)
                return sentence(p->ret_error, -EINVAL, "%s: unknown option \"--%.*s\".", whose(p), (int) MIN(n, (size_t) 100), arg);
        if (equals && o->kind == CTL_OPTION_FLAG)
                return sentence(p->ret_error, -EINVAL, "%s: option --%s takes no value.", whose(p), o->name);
        return take_option(p, o, common, equals ? equals + 1 : NULL);
}

static int take_letters(Parser *p, const char *letters) {
        for (const char *l = letters; *l; l++) {
                const CtlOption *o;
                bool common;
                int r;

                o = find_any(p->line->command, NULL, 0, *l, &common);
                if (!o)
                        return sentence(p->ret_error, -EINVAL, "%s: unknown option \"-%c\".", whose(p), *l >= ' ' && *l < 0x7f ? *l : '?');
                if (o->kind != CTL_OPTION_FLAG)
                        return take_option(p, o, common, l[1] ? l + 1 : NULL);
                r = take_option(p, o, common, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Finds out the command as soon as its one or two words are there, since the options behind it are its own. */
static int take_word(Parser *p, char *word) {
        CommandLine *l = p->line;
        size_t n;

        l->args[p->n_words++] = word;
        if (l->command) {
                if (l->command->flags & COMMAND_REST && p->n_words >= 2)
                        p->rest = true;
                return 0;
        }
        l->command = command_find(l->args, p->n_words, &n);
        if (l->command && n == p->n_words && n == 1 && *p->argv) {
                char *const both[] = { word, *p->argv };
                const Command *longer = command_find(both, ELEMENTSOF(both), &n);

                /* "logs tail" is one of two words, while "logs" is one as well: the second must follow at once, and "--" makes it something else. */
                if (n == 2) {
                        l->command = longer;
                        p->argv++;
                }
        }
        if (l->command) {
                p->n_words = 0;
                return 0;
        }
        if (p->n_words == 1 && command_is_group(word)) {
                l->group = word;
                return 0;
        }
        return sentence(p->ret_error, -EINVAL, "There is no command \"%.50s%s%.50s\": see infernoctl --help.", l->args[0],
                        p->n_words > 1 ? " " : "", p->n_words > 1 ? word : "");
}

static int check_words(const Parser *p) {
        const CommandLine *l = p->line;
        const Command *c = l->command;

        if (p->n_words < c->min_args)
                return sentence(p->ret_error, -EINVAL, "%s: something is missing: infernoctl %s %s", c->name, c->name, c->synopsis);
        if (p->n_words > c->max_args)
                return sentence(p->ret_error, -EINVAL, "%s: \"%.100s\" is a word too many: infernoctl %s %s", c->name, l->args[c->max_args], c->name,
                                c->synopsis);
        for (size_t i = 0; i < p->n_words; i++)
                if ((i == 0 ? c->first : c->rest) == CTL_WORD_VM && !vm_name_is_valid(l->args[i]))
                        return sentence(p->ret_error, -EINVAL, "\"%.100s\" is no name of a VM: " VM_NAME_WANTED ".", l->args[i]);
        if (l->format && !(c->flags & COMMAND_FORMAT))
                return sentence(p->ret_error, -EINVAL, "%s: unknown option \"--format\".", c->name);
        return 0;
}

int command_line_parse(int argc, char **argv, CommandLine *ret, char **ret_error) {
        _cleanup_command_line_ CommandLine l = {};
        Parser p = { .line = &l, .argv = argv + 1, .ret_error = ret_error };
        int r;

        l.args = calloc((size_t) argc + 1, sizeof(char *));
        if (!l.args)
                return -ENOMEM;
        while (*p.argv) {
                char *arg = *p.argv++;

                if (!p.rest && streq(arg, "--")) {
                        p.rest = true;
                        continue;
                }
                if (p.rest || arg[0] != '-' || arg[1] == 0)
                        r = take_word(&p, arg);
                else
                        r = arg[1] == '-' ? take_long(&p, arg + 2) : take_letters(&p, arg + 1);
                if (r < 0)
                        return r;
        }
        l.n_args = l.command ? p.n_words : 0;
        l.args[l.n_args] = NULL;
        if (!l.help && !l.version) {
                if (!l.command)
                        return l.group ? sentence(ret_error, -EINVAL, "%s: what is to be done? See infernoctl %s --help.", l.group, l.group)
                                       : sentence(ret_error, -EINVAL, "What is to be done? See infernoctl --help.");
                r = check_words(&p);
                if (r < 0)
                        return r;
        }
        *ret = l;
        l = (CommandLine) {};
        return 0;
}

/* Two columns; what is too long for the left one has a line of its own. */
static void print_columns(FILE *f, const char *left, const char *right) {
        enum { WIDTH = 30 };
        size_t width = 0;

        for (const char *p = left; *p; p++)
                width += ((unsigned char) *p & 0xc0) != 0x80;   /* "…" is one character of three bytes */
        if (width >= WIDTH) {
                fprintf(f, "  %s\n", left);
                left = "";
                width = 0;
        }
        fprintf(f, "  %s%*s%s\n", left, (int) (WIDTH - width), "", right);
}

static void print_option(FILE *f, const CtlOption *o) {
        char letter[] = { '-', o->letter, ',', ' ', 0 };
        _cleanup_free_ char *left = strf("%s--%s%s%s", o->letter ? letter : "    ", o->name, o->argument ? "=" : "", o->argument ?: "");

        print_columns(f, left ?: o->name, o->help);
}

static const char *const group_titles[_GROUP_MAX] = {
        [GROUP_VMS] = "Virtual machines",
        [GROUP_DEFINITIONS] = "Definitions",
        [GROUP_GUESTS] = "Guests",
        [GROUP_STORAGE] = "Images, versions and volumes",
        [GROUP_HOST] = "This host",
};

static void print_commands(FILE *f, CommandGroup group, const char *first_word) {
        bool titled = false;

        for (const Command *const *c = commands; *c; c++) {
                const char *rest = first_word ? startswith((*c)->name, first_word) : NULL;
                _cleanup_free_ char *left = NULL;

                if ((*c)->group != group || (first_word && (!rest || *rest != ' ')))
                        continue;
                if (!titled)
                        fprintf(f, "\n%s:\n", group_titles[group]);
                titled = true;
                left = strf("%s %s", (*c)->name, (*c)->synopsis);
                print_columns(f, left ?: (*c)->name, (*c)->summary);
        }
}

void help_print(FILE *f, const CommandLine *l) {
        const Command *c = l->command;

        if (!c) {
                fprintf(f, "Usage: infernoctl [OPTIONS…] %s%sCOMMAND …\n\nDefines VMs, and looks after them and what they use.\n", l->group ?: "",
                        l->group ? " " : "");
                for (CommandGroup g = 0; g < _GROUP_MAX; g++)
                        print_commands(f, g, l->group);
        } else {
                fprintf(f, "Usage: infernoctl %s [OPTIONS…] %s\n\n%s.\n", c->name, c->synopsis, c->summary);
                if (c->aliases)
                        fprintf(f, "\nAlso: %s\n", c->aliases);
                if (c->details)
                        fprintf(f, "\n%s\n", c->details);
        }
        fputs("\nOptions:\n", f);
        for (const CtlOption *o = c ? c->options : NULL; o && o->name; o++)
                print_option(f, o);
        for (size_t i = 0; common_option(c, i); i++)
                print_option(f, common_option(c, i));
        fputs("\nSee infernoctl(1).\n", f);
}
