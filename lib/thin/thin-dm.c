/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dlfcn.h>
#include <libdevmapper.h>

#include "base/sentence.h"
#include "base/str.h"
#include "thin/thin-dm.h"

#define LIBRARY "libdevmapper.so.1.02.1"

/* What is called of it. */
static struct {
        void *handle;
        typeof(dm_task_create) *task_create;
        typeof(dm_task_destroy) *task_destroy;
        typeof(dm_task_set_name) *task_set_name;
        typeof(dm_task_run) *task_run;
        typeof(dm_task_get_info) *task_get_info;
        typeof(dm_task_no_flush) *task_no_flush;
        typeof(dm_get_next_target) *get_next_target;
        typeof(dm_log_with_errno_init) *log_init;
} lib;

/* Its words would go to standard error otherwise; what is not there is an answer, too. */
static void on_log(int level, const char *file, int line, int dm_errno_or_class, const char *f, ...) {
}

static int load(char **ret_error) {
        const struct {
                const char *name;
                void **function;
        } symbols[] = {
                { "dm_task_create", (void **) &lib.task_create },
                { "dm_task_destroy", (void **) &lib.task_destroy },
                { "dm_task_set_name", (void **) &lib.task_set_name },
                { "dm_task_run", (void **) &lib.task_run },
                { "dm_task_get_info", (void **) &lib.task_get_info },
                { "dm_task_no_flush", (void **) &lib.task_no_flush },
                { "dm_get_next_target", (void **) &lib.get_next_target },
                { "dm_log_with_errno_init", (void **) &lib.log_init },
        };

        if (lib.handle)
                return 0;
        lib.handle = dlopen(LIBRARY, RTLD_NOW | RTLD_NODELETE);
        for (size_t i = 0; lib.handle && i < ELEMENTSOF(symbols); i++) {
                *symbols[i].function = dlsym(lib.handle, symbols[i].name);
                if (!*symbols[i].function) {
                        dlclose(lib.handle);
                        lib.handle = NULL;
                }
        }
        if (!lib.handle)
                return sentence(ret_error, -ENOPKG, "LVM needs " LIBRARY ": install libdevmapper1.02.1 and lvm2.");
        lib.log_init(on_log);
        return 0;
}

static void freep_task(struct dm_task **t) {
        if (*t)
                lib.task_destroy(*t);
}
#define _cleanup_task_ _cleanup_(freep_task)

/* Runs a task on one device. 1, 0 where the kernel knows none of that name; *ret only in the former case. */
static int run(int type, const char *name, struct dm_task **ret, char **ret_error) {
        _cleanup_task_ struct dm_task *t = NULL;
        struct dm_info info = {};
        int r;

        r = load(ret_error);
        if (r < 0)
                return r;
        t = lib.task_create(type);
        /* What the pool has not written yet is not waited for: that may take long. */
        if (!t || !lib.task_set_name(t, name) || !lib.task_no_flush(t))
                return -ENOMEM;
        if (!lib.task_run(t) || !lib.task_get_info(t, &info) || !info.exists)
                return 0;
        *ret = TAKE_PTR(t);
        return 1;
}

int thin_dm_exists(const char *name, char **ret_error) {
        _cleanup_task_ struct dm_task *t = NULL;

        return run(DM_DEVICE_INFO, name, &t, ret_error);
}

static int query(int type, const char *name, const char *target, char **ret, char **ret_error) {
        _cleanup_task_ struct dm_task *t = NULL;
        char *found = NULL, *params = NULL;
        uint64_t start, length;
        int r;

        r = run(type, name, &t, ret_error);
        if (r <= 0)
                return r < 0 ? r : -ENXIO;
        (void) lib.get_next_target(t, NULL, &start, &length, &found, &params);
        if (!found || !params || !streq(found, target))
                return -ENXIO;
        *ret = strdup(params);
        return *ret ? 0 : -ENOMEM;
}

int thin_dm_query(const char *name, const char *target, char **ret_status, char **ret_table, char **ret_error) {
        _cleanup_free_ char *status = NULL;
        int r;

        r = query(DM_DEVICE_STATUS, name, target, &status, ret_error);
        if (r >= 0)
                r = query(DM_DEVICE_TABLE, name, target, ret_table, ret_error);
        if (r < 0)
                return r;
        *ret_status = TAKE_PTR(status);
        return 0;
}
