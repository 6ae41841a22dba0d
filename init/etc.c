/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "init/etc.h"
#include "init/tree.h"

int etc_format_hosts(const RunSpec *spec, char **ret, size_t *ret_size) {
        _cleanup_strbuf_ StrBuf b = {};

        strbuf_adds(&b,
                "127.0.0.1\tlocalhost\n"
                "::1\tlocalhost ip6-localhost ip6-loopback\n"
                "fe00::\tip6-localnet\n"
                "ff00::\tip6-mcastprefix\n"
                "ff02::1\tip6-allnodes\n"
                "ff02::2\tip6-allrouters\n");
        strbuf_addf(&b, "%s\t%s\n", spec->n_ips > 0 ? spec->ips[0].ip : "127.0.1.1", spec->hostname);
        for (size_t i = 0; i < spec->n_hosts; i++)
                strbuf_addf(&b, "%s\t%s\n", spec->hosts[i].ip, spec->hosts[i].host);
        return strbuf_finish(&b, ret, ret_size);
}

static int format_resolv_conf(const RunSpec *spec, char **ret, size_t *ret_size) {
        _cleanup_strbuf_ StrBuf b = {};

        STRV_FOREACH(n, spec->nameservers)
                strbuf_addf(&b, "nameserver %s\n", *n);
        return strbuf_finish(&b, ret, ret_size);
}

static int write_file(int root_fd, const char *path, mode_t mode, const char *data, size_t n, Failure *failure) {
        int r = tree_write_file(root_fd, path, mode, data, n);

        return r < 0 ? failure_set(failure, r, "cannot write \"%s\" into the image: %m", path) : 0;
}

int etc_set_up(const RunSpec *spec, int root_fd, Failure *failure) {
        _cleanup_free_ char *hostname = NULL, *hosts = NULL, *resolv_conf = NULL;
        size_t n_hosts, n_resolv_conf;
        int r;

        hostname = strf("%s\n", spec->hostname);
        if (!hostname || etc_format_hosts(spec, &hosts, &n_hosts) < 0 || format_resolv_conf(spec, &resolv_conf, &n_resolv_conf) < 0)
                return failure_set(failure, ENOMEM, "cannot write /etc: %m");

        r = write_file(root_fd, "/etc/hostname", 0644, hostname, strlen(hostname), failure);
        if (r >= 0)
                r = write_file(root_fd, "/etc/hosts", 0644, hosts, n_hosts, failure);
        if (r >= 0 && n_resolv_conf > 0)
                r = write_file(root_fd, "/etc/resolv.conf", 0644, resolv_conf, n_resolv_conf, failure);
        for (size_t i = 0; r >= 0 && i < spec->n_files; i++)
                r = write_file(root_fd, spec->files[i].path, spec->files[i].mode, spec->files[i].content,
                                strlen(spec->files[i].content), failure);
        return r;
}
