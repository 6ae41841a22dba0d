/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What host and guest say to each other over vsock, defined once for kiln and init.
 *
 * guest -> host, port WIRE_PORT_STREAM: two connections for the whole life of the guest, made by init before it starts
 *      anything of the image. Each begins with one line, WIRE_STREAM_STDOUT or WIRE_STREAM_STDERR, then carries the raw
 *      bytes of that stream. kiln accepts one of each and refuses any other. Firecracker does not pass a half-close on (what
 *      the guest shuts down, the host does not see as EOF; what the host shuts down, closes both directions), so the end
 *      is told by count: "exited" says how many bytes each stream had behind its first line. kiln closes a stream when it
 *      has read that many, and init, which does not close first, waits for that (at most WIRE_DRAIN_USEC).
 * guest -> host, port WIRE_PORT_STATUS: one connection, init's first, before it starts anything of the image: kiln takes the
 *      first that comes and refuses the rest, so that no process of the image can speak in init's name. It carries JSON
 *      objects, one per line, of at most WIRE_STATUS_LINE_MAX bytes: {"state":"booted"}, {"state":"started","pid":N},
 *      and last {"state":"exited","exit_code":N,"oom_killed":bool,"signal":N,"message":"...","stdout_bytes":N,"stderr_bytes":N}.
 *      A failed set-up is an "exited" with exit_code 125 (126, 127) and the reason as message, without a "started" before it.
 *      After the last line init waits for kiln to close the connection, which it does once both streams are read; then init
 *      powers off.
 * host -> guest, port WIRE_PORT_API: HTTP/1.1, see base/http.h. GET /v1/ping, GET /v1/status, GET /v1/metrics, POST /v1/signal {"signal":N}, and POST /v1/exec
 *      {"argv":[…],"env":["NAME=VALUE",…],"cwd":"/…","user":"…","terminal":bool,"rows":N,"columns":N}, of which argv alone must be there. What follows
 *      its answer, WIRE_EXEC_ANSWER, are the frames of base/exec-frame.h. POST /v1/files {"action":"read"|"write","path":"…","name":"…","user":"…",
 *      "archive":bool,"follow":bool,"foreign":bool}, of which action and path must be there, is answered in the same way: FRAME_STDIN is the tar stream that is
 *      written, FRAME_STDOUT the one that is read, FRAME_STDERR a line for each file that was left out or has changed, FRAME_EXIT 0, 1 where there was such a line of
 *      a file that could not be read, or else a sentence. base/tar-files.h says what the stream is like, and what name, archive ("keep"), follow and foreign mean.
 *      With the connection a copy's streams end, by which it removes the file that it has begun.
 *      init accepts peers with the host's CID only.
 * Ctrl-Alt-Del (SIGINT for init) is the last resort before the VMM is killed: the stop timeout has passed, so init sends SIGKILL
 *      to the workload, reports it as any other end, and powers off.
 * guest -> host, port WIRE_PORT_KEY: HTTP/1.1, one request a connection: GET /v1/volume/key?device=/dev/vdc gives
 *      {"data":{"data":{"key":"<base64>"}}}, once for each encrypted volume of the VM; anything else a status of 400 or above.
 * host -> guest, port WIRE_PORT_SSH: SSH, spoken by a dropbear(8) that has the connection itself. Where there is to be none, init sends
 *      one line that says why, "inferno: ...", as what may come before the protocol (RFC 4253, section 4.2), and closes. Peers as of the API.
 *
 * What this keeps out is every process of the guest that is not as mighty as init. The guest's root is: it has the kernel, can take init's
 * descriptors from it, and so can say of its own guest what it likes. What it says is bounded and checked, and concerns that guest alone.
 */

#include "base/macros.h"

enum {
        WIRE_PORT_STREAM = 10000,
        WIRE_PORT_STATUS = 10001,
        WIRE_PORT_API = 10002,
        WIRE_PORT_KEY = 10003,
        WIRE_PORT_SSH = 22,             /* where VMs with SSHKey= listen */

        WIRE_GUEST_CID = 3,             /* each VMM has a vsock of its own, so every guest has the same */

        WIRE_STATUS_LINE_MAX = 4096,
        WIRE_MESSAGE_MAX = 1024,        /* of "message", before escaping */
        WIRE_KEY_BYTES_MAX = 512,       /* of a volume's key, before base64 */
        WIRE_HTTP_HEAD_MAX = 8192,
        WIRE_HTTP_BODY_MAX = 65536,
};

/* The first that cannot be a port, or stands twice; NULL: none. */
static inline const unsigned *wire_wrong_port(const unsigned *ports, size_t n) {
        for (size_t i = 0; i < n; i++) {
                if (ports[i] == 0 || ports[i] == UINT32_MAX)
                        return ports + i;
                for (size_t k = 0; k < i; k++)
                        if (ports[i] == ports[k])
                                return ports + i;
        }
        return NULL;
}

#define WIRE_DRAIN_USEC UINT64_C(10000000)

#define WIRE_STREAM_STDOUT "stdout\n"
#define WIRE_STREAM_STDERR "stderr\n"

#define WIRE_STATE_BOOTED "booted"
#define WIRE_STATE_STARTED "started"
#define WIRE_STATE_EXITED "exited"

/* Status 101: from here on the connection carries frames. */
#define WIRE_EXEC_ANSWER "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: inferno-exec\r\n\r\n"

/* Where things are in the guest. */
#define WIRE_GUEST_DIR "/inferno"
#define WIRE_RUN_JSON "/inferno/run.json"
#define WIRE_PROGRAMS_DIR "/inferno/bin"        /* Bundle= */
#define WIRE_BUNDLE_DIR "/inferno/files"        /* their files; is there where there are any */
#define WIRE_LAUNCHER "/inferno/lib/init"       /* a copy of init, on the disk of the programs */
#define WIRE_SSH_SERVER "/inferno/bin/dropbear"
#define WIRE_SSH_PRELOAD "/inferno/lib/ssh-preload.so"  /* init/ssh-preload.c */

/* The user name that means the workload's user, whatever that is called. */
#define WIRE_SSH_USER "inferno"

/* What init's lines begin with that come in place of the protocol. */
#define WIRE_SSH_REFUSAL "inferno: "

/* In the lines of a program of Bundle= (bundle/bundle.h), the word that stands for the name by which it was called. */
#define WIRE_CALLED_AS "%"
