/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the VMM itself gives out: the guest's serial console (its standard output), its standard error, its log and its metrics (two
 * FIFOs, which it opens and must find somebody reading). None of it may hold the VMM up, so all of it is bounded. */

#include <systemd/sd-event.h>

#include "kiln/journal.h"
#include "kiln/tail.h"

typedef struct VmmOutput VmmOutput;

typedef struct VmmOutputOptions {
        const JournalSource *console_source, *vmm_source, *metrics_source;      /* borrowed */
        const char *log_fifo_path, *metrics_fifo_path;  /* NULL: none */
        bool log_metrics;               /* otherwise they are read and forgotten */
        void (*on_end)(void *userdata); /* one of them has ended */
        void *userdata;
} VmmOutputOptions;

/* Makes the FIFOs anew and reads them: before the VMM is there. */
int vmm_output_new(sd_event *event, Journal *journal, const VmmOutputOptions *options, VmmOutput **ret);
VmmOutput *vmm_output_free(VmmOutput *o);
DEFINE_TRIVIAL_CLEANUP_FUNC(VmmOutput *, vmm_output_free)

/* The VMM's pipes; both are consumed, also on failure. */
int vmm_output_attach(VmmOutput *o, int stdout_fd_consume, int stderr_fd_consume);

/* The VMM has gone: reads what is left. Calls on_end. */
void vmm_output_drain(VmmOutput *o);
bool vmm_output_is_idle(const VmmOutput *o);

const Tail *vmm_output_console_tail(const VmmOutput *o);
const Tail *vmm_output_vmm_tail(const VmmOutput *o);    /* of log and standard error together */
