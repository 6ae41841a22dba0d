/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The jailer's command line: that of Firecracker's jailer (docs/jailer.md there), with "--x=V" besides "--x V". */

#include <sys/resource.h>

#include "base/macros.h"

typedef struct CgroupSetting {
        char *controller;               /* "cpu" */
        char *file;                     /* "cpu.shares" */
        char *value;
} CgroupSetting;

typedef struct JailerOptions {
        const char *id;                 /* borrowed from argv, like all strings below that are const */
        char *exec_path;                /* absolute, without symlinks */
        const char *exec_name;          /* its last component */
        unsigned uid, gid;
        char *base;                     /* absolute, without symlinks */
        const char *netns;              /* NULL: stay */
        bool daemonize;
        bool new_pid_ns;

        unsigned cgroup_version;
        const char *parent_cgroup;      /* relative */
        CgroupSetting *cgroups;
        size_t n_cgroups;

        rlim_t file_size;               /* RLIM_INFINITY: as it is */
        rlim_t n_files;

        char **extra;                   /* what follows "--", NULL-terminated */
} JailerOptions;

enum { JAILER_OPTIONS_DONE = 1 };

/* JAILER_OPTIONS_DONE: help or version was printed. Negative: what is wrong was logged; -EINVAL is a wrong command line. */
int jailer_options_parse(JailerOptions *ret, char **argv);
void jailer_options_done(JailerOptions *o);
#define _cleanup_jailer_options_ _cleanup_(jailer_options_done)
