/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The keys of encrypted volumes, for the guest's init (base/wire.h): each once, for the devices of this VM alone. They are in memory that is
 * locked and in no core dump, and wiped once they were served. */

#include <systemd/sd-event.h>

#include "kilnconfig/kiln-config.h"

typedef struct KeyServer KeyServer;

/* Reads the keys and removes their files; listens on "<uds_path>_<port>". Where there are no volumes it listens all the same, to say no. What it has to
 * say is logged. */
int key_server_new(sd_event *event, const KilnConfig *config, KeyServer **ret);
KeyServer *key_server_free(KeyServer *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(KeyServer *, key_server_free)

/* The guest's init has had what it needs: wipes all keys. Whoever asks from now on is refused. */
void key_server_wipe(KeyServer *s);
/* The VMM has gone: listens no more, too. */
void key_server_stop(KeyServer *s);
