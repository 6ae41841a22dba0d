/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/netlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/str.h"
#include "net/netlink.h"

enum { RECEIVE_BYTES = 32 * 1024 };

struct Netlink {
        struct mnl_socket *socket;
        uint32_t seq;
};

int netlink_open(int protocol, Netlink **ret) {
        _cleanup_(netlink_closep) Netlink *n = calloc(1, sizeof(Netlink));
        int on = 1;

        if (!n)
                return -ENOMEM;
        n->socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
        if (!n->socket)
                return errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT ? -EOPNOTSUPP : negative_errno();
        if (mnl_socket_bind(n->socket, 0, MNL_SOCKET_AUTOPID) < 0)
                return negative_errno();
        /* Refusals without the refused message in them, which may be large; dumps of one interface alone. Older kernels ignore both. */
        (void) mnl_socket_setsockopt(n->socket, NETLINK_CAP_ACK, &on, sizeof(on));
        (void) mnl_socket_setsockopt(n->socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
        *ret = TAKE_PTR(n);
        return 0;
}

Netlink *netlink_close(Netlink *n) {
        if (n) {
                if (n->socket)
                        (void) mnl_socket_close(n->socket);
                free(n);
        }
        return NULL;
}

int netlink_interface_index(Netlink *n, const char *name) {
        struct ifreq ifr = {};

        snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
        return ioctl(mnl_socket_get_fd(n->socket), SIOCGIFINDEX, &ifr) < 0 ? negative_errno() : ifr.ifr_ifindex;
}

uint32_t netlink_next_seq(Netlink *n) {
        return ++n->seq;
}

void *netlink_batch_reserve(NetlinkBatch *b) {
        if (b->failed)
                return NULL;
        if (b->room - b->size < NETLINK_MESSAGE_BYTES_MAX) {
                size_t room = MAX(b->room * 2, b->size + NETLINK_MESSAGE_BYTES_MAX);
                uint8_t *p = realloc(b->data, room);

                if (!p) {
                        b->failed = true;
                        return NULL;
                }
                b->data = p;
                b->room = room;
        }
        return b->data + b->size;
}

void netlink_batch_commit(NetlinkBatch *b, const struct nlmsghdr *nlh) {
        b->size += MNL_ALIGN(nlh->nlmsg_len);
}

void netlink_batch_done(NetlinkBatch *b) {
        free(b->data);
        *b = (NetlinkBatch) {};
}

/* The number of the message whose answer says that all of the batch was seen. */
static uint32_t last_answered(const NetlinkBatch *b) {
        const struct nlmsghdr *nlh = (const void *) b->data;
        int left = (int) b->size;
        uint32_t seq = 0;

        for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
                if (nlh->nlmsg_flags & (NLM_F_ACK | NLM_F_DUMP))
                        seq = nlh->nlmsg_seq;
        return seq;
}

typedef struct Answers {
        uint32_t last;                  /* as of last_answered() */
        bool complete;
        int refusal;                    /* the first */
} Answers;

static int read_message(Answers *a, const struct nlmsghdr *nlh, NetlinkCallback callback, void *userdata) {
        int error = 0;

        switch (nlh->nlmsg_type) {
        case NLMSG_NOOP:
                return 0;
        case NLMSG_ERROR:
        case NLMSG_DONE:
                /* Both begin with an errno: struct nlmsgerr, or the result of the dump. */
                if (mnl_nlmsg_get_payload_len(nlh) < sizeof(error))
                        return -EBADMSG;
                memcpy(&error, mnl_nlmsg_get_payload(nlh), sizeof(error));
                if (error < 0 && a->refusal == 0)
                        a->refusal = error;
                if (nlh->nlmsg_seq == a->last)
                        a->complete = true;
                return 0;
        default:
                return callback ? callback(nlh, userdata) : 0;
        }
}

int netlink_exchange(Netlink *n, const NetlinkBatch *b, NetlinkCallback callback, void *userdata) {
        uint8_t buf[RECEIVE_BYTES] __attribute__((aligned(8)));
        int fd = mnl_socket_get_fd(n->socket), r;
        Answers answers = { .last = last_answered(b) };

        if (b->failed)
                return -ENOMEM;
        if (b->size > NETLINK_MESSAGE_BYTES_MAX) {
                int room = (int) MIN(b->size * 2, (size_t) INT32_MAX);

                if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
                        return negative_errno();
        }
        if (mnl_socket_sendto(n->socket, b->data, b->size) < 0)
                return negative_errno();

        /* The kernel works on the requests before the call above returns, and continues a dump whenever a part of it is read: all answers
         * are there, and no read can wait for one that does not come. */
        for (;;) {
                const struct nlmsghdr *nlh = (const void *) buf;
                ssize_t k = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
                int left;

                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        if (errno == EAGAIN)
                                break;
                        return negative_errno();
                }
                for (left = (int) k; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
                        r = read_message(&answers, nlh, callback, userdata);
                        if (r < 0)
                                return r;
                }
        }
        if (answers.refusal < 0)
                return answers.refusal;
        return answers.complete ? 0 : -EIO;
}
