/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What dropbear(8) is run with in guests (LD_PRELOAD=, ld.so(8)), as far as it asks the C library about a world that is not its own.
 *
 * Users: there is one, the workload's, as whom dropbear runs already; USER=, HOME= and SHELL= say what init has found out. The C library
 * would look them up by the image's nsswitch.conf(5), with the image's modules, made for another C library; would know nobody who is a
 * number alone; and dropbear, where it is root, would let in by keys that the image has for other users.
 * Peers: dropbear does not begin before it has a name for the peer's address, and the C library has none for one of vsock(7). */

#include <arpa/inet.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/wire.h"

enum { TTY_GROUP = 5 };                 /* which init mounts /dev/pts with */

static bool shell_given;

/* Copies, as dropbear empties its environment; made once, for the names are asked for again. */
static const char *remember(char **copy, const char *name) {
        const char *value = getenv(name);

        if (!*copy && value)
                *copy = strdup(value);
        return *copy;
}

struct passwd *getpwnam(const char *name) {
        static char *user_name, *home, *shell;
        static struct passwd user;

        if (!remember(&user_name, "USER") || !remember(&home, "HOME") || !remember(&shell, "SHELL") ||
            (strcmp(name, WIRE_SSH_USER) != 0 && strcmp(name, user_name) != 0))
                return NULL;
        user = (struct passwd) {
                .pw_name = user_name, .pw_passwd = (char *) "*", .pw_uid = getuid(), .pw_gid = getgid(), .pw_gecos = (char *) "", .pw_dir = home,
                .pw_shell = shell,
        };
        return &user;
}

struct spwd *getspnam(const char *name) {
        return NULL;
}

/* Its groups are those of the workload already. */
int initgroups(const char *user, gid_t group) {
        return 0;
}

struct group *getgrnam(const char *name) {
        static char *nobody[] = { NULL };
        static struct group tty = { .gr_name = (char *) "tty", .gr_passwd = (char *) "*", .gr_gid = TTY_GROUP, .gr_mem = nobody };

        return strcmp(name, tty.gr_name) == 0 ? &tty : NULL;
}

/* The shells that one may log in with: the user's. */
void setusershell(void) {
        shell_given = false;
}

char *getusershell(void) {
        struct passwd *user = shell_given ? NULL : getpwnam(WIRE_SSH_USER);

        shell_given = true;
        return user ? user->pw_shell : NULL;
}

void endusershell(void) {
}

int getnameinfo(const struct sockaddr *address, socklen_t n_address, char *host, socklen_t n_host, char *service, socklen_t n_service, int flags) {
        const struct sockaddr_in *in = (const struct sockaddr_in *) address;

        if (address->sa_family == AF_INET) {
                if (host && !inet_ntop(AF_INET, &in->sin_addr, host, n_host))
                        return EAI_OVERFLOW;
        } else if (host)
                snprintf(host, n_host, "host");
        if (service)
                snprintf(service, n_service, "%u", address->sa_family == AF_INET ? ntohs(in->sin_port) : 0);
        return 0;
}
