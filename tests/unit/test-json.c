/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "json/json.h"
#include "test.h"

typedef struct Sample {
        char *name;
        char **args;
        unsigned n;
        bool on;
} Sample;

static const JsonField sample_fields[] = {
        { "name", json_read_string, offsetof(Sample, name), JSON_MANDATORY },
        { "args", json_read_strv, offsetof(Sample, args), 0 },
        { "n", json_read_uint, offsetof(Sample, n), 0 },
        { "on", json_read_bool, offsetof(Sample, on), 0 },
        { "later", NULL, 0, JSON_UNSUPPORTED },
        {},
};

static int read_sample(const char *text, Sample *s, char *error) {
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse(text, strlen(text), 1024, &j, error);
        if (r < 0)
                return r;
        return json_read_object(j, sample_fields, 0, s, error);
}

static void test_read(void **state) {
        char error[JSON_ERROR_MAX] = "";
        Sample s = { .n = 5 };

        assert_ok(read_sample("{\"name\":\"a\",\"args\":[\"x\",\"y\"],\"on\":true,\"n\":null}", &s, error));
        assert_string_equal(s.name, "a");
        assert_int_equal(strv_length(s.args), 2);
        assert_true(s.on);
        assert_int_equal(s.n, 5);

        assert_error(read_sample("{\"name\":1}", &s, error), EBADMSG);
        assert_string_equal(error, "\"name\": not a string");
        assert_error(read_sample("{}", &s, error), EBADMSG);
        assert_string_equal(error, "\"name\" is missing");
        assert_error(read_sample("{\"name\":\"a\",\"nmae\":1}", &s, error), EBADMSG);
        assert_string_equal(error, "unknown key \"nmae\"");
        assert_error(read_sample("{\"name\":\"a\",\"later\":1}", &s, error), EOPNOTSUPP);
        assert_error(read_sample("{\"name\":\"a\",\"n\":-1}", &s, error), EBADMSG);
        assert_error(read_sample("{\"name\":\"a\",\"n\":4294967296}", &s, error), EBADMSG);
        assert_error(read_sample("{\"name\":\"a\",\"name\":\"b\"}", &s, error), EBADMSG);
        assert_error(read_sample("{\"name\":\"a\"} x", &s, error), EBADMSG);
        assert_error(read_sample("[]", &s, error), EBADMSG);
        free(s.name);
        strv_free(s.args);
}

static void check_array(const char *text, int error_number, size_t n_expected, const char *error_expected) {
        char error[JSON_ERROR_MAX] = "";
        _cleanup_json_ json_t *j = NULL;
        Sample *samples = NULL;
        size_t n = 0;
        int r;

        assert_ok(json_parse(text, strlen(text), 1024, &j, error));
        r = json_read_array(j, sample_fields, 2, sizeof(Sample), (void **) &samples, &n, error);
        if (error_number > 0)
                assert_error(r, error_number);
        else
                assert_ok(r);
        assert_string_equal(error, error_expected);
        assert_int_equal(n, n_expected);
        for (size_t i = 0; i < n; i++) {
                free(samples[i].name);
                strv_free(samples[i].args);
        }
        free(samples);
}

static void test_array(void **state) {
        check_array("[]", 0, 0, "");
        check_array("[{\"name\":\"a\"},{\"name\":\"b\",\"args\":[\"c\"]}]", 0, 2, "");
        check_array("[{\"name\":\"a\"},{\"name\":\"b\",\"n\":\"x\"}]", EBADMSG, 2, "entry 1: \"n\": not an integer of 0 to 4294967295");
        check_array("[{\"name\":\"a\"},7]", EBADMSG, 2, "entry 1: not an object");
        check_array("[1,2,3]", EBADMSG, 0, "more than 2 entries");
        check_array("{}", EBADMSG, 0, "not an array");
}

static void test_bounds(void **state) {
        char error[JSON_ERROR_MAX];
        char deep[20000];
        json_t *j = NULL;

        assert_error(json_parse("{}", 2, 1, &j, error), EFBIG);
        memset(deep, '[', sizeof(deep));
        assert_error(json_parse(deep, sizeof(deep), sizeof(deep), &j, error), EBADMSG);
        assert_null(j);
}

static void test_format(void **state) {
        _cleanup_json_ json_t *j = json_pack("{s:i,s:o}", "b", 1, "a", json_string_lossy("x\xff\xc3\xa4\xed\xa0\x80", 7));
        _cleanup_free_ char *s = json_format(j);

        assert_string_equal(s, "{\"a\":\"x\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"b\":1}\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_read),
                cmocka_unit_test(test_array),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_format),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
