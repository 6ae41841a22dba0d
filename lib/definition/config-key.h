/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Keys as tables: name, how its value is read, where it goes. Used for [VM] of definitions and for inferno.conf. */

#include "base/macros.h"

typedef enum ConfigKind {
        CONFIG_STRING,          /* char *; empty value: NULL */
        CONFIG_LIST,            /* Strv, may be given again; empty value: NULL, that is no entries */
        CONFIG_WORDS,           /* Strv, given once; empty value: NULL */
        CONFIG_SCALAR,          /* `size` bytes; empty value: those of the defaults */
} ConfigKind;

typedef struct ConfigKey {
        const char *name;
        /* Reads a value that is not empty. On -EINVAL *ret_reason says what was wanted (static); fields change on success only. */
        int (*parse)(const char *value, void *field, const char **ret_reason);
        size_t offset, size;
        ConfigKind kind;
} ConfigKey;

#define CONFIG_KEY(type, member, name, parse, kind) { name, parse, offsetof(type, member), sizeof(((type *) NULL)->member), kind }

const ConfigKey *config_key_find(const ConfigKey *keys, size_t n, const char *name);

/* Assigns to object; `defaults` is a whole object of the same type. -EINVAL: *ret_reason says why. */
int config_key_assign(const ConfigKey *key, const char *value, void *object, const void *defaults, const char **ret_reason);

enum { CONFIG_LIST_MAX = 4096 };

int config_parse_image(const char *value, void *field, const char **ret_reason);
int config_parse_auto_update(const char *value, void *field, const char **ret_reason);
int config_parse_pull(const char *value, void *field, const char **ret_reason);
int config_parse_words(const char *value, void *field, const char **ret_reason);
int config_parse_entrypoint(const char *value, void *field, const char **ret_reason);
int config_parse_environment(const char *value, void *field, const char **ret_reason);
int config_parse_environment_file(const char *value, void *field, const char **ret_reason);
int config_parse_user(const char *value, void *field, const char **ret_reason);
int config_parse_path(const char *value, void *field, const char **ret_reason);
int config_parse_program(const char *value, void *field, const char **ret_reason);
int config_parse_hostname(const char *value, void *field, const char **ret_reason);
int config_parse_vcpus(const char *value, void *field, const char **ret_reason);
int config_parse_memory(const char *value, void *field, const char **ret_reason);
int config_parse_kernel_args(const char *value, void *field, const char **ret_reason);
int config_parse_bundle(const char *value, void *field, const char **ret_reason);
int config_parse_publish(const char *value, void *field, const char **ret_reason);
int config_parse_dns(const char *value, void *field, const char **ret_reason);
int config_parse_add_host(const char *value, void *field, const char **ret_reason);
int config_parse_ssh_key(const char *value, void *field, const char **ret_reason);
int config_parse_signal(const char *value, void *field, const char **ret_reason);
int config_parse_stop_timeout(const char *value, void *field, const char **ret_reason);
int config_parse_root(const char *value, void *field, const char **ret_reason);
int config_parse_root_backend(const char *value, void *field, const char **ret_reason);
int config_parse_root_size(const char *value, void *field, const char **ret_reason);
int config_parse_vmm(const char *value, void *field, const char **ret_reason);
int config_parse_volume(const char *value, void *field, const char **ret_reason);
int config_parse_tenant(const char *value, void *field, const char **ret_reason);
int config_parse_size(const char *value, void *field, const char **ret_reason);
int config_parse_count(const char *value, void *field, const char **ret_reason);
int config_parse_lvm_name(const char *value, void *field, const char **ret_reason);
int config_parse_percent(const char *value, void *field, const char **ret_reason);
int config_parse_network(const char *value, void *field, const char **ret_reason);
