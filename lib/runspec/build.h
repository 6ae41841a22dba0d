/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* From definition, image and network to run.json. */

#include "definition/definition.h"
#include "image/image.h"
#include "net/address.h"
#include "runspec/runspec.h"

/* The command by docker's rules: the definition's entry point drops the image's command. -ENODATA where neither says what to run. */
int run_command_merge(const Definition *d, const ImageConfig *image, char ***ret);

/* The "nameserver" lines of a resolv.conf(5) that a guest can use: IPv4, and not of the host's loopback. */
int run_nameservers_parse(const char *resolv_conf, char ***ret);

/* What the guest is to run. Reads EnvironmentFile=, SSHKey= and, without DNS=, the host's resolv.conf. The errors name what is wrong in a sentence:
 * -EINVAL: the definition, -EBADMSG: the image or a file, -ENOENT and others: a file cannot be read. *ret_error is NULL where memory is out. */
int run_spec_build(const Definition *d, const ImageConfig *image, const NetAddress *address, RunSpec **ret, char **ret_error);
