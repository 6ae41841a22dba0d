/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each folder of tests/golden/generator has a tree with definitions, root/, and what --dry-run prints of it, expected. */

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "generator/generator.h"
#include "layout/layout.h"
#include "test.h"

/* As --dry-run prints, with the place of the test tree taken out. */
static int collect(void *userdata, const UnitFiles *files) {
        StrBuf *b = userdata;

        for (size_t i = 0; i < files->n; i++) {
                const UnitFile *u = files->items + i;

                strbuf_addf(b, u->is_link ? "%s -> %s\n\n" : "# %s\n%s\n", u->path, u->content);
        }
        return 0;
}

static char *without(const char *text, const char *root) {
        StrBuf b = {};
        char *s;

        for (const char *p; (p = strstr(text, root)); text = p + strlen(root))
                strbuf_add(&b, text, (size_t) (p - text));
        strbuf_adds(&b, text);
        assert_ok(strbuf_finish(&b, &s, NULL));
        return s;
}

static void check_case(const char *folder, size_t problems_expected) {
        _cleanup_free_ char *root = strf("%s/tests/golden/generator/%s/root", getenv("INFERNO_SOURCE") ?: ".", folder);
        _cleanup_free_ char *path = strf("%s/tests/golden/generator/%s/expected", getenv("INFERNO_SOURCE") ?: ".", folder);
        _cleanup_free_ char *expected = NULL, *actual = NULL;
        _cleanup_strbuf_ StrBuf b = {};
        size_t problems;

        assert_ok(layout_set_root(root));
        assert_ok(generator_run(collect, &b, &problems));
        layout_set_root(NULL);
        actual = without(b.data ?: "", root);
        assert_int_equal(problems, problems_expected);
        assert_ok(read_file_at(AT_FDCWD, path, 1024 * 1024, &expected, NULL));
        assert_string_equal(actual, expected);
}

static void test_golden(void **state) {
        check_case("plain", 0);
        check_case("everything", 0);
        check_case("broken", 2);
        check_case("site-config", 0);
}

static void test_write(void **state) {
        static const struct {
                const char *path, *target;
        } links[] = {
                { "multi-user.target.wants/inferno@web.service", "/usr/lib/systemd/system/inferno@.service" },
        };
        char dir[] = "/tmp/test-generator.XXXXXX", target[256];
        _cleanup_close_ int fd = -EBADF;
        Definition d = {
                .name = (char *) "web", .path = (char *) "/etc/inferno/vms/web.vm", .tenant = (char *) "default",
                .vcpu_millis = 1000, .memory = MIB(64),
        };
        PassThrough pass = { .section = "Install", .key = (char *) "WantedBy", .value = (char *) "multi-user.target" };
        SiteConfig site = { .jailer = (char *) LAYOUT_JAILER };
        _cleanup_unit_files_ UnitFiles files = {};
        _cleanup_free_ char *content = NULL;

        d.pass = &pass;
        d.n_pass = 1;
        assert_non_null(mkdtemp(dir));
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(unit_files_add(&files, &d, &site));
        /* Twice: what is there already is no obstacle. */
        assert_ok(unit_files_write(&files, fd));
        assert_ok(unit_files_write(&files, fd));
        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                ssize_t n = readlinkat(fd, links[i].path, target, sizeof(target) - 1);

                assert_true(n > 0);
                target[n] = 0;
                assert_string_equal(target, links[i].target);
        }
        assert_ok(read_file_at(fd, "inferno@web.service.d/50-inferno.conf", 4096, &content, NULL));
        assert_non_null(startswith(content, UNIT_FILES_MARK "\n"));
        assert_ok(remove_tree_at(AT_FDCWD, dir));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_write),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
