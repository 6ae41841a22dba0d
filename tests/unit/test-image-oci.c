/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "image/digest.h"
#include "image/image.h"
#include "image/oci.h"
#include "image/skopeo.h"
#include "test.h"

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define D3 "sha256:3333333333333333333333333333333333333333333333333333333333333333"

static void assert_normal(const char *reference, const char *expected) {
        _cleanup_free_ char *s = NULL, *again = NULL, *e = NULL;

        if (image_reference_normalize(reference, &s, &e) < 0)
                print_message("refused: %s\n", e);
        assert_non_null(s);
        assert_string_equal(s, expected);
        assert_ok(image_reference_normalize(s, &again, NULL));
        assert_string_equal(again, expected);
}

static void assert_no_reference(const char *reference) {
        _cleanup_free_ char *s = NULL, *e = NULL;

        assert_error(image_reference_normalize(reference, &s, &e), EINVAL);
        assert_non_null(e);
        assert_null(s);
}

static void test_references(void **state) {
        assert_normal("nginx", "docker://docker.io/library/nginx:latest");
        assert_normal("nginx:1.25", "docker://docker.io/library/nginx:1.25");
        assert_normal("me/app", "docker://docker.io/me/app:latest");
        assert_normal("docker.io/nginx", "docker://docker.io/library/nginx:latest");
        assert_normal("index.docker.io/a/b", "docker://docker.io/a/b:latest");
        assert_normal("localhost/x", "docker://localhost/x:latest");
        assert_normal("localhost:5000/x:y", "docker://localhost:5000/x:y");
        assert_normal("host:5000", "docker://docker.io/library/host:5000");
        assert_normal("quay.io/a/b/c@" D1, "docker://quay.io/a/b/c@" D1);
        assert_normal("nginx:1.25@" D1, "docker://docker.io/library/nginx@" D1);
        assert_normal("[::1]:5000/x", "docker://[::1]:5000/x:latest");
        assert_normal("docker://nginx", "docker://docker.io/library/nginx:latest");
        assert_normal("me/a--b__c.d-e", "docker://docker.io/me/a--b__c.d-e:latest");
        assert_normal("Host/x", "docker://Host/x:latest");
        assert_normal("oci:/var/images/x:tag", "oci:/var/images/x:tag");
        assert_normal("oci-archive:/x.tar", "oci-archive:/x.tar");
        assert_normal("docker-archive:/x y.tar:n:t", "docker-archive:/x y.tar:n:t");
        assert_normal("docker-daemon:nginx", "docker-daemon:docker.io/library/nginx:latest");
        assert_normal("docker-daemon:" D1, "docker-daemon:" D1);
        assert_normal("containers-storage:nginx", "containers-storage:nginx");

        assert_no_reference("");
        assert_no_reference("Nginx");
        assert_no_reference("a//b");
        assert_no_reference("/etc/image");
        assert_no_reference("./x");
        assert_no_reference("../x");
        assert_no_reference("-x");
        assert_no_reference("a..b");
        assert_no_reference("a___b");
        assert_no_reference("a_");
        assert_no_reference("nginx:");
        assert_no_reference("nginx:.x");
        assert_no_reference("nginx:a/b");
        assert_no_reference("nginx@sha256:1");
        assert_no_reference("nginx@sha256:../../../../../../../../../../../../../../../../../../../../../");
        assert_no_reference("nginx@sha512:1111111111111111111111111111111111111111111111111111111111111111");
        assert_no_reference("nginx\nx");
        assert_no_reference("nginx x");
        assert_no_reference("https://docker.io/nginx");
        assert_no_reference("dir:/x");
        assert_no_reference("oci:x");
        assert_no_reference("oci:");
        assert_no_reference("oci:/");
        assert_no_reference("docker://");
        assert_no_reference("containers-storage:");
        assert_no_reference("a-.com/x");
        assert_no_reference("host:x/y");
        assert_no_reference(".com/x");
}

static void test_digests(void **state) {
        char digest[DIGEST_SIZE];

        assert_true(digest_is_valid(D1));
        assert_false(digest_is_valid("sha256:1"));
        assert_false(digest_is_valid(D1 "1"));
        assert_false(digest_is_valid("sha256:111111111111111111111111111111111111111111111111111111111111111A"));
        assert_false(digest_is_valid("sha256:../1111111111111111111111111111111111111111111111111111111111111"));
        assert_false(digest_is_valid("md5:" D1));
        digest_of("abc", 3, digest);
        assert_string_equal(digest, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static char *error;

static int parse(const char *text, OciDocument *ret) {
        error = (free(error), NULL);
        return oci_document_parse(text, strlen(text), ret, &error);
}

static void assert_bad(const char *text, int expected, const char *words) {
        OciDocument d = {};

        assert_int_equal(parse(text, &d), -expected);
        assert_non_null(error);
        if (!strstr(error, words))
                print_message("said: %s\n", error);
        assert_non_null(strstr(error, words));
}

#define CONFIG "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" D1 "\",\"size\":10}"
#define LAYER "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"" D2 "\",\"size\":20}"

static void test_manifest(void **state) {
        OciDocument d = {};

        assert_ok(parse("{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER "],\"annotations\":{\"x\":\"y\"},\"unknown\":[{}]}", &d));
        assert_false(d.is_index);
        assert_string_equal(d.config.digest, D1);
        assert_int_equal(d.n_layers, 1);
        assert_string_equal(d.layers[0].digest, D2);
        assert_int_equal(d.layers[0].size, 20);
        oci_document_done(&d);

        assert_ok(parse("{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\",\"config\":{\"mediaType\":"
                        "\"application/vnd.docker.container.image.v1+json\",\"digest\":\"" D1 "\",\"size\":10},\"layers\":[]}", &d));
        assert_true(oci_media_type_is_docker(d.media_type));
        assert_int_equal(d.n_layers, 0);
        oci_document_done(&d);

        assert_bad("", EBADMSG, "malformed JSON");
        assert_bad("[]", EBADMSG, "not a JSON object");
        assert_bad("{}", EBADMSG, "schemaVersion");
        assert_bad("{\"schemaVersion\":1}", EOPNOTSUPP, "schema 1");
        assert_bad("{\"schemaVersion\":\"2\"}", EBADMSG, "schemaVersion");
        assert_bad("{\"schemaVersion\":2}", EBADMSG, "\"config\" is missing");
        assert_bad("{\"schemaVersion\":2," CONFIG "}", EBADMSG, "\"layers\" is missing");
        assert_bad("{\"schemaVersion\":2," CONFIG ",\"layers\":{}}", EBADMSG, "not an array");
        assert_bad("{\"schemaVersion\":2," CONFIG ",\"layers\":[1]}", EBADMSG, "element 0: not an object");
        assert_bad("{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"layers\":[" LAYER "]}", EBADMSG, "malformed JSON");
        assert_bad("{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"manifests\":[]}", EBADMSG, "both an index and a manifest");
        assert_bad("{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\"," CONFIG ",\"layers\":[]}", EBADMSG, "mediaType");
        assert_bad("{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:../../x\",\"size\":1}]}",
                        EBADMSG, "digest");
        assert_bad("{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"" D1 "\",\"size\":-1}]}",
                        EBADMSG, "size");
        assert_bad("{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"" D1 "\",\"size\":1e3}]}",
                        EBADMSG, "size");
        assert_bad("{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip+encrypted\",\"digest\":\"" D1 "\",\"size\":1}]}",
                        EOPNOTSUPP, "layer 1 has type");
        assert_bad("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",\"digest\":\"" D1 "\",\"size\":1},\"layers\":[]}",
                        EOPNOTSUPP, "artifact");
        assert_bad("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" D1 "\",\"size\":99999999},\"layers\":[]}",
                        EBADMSG, "configuration is larger");
}

static void test_deep_json(void **state) {
        _cleanup_strbuf_ StrBuf b = {};

        for (unsigned i = 0; i < 100000; i++)
                strbuf_adds(&b, "[");
        assert_bad(b.data, EBADMSG, "malformed JSON");
        for (size_t i = 0; i < b.size; i++)
                b.data[i] = ' ';
        while (b.size <= OCI_DOCUMENT_MAX)
                strbuf_adds(&b, "                                                                ");
        assert_bad(b.data, EBADMSG, "larger than");
}

#define ENTRY(digest, platform) "{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"" digest "\",\"size\":1" platform "}"
#define PLATFORM(os, arch) ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}"
#define VARIANT(arch, v) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\",\"variant\":\"" v "\"}"
#define NAMED(name) ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}"
#define INDEX(...) "{\"schemaVersion\":2,\"manifests\":[" __VA_ARGS__ "]}"

static int select_from(const char *index, const char *architecture, const char *name, char ret[static DIGEST_SIZE]) {
        const OciDescriptor *entry;
        OciDocument d = {};
        int r;

        assert_ok(parse(index, &d));
        assert_true(d.is_index);
        r = oci_index_select(&d, architecture, name, &entry, &error);
        if (r >= 0)
                memcpy(ret, entry->digest, DIGEST_SIZE);
        oci_document_done(&d);
        return r;
}

static void assert_selects(const char *index, const char *architecture, const char *name, const char *expected) {
        char digest[DIGEST_SIZE];

        assert_ok(select_from(index, architecture, name, digest));
        assert_string_equal(digest, expected);
}

static void test_index(void **state) {
        char digest[DIGEST_SIZE];

        assert_selects(INDEX(ENTRY(D1, PLATFORM("linux", "arm64")) "," ENTRY(D2, PLATFORM("linux", "amd64")) "," ENTRY(D3, PLATFORM("windows", "amd64"))), "amd64", NULL, D2);
        assert_selects(INDEX(ENTRY(D1, VARIANT("amd64", "v3")) "," ENTRY(D2, PLATFORM("linux", "amd64"))), "amd64", NULL, D2);
        assert_selects(INDEX(ENTRY(D1, VARIANT("amd64", "v3")) "," ENTRY(D2, VARIANT("amd64", "v2"))), "amd64", NULL, D2);
        assert_selects(INDEX(ENTRY(D1, VARIANT("arm64", "v9")) "," ENTRY(D2, VARIANT("arm64", "v8"))), "arm64", NULL, D2);
        assert_selects(INDEX(ENTRY(D1, PLATFORM("linux", "amd64")) "," ENTRY(D2, PLATFORM("linux", "amd64"))), "amd64", NULL, D1);
        assert_selects(INDEX(ENTRY(D1, PLATFORM("unknown", "unknown")) "," ENTRY(D2, PLATFORM("linux", "amd64"))), "amd64", NULL, D2);
        assert_selects(INDEX(ENTRY(D1, "")), "amd64", NULL, D1);
        assert_selects(INDEX(ENTRY(D1, "") "," ENTRY(D2, PLATFORM("linux", "amd64"))), "amd64", NULL, D2);
        assert_selects(INDEX(ENTRY(D1, NAMED("a")) "," ENTRY(D2, NAMED("b"))), "amd64", "b", D2);
        /* Entries of unknown types are no images. */
        assert_selects(INDEX("{\"mediaType\":\"application/xml\",\"digest\":\"" D1 "\",\"size\":1}," ENTRY(D2, "")), "amd64", NULL, D2);
        assert_selects(INDEX(ENTRY(D1, NAMED("a")) "," ENTRY(D1, NAMED("b"))), "amd64", NULL, D1);

        assert_error(select_from(INDEX(ENTRY(D1, NAMED("a")) "," ENTRY(D2, NAMED("b"))), "amd64", NULL, digest), EBADMSG);
        assert_non_null(strstr(error, "several images"));
        assert_error(select_from(INDEX(ENTRY(D1, PLATFORM("linux", "amd64") NAMED("a")) "," ENTRY(D2, PLATFORM("linux", "amd64") NAMED("b"))), "amd64", NULL, digest), EBADMSG);
        assert_error(select_from(INDEX(ENTRY(D1, NAMED("a"))), "amd64", "x", digest), ENOENT);
        assert_non_null(strstr(error, "has no image \"x\" for linux/amd64; its names are: a"));
        assert_error(select_from(INDEX(ENTRY(D1, VARIANT("arm", "v7")) "," ENTRY(D2, PLATFORM("linux", "s390x"))), "amd64", NULL, digest), ENOENT);
        assert_string_equal(error, "has no image for linux/amd64, only for linux/arm/v7, linux/s390x");
        assert_error(select_from(INDEX(""), "amd64", NULL, digest), ENOENT);
}

static int parse_config(const char *text, OciConfig *ret) {
        error = (free(error), NULL);
        return oci_config_parse(text, strlen(text), ret, &error);
}

static void test_config(void **state) {
        OciConfig c = {};

        assert_ok(parse_config("{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"A=1\",\"B=\"],\"Entrypoint\":[\"/e\"],\"Cmd\":[],\"User\":\"\","
                               "\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGQUIT\",\"Healthcheck\":{\"Test\":[\"NONE\"]},\"Volumes\":{\"/v\":{}},\"Labels\":null},"
                               "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D1 "\"]},\"history\":[{}]}", &c));
        assert_int_equal(strv_length(c.env), 2);
        assert_string_equal(c.entrypoint[0], "/e");
        assert_non_null(c.cmd);
        assert_null(c.cmd[0]);
        assert_null(c.user);
        assert_string_equal(c.working_dir, "/w");
        assert_string_equal(c.stop_signal, "SIGQUIT");
        assert_string_equal(c.diff_ids[0], D1);
        oci_config_done(&c);

        assert_ok(parse_config("{\"config\":null,\"rootfs\":{\"type\":\"layers\",\"diff_ids\":null}}", &c));
        assert_null(c.env);
        assert_null(c.cmd);
        assert_null(c.diff_ids);
        oci_config_done(&c);

        assert_error(parse_config("{}", &c), EBADMSG);
        assert_error(parse_config("{\"rootfs\":{\"type\":\"tree\",\"diff_ids\":[]}}", &c), EOPNOTSUPP);
        assert_error(parse_config("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"x\"]}}", &c), EBADMSG);
        assert_error(parse_config("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":{}}}", &c), EBADMSG);
        assert_error(parse_config("{\"config\":[],\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}", &c), EBADMSG);
        assert_error(parse_config("{\"config\":{\"Cmd\":\"sh\"},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}", &c), EBADMSG);
        assert_error(parse_config("{\"config\":{\"User\":0},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}", &c), EBADMSG);
        assert_error(parse_config("{\"config\":{\"Env\":[\"X\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}", &c), EBADMSG);
        assert_non_null(strstr(error, "\"X\" in \"Env\""));
        assert_error(parse_config("{\"config\":{\"Env\":[\"A=\\u0000\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}", &c), EBADMSG);
}

static void test_skopeo_messages(void **state) {
        bool warning;
        _cleanup_free_ char *a = skopeo_message("time=\"2024-01-01T00:00:00Z\" level=fatal msg=\"reading \\\"x\\\":\\nnot found\"", &warning), *b = NULL, *c = NULL;

        assert_string_equal(a, "reading \"x\": not found");
        assert_false(warning);
        b = skopeo_message("time=\"2024-01-01T00:00:00Z\" level=warning msg=slow", &warning);
        assert_string_equal(b, "slow");
        assert_true(warning);
        c = skopeo_message("panic: oops", &warning);
        assert_string_equal(c, "panic: oops");
        assert_false(warning);
}

static int tear_down(void **state) {
        free(error);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_references),
                cmocka_unit_test(test_digests),
                cmocka_unit_test(test_manifest),
                cmocka_unit_test(test_deep_json),
                cmocka_unit_test(test_index),
                cmocka_unit_test(test_config),
                cmocka_unit_test(test_skopeo_messages),
        };
        return cmocka_run_group_tests(tests, NULL, tear_down);
}
