/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kvm.h"

enum {
        PAGE = 4096,
        CODE = 1 * PAGE,
        PML4 = 2 * PAGE,
        PDPT = 3 * PAGE,
        PD = 4 * PAGE,
        DATA = 5 * PAGE,
        MEMORY = 6 * PAGE,
        DEVICE = 1024 * 1024,           /* behind the memory: reading there exits to us */
};

/* What a 64-bit kernel does early: long mode with paging, a locked 16-byte exchange, an access to a device, a halt. Halting in real
 * mode, which is easy to ask for, also succeeds with hypervisors in hypervisors that cannot run Linux. */
static const uint8_t code[] = {
        0x31, 0xc0,                                                     /* xor eax, eax */
        0x31, 0xd2,                                                     /* xor edx, edx */
        0x31, 0xc9,                                                     /* xor ecx, ecx */
        0xbb, 0x01, 0x00, 0x00, 0x00,                                   /* mov ebx, 1 */
        0xf0, 0x48, 0x0f, 0xc7, 0x0c, 0x25, 0x00, 0x50, 0x00, 0x00,     /* lock cmpxchg16b [DATA] */
        0x8b, 0x04, 0x25, 0x00, 0x00, 0x10, 0x00,                       /* mov eax, [DEVICE] */
        0xf4,                                                           /* hlt */
};

static void on_alarm(int signo) {
}

static int run_vcpu(int kvm_fd, int vm_fd, uint8_t *memory) {
        struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
        _cleanup_close_ int vcpu_fd = -EBADF;
        struct kvm_sregs sregs;
        struct kvm_run *run;
        int size, r = -ENODEV;

        vcpu_fd = ioctl(vm_fd, KVM_CREATE_VCPU, 0);
        if (vcpu_fd < 0)
                return negative_errno();
        size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
        if (size < (int) sizeof(struct kvm_run))
                return -ENODEV;
        run = mmap(NULL, (size_t) size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
        if (run == MAP_FAILED)
                return negative_errno();

        memcpy(memory + CODE, code, sizeof(code));
        *(uint64_t *) (void *) (memory + PML4) = PDPT | 3;
        *(uint64_t *) (void *) (memory + PDPT) = PD | 3;
        *(uint64_t *) (void *) (memory + PD) = 0x83;    /* 2 MiB, present, writable */
        if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
                goto finish;
        sregs.cr0 = 1U << 0 | 1U << 1 | 1U << 4 | 1U << 5 | 1U << 31;  /* PE, MP, ET, NE, PG */
        sregs.cr3 = PML4;
        sregs.cr4 = 1U << 5;                            /* PAE */
        sregs.efer = 1U << 8 | 1U << 10;                /* LME, LMA */
        sregs.cs = (struct kvm_segment) { .limit = UINT32_MAX, .selector = 8, .type = 11, .present = 1, .l = 1, .s = 1, .g = 1 };
        sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss =
                (struct kvm_segment) { .limit = UINT32_MAX, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1 };
        if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
                goto finish;

        for (unsigned exits = 0; exits < 4; exits++) {
                if (ioctl(vcpu_fd, KVM_RUN, 0) < 0) {
                        r = errno == EINTR ? -ETIMEDOUT : negative_errno();
                        break;
                }
                if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr == DEVICE && !run->mmio.is_write) {
                        memset(run->mmio.data, 0x5a, sizeof(run->mmio.data));
                        continue;
                }
                if (run->exit_reason == KVM_EXIT_HLT && ioctl(vcpu_fd, KVM_GET_REGS, &regs) >= 0 && regs.rax == 0x5a5a5a5aU &&
                    memory[DATA] == 1)
                        r = 0;
                break;
        }
finish:
        (void) munmap(run, (size_t) size);
        return r;
}

int kvm_probe(void) {
        const struct sigaction action = { .sa_handler = on_alarm };
        /* Repeats: the first one may come before KVM_RUN. */
        const struct itimerval limit = { { 0, 100000 }, { 1, 0 } };
        _cleanup_close_ int kvm_fd = -EBADF, vm_fd = -EBADF;
        struct sigaction old;
        uint8_t *memory;
        int r;

        kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        if (kvm_fd < 0)
                return negative_errno();
        if (ioctl(kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
                return -ENODEV;
        vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
        if (vm_fd < 0)
                return negative_errno();

        memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
                return negative_errno();
        if (ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION,
                  &(struct kvm_userspace_memory_region) { .memory_size = MEMORY, .userspace_addr = (uintptr_t) memory }) < 0)
                r = negative_errno();
        else {
                (void) sigaction(SIGALRM, &action, &old);
                (void) setitimer(ITIMER_REAL, &limit, NULL);
                r = run_vcpu(kvm_fd, vm_fd, memory);
                (void) setitimer(ITIMER_REAL, &(struct itimerval) {}, NULL);
                (void) sigaction(SIGALRM, &old, NULL);
        }
        (void) munmap(memory, MEMORY);
        return r;
}
