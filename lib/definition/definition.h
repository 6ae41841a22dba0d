/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* NAME.vm: search path, drop-ins, masks, parser, validator; and inferno.conf. One parser for generator, helpers and ctl.
 * Syntax: systemd.syntax(7). Keys: inferno.vm(5). */

#include "base/macros.h"
#include "base/published-port.h"

typedef enum PullPolicy { PULL_MISSING, PULL_ALWAYS, PULL_NEVER } PullPolicy;
typedef enum RootMode { ROOT_EPHEMERAL, ROOT_PERSISTENT } RootMode;
typedef enum RootBackend { ROOT_OVERLAY, ROOT_LVM_THIN } RootBackend;
typedef enum VmmChoice { VMM_AUTO, VMM_FIRECRACKER, VMM_EMBER } VmmChoice;

/* A line of a pass-through section, as it goes into a generated unit: literally, continuation lines joined. */
typedef struct PassThrough {
        const char *section;    /* "Unit", "Service", "Slice", "Install"; static */
        char *key, *value;      /* an empty value resets a list, as in any unit */
        const char *file;       /* where it stood; one of Definition.files */
        unsigned line;
} PassThrough;

/* Of a volume, bytes. */
#define VOLUME_SIZE_MIN MIB(16)
#define VOLUME_SIZE_MIN_ENCRYPTED MIB(32)
#define VOLUME_SIZE_MAX GIB(16384)

/* One line of Volume=. */
typedef struct VolumeUse {
        char *name;                     /* of the volume, as names of VMs */
        char *mount_point;              /* absolute, in the guest */
        char *options;                  /* of the mount, "noatime,nodev"; NULL: none */
        uint64_t size;                  /* bytes, whole MiB: makes the volume where it is missing; 0: it must be there */
        bool read_only;
        bool encrypted;                 /* LUKS2; so must the volume be */
        bool make_fs;                   /* the guest makes one where the volume is blank; mkfs=none: it does not */
        bool discard;                   /* the host is told what the file system does not use any more */
        const char *backend;            /* "file", "lvm-thin", as the volume has it; static. NULL: either, and the former where it is made */
} VolumeUse;

typedef struct Definition {
        char *name;
        char *path;                     /* the main file, with layout_root() */
        char **files;                   /* main file and drop-ins, in the order in which they were read */

        char *image;                    /* as written */
        PullPolicy pull;
        bool auto_update;               /* AutoUpdate=registry: infernoctl update --auto is for it */
        char **command;                 /* NULL: the image's; Command= split as systemd splits ExecStart=, without any expansion */
        char **entrypoint;              /* NULL: the image's; empty array: none */
        char **environment;             /* NAME=VALUE, of Environment= alone */
        char **environment_files;       /* absolute paths; leading "-": may be missing */
        char *user;                     /* NULL: the image's */
        char *working_directory;        /* NULL: the image's */
        char *hostname;                 /* defaults to the name of the VM, made a valid host name */
        unsigned vcpu_millis;           /* 1000 = one CPU; the guest has the next whole number of them */
        uint64_t memory;                /* bytes, whole MiB */
        char *kernel;                   /* absolute path on the host, without layout_root() */
        char **kernel_args;             /* words */
        char **bundle;                  /* programs of the host for the guest: absolute paths, each with another last component */
        char **publish_words;           /* of Publish=, as written */
        PublishedPort *published;       /* what they say, a range as so many ports */
        size_t n_published;
        char **dns;                     /* addresses; NULL: the host's */
        char **volume_lines;            /* of Volume=, as written */
        VolumeUse *volumes;             /* what they say, in their order, which is that of the guest's devices */
        size_t n_volumes;
        char **add_hosts;               /* "NAME:ADDRESS" */
        char **ssh_keys;                /* public keys as ssh/public-key.h gives them, and absolute paths of files with such */
        int stop_signal;                /* 0: the image's, else SIGTERM */
        uint64_t stop_timeout_usec;
        RootMode root;
        RootBackend root_backend;       /* a writable layer over the image, or a snapshot of it that can be written to */
        uint64_t root_size;             /* bytes */
        VmmChoice vmm;
        char *tenant;                   /* component of the slice's name; "default" */

        PassThrough *pass;
        size_t n_pass;
} Definition;

/* Whether the guest has a disk with programs of the host: those of Bundle=, an SSH server for SSHKey=, and what volumes may need before they
 * are mounted. */
bool definition_brings_programs(const Definition *d);
Definition *definition_free(Definition *d);
DEFINE_TRIVIAL_CLEANUP_FUNC(Definition *, definition_free)

/* What was wrong, for people: one line a problem, each "file:line: message" (or "file: message"). */
typedef struct DefinitionErrors {
        char **lines;
        size_t n_lines;
} DefinitionErrors;
void definition_errors_done(DefinitionErrors *e);
#define _cleanup_definition_errors_ _cleanup_(definition_errors_done)

/* Site defaults: inferno.conf and inferno.conf.d/ of all layout_config_dirs, section [Inferno]. */
typedef struct SiteConfig {
        char *kernel;                   /* Kernel= */
        char *firecracker;              /* Firecracker=, /usr/bin/firecracker */
        char *jailer;                   /* Jailer=, LAYOUT_JAILER */
        VmmChoice vmm;                  /* VMM= */
        unsigned vcpu_millis;           /* VCPUs= */
        uint64_t memory;                /* Memory= */
        uint64_t root_size;             /* RootSize= */
        uint64_t stop_timeout_usec;     /* StopTimeout= */
        PullPolicy pull;                /* Pull= */
        char **dns;                     /* DNS= */
        char *auth_file;                /* AuthFile= of registries, containers-auth.json(5) */
        unsigned uid_base, uid_count;   /* UIDRange=BASE-LAST; one uid per VM, gid the same */
        char *network;                  /* Network=, CIDR that the /30s are cut from; 172.16.0.0/12 */
        char *volume_group, *thin_pool; /* VolumeGroup=, ThinPool=: LVM's, "inferno" and "thin" */
        unsigned thin_pool_warn;        /* ThinPoolWarn=: per cent of it in use that are told */
        unsigned thin_pool_limit;       /* ThinPoolLimit=: and that nothing is begun above */
        uint64_t image_size_max;        /* ImageSizeMax=: unpacked bytes of one image */
        uint64_t image_entries_max;     /* ImageEntriesMax= */
        uint64_t vmm_overhead_firecracker, vmm_overhead_ember;  /* VMMOverhead…=: bytes over the guest's memory in MemoryMax= */
} SiteConfig;

void site_config_done(SiteConfig *c);
#define _cleanup_site_config_ _cleanup_(site_config_done)
/* -EINVAL with errors filled where a file is wrong. No file at all is fine. */
int site_config_load(SiteConfig *ret, DefinitionErrors *errors);
/* What holds without any file. */
int site_config_defaults(SiteConfig *ret);

/* Finds NAME.vm and its drop-ins, reads and checks them. -ENOENT: no such definition; -ERFKILL: masked; -EINVAL: wrong, or no name of a
 * VM. Each of these has its lines in errors: all problems of all files. Other errors are the machine's (-ENOMEM, -EMFILE, -EIO), and have none. */
int definition_load(const char *name, const SiteConfig *site, Definition **ret, DefinitionErrors *errors);

/* The same, were this text the main file: its drop-ins are those of the search path. `path`, which ends in ".vm", is what errors name. */
int definition_load_text(const char *name, const char *path, const char *text, size_t size, const SiteConfig *site, Definition **ret,
                         DefinitionErrors *errors);

/* The names of all definitions of the search path, sorted, each once, masked ones left out. Names that are no valid names of VMs
 * come with their problem in errors, and are left out. */
int definition_enumerate(char ***ret, DefinitionErrors *errors);

/* The effective VMM on this host: VMM_AUTO becomes VMM_FIRECRACKER where its binary is there and kvm_probe() says that KVM works,
 * else VMM_EMBER. -EOPNOTSUPP, with a sentence: VMM_FIRECRACKER where it cannot run, or VMM_EMBER with more volumes than that has room for. */
int definition_resolve_vmm(const Definition *d, const SiteConfig *site, VmmChoice *ret, char **ret_error);

/* For programs: logs each line of errors; returns r. */
int definition_errors_log(const DefinitionErrors *e, int r);
/* The exit code for a failure of the functions here: EXIT_BAD_DEFINITION where the definition is wrong or masked. */
int definition_exit_code(int r);

/* All definitions of the search path at once, for those who read them all (generator): each folder is listed once. */
typedef struct DefinitionSet DefinitionSet;

/* Wrong names are lines of errors, and left out. Names are sorted. A name of which there are only drop-ins, or whose file is masked,
 * is in the set, and loading it gives -ENOENT or -ERFKILL. */
int definition_set_new(DefinitionSet **ret, DefinitionErrors *errors);
DefinitionSet *definition_set_free(DefinitionSet *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(DefinitionSet *, definition_set_free)
size_t definition_set_size(const DefinitionSet *s);
const char *definition_set_name(const DefinitionSet *s, size_t i);
/* As definition_load(). */
int definition_set_load(const DefinitionSet *s, size_t i, const SiteConfig *site, Definition **ret, DefinitionErrors *errors);
/* Besides, with -EINVAL *ret_wrong is what could be read of it: its name, its path unless the main file cannot be read at all, and those
 * lines of sections other than [VM] that are good. Nothing else in it counts. */
int definition_set_load_full(const DefinitionSet *s, size_t i, const SiteConfig *site, Definition **ret, Definition **ret_wrong,
                             DefinitionErrors *errors);
