/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* systemd over the bus: units of VMs, jobs. *ret_error is a sentence for people where a function has one, NULL: no memory. */

#include <systemd/sd-bus.h>

#include "base/macros.h"

/* systemd answers a question within this, or is not well. */
#define BUS_TIMEOUT_USEC (25 * USEC_PER_SEC)

int bus_open(sd_bus **ret, char **ret_error);
/* "252.30-1". */
int bus_get_systemd_version(sd_bus *bus, char **ret, char **ret_error);

/* inferno@VM.service as systemd has it now; one that is not loaded is "inactive". Strings are never NULL. */
typedef struct BusUnit {
        char *load_state;               /* "loaded", "not-found", "masked", … */
        char *active_state;             /* "active", "inactive", "failed", "activating", "deactivating", "reloading" */
        char *sub_state;                /* "running", "start-pre", … */
        char *file_state;               /* "generated", … */
        char *result;                   /* "success", "exit-code", "signal", "timeout", "watchdog", … */
        char *status_text;              /* what kiln says of itself */
        char *slice, *control_group, *description;
        char *invocation_id;            /* 32 hex digits; empty: has not run */
        char **environment;             /* NAME=VALUE, what the unit sets itself; may be NULL */
        uint64_t active_enter_usec, active_exit_usec;                           /* wall clock; 0: never */
        uint64_t inactive_enter_usec, inactive_exit_usec, main_exit_usec;
        uint64_t memory_current, cpu_usage_nsec, tasks_current;                 /* UINT64_MAX: not known */
        uint32_t main_pid, n_restarts;
        int32_t main_code, main_status; /* CLD_EXITED and the exit code, or CLD_KILLED, CLD_DUMPED and the signal; 0: has not ended yet */
        bool need_daemon_reload;
} BusUnit;
void bus_unit_done(BusUnit *u);
#define _cleanup_bus_unit_ _cleanup_(bus_unit_done)

int bus_get_unit(sd_bus *bus, const char *vm, BusUnit *ret, char **ret_error);
/* The ActiveState of any unit, by its whole name: a tenth of the time of all that bus_get_unit() asks for. */
int bus_get_active_state(sd_bus *bus, const char *unit, char **ret, char **ret_error);
/* Its UnitFileState, also by its whole name: "enabled", "disabled", …; "": there is no such unit. */
int bus_get_file_state(sd_bus *bus, const char *unit, char **ret, char **ret_error);
/* 1: the unit of a VM is anything but inactive and failed. */
int bus_vm_is_active(sd_bus *bus, const char *vm, char **ret_error);

/* What a unit uses by its cgroup; UINT64_MAX: not known. */
typedef struct BusUsage {
        uint64_t memory, cpu_nsec, tasks;
        uint64_t active_enter_usec;     /* wall clock */
} BusUsage;
int bus_get_usage(sd_bus *bus, const char *vm, BusUsage *ret, char **ret_error);
/* Whether the guest's main process is, or is going to be, there: anything but inactive and failed. */
bool bus_unit_is_active(const BusUnit *u);
/* The exit code of the run that has ended last, as a shell has it: kiln's, which is the guest's own, 128 + n for a signal; EXIT_FAILED where it did not
 * come to that, 0 where it has ended well. */
int bus_unit_exit_code(const BusUnit *u);

/* All units of VMs that systemd has loaded, in one call. */
typedef struct BusUnitSummary {
        char *vm, *load_state, *active_state, *sub_state;
} BusUnitSummary;
void bus_unit_summaries_free(BusUnitSummary *u, size_t n);
/* Sorted by vm, bytewise. */
int bus_list_units(sd_bus *bus, BusUnitSummary **ret, size_t *ret_n, char **ret_error);

/* Keeps systemd from forgetting the unit, and with it how it ended, as long as this connection is there. */
int bus_ref_unit(sd_bus *bus, const char *vm, char **ret_error);
/* Has systemd send its signals to this connection. */
int bus_subscribe(sd_bus *bus, char **ret_error);
/* Whoever subscribed is woken when a property of the unit changes, until the slot is freed: bus_wait_change(), or the event loop. */
int bus_watch_unit(sd_bus *bus, const char *vm, sd_bus_slot **ret);
/* Waits until something has come from the bus. -ETIMEDOUT: not until this moment, of bus_deadline(). */
int bus_wait_change(sd_bus *bus, uint64_t deadline);
/* The moment, of the monotonic clock, that is so far away; UINT64_MAX: for ever. */
uint64_t bus_deadline(uint64_t usec);

/* "KillUnit": a signal to the main process alone ("main"), or to all ("all"). */
int bus_kill_unit(sd_bus *bus, const char *vm, const char *who, int signo, char **ret_error);
int bus_reset_failed(sd_bus *bus, const char *vm, char **ret_error);

/* Jobs that we have asked for; subscribes. Made before the first is asked for, so that none can end unseen. */
typedef struct BusJobs BusJobs;
int bus_jobs_new(sd_bus *bus, BusJobs **ret, char **ret_error);
BusJobs *bus_jobs_free(BusJobs *j);
DEFINE_TRIVIAL_CLEANUP_FUNC(BusJobs *, bus_jobs_free)

/* "StartUnit", "StopUnit", "RestartUnit"; mode "replace". */
int bus_jobs_add(BusJobs *j, const char *method, const char *vm, char **ret_error);
/* The same of a unit by its whole name, which bus_jobs_result() knows it by. */
int bus_jobs_add_unit(BusJobs *j, const char *method, const char *unit, char **ret_error);
/* How many have not ended; with an event loop attached to the bus that is all there is to do. */
size_t bus_jobs_pending(const BusJobs *j);
/* Waits for all, without an event loop: at most so long (UINT64_MAX: for ever). -ETIMEDOUT. */
int bus_jobs_wait(BusJobs *j, uint64_t timeout_usec);
/* How the job of a VM ended: "done", "failed", "canceled", "timeout", "dependency", "skipped"; NULL: not yet, or there is none. */
const char *bus_jobs_result(const BusJobs *j, const char *vm);
/* There is one that has not ended. */
bool bus_jobs_waits_for(const BusJobs *j, const char *vm);
