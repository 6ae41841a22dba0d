/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "ctl/completion.h"
#include "ctl/options.h"

/* bash(1), "Programmable Completion". Readline splits words also at "=" and ":", where these are in COMP_WORDBREAKS, and replaces what is behind them
 * alone; so the words are taken from the line, in which quoted blanks are the only thing that is not understood. */
static const char bash_script[] =
        "# bash completion for infernoctl, made by \"infernoctl completion bash\"\n"
        "\n"
        "_infernoctl() {\n"
        "        local line=${COMP_LINE:0:COMP_POINT} breaks=${COMP_WORDBREAKS//[^=:]/} cur before= value\n"
        "        local -a words lines\n"
        "        read -r -a words <<<\"$line\"\n"
        "        [[ $line == *[[:blank:]] ]] && words+=('')\n"
        "        cur=${words[-1]}\n"
        "        [ -n \"$breaks\" ] && before=${cur%\"${cur##*[\"$breaks\"]}\"}\n"
        "        mapfile -t lines < <(infernoctl completion words -- \"${words[@]:1}\" 2>/dev/null)\n"
        "        COMPREPLY=()\n"
        "        for line in \"${lines[@]}\"; do\n"
        "                case $line in\n"
        "                :files|:directories)\n"
        "                        [[ $cur == --*=* ]] && cur=${cur#*=}\n"
        "                        compopt -o filenames\n"
        "                        if [ \"$line\" = :files ]; then mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
        "                        else mapfile -t COMPREPLY < <(compgen -d -- \"$cur\"); fi ;;\n"
        "                *)\n"
        "                        value=${line%%$'\\t'*}\n"
        "                        printf -v value %q \"${value#\"$before\"}\"\n"
        "                        COMPREPLY+=(\"$value\") ;;\n"
        "                esac\n"
        "        done\n"
        "        [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
        "        return 0\n"
        "}\n"
        "complete -F _infernoctl infernoctl\n";

/* zshcompsys(1). */
static const char zsh_script[] =
        "#compdef infernoctl\n"
        "# Made by \"infernoctl completion zsh\"\n"
        "\n"
        "_infernoctl() {\n"
        "        local -a lines plain open\n"
        "        local line entry ret=1\n"
        "        lines=(\"${(@f)$(infernoctl completion words -- \"${(@Q)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
        "        for line in $lines; do\n"
        "                case $line in\n"
        "                (:files|:directories)\n"
        "                        [[ $PREFIX == --*=* ]] && compset -P '*='\n"
        "                        if [[ $line == :files ]]; then _files; else _files -/; fi\n"
        "                        return ;;\n"
        "                esac\n"
        "                entry=${${line%%$'\\t'*}//:/\\\\:}\n"
        "                [[ $line == *$'\\t'* ]] && entry+=:${line#*$'\\t'}\n"
        "                if [[ ${line%%$'\\t'*} == *= ]]; then open+=($entry); else plain+=($entry); fi\n"
        "        done\n"
        "        (($#plain)) && _describe infernoctl plain && ret=0\n"
        "        (($#open)) && _describe infernoctl open -S '' && ret=0\n"
        "        return ret\n"
        "}\n"
        "\n"
        "_infernoctl \"$@\"\n";

/* fish's complete(1). */
static const char fish_script[] =
        "# fish completion for infernoctl, made by \"infernoctl completion fish\"\n"
        "\n"
        "function __infernoctl_complete\n"
        "        set -l current (commandline -ct)\n"
        "        set -l option (string match -r -- '^--[^=]*=' $current)\n"
        "        set -l value (string replace -r -- '^--[^=]*=' '' $current)\n"
        "        for line in (infernoctl completion words -- (commandline -opc)[2..] \"$current\" 2>/dev/null)\n"
        "                switch $line\n"
        "                        case ':files'\n"
        "                                for found in (__fish_complete_path \"$value\")\n"
        "                                        echo \"$option$found\"\n"
        "                                end\n"
        "                        case ':directories'\n"
        "                                for found in (__fish_complete_directories \"$value\" '')\n"
        "                                        echo \"$option$found\"\n"
        "                                end\n"
        "                        case '*'\n"
        "                                echo $line\n"
        "                end\n"
        "        end\n"
        "end\n"
        "complete -c infernoctl -f -a '(__infernoctl_complete)'\n";

const char *completion_script(const char *shell) {
        return streq(shell, "bash") ? bash_script : streq(shell, "zsh") ? zsh_script : streq(shell, "fish") ? fish_script : NULL;
}

/* What the words before the last one have made of the line. */
typedef struct Line {
        const Command *command;         /* NULL: not known yet */
        const char *group;              /* the first word, where the second may still make it a command of two */
        size_t n_args;
        bool rest;                      /* behind "--" */
        const CtlOption *value_of;      /* the last word is the value of this option */
        bool wrong;                     /* nothing is known of it */
} Line;

typedef struct Answer {
        const char *current;            /* as it has been begun */
        size_t n_prefix;                /* so much of it stands before each candidate: "--state=" */
        StrBuf *lines;
} Answer;

/* The option of "-t", "-it" or "--timeout" whose value the next word is; NULL: that is none. */
static const CtlOption *wants_next(const Command *command, const char *word) {
        if (word[1] == '-')
                return strchr(word, '=') ? NULL : command_option_with_value(command, word + 2, strlen(word + 2), 0);
        for (const char *l = word + 1; *l; l++) {
                const CtlOption *o = command_option_with_value(command, NULL, 0, *l);

                if (o)
                        return l[1] ? NULL : o;
        }
        return NULL;
}

/* As command_line_parse() goes through them, but for what is wrong, which may be about to become right. */
static void take_word(Line *l, char *word) {
        char *const both[] = { (char *) l->group, word };
        const Command *longer;
        size_t n;

        if (l->group) {
                longer = command_find(both, ELEMENTSOF(both), &n);
                l->group = NULL;
                if (longer && n == 2)
                        l->command = longer;
                else if (l->command)
                        l->n_args++;
                else
                        l->wrong = true;
        } else if (l->command)
                l->n_args++;
        else {
                l->command = command_find(&word, 1, &n);
                l->group = command_is_group(word) ? word : NULL;
                l->wrong = !l->command && !l->group;
        }
}

static void scan(char *const *words, size_t n, Line *l) {
        for (size_t i = 0; i < n && !l->wrong; i++) {
                if (!l->rest && streq(words[i], "--")) {
                        l->rest = true;
                        l->group = l->command ? NULL : l->group;
                } else if (!l->rest && words[i][0] == '-' && words[i][1]) {
                        l->group = l->command ? NULL : l->group;
                        l->value_of = wants_next(l->command, words[i]);
                        if (l->value_of && i + 1 < n) {
                                l->value_of = NULL;
                                i++;
                        }
                } else
                        take_word(l, words[i]);
        }
}

/* A name that would be more than a line is none of ours. */
static void add(Answer *a, const char *candidate, const char *suffix, const char *text) {
        if (startswith(candidate, a->current + a->n_prefix) && !strpbrk(candidate, "\t\n"))
                strbuf_addf(a->lines, "%.*s%s%s%s%s\n", (int) a->n_prefix, a->current, candidate, suffix, text ? "\t" : "", text ?: "");
}

static int add_names(Answer *a, CtlWord word, CompletionNames names, void *userdata) {
        _cleanup_strv_ char **found = NULL;
        int r;

        r = names(word, &found, userdata);
        if (r < 0)
                return r;
        STRV_FOREACH(name, found)
                add(a, *name, "", NULL);
        return 0;
}

static int add_values(Answer *a, CtlWord word, const char *const *choices, CompletionNames names, void *userdata) {
        static const char *const signals[] = { "SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGCONT", "SIGSTOP", "SIGWINCH", NULL };
        static const char *const shells[] = { "bash", "zsh", "fish", NULL };

        switch (word) {
        case CTL_WORD_VM:
        case CTL_WORD_VOLUME:
        case CTL_WORD_IMAGE:
                return add_names(a, word, names, userdata);
        case CTL_WORD_FILE:
                strbuf_adds(a->lines, ":files\n");
                return 0;
        case CTL_WORD_DIRECTORY:
                strbuf_adds(a->lines, ":directories\n");
                return 0;
        case CTL_WORD_SIGNAL:
                choices = signals;
                break;
        case CTL_WORD_SHELL:
                choices = shells;
                break;
        case CTL_WORD_CHOICE:
        case CTL_WORD_ANY:
                break;
        }
        for (const char *const *c = choices; c && *c; c++)
                add(a, *c, "", NULL);
        return 0;
}

static void add_option(Answer *a, const CtlOption *o) {
        _cleanup_free_ char *name = strjoin("--", o->name);

        if (name)
                add(a, name, o->argument ? "=" : "", o->help);
        else
                a->lines->failed = true;
}

static void add_options(Answer *a, const Command *command) {
        for (const CtlOption *o = command ? command->options : NULL; o && o->name; o++)
                add_option(a, o);
        for (size_t i = 0; common_option(command, i); i++)
                add_option(a, common_option(command, i));
}

/* The first words of all commands, each once; or, of a group, the second ones. */
static void add_commands(Answer *a, const char *group) {
        size_t n_group = group ? strlen(group) : 0;

        for (const Command *const *c = commands; *c; c++) {
                const char *name = (*c)->name, *summary = (*c)->summary;
                _cleanup_free_ char *word = NULL;
                size_t n;

                if (group && (strncmp(name, group, n_group) != 0 || name[n_group] != ' '))
                        continue;
                name += group ? n_group + 1 : 0;
                n = strcspn(name, " ");
                if (!group && c > commands && strncmp(c[-1]->name, name, n) == 0 && (c[-1]->name[n] == 0 || c[-1]->name[n] == ' '))
                        continue;
                word = strndup(name, n);
                if (word)
                        add(a, word, "", name[n] ? NULL : summary);
                else
                        a->lines->failed = true;
        }
}

static int answer(Answer *a, const Line *l, CompletionNames names, void *userdata) {
        const char *current = a->current, *equals = strchr(current, '=');
        const CtlOption *o;

        if (l->wrong)
                return 0;
        if (l->value_of)
                return add_values(a, l->value_of->word, l->value_of->choices, names, userdata);
        /* Somebody else's command line. */
        if (l->command && l->command->flags & COMMAND_REST && (l->n_args >= 2 || (l->rest && l->n_args >= 1)))
                return 0;
        if (!l->rest && startswith(current, "--") && equals) {
                a->n_prefix = (size_t) (equals + 1 - current);
                o = command_option_with_value(l->command, current + 2, a->n_prefix - 3, 0);
                return o ? add_values(a, o->word, o->choices, names, userdata) : 0;
        }
        if (!l->rest && *current == '-') {
                add_options(a, l->command);
                return 0;
        }
        if (!l->command || l->group)
                add_commands(a, l->group);
        if (l->command && l->n_args < l->command->max_args)
                return add_values(a, l->n_args == 0 ? l->command->first : l->command->rest, NULL, names, userdata);
        return 0;
}

int completion_words(char *const *words, size_t n, CompletionNames names, void *userdata, char **ret) {
        _cleanup_strbuf_ StrBuf lines = {};
        Answer a = { .current = n > 0 ? words[n - 1] : "", .lines = &lines };
        Line l = {};
        int r;

        scan(words, n > 0 ? n - 1 : 0, &l);
        r = answer(&a, &l, names, userdata);
        return r < 0 ? r : strbuf_finish(&lines, ret, NULL);
}
