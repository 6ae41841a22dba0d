/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/wire.h"
#include "init/api.h"
#include "init/ssh.h"
#include "init/tree.h"
#include "init/workload.h"

#define KEYS_DIR ".ssh"
#define KEYS_FILE "authorized_keys"
#define DEFAULT_SHELL "/bin/sh"

/* -i: the connection is its standard input. -s: nobody gets in by a password. -K: what a peer that is gone has left ends after some minutes. */
char *ssh_argv[] = {
        (char *) WIRE_SSH_SERVER, (char *) "-i", (char *) "-s", (char *) "-K", (char *) "60", (char *) "-r", (char *) "/proc/self/fd/3", NULL,
};
_Static_assert(WORKLOAD_PASSED_FD == 3, "the path of the host key names the descriptor");

typedef struct SshSession {
        SshServer *server;
        pid_t pid;                      /* 0: reaped, or none */
        int fd;                         /* until it is known whether the server was executed */
        LoopSource report;              /* likewise */
} SshSession;

struct SshServer {
        Loop *loop;
        SshSpawn spawn;
        void *userdata;
        LoopSource source;
        int host_key_fd;
        SshSession sessions[SSH_SESSIONS_MAX];
};

/* A new file in the place of whatever is there: in a root that is kept the workload had its hands in this directory, and the old file
 * may have another name. */
static int write_keys(int home_fd, const User *user, const char *text, size_t n) {
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        int r;

        dir_fd = tree_open_mount_point(home_fd, KEYS_DIR, 0700);
        if (dir_fd < 0)
                return dir_fd;
        if (fchownat(dir_fd, "", user->uid, user->gid, AT_EMPTY_PATH) < 0 || fchmodat(home_fd, KEYS_DIR, 0700, 0) < 0)
                return negative_errno();
        r = remove_tree_at(dir_fd, KEYS_FILE);
        if (r < 0)
                return r;
        fd = openat(dir_fd, KEYS_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || fchown(fd, user->uid, user->gid) < 0)
                return negative_errno();
        return write_full(fd, text, n);
}

int ssh_set_up(const RunSpec *spec, int root_fd, Failure *failure) {
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_close_ int home_fd = -EBADF;
        _cleanup_user_ User user = {};
        int r;

        strbuf_adds(&b, "# SSHKey= of the VM's definition: written at each start.\n");
        STRV_FOREACH(key, spec->ssh_keys)
                strbuf_addf(&b, "%s\n", *key);
        if (b.failed)
                return failure_set(failure, ENOMEM, "cannot write the authorized keys: %m");
        r = workload_resolve_user(spec, root_fd, &user, failure);
        if (r < 0)
                return r;
        home_fd = tree_open_directory(root_fd, user.home, 0755);
        r = home_fd < 0 ? home_fd : write_keys(home_fd, &user, b.data, b.size);
        return r < 0 ? failure_set(failure, r, "cannot write \"%s/" KEYS_DIR "/" KEYS_FILE "\" into the image: %m", user.home) : 0;
}

/* The keys were given for this user in so many words, so that one of its kind has no shell of its own does not matter. */
static bool is_login_shell(const char *shell) {
        const char *name = strrchr(shell, '/') + 1;

        return !streq(name, "nologin") && !streq(name, "false") && access(shell, X_OK) >= 0;
}

int ssh_make_environment(const User *user, char ***ret, Failure *failure) {
        const char *shell = user->shell && is_login_shell(user->shell) ? user->shell : DEFAULT_SHELL;
        _cleanup_strv_ char **env = NULL;
        struct stat st;
        int r;

        if (access(shell, X_OK) < 0)
                return failure_set(failure, errno, "the image has no shell for user \"%s\": %s: %m", user->name, shell);
        /* dropbear would refuse every key and tell nobody why. */
        if (stat(user->home, &st) < 0)
                return failure_set(failure, errno, "the home directory \"%s\" of user \"%s\": %m", user->home, user->name);
        if (st.st_mode & (S_IWGRP | S_IWOTH) || (st.st_uid != 0 && st.st_uid != user->uid))
                return failure_set(failure, EPERM, "others than user \"%s\" may write to its home directory \"%s\", so no key in there is believed",
                                user->name, user->home);
        r = strv_extend(&env, "PATH=" WORKLOAD_DEFAULT_PATH);
        if (r >= 0)
                r = strv_extend(&env, "LD_PRELOAD=" WIRE_SSH_PRELOAD);
        if (r >= 0)
                r = strv_consume(&env, strf("USER=%s", user->name));
        if (r >= 0)
                r = strv_consume(&env, strf("HOME=%s", user->home));
        if (r >= 0)
                r = strv_consume(&env, strf("SHELL=%s", shell));
        if (r < 0)
                return failure_set(failure, r, "cannot make the environment: %m");
        *ret = TAKE_PTR(env);
        return 0;
}

/* In the protocol's place: what comes before it is for whoever looks there, infernoctl(1) above all. The peer gets it or not; one of the network does not
 * learn what is wrong in here. */
static void refuse(int fd, const char *reason) {
        char line[WIRE_MESSAGE_MAX + 32];
        int domain = AF_UNSPEC, n;
        socklen_t size = sizeof(domain);

        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain == AF_INET)
                reason = "there is no session to be had now";
        n = snprintf(line, sizeof(line), WIRE_SSH_REFUSAL "%.*s\r\n", WIRE_MESSAGE_MAX, reason);

        (void) send(fd, line, (size_t) n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_report(LoopSource *source, uint32_t events) {
        SshSession *s = source->userdata;
        Failure failure;
        ssize_t k = read(source->fd, &failure, sizeof(failure));

        if (k < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (k == sizeof(failure))
                refuse(s->fd, failure.message);
        loop_remove(s->server->loop, source);
        source->fd = safe_close(source->fd);
        s->fd = safe_close(s->fd);
}

static SshSession *free_session(SshServer *server) {
        for (size_t i = 0; i < ELEMENTSOF(server->sessions); i++)
                if (server->sessions[i].pid == 0 && server->sessions[i].fd < 0)
                        return server->sessions + i;
        return NULL;
}

static void on_listen(LoopSource *source, uint32_t events) {
        SshServer *server = source->userdata;
        SshSession *s = free_session(server);
        _cleanup_close_ int fd = -EBADF;
        char text[64];
        int r;

        fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || !api_peer_is_host(fd))
                return;
        if (!s) {
                snprintf(text, sizeof(text), "%d sessions are open, which is the most", SSH_SESSIONS_MAX);
                refuse(fd, text);
                return;
        }
        r = server->spawn(server->userdata, fd, server->host_key_fd, &s->pid, &s->report.fd);
        if (r < 0) {
                refuse(fd, r == -ESRCH ? "the workload does not run" : strerror(-r));
                return;
        }
        s->fd = TAKE_FD(fd);
        if (loop_set(server->loop, &s->report, EPOLLIN) < 0) {
                s->report.fd = safe_close(s->report.fd);
                s->fd = safe_close(s->fd);
        }
}

void ssh_server_reaped(SshServer *server, pid_t pid) {
        for (size_t i = 0; server && i < ELEMENTSOF(server->sessions); i++)
                if (server->sessions[i].pid == pid)
                        server->sessions[i].pid = 0;
}

/* No file of the guest, but a descriptor, whose content nobody can change any more. */
int ssh_open_host_key(RunSpec *spec) {
        _cleanup_close_ int fd = memfd_create("ssh-host-key", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        uint8_t key[RUN_SSH_HOST_KEY_MAX];
        size_t n_text = strlen(spec->ssh_host_key);
        ssize_t n = base64_decode(spec->ssh_host_key, n_text, key, sizeof(key));
        int r;

        explicit_bzero(spec->ssh_host_key, n_text);
        if (fd < 0)
                r = negative_errno();
        else if (n < 0)
                r = (int) n;
        else
                r = write_full(fd, key, (size_t) n);
        explicit_bzero(key, sizeof(key));
        if (r < 0)
                return r;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

int ssh_listen_tcp(unsigned port) {
        const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return negative_errno();
        if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, SSH_BACKLOG) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

int ssh_server_new(Loop *l, int host_key_fd, int listen_consume, SshSpawn spawn, void *userdata, SshServer **ret) {
        _cleanup_(ssh_server_freep) SshServer *s = calloc(1, sizeof(SshServer));
        int r;

        if (!s) {
                safe_close(listen_consume);
                return -ENOMEM;
        }
        s->loop = l;
        s->spawn = spawn;
        s->userdata = userdata;
        s->source = (LoopSource) { .fd = listen_consume, .func = on_listen, .userdata = s };
        for (size_t i = 0; i < ELEMENTSOF(s->sessions); i++)
                s->sessions[i] = (SshSession) { .server = s, .fd = -EBADF, .report = { .fd = -EBADF, .func = on_report, .userdata = s->sessions + i } };
        s->host_key_fd = fcntl(host_key_fd, F_DUPFD_CLOEXEC, 0);
        if (s->host_key_fd < 0)
                return negative_errno();
        r = loop_set(l, &s->source, EPOLLIN);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

SshServer *ssh_server_free(SshServer *s) {
        if (!s)
                return NULL;
        loop_remove(s->loop, &s->source);
        safe_close(s->source.fd);
        safe_close(s->host_key_fd);
        for (size_t i = 0; i < ELEMENTSOF(s->sessions); i++) {
                loop_remove(s->loop, &s->sessions[i].report);
                safe_close(s->sessions[i].report.fd);
                safe_close(s->sessions[i].fd);
        }
        free(s);
        return NULL;
}
