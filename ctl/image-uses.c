/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/str.h"
#include "ctl/image-uses.h"
#include "image/image.h"

void image_uses_done(ImageUses *u) {
        for (size_t i = 0; i < u->n; i++) {
                free(u->uses[i].vm);
                free(u->uses[i].reference);
                free(u->uses[i].digest);
        }
        free(u->uses);
        free(u->wrong);
        *u = (ImageUses) {};
}

static int add(ImageUses *u, const char *vm, char *reference_consume, const char *digest) {
        ImageUse *slot = GREEDY_APPEND(u->uses, u->n);

        if (!slot) {
                free(reference_consume);
                return log_oom();
        }
        *slot = (ImageUse) { strdup(vm), reference_consume, digest ? strdup(digest) : NULL };
        u->n++;
        return slot->vm && (slot->reference || slot->digest) ? 0 : log_oom();
}

static int add_definitions(Ctl *c, ImageUses *u) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_set_freep) DefinitionSet *set = NULL;
        int r;

        r = definition_set_new(&set, &errors);
        if (r < 0)
                return log_error_errno(r, "Cannot list the definitions: %m");
        for (size_t i = 0; r >= 0 && i < definition_set_size(set); i++) {
                _cleanup_definition_errors_ DefinitionErrors own = {};
                _cleanup_(definition_freep) Definition *d = NULL;
                char *reference = NULL;

                r = definition_set_load(set, i, &c->site, &d, &own);
                if (r == -ENOENT || r == -ERFKILL)
                        r = 0;
                else if (r == -EINVAL || (r >= 0 && image_reference_normalize(d->image, &reference, NULL) < 0))
                        r = free_and_strdup(&u->wrong, definition_set_name(set, i));
                else if (r >= 0)
                        r = add(u, d->name, reference, NULL);
                else
                        log_error_errno(r, "Cannot read the definition of VM '%s': %m", definition_set_name(set, i));
        }
        return r;
}

static int add_versions(Ctl *c, ImageUses *u) {
        _cleanup_strv_ char **vms = NULL;
        int r;

        r = store_vm_list(c->store, &vms);
        if (r < 0)
                return ctl_log_sentence(r, store_error(c->store));
        STRV_FOREACH(vm, vms) {
                _cleanup_free_ StoreVersion *versions = NULL;
                size_t n;

                r = store_version_list(c->store, *vm, &versions, &n);
                if (r < 0)
                        return ctl_log_sentence(r, store_error(c->store));
                for (size_t i = 0; r >= 0 && i < n; i++)
                        r = add(u, *vm, NULL, versions[i].image_digest);
                if (r < 0)
                        return r;
        }
        return 0;
}

int image_uses_load(Ctl *c, ImageUses *ret) {
        _cleanup_image_uses_ ImageUses u = {};
        int r;

        r = ctl_need_site(c);
        if (r != 0)
                return r;
        r = add_definitions(c, &u);
        if (r >= 0 && c->store)
                r = add_versions(c, &u);
        if (r < 0)
                return EXIT_FAILED;
        *ret = u;
        u = (ImageUses) {};
        return 0;
}

char **image_uses_find(const ImageUses *u, const StoreImage *image) {
        char **vms = calloc(1, sizeof(char *));

        for (size_t i = 0; vms && i < u->n; i++) {
                const ImageUse *use = u->uses + i;

                if ((streq_ptr(use->reference, image->reference) || streq_ptr(use->digest, image->manifest_digest)) &&
                    !strv_contains(vms, use->vm) && strv_extend(&vms, use->vm) < 0)
                        return strv_free(vms);
        }
        return vms;
}
