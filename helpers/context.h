/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the helpers work with: the site's configuration, a VM's definition, the range of addresses, the database. */

#include "base/ulid.h"
#include "definition/definition.h"
#include "net/address.h"
#include "store/store.h"

/* All owned; what has not been loaded is empty. */
typedef struct HelperContext {
        SiteConfig site;
        NetRange range;
        Definition *definition;
        Store *store;
} HelperContext;

void helper_context_done(HelperContext *c);
#define _cleanup_helper_context_ _cleanup_(helper_context_done)

/* Each says what is wrong, and returns 0 or an exit code. The site's configuration is needed for range and definition. */
int helper_load_site(HelperContext *c);
int helper_load_range(HelperContext *c);
int helper_load_definition(HelperContext *c, const char *vm);
int helper_open_store(HelperContext *c);

/* 1: the VM was rolled back to that version, and its definition is still the one of then, so that image and initramfs need not be there. 0: not so. A negative
 * errno, logged. The site's configuration and the definition must have been loaded. */
int helper_get_pin(const HelperContext *c, char ret_ulid[static ULID_STRING_SIZE]);

/* Takes the VM's lock, waiting. Returns a descriptor, or a negative errno whose message has been logged. */
int helper_lock_vm(const char *vm);

/* Logs the sentence of a call that failed by r, and returns r. NULL: there is none, or was no memory for one. */
int helper_log_sentence(int r, const char *sentence);
