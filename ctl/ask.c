/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <unistd.h>

#include "base/str.h"
#include "ctl/ask.h"

bool can_ask(void) {
        return isatty(STDIN_FILENO);
}

bool ask(const char *question, bool default_yes) {
        char answer[16];

        if (!can_ask())
                return false;
        for (;;) {
                fprintf(stderr, "%s %s ", question, default_yes ? "[Y/n]" : "[y/N]");
                if (!fgets(answer, sizeof(answer), stdin))
                        return false;
                answer[strcspn(answer, "\n")] = 0;
                if (!answer[0])
                        return default_yes;
                if (strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0)
                        return true;
                if (strcasecmp(answer, "n") == 0 || strcasecmp(answer, "no") == 0)
                        return false;
        }
}
