/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What is done in the jail and to the process. Each step logs its errors. */

#include "jailer/options.h"

/* Makes the root directory root's alone, so that nothing that is done in it can be met half-way by a process of the jail's user that another run
 * has left. -EEXIST where another instance runs there, or its .pid file was left. */
int jail_take_over(int root_fd, const JailerOptions *o);

/* Copies the program to <root>/<name>: a file of its own, so that no two VMs share the pages of their programs, owned by the jail's user. A
 * symlink, a file with other links, or no file in its place is refused. */
int jail_copy_program(int root_fd, const JailerOptions *o);

/* Makes root_fd this process's root directory, with nothing else reachable. In a mount namespace of our own with nothing shared. */
int jail_enter(int root_fd);

/* /dev, /dev/net and /run, the nodes, and at last all of it handed to the jail's user. misc: the text of /proc/misc, may be NULL. */
int jail_populate(int root_fd, const JailerOptions *o, const char *misc);

/* <root>/<name>.pid */
int jail_write_pid(int root_fd, const JailerOptions *o, int pid);
