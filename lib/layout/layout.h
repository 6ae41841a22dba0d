/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The one owner of path and unit names. Every path of Inferno on the host comes from here.
 *
 * `root` (normally "") is put before every path of the host, so that tests and image builders can work on another tree:
 * it is what --root= of the programs sets. Strings returned are the caller's to free(); NULL means no memory. */

#include "base/macros.h"

/* Sets the prefix for this process: NULL or "" or "/" for none. Must be absolute; -EINVAL otherwise. */
int layout_set_root(const char *root);
const char *layout_root(void);
/* root + path, for an absolute path of the host. */
char *layout_path(const char *path);

/* Folders that definitions and site configuration are looked for in, highest priority first; NULL-terminated, without root. */
extern const char *const layout_definition_dirs[];      /* /etc/inferno/vms … /usr/lib/inferno/vms */
extern const char *const layout_config_dirs[];          /* /etc/inferno … /usr/lib/inferno: inferno.conf, inferno.conf.d/ */

/* Fixed places (without root; use layout_path() to open them). */
#define LAYOUT_STATE_DIR "/var/lib/inferno"
#define LAYOUT_DATABASE LAYOUT_STATE_DIR "/inferno.db"
#define LAYOUT_IMAGES_DIR LAYOUT_STATE_DIR "/images"            /* 0711: oci/ (OCI image layout, shared blobs), rootfs/ */
#define LAYOUT_INITRAMFS_DIR LAYOUT_STATE_DIR "/initramfs"      /* <sha256>.cpio, programs-<sha256>.squashfs */
#define LAYOUT_BUNDLES_DIR LAYOUT_STATE_DIR "/bundles"          /* <sha256>/…: an ELF program with all that it needs */
#define LAYOUT_TEMPLATES_DIR LAYOUT_STATE_DIR "/templates"      /* empty ext4 images, to be cloned as writable layers */
#define LAYOUT_VOLUMES_DIR LAYOUT_STATE_DIR "/volumes"          /* 0700: <volume>.img, <volume>@<snapshot>.img */
#define LAYOUT_STORAGE_DIR LAYOUT_STATE_DIR "/storage"          /* of inferno-storage: begun, ready, disk.img */
#define LAYOUT_STORAGE_LOCK LAYOUT_LOCK_DIR "/.storage.lock"
#define LAYOUT_VMS_DIR LAYOUT_STATE_DIR "/vms"                  /* also the jailer's --chroot-base-dir */
#define LAYOUT_RUN_DIR "/run/inferno"                           /* <vm>.env, lock/ */
#define LAYOUT_LOCK_DIR LAYOUT_RUN_DIR "/lock"                  /* NAME.lock, of a VM */
#define LAYOUT_NET_LOCK LAYOUT_LOCK_DIR "/.net.lock"            /* held while nftables and the list of active VMs change together */
#define LAYOUT_COMBINED_LOG_DIR "/var/log/inferno"              /* 0750, root:adm */
#define LAYOUT_COMBINED_LOG "combined.log"                      /* the file in it */
#define LAYOUT_COMBINED_LOG_STATE_DIR LAYOUT_STATE_DIR "/combined-log"  /* 0700; locked by whoever writes the file */
#define LAYOUT_COMBINED_LOG_STATE LAYOUT_COMBINED_LOG_STATE_DIR "/state"
#define LAYOUT_COMBINED_LOG_SOCKET LAYOUT_RUN_DIR "/combined-log.socket"
#define LAYOUT_CREDENTIALS_DIR "/etc/credstore.encrypted"       /* systemd's */
#define LAYOUT_LIBEXEC_DIR "/usr/libexec/inferno"
#define LAYOUT_KERNEL "/usr/lib/inferno/vmlinux"                /* default of Kernel= */
#define LAYOUT_INIT "/usr/lib/inferno/init"                     /* the guest's PID 1 */
#define LAYOUT_SSH_PRELOAD "/usr/lib/inferno/ssh-preload.so"    /* what dropbear is run with in guests */
#define LAYOUT_KILN LAYOUT_LIBEXEC_DIR "/kiln"
#define LAYOUT_EMBER LAYOUT_LIBEXEC_DIR "/ember"
#define LAYOUT_JAILER LAYOUT_LIBEXEC_DIR "/inferno-jailer"
#define LAYOUT_INFERNOCTL "/usr/bin/infernoctl"

/* Of one VM. */
char *layout_vm_dir(const char *vm);                    /* /var/lib/inferno/vms/<vm> */
char *layout_vm_current(const char *vm);                /* …/current -> ../kiln/<ULID> */
char *layout_vm_pin(const char *vm);                    /* …/pin, of a VM that was rolled back */
char *layout_vm_upper(const char *vm);                  /* …/upper.ext4, of Root=persistent */
char *layout_vm_initramfs(const char *vm);              /* …/initramfs -> ../../initramfs/<sha256>.cpio */
char *layout_vm_programs(const char *vm);               /* …/programs -> ../../initramfs/programs-<sha256>.squashfs; not of every VM */
char *layout_vm_ssh_host_key(const char *vm);           /* …/ssh-host-key, 0600; of a VM with SSHKey= */
char *layout_vm_env(const char *vm);                    /* /run/inferno/<vm>.env */
char *layout_vm_keys(const char *vm);                   /* /run/inferno/keys/<vm>: of its encrypted volumes, until kiln has read them */
char *layout_vm_lock(const char *vm);                   /* /run/inferno/lock/<vm>.lock */

/* Of one version. */
char *layout_version_dir(const char *ulid);             /* /var/lib/inferno/vms/kiln/<ULID> */
char *layout_version_root(const char *ulid);            /* …/root */

/* Of one volume. */
char *layout_guest_volume(size_t index);                /* /dev/vdc for 0: the order of the definition */
char *layout_volume_credential(const char *volume);     /* inferno.volume.<volume>: systemd's name of the key */
char *layout_volume_lock(const char *volume);           /* /run/inferno/lock/volumes/<volume>.lock */

/* Names inside a jail (below <version>/root), as kiln and the VMM see them with a "/" before. */
#define JAIL_KILN "kiln"
#define JAIL_KILN_CONFIG "kiln.json"
#define JAIL_VMM "firecracker"                  /* Firecracker or ember: kiln does not know the difference */
#define JAIL_VMM_CONFIG "firecracker.json"
#define JAIL_KERNEL "vmlinux"
#define JAIL_INITRD "initrd.cpio"
#define JAIL_ROOTFS "rootfs"                    /* read-only image, /dev/vda */
#define JAIL_UPPER "upper"                      /* writable layer, ext4, /dev/vdb */
#define JAIL_PROGRAMS "programs"                /* what the guest brings along, read-only, the device after the volumes */
#define JAIL_VOLUMES "volumes"                  /* a directory: <volume>, /dev/vdc and so on */
#define JAIL_KEYS "run/keys"                    /* layout_vm_keys(), of a VM with encrypted volumes */
#define JAIL_API_SOCKET "firecracker.sock"
#define JAIL_VSOCK "v.sock"                     /* and v.sock_<port> for what the guest connects to */
#define JAIL_EXIT_STATUS "exit_status.json"
#define JAIL_VMM_LOG "vmm.log.fifo"
#define JAIL_VMM_METRICS "vmm.metrics.fifo"

/* Units. Names of VMs need no escaping as instances; as components of slices their "-" becomes "\x2d" (systemd.unit(5)). */
char *layout_unit_name(const char *vm);                         /* inferno@<vm>.service */
char *layout_slice_name(const char *tenant, const char *vm);    /* inferno-<tenant>-<vm>.slice */
#define LAYOUT_TEMPLATE_UNIT "inferno@.service"
#define LAYOUT_TEMPLATE_PATTERN "inferno@*.service"              /* systemd's for all instances */
#define LAYOUT_TARGET_UNIT "inferno.target"
#define LAYOUT_COMBINED_LOG_UNIT "inferno-combined-log.service"
#define LAYOUT_COMBINED_LOG_SOCKET_UNIT "inferno-combined-log.socket"
#define LAYOUT_RUNTIME_UNIT_DIR "/run/systemd/system"           /* read before the generator's, and without a reload */

/* Network. The TAP's name from the number of the /30 (0 … 2^18-1): "inf0" … ; the alternative name "tap_inferno_<vm>". */
char *layout_tap_name(unsigned subnet_index);
#define LAYOUT_TAP_PREFIX "inf"
#define LAYOUT_TAP_ALTNAME_PREFIX "tap_inferno_"
char *layout_tap_altname(const char *vm);
