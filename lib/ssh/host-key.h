/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The host key of a VM, by which ssh(1) knows it: ed25519, in dropbear's format, LAYOUT's layout_vm_ssh_host_key(). It is made at the first start that
 * needs it, and goes with the VM's other state. */

#include "base/macros.h"

#define SSH_DROPBEARKEY "/usr/bin/dropbearkey"

enum { SSH_HOST_KEY_SIZE = 4 + 11 + 4 + 64 };  /* a file: "ssh-ed25519", then seed and public key */

/* -ENOENT: there is none; -EBADMSG: it is damaged. *ret_error is a sentence. */
int ssh_host_key_load(const char *vm, uint8_t ret[static SSH_HOST_KEY_SIZE], char **ret_error);

/* The same; makes it by dropbearkey(1) where there is none. The caller has the VM's lock. -EOPNOTSUPP: dropbearkey is not installed. */
int ssh_host_key_ensure(const char *vm, uint8_t ret[static SSH_HOST_KEY_SIZE], char **ret_error);

/* Removes what a killed ssh_host_key_ensure() has left. The caller has the VM's lock. */
int ssh_host_key_remove_beginnings(const char *vm);

/* "ssh-ed25519 AAAA…", the public half of it, as known_hosts files have it. NULL: no memory. */
char *ssh_host_key_public(const uint8_t key[static SSH_HOST_KEY_SIZE]);
