/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* References as people write them. The grammar of names is that of distribution/reference, with docker's defaults. */

#include <string.h>

#include "base/str.h"
#include "image/digest.h"
#include "image/error.h"
#include "image/image.h"

enum {
        REFERENCE_MAX = 4096,
        NAME_MAX_LENGTH = 255,          /* host and path together, as docker has it */
        TAG_MAX = 128,
};

static bool is_lower_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c) {
        return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* [a-z0-9]+ joined by one ".", one or two "_", or any number of "-". */
static bool path_component_is_valid(const char *s, size_t n) {
        size_t i = 0;

        if (n == 0 || !is_lower_alnum(s[0]) || !is_lower_alnum(s[n - 1]))
                return false;
        while (i < n) {
                size_t k = 0;

                while (i < n && is_lower_alnum(s[i]))
                        i++;
                if (i == n)
                        return true;
                while (!is_lower_alnum(s[i + k])) {
                        if (s[i + k] != s[i])
                                return false;
                        k++;
                }
                if (!((s[i] == '.' && k == 1) || (s[i] == '_' && k <= 2) || s[i] == '-'))
                        return false;
                i += k;
        }
        return true;
}

static bool path_is_valid(const char *s) {
        for (;;) {
                size_t n = strcspn(s, "/");

                if (!path_component_is_valid(s, n))
                        return false;
                if (s[n] == 0)
                        return true;
                s += n + 1;
        }
}

/* A host name, an IPv4 address or a bracketed IPv6 one, and a port. */
static bool domain_is_valid(const char *s) {
        const char *port;

        if (s[0] == '[') {
                const char *end = strchr(s, ']');

                if (!end || end == s + 1 || strspn(s + 1, "0123456789abcdefABCDEF:.") != (size_t) (end - s - 1))
                        return false;
                port = end + 1;
        } else {
                port = s + strcspn(s, ":");
                for (const char *p = s; p <= port;) {
                        size_t n = strcspn(p, ".:");

                        if (n == 0 || !is_alnum(p[0]) || !is_alnum(p[n - 1]))
                                return false;
                        for (size_t i = 0; i < n; i++)
                                if (!is_alnum(p[i]) && p[i] != '-')
                                        return false;
                        p += n + 1;
                }
        }
        return *port == 0 ||
               (*port == ':' && port[1] && strspn(port + 1, "0123456789") == strlen(port + 1) &&
                               strlen(port + 1) <= 5);
}

static bool tag_is_valid(const char *s) {
        size_t n = strlen(s);

        if (n == 0 || n > TAG_MAX || !(is_alnum(s[0]) || s[0] == '_'))
                return false;
        for (size_t i = 1; i < n; i++)
                if (!is_alnum(s[i]) && !strchr("_.-", s[i]))
                        return false;
        return true;
}

/* Whether the first component of a name with several is a registry's host, by docker's rule. */
static bool first_is_domain(const char *s, size_t n) {
        if (n == 9 && memcmp(s, "localhost", 9) == 0)
                return true;
        for (size_t i = 0; i < n; i++)
                if (s[i] == '.' || s[i] == ':' || (s[i] >= 'A' && s[i] <= 'Z'))
                        return true;
        return false;
}

/* "nginx" -> "docker.io/library/nginx:latest". A name with tag and digest is its digest: that is what docker pulls, too. */
static int normalize_name(const char *reference, char **ret, char **ret_error) {
        _cleanup_free_ char *name = strdup(reference), *domain = NULL, *path = NULL;
        const char *tag = NULL, *digest = NULL;
        char *p;

        if (!name)
                return -ENOMEM;
        p = strchr(name, '@');
        if (p) {
                *p = 0;
                digest = p + 1;
                if (!digest_is_valid(digest))
                        return image_error(ret_error, -EINVAL,
                                        "Image \"%s\": the digest behind \"@\" must be sha256: and 64 "
                                        "lower-case hex digits.",
                                        reference);
        }
        p = strrchr(name, ':');
        if (p && !strchr(p, '/') && !strchr(p, ']')) {
                *p = 0;
                tag = p + 1;
                if (!tag_is_valid(tag))
                        return image_error(ret_error, -EINVAL, "Image \"%s\": \"%s\" is not a valid tag.", reference, tag);
        }

        p = strchr(name, '/');
        if (p && first_is_domain(name, (size_t) (p - name))) {
                domain = strndup(name, (size_t) (p - name));
                path = strdup(p + 1);
        } else {
                domain = strdup("docker.io");
                path = strdup(name);
        }
        if (!domain || !path)
                return -ENOMEM;
        if (streq(domain, "index.docker.io")) {
                free(domain);
                domain = strdup("docker.io");
        }
        if (domain && streq(domain, "docker.io") && !strchr(path, '/')) {
                char *q = strf("library/%s", path);

                free(path);
                path = q;
        }
        if (!domain || !path)
                return -ENOMEM;
        if (!domain_is_valid(domain))
                return image_error(ret_error, -EINVAL, "Image \"%s\": \"%s\" is not a valid registry host.",
                                reference, domain);
        if (!path_is_valid(path) || strlen(domain) + 1 + strlen(path) > NAME_MAX_LENGTH)
                return image_error(ret_error, -EINVAL,
                                "Image \"%s\" is not a valid name: lower-case letters and digits, separated "
                                "by one of \"./_-\". "
                                "A folder with an OCI layout is oci:/PATH.",
                                reference);

        p = digest ? strf("%s/%s@%s", domain, path, digest) : strf("%s/%s:%s", domain, path, tag ?: "latest");
        if (!p)
                return -ENOMEM;
        *ret = p;
        return 0;
}

int image_reference_normalize(const char *reference, char **ret, char **ret_error) {
        static const char *const path_transports[] = { "oci:", "oci-archive:", "docker-archive:" };
        _cleanup_free_ char *name = NULL;
        const char *rest;
        int r;

        if (strlen(reference) > REFERENCE_MAX)
                return image_error(ret_error, -EINVAL, "The image reference is longer than %d bytes.", (int) REFERENCE_MAX);
        for (const char *p = reference; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f) {
                        char q[IMAGE_QUOTE_MAX];

                        return image_error(ret_error, -EINVAL, "Image \"%s\" has control characters.",
                                        image_quote(reference, q));
                }

        for (size_t i = 0; i < ELEMENTSOF(path_transports); i++) {
                rest = startswith(reference, path_transports[i]);
                if (!rest)
                        continue;
                if (rest[0] != '/' || rest[1] == 0)
                        return image_error(ret_error, -EINVAL,
                                        "Image \"%s\": the path behind \"%s\" must be absolute.", reference,
                                        path_transports[i]);
                *ret = strdup(reference);
                return *ret ? 0 : -ENOMEM;
        }
        rest = startswith(reference, "containers-storage:");
        if (rest) {
                if (isempty(rest))
                        return image_error(ret_error, -EINVAL, "Image \"%s\" has no name.", reference);
                *ret = strdup(reference);
                return *ret ? 0 : -ENOMEM;
        }
        rest = startswith(reference, "docker-daemon:");
        if (rest) {
                if (digest_is_valid(rest)) {    /* the id of an image */
                        *ret = strdup(reference);
                        return *ret ? 0 : -ENOMEM;
                }
                r = normalize_name(rest, &name, ret_error);
                if (r < 0)
                        return r;
                *ret = strf("docker-daemon:%s", name);
                return *ret ? 0 : -ENOMEM;
        }

        rest = startswith(reference, "docker://");
        if (!rest && strstr(reference, "://"))
                return image_error(ret_error, -EINVAL,
                                "Image \"%s\": the transports are docker://, oci:, oci-archive:, "
                                "docker-archive:, containers-storage: and docker-daemon:.",
                                reference);
        r = normalize_name(rest ?: reference, &name, ret_error);
        if (r < 0)
                return r;
        *ret = strf("docker://%s", name);
        return *ret ? 0 : -ENOMEM;
}
