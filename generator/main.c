/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "generator/generator.h"
#include "layout/layout.h"
#include "unitfiles/unit-writer.h"

static const char usage[] =
        "Usage: inferno-generator [--root=DIR] NORMAL-DIR [EARLY-DIR LATE-DIR]\n"
        "       inferno-generator [--root=DIR] --dry-run\n"
        "\n"
        "Turns the definitions of VMs into units, as systemd.generator(7) says; systemd runs it at boot and at\n"
        "systemctl daemon-reload.\n"
        "\n"
        "  --dry-run     print the unit files instead of writing them, and fail where a definition is wrong\n"
        "  --root=DIR    read the definitions of another tree\n"
        "  --help        print this\n"
        "  --version     print the version\n"
        "\n"
        "A definition that is wrong hinders no other VM; its own unit fails when started, and says where the problem is.\n";

static int write_files(void *userdata, const UnitFiles *files) {
        return unit_writer_write(userdata, files);
}

/* What was put in place for VMs without a reload would override what we write. Before the definitions are listed, so that what is put in
 * place meanwhile, for one that is too new for us, stays. systemd says who calls; by hand the generator leaves the directories of the
 * running system alone. */
static void remove_copies(void) {
        const char *scope = getenv("SYSTEMD_SCOPE");
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *dir = NULL;
        int r;

        if (!streq_ptr(scope, "system"))
                return;
        dir = layout_path(LAYOUT_RUNTIME_UNIT_DIR);
        fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;
        if (fd < 0)
                return;
        r = unit_files_remove(fd);
        if (r < 0)
                log_warning_errno(r, "Cannot remove all units that are superseded from \"%s\": %m", dir);
}

static int print_files(void *userdata, const UnitFiles *files) {
        for (size_t i = 0; i < files->n; i++) {
                const UnitFile *u = files->items + i;

                if (u->flags & UNIT_FILE_LINK)
                        printf("%s -> %s\n\n", u->path, u->content);
                else
                        printf("# %s\n%s\n", u->path, u->content);
        }
        return 0;
}

static int run(const char *dir, bool dry_run) {
        _cleanup_(unit_writer_freep) UnitWriter *writer = NULL;
        size_t problems;
        int r;

        if (!dry_run) {
                r = unit_writer_new(dir, &writer);
                if (r < 0)
                        return exit_code_from_errno(log_error_errno(r, "Cannot open the directory \"%s\": %m", dir));
        }
        if (!dry_run)
                remove_copies();
        r = generator_run(dry_run ? print_files : write_files, writer, &problems);
        if (r < 0)
                return exit_code_from_errno(r);
        /* Units were made for the wrong ones too: as a generator we have done what we could. */
        if (dry_run && fflush(stdout) != 0)
                return log_error_errno(errno, "Cannot write to standard output: %m"), EXIT_CANNOT_WRITE;
        return dry_run && problems > 0 ? EXIT_BAD_DEFINITION : EXIT_OK;
}

int main(int argc, char **argv) {
        const char *dirs[3];
        bool dry_run = false;
        size_t n = 0;

        log_setup(argv[0], LOG_TARGET_STDERR);
        (void) umask(0022);
        for (int i = 1; i < argc; i++) {
                const char *root = startswith(argv[i], "--root=");

                if (streq(argv[i], "--help") || streq(argv[i], "-h"))
                        return fputs(usage, stdout), EXIT_OK;
                if (streq(argv[i], "--version"))
                        return puts("inferno " INFERNO_VERSION), EXIT_OK;
                if (streq(argv[i], "--dry-run"))
                        dry_run = true;
                else if (root) {
                        if (layout_set_root(root) < 0)
                                return log_error("--root= takes an absolute path, not \"%s\".", root), EXIT_USAGE;
                } else if (argv[i][0] == '-' || n >= ELEMENTSOF(dirs))
                        return log_error("Unknown argument \"%s\". See --help.", argv[i]), EXIT_USAGE;
                else
                        dirs[n++] = argv[i];
        }
        if (dry_run ? n > 0 : n != 1 && n != 3)
                return log_error("Wanted are one or three directories, or --dry-run. See --help."), EXIT_USAGE;

        /* Three directories: the manager calls, and there may be no journal yet. */
        if (n == 3)
                log_setup(argv[0], LOG_TARGET_KMSG);
        return run(n > 0 ? dirs[0] : NULL, dry_run);
}
