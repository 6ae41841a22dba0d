/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One run of infernoctl: what was asked for, and what commands work with, each opened when it is first wanted and closed at the end.
 *
 * Functions that return "0 or an exit code" have said what is wrong. */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "ctl/command.h"
#include "ctl/table.h"
#include "definition/definition.h"
#include "net/address.h"
#include "store/store.h"

typedef enum CtlFormat { CTL_TABLE, CTL_JSON } CtlFormat;

struct Ctl {
        const Command *command;
        CtlFormat format;
        bool quiet;

        /* All owned; by the functions below. */
        SiteConfig site;
        bool have_site;
        NetRange range;
        Store *store;
        sd_bus *bus;
};

/* The whole program: main()'s value. */
int ctl_main(int argc, char **argv);

/* inferno.conf into c->site and c->range. 0 or an exit code. */
int ctl_need_site(Ctl *c);
/* The database into c->store, made where there is none. 0 or an exit code. */
int ctl_need_store(Ctl *c);
/* The same for commands that only look: c->store stays NULL where there is no database yet, and where the caller may not read it. */
int ctl_want_store(Ctl *c);
/* The system bus into c->bus, with the time limit of bus.h. 0 or an exit code. */
int ctl_need_bus(Ctl *c);

/* The definition of a VM. 0; CTL_NO_SUCH_VM where there is none or it is masked; EXIT_FAILED where it is wrong, with its lines. */
int ctl_load_definition(Ctl *c, const char *vm, Definition **ret);
/* Whether there is a VM of that name, by its definition, also a wrong one, or by its unit, which may run without. 0 or CTL_NO_SUCH_VM … */
int ctl_check_vm(Ctl *c, const char *vm);
/* Whether its guest runs: 0, CTL_NO_SUCH_VM, CTL_NOT_RUNNING … */
int ctl_check_running(Ctl *c, const char *vm);

/* Prints a list, as --format= says; with --quiet the first column alone, a line each. 0 or a negative errno, logged. */
int ctl_print_table(const Ctl *c, const Table *t);
/* Prints a document for --format=json, indented, in the order in which it was made. Consumes it; NULL: no memory. Returns 0 or -EIO, -ENOMEM, logged. */
int ctl_print_json(json_t *j_consume);
/* An array of {address, host_port, guest_port, protocol}. NULL: no memory. */
json_t *ctl_published_to_json(const PublishedPort *ports, size_t n);
/* Flushes standard output, so that a full disk is a failure. 0 or -EIO, logged. */
int ctl_flush(void);
/* Logs the sentence (NULL: no memory) of a failure, and returns r. */
int ctl_log_sentence(int r, const char *text);
