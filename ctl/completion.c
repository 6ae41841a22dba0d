/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "ctl/command.h"
#include "ctl/completion.h"

/* In "'…'" of a shell. */
static void add_quoted(StrBuf *b, const char *s) {
        strbuf_adds(b, "'");
        for (; *s; s++)
                if (*s == '\'')
                        strbuf_adds(b, "'\\''");
                else
                        strbuf_add(b, s, 1);
        strbuf_adds(b, "'");
}

/* Each of the names of a command, its own and aliases: calls f with all its words. */
static void for_each_name(const Command *c, void (*f)(StrBuf *b, const Command *c, const char *group, const char *word), StrBuf *b) {
        const char *space = strchr(c->name, ' ');
        char group[32] = "";

        if (space)
                snprintf(group, sizeof(group), "%.*s", (int) (space - c->name), c->name);
        f(b, c, group, space ? space + 1 : c->name);
        for (const char *p = c->aliases; p && *p;) {
                size_t k = strcspn(p, " ");
                char word[32];

                snprintf(word, sizeof(word), "%.*s", (int) k, p);
                f(b, c, group, word);
                p += k + strspn(p + k, " ");
        }
}

/* The options of a command, its own first. */
static const CtlOption *option_at(const Command *c, size_t i) {
        size_t n = 0;

        while (c->options && c->options[n].name)
                n++;
        return i < n ? c->options + i : common_option(c, i - n);
}

/* The first words, each once. */
static void for_each_first_word(void (*f)(StrBuf *b, const char *word, const char *summary), StrBuf *b) {
        const char *last = "";
        size_t last_n = 0;

        for (const Command *const *c = commands; *c; c++) {
                size_t n = strcspn((*c)->name, " ");
                char word[32];

                if (n == last_n && strncmp(last, (*c)->name, n) == 0)
                        continue;
                last = (*c)->name;
                last_n = n;
                snprintf(word, sizeof(word), "%.*s", (int) n, (*c)->name);
                f(b, word, (*c)->name[n] ? "Several commands" : (*c)->summary);
        }
}

/* A command line that prints what may stand for a word; NULL: nothing that we know. */
static const char *words_of(CtlWord word) {
        switch (word) {
        case CTL_WORD_VM:
                return "infernoctl list --quiet 2>/dev/null";
        case CTL_WORD_VOLUME:
                return "infernoctl volume ls --quiet 2>/dev/null";
        case CTL_WORD_IMAGE:
                return "infernoctl images ls --quiet 2>/dev/null";
        case CTL_WORD_SIGNAL:
                return "echo SIGHUP SIGINT SIGQUIT SIGKILL SIGUSR1 SIGUSR2 SIGTERM SIGCONT SIGSTOP SIGWINCH | tr ' ' '\\n'";
        case CTL_WORD_ANY:
        case CTL_WORD_FILE:
        case CTL_WORD_DIRECTORY:
        case CTL_WORD_CHOICE:
                break;
        }
        return NULL;
}

/* bash(1), "Programmable Completion". */

static void bash_reply(StrBuf *b, CtlWord word, const char *const *choices) {
        switch (word) {
        case CTL_WORD_FILE:
                strbuf_adds(b, "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\"))");
                return;
        case CTL_WORD_DIRECTORY:
                strbuf_adds(b, "compopt -o filenames; COMPREPLY=($(compgen -d -- \"$cur\"))");
                return;
        case CTL_WORD_CHOICE:
                strbuf_adds(b, "COMPREPLY=($(compgen -W '");
                for (const char *const *c = choices; *c; c++)
                        strbuf_addf(b, "%s%s", c == choices ? "" : " ", *c);
                strbuf_adds(b, "' -- \"$cur\"))");
                return;
        default:
                if (words_of(word))
                        strbuf_addf(b, "COMPREPLY=($(compgen -W \"$(%s)\" -- \"$cur\"))", words_of(word));
                else
                        strbuf_adds(b, ":");
        }
}

static void bash_case(StrBuf *b, const Command *c, const char *group, const char *word) {
        strbuf_addf(b, "%s'%s%s%s'", b->size > 0 && b->data[b->size - 1] == '\'' ? "|" : "", group, *group ? " " : "", word);
}

static void bash_first_word(StrBuf *b, const char *word, const char *summary) {
        strbuf_addf(b, "%s ", word);
}

static void bash_command(StrBuf *b, const Command *c) {
        strbuf_adds(b, "        ");
        for_each_name(c, bash_case, b);
        strbuf_adds(b, ")\n                case $prev in\n");
        for (size_t i = 0; option_at(c, i); i++) {
                const CtlOption *o = option_at(c, i);

                if (o->kind == CTL_OPTION_FLAG)
                        continue;
                if (o->letter)
                        strbuf_addf(b, "                -%c|--%s) ", o->letter, o->name);
                else
                        strbuf_addf(b, "                --%s) ", o->name);
                bash_reply(b, o->word, o->choices);
                strbuf_adds(b, "; return ;;\n");
        }
        strbuf_adds(b, "                esac\n                case $cur in\n                -*) COMPREPLY=($(compgen -W '");
        for (size_t i = 0; option_at(c, i); i++)
                strbuf_addf(b, "%s--%s", i > 0 ? " " : "", option_at(c, i)->name);
        strbuf_adds(b, "' -- \"$cur\")) ;;\n");
        if (c->max_args > 0) {
                strbuf_adds(b, "                *) if [ $nth -eq 0 ]; then ");
                bash_reply(b, c->first, NULL);
                strbuf_adds(b, "; else ");
                if (c->max_args > 1)
                        bash_reply(b, c->rest, NULL);
                else
                        strbuf_adds(b, ":");
                strbuf_adds(b, "; fi ;;\n");
        }
        strbuf_adds(b, "                esac ;;\n");
}

static void bash_groups(StrBuf *b) {
        const char *last = "";
        size_t last_n = 0;

        for (const Command *const *c = commands; *c; c++) {
                size_t n = strcspn((*c)->name, " ");

                if (!(*c)->name[n] || (n == last_n && strncmp(last, (*c)->name, n) == 0))
                        continue;
                last = (*c)->name;
                last_n = n;
                strbuf_addf(b, "        %.*s) COMPREPLY=($(compgen -W '", (int) n, last);
                for (const Command *const *d = commands; *d; d++)
                        if (strncmp((*d)->name, last, n) == 0 && (*d)->name[n] == ' ')
                                strbuf_addf(b, "%s ", (*d)->name + n + 1);
                strbuf_adds(b, "' -- \"$cur\")) ;;\n");
        }
}

/* Which words are options, and which their values, a line knows by "=": what follows "--name VALUE" is taken for a word of the command, and only the
 * number of words is wrong then. bash splits words at "=", so the one before counts as the previous. */
static void add_bash(StrBuf *b) {
        strbuf_adds(b, "# bash completion for infernoctl; made by \"infernoctl completion bash\"\n\n"
                       "_infernoctl() {\n"
                       "        local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word command= nth=0 i\n"
                       "        COMPREPLY=()\n"
                       "        if [ \"$cur\" = = ]; then cur=; elif [ \"$prev\" = = ]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
                       "        for ((i = 1; i < COMP_CWORD; i++)); do\n"
                       "                word=${COMP_WORDS[i]}\n"
                       "                case $word in\n"
                       "                --) return ;;\n"
                       "                -*) ;;\n"
                       "                =) i=$((i + 1)) ;;\n"
                       "                *) case $command in\n"
                       "                        '') command=$word ;;\n"
                       "                        ");
        for (const Command *const *c = commands; *c; c++) {
                size_t n = strcspn((*c)->name, " ");

                if ((*c)->name[n] && (c == commands || strncmp(c[-1]->name, (*c)->name, n + 1) != 0))
                        strbuf_addf(b, "%.*s) command=\"$command $word\" ;;\n                        ", (int) n, (*c)->name);
        }
        strbuf_adds(b, "*) nth=$((nth + 1)) ;;\n"
                       "                        esac ;;\n"
                       "                esac\n"
                       "        done\n"
                       "        case $command in\n"
                       "        '') COMPREPLY=($(compgen -W '");
        for_each_first_word(bash_first_word, b);
        strbuf_adds(b, "--help --version' -- \"$cur\")) ;;\n");
        bash_groups(b);
        for (const Command *const *c = commands; *c; c++)
                bash_command(b, *c);
        strbuf_adds(b, "        esac\n}\n\ncomplete -F _infernoctl infernoctl\n");
}

/* zshcompsys(1). */

static void zsh_action(StrBuf *b, CtlWord word, const char *const *choices) {
        switch (word) {
        case CTL_WORD_FILE:
                strbuf_adds(b, "_files");
                return;
        case CTL_WORD_DIRECTORY:
                strbuf_adds(b, "_files -/");
                return;
        case CTL_WORD_CHOICE:
                strbuf_adds(b, "(");
                for (const char *const *c = choices; *c; c++)
                        strbuf_addf(b, "%s%s", c == choices ? "" : " ", *c);
                strbuf_adds(b, ")");
                return;
        case CTL_WORD_VM:
                strbuf_adds(b, "_infernoctl_vms");
                return;
        case CTL_WORD_VOLUME:
                strbuf_adds(b, "_infernoctl_volumes");
                return;
        case CTL_WORD_IMAGE:
                strbuf_adds(b, "_infernoctl_images");
                return;
        case CTL_WORD_SIGNAL:
                strbuf_adds(b, "_signals -s");
                return;
        case CTL_WORD_ANY:
                strbuf_adds(b, " ");
        }
}

/* In a specification of _arguments, ":" and brackets are special. */
static void zsh_text(StrBuf *b, const char *s) {
        for (; *s; s++) {
                if (strchr(":[]\\", *s))
                        strbuf_adds(b, "\\");
                if (*s == '\'')
                        strbuf_adds(b, "'\\''");
                else
                        strbuf_add(b, s, 1);
        }
}

static void zsh_option(StrBuf *b, const CtlOption *o) {
        strbuf_adds(b, " \\\n                        ");
        if (o->letter)
                strbuf_addf(b, "'(-%c --%s)'{-%c%s,--%s%s}'", o->letter, o->name, o->letter, o->argument ? "+" : "", o->name, o->argument ? "=" : "");
        else
                strbuf_addf(b, "'%s--%s%s", o->kind == CTL_OPTION_LIST ? "*" : "", o->name, o->argument ? "=" : "");
        strbuf_adds(b, "[");
        zsh_text(b, o->help);
        strbuf_adds(b, "]");
        if (o->argument) {
                strbuf_adds(b, ":");
                zsh_text(b, o->argument);
                strbuf_adds(b, ":");
                zsh_action(b, o->word, o->choices);
        }
        strbuf_adds(b, "'");
}

static void zsh_command(StrBuf *b, const Command *c) {
        strbuf_adds(b, "        ");
        for_each_name(c, bash_case, b);
        strbuf_adds(b, ")\n                _arguments -s");
        for (size_t i = 0; option_at(c, i); i++)
                zsh_option(b, option_at(c, i));
        if (c->max_args > 0) {
                strbuf_adds(b, " \\\n                        '1:word:");
                zsh_action(b, c->first, NULL);
                strbuf_adds(b, "'");
        }
        if (c->max_args > 1) {
                strbuf_adds(b, " \\\n                        '*:word:");
                zsh_action(b, c->rest, NULL);
                strbuf_adds(b, "'");
        }
        strbuf_adds(b, " ;;\n");
}

static void zsh_first_word(StrBuf *b, const char *word, const char *summary) {
        strbuf_addf(b, "                '%s:", word);
        zsh_text(b, summary);
        strbuf_adds(b, "'\n");
}

static void zsh_groups(StrBuf *b) {
        for (const Command *const *c = commands; *c; c++) {
                size_t n = strcspn((*c)->name, " ");

                if (!(*c)->name[n] || (c > commands && strncmp(c[-1]->name, (*c)->name, n + 1) == 0))
                        continue;
                strbuf_addf(b, "        %.*s)\n                words_=(\n", (int) n, (*c)->name);
                for (const Command *const *d = commands; *d; d++)
                        if (strncmp((*d)->name, (*c)->name, n + 1) == 0)
                                zsh_first_word(b, (*d)->name + n + 1, (*d)->summary);
                strbuf_addf(b, "                )\n"
                               "                if ((CURRENT == 2)); then _describe command words_; return; fi\n"
                               "                command=\"%.*s $words[2]\"\n"
                               "                shift words; ((CURRENT--)) ;;\n",
                            (int) n, (*c)->name);
        }
}

static void add_zsh(StrBuf *b) {
        strbuf_adds(b, "#compdef infernoctl\n# Made by \"infernoctl completion zsh\"\n\n");
        strbuf_addf(b, "_infernoctl_vms() { local -a names; names=(${(f)\"$(%s)\"}); compadd -a names }\n", words_of(CTL_WORD_VM));
        strbuf_addf(b, "_infernoctl_volumes() { local -a names; names=(${(f)\"$(%s)\"}); compadd -a names }\n", words_of(CTL_WORD_VOLUME));
        strbuf_addf(b, "_infernoctl_images() { local -a names; names=(${(f)\"$(%s)\"}); compadd -a names }\n\n", words_of(CTL_WORD_IMAGE));
        strbuf_adds(b, "_infernoctl() {\n"
                       "        local command\n"
                       "        local -a words_\n"
                       "        words_=(\n");
        for_each_first_word(zsh_first_word, b);
        strbuf_adds(b, "        )\n"
                       "        if ((CURRENT == 2)); then _describe command words_; return; fi\n"
                       "        shift words; ((CURRENT--))\n"
                       "        command=$words[1]\n"
                       "        case $command in\n");
        zsh_groups(b);
        strbuf_adds(b, "        esac\n        case $command in\n");
        for (const Command *const *c = commands; *c; c++)
                zsh_command(b, *c);
        strbuf_adds(b, "        esac\n}\n\n_infernoctl \"$@\"\n");
}

/* fish's complete(1). */

static void fish_first_word(StrBuf *b, const char *word, const char *summary) {
        strbuf_addf(b, "complete -c infernoctl -n __infernoctl_no_command -a %s -d ", word);
        add_quoted(b, summary);
        strbuf_adds(b, "\n");
}

static void fish_name(StrBuf *b, const Command *c, const char *group, const char *word) {
        strbuf_addf(b, " '%s%s%s'", group, *group ? " " : "", word);
}

static void fish_words(StrBuf *b, CtlWord word, const char *const *choices) {
        if (word == CTL_WORD_FILE)
                strbuf_adds(b, " -F");
        else if (word == CTL_WORD_DIRECTORY)
                strbuf_adds(b, " -a '(__fish_complete_directories)'");
        else if (word == CTL_WORD_CHOICE) {
                strbuf_adds(b, " -a '");
                for (const char *const *c = choices; *c; c++)
                        strbuf_addf(b, "%s%s", c == choices ? "" : " ", *c);
                strbuf_adds(b, "'");
        } else if (words_of(word)) {
                _cleanup_free_ char *call = strf("(%s)", words_of(word));

                strbuf_adds(b, " -a ");
                add_quoted(b, call ?: "");
        }
}

static void fish_command(StrBuf *b, const Command *c) {
        _cleanup_strbuf_ StrBuf condition = {};

        strbuf_adds(&condition, "complete -c infernoctl -n \"__infernoctl_is");
        for_each_name(c, fish_name, &condition);
        strbuf_adds(&condition, "\"");
        if (condition.failed)
                b->failed = true;
        if (b->failed)
                return;
        for (size_t i = 0; option_at(c, i); i++) {
                const CtlOption *o = option_at(c, i);

                strbuf_addf(b, "%s -l %s", condition.data, o->name);
                if (o->letter)
                        strbuf_addf(b, " -s %c", o->letter);
                if (o->argument) {
                        strbuf_adds(b, " -r");
                        fish_words(b, o->word, o->choices);
                }
                strbuf_adds(b, " -d ");
                add_quoted(b, o->help);
                strbuf_adds(b, "\n");
        }
        if (c->max_args > 0) {
                strbuf_adds(b, condition.data);
                fish_words(b, c->first, NULL);
                strbuf_adds(b, "\n");
        }
}

static void add_fish(StrBuf *b) {
        strbuf_adds(b, "# fish completion for infernoctl; made by \"infernoctl completion fish\"\n\n"
                       "function __infernoctl_words\n"
                       "        for word in (commandline -opc)[2..]\n"
                       "                string match -q -- '-*' $word; or echo $word\n"
                       "        end\n"
                       "end\n"
                       "function __infernoctl_no_command\n"
                       "        test (count (__infernoctl_words)) -eq 0\n"
                       "end\n"
                       "function __infernoctl_is\n"
                       "        set -l words (__infernoctl_words)\n"
                       "        contains -- \"$words[1]\" $argv; or contains -- \"$words[1] $words[2]\" $argv\n"
                       "end\n"
                       "function __infernoctl_group\n"
                       "        set -l words (__infernoctl_words)\n"
                       "        test (count $words) -eq 1; and test \"$words[1]\" = $argv[1]\n"
                       "end\n"
                       "complete -c infernoctl -f\n");
        for_each_first_word(fish_first_word, b);
        for (const Command *const *c = commands; *c; c++) {
                size_t n = strcspn((*c)->name, " ");

                if ((*c)->name[n]) {
                        strbuf_addf(b, "complete -c infernoctl -n '__infernoctl_group %.*s' -a %s -d ", (int) n, (*c)->name, (*c)->name + n + 1);
                        add_quoted(b, (*c)->summary);
                        strbuf_adds(b, "\n");
                }
                fish_command(b, *c);
        }
}

int completion_script(const char *shell, char **ret) {
        _cleanup_strbuf_ StrBuf b = {};

        if (streq(shell, "bash"))
                add_bash(&b);
        else if (streq(shell, "zsh"))
                add_zsh(&b);
        else if (streq(shell, "fish"))
                add_fish(&b);
        else
                return -EINVAL;
        return strbuf_finish(&b, ret, NULL);
}
