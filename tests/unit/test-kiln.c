/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <sys/wait.h>
#include <syslog.h>

#include "base/exit-codes.h"
#include "json/json.h"
#include "kiln/outcome.h"
#include "kiln/status-line.h"
#include "kiln/tail.h"
#include "kiln/vmm-info.h"
#include "test.h"

static int parse(const char *line, StatusLine *ret, char *error) {
        return status_line_parse(line, strlen(line), ret, error);
}

static void test_status_lines(void **state) {
        _cleanup_free_ char *long_line = NULL;
        char error[STATUS_LINE_ERROR_MAX];
        StatusLine s;

        assert_ok(parse("{\"state\":\"booted\"}", &s, error));
        assert_int_equal(s.state, GUEST_BOOTED);
        assert_ok(parse("{\"state\":\"started\",\"pid\":87}", &s, error));
        assert_int_equal(s.state, GUEST_STARTED);
        assert_int_equal(s.pid, 87);
        assert_ok(parse("{\"state\":\"exited\",\"exit_code\":137,\"oom_killed\":true,\"signal\":9,\"message\":\"a\\u001b[2J\\nb\\n\","
                        "\"stdout_bytes\":5,\"stderr_bytes\":0}", &s, error));
        assert_int_equal(s.exit_code, 137);
        assert_int_equal(s.signal, 9);
        assert_true(s.oom_killed);
        assert_int_equal(s.stdout_bytes, 5);
        assert_int_equal(s.stderr_bytes, 0);
        assert_string_equal(s.message, "a?[2J b");
        assert_ok(parse("{\"state\":\"exited\",\"exit_code\":0}", &s, error));
        assert_true(s.stdout_bytes == UINT64_MAX);

        /* Too long a reason is cut, not in the middle of a character. */
        long_line = strf("{\"state\":\"exited\",\"exit_code\":1,\"message\":\"%01023d\u00e4\u00e4\"}", 0);
        assert_ok(parse(long_line, &s, error));
        assert_int_equal(strlen(s.message), 1023);
}

static void test_status_lines_refused(void **state) {
        static const char *const cases[] = {
                "", "{", "[]", "null", "booted", "{}", "{\"state\":\"dancing\"}", "{\"state\":1}",
                "{\"state\":\"booted\"}{\"state\":\"booted\"}",
                "{\"state\":\"booted\",\"state\":\"started\"}",
                "{\"state\":\"booted\",\"root\":true}",
                "{\"state\":\"exited\"}",
                "{\"state\":\"exited\",\"exit_code\":256}",
                "{\"state\":\"exited\",\"exit_code\":-1}",
                "{\"state\":\"exited\",\"exit_code\":1,\"signal\":65}",
                "{\"state\":\"exited\",\"exit_code\":1.5}",
                "{\"state\":\"exited\",\"exit_code\":1,\"message\":7}",
                "{\"state\":\"exited\",\"exit_code\":1,\"message\":\"a\\u0000b\"}",
        };
        char error[STATUS_LINE_ERROR_MAX], *large;
        StatusLine s;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_error(parse(cases[i], &s, error), EBADMSG);

        large = strf("%5000s", "{\"state\":\"booted\"}");
        assert_error(parse(large, &s, error), EBADMSG);
        free(large);
}

static void check_info(const char *body, const char *expected) {
        char error[JSON_ERROR_MAX] = "";
        _cleanup_(vmm_info_done) VmmInfo i = {};
        _cleanup_free_ char *text = NULL;

        if (!expected) {
                assert_error(vmm_info_parse(body, &i, error), EBADMSG);
                return;
        }
        assert_ok(vmm_info_parse(body, &i, error));
        text = vmm_info_format(&i);
        assert_string_equal(text, expected);
}

static void test_vmm_info(void **state) {
        check_info("{\"id\":\"x\",\"state\":\"Running\",\"vmm_version\":\"1.16.0\",\"app_name\":\"Firecracker\"}", "Firecracker 1.16.0 (KVM)");
        check_info("{\"app_name\":\"ember\",\"vmm_version\":\"0.1.0\",\"accelerator\":\"tcg\"}", "ember (emulation)");
        check_info("{\"app_name\":\"ember\",\"accelerator\":\"kvm\"}", "ember (KVM)");
        check_info("{\"app_name\":\"ember\"}", "ember");
        check_info("{}", NULL);
        check_info("{\"app_name\":\"a\\nREADY=1\"}", NULL);
        check_info("nonsense", NULL);
}

static void test_tail(void **state) {
        char text[TAIL_TEXT_MAX];
        Tail t = {};

        tail_text(&t, text);
        assert_string_equal(text, "");
        tail_add(&t, "one\r\n\r\n\ntw", 10);
        tail_add(&t, "o\x1b[0m\nthree", 11);
        tail_text(&t, text);
        assert_string_equal(text, "one\ntwo?[0m\nthree");

        /* After very much: at most 50 lines, whole ones, the last of them. */
        for (int i = 0; i < 100000; i++) {
                char line[16];

                snprintf(line, sizeof(line), "line %d\n", i);
                tail_add(&t, line, strlen(line));
        }
        tail_text(&t, text);
        assert_true(startswith(text, "line 99950\n"));
        assert_true(endswith(text, "\nline 99999"));

        /* One line that is longer than all that is kept has lost its beginning. */
        for (int i = 0; i < 10000; i++)
                tail_add(&t, "xxxxxxxxxx", 10);
        tail_text(&t, text);
        assert_string_equal(text, "");
        tail_add(&t, "\nend\n", 5);
        tail_text(&t, text);
        assert_string_equal(text, "end");
}

static const EndFacts nothing = {
        .vmm = "ember", .stop_signal = SIGTERM, .stop_timeout_usec = 10 * USEC_PER_SEC, .vmm_code = CLD_EXITED, .console = "",
};

static void check(const EndFacts *f, int exit_code, const char *reason, int priority, const char *message) {
        Outcome o;

        outcome_decide(f, &o);
        assert_string_equal(o.message, message);
        assert_int_equal(o.exit_code, exit_code);
        assert_string_equal(o.reason, reason);
        assert_int_equal(o.priority, priority);
}

static void test_outcome_of_the_workload(void **state) {
        EndFacts f = nothing;

        f.booted = f.started = f.exited = true;
        check(&f, 0, "exited", LOG_INFO, "The workload exited with 0");
        f.status.exit_code = 7;
        check(&f, 7, "exited", LOG_NOTICE, "The workload exited with 7");
        f.status.exit_code = 127;       /* a shell's own */
        check(&f, 127, "exited", LOG_NOTICE, "The workload exited with 127");
        f.status.exit_code = 139;
        f.status.signal = SIGSEGV;
        check(&f, 139, "signal", LOG_ERR, "The workload was killed by SIGSEGV");
        f.status.exit_code = 143;
        f.status.signal = SIGTERM;
        check(&f, 143, "signal", LOG_ERR, "The workload was killed by SIGTERM");
        f.stop_requested = true;        /* not by us, who had no time to send it */
        check(&f, 143, "signal", LOG_ERR, "The workload was killed by SIGTERM");
        f.stop_signal_sent = true;
        check(&f, 0, "stopped", LOG_INFO, "The workload ended by SIGTERM as asked.");
        f.status.signal = 0;            /* it has caught it and says so */
        check(&f, 0, "stopped", LOG_INFO, "The workload ended by SIGTERM as asked.");
        f.status.exit_code = 139;
        f.status.signal = SIGSEGV;      /* of another one */
        check(&f, 139, "signal", LOG_ERR, "The workload was killed by SIGSEGV");
        f.status.exit_code = 5;
        f.status.signal = 0;
        check(&f, 5, "stopped", LOG_NOTICE, "The workload exited with 5");
        f.status.exit_code = 137;
        f.status.signal = SIGKILL;
        f.stop_timed_out = true;
        check(&f, 137, "stop-timeout", LOG_WARNING, "The workload did not stop within 10 s, killed.");
        f.stop_hurried = true;
        check(&f, 137, "killed", LOG_NOTICE, "The workload was killed, as asked.");
        f.stop_timed_out = f.stop_requested = f.stop_hurried = false;
        f.status.oom_killed = true;
        check(&f, 137, "oom-killed", LOG_ERR, "The workload was killed: the guest ran out of memory (see Memory= of the definition)");

        f = nothing;
        f.booted = f.exited = true;
        f.status.exit_code = 127;
        strcpy(f.status.message, "no such command \"foo\"");
        check(&f, 127, "setup-failed", LOG_ERR, "The workload could not be started: no such command \"foo\"");
}

static void test_outcome_of_the_vmm(void **state) {
        EndFacts f = nothing;

        check(&f, EXIT_GUEST_LOST, "guest-lost", LOG_ERR, "The guest ended without saying how its workload ended, before it had booted.");
        f.booted = f.started = true;
        check(&f, EXIT_GUEST_LOST, "guest-lost", LOG_ERR, "The guest ended without saying how its workload ended.");
        f.vmm_status = 1;
        check(&f, EXIT_VMM_FAILED, "vmm-failed", LOG_ERR, "ember failed with exit code 1.");
        f.vmm_code = CLD_KILLED;
        f.vmm_status = SIGSEGV;
        check(&f, EXIT_VMM_FAILED, "vmm-failed", LOG_ERR, "ember was killed by SIGSEGV.");
        f.console = "a\nKernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\nb";
        check(&f, EXIT_GUEST_PANIC, "guest-panic", LOG_ERR, "The guest's kernel panicked: Attempted to kill init! exitcode=0x00000100");
        f.vmm_status = SIGKILL;
        f.killed = f.watchdog = true;
        check(&f, EXIT_GUEST_LOST, "watchdog", LOG_ERR, "Killed by the watchdog, though the guest has answered: kiln itself was held up.");
        f.silent = true;
        check(&f, EXIT_GUEST_LOST, "watchdog", LOG_ERR, "The guest did not answer any more and was killed, as the watchdog asked.");
        f.watchdog = false;
        f.stop_requested = f.stop_timed_out = true;
        check(&f, 137, "stop-timeout", LOG_WARNING, "The workload did not stop within 10 s, killed.");
        f.stop_timed_out = f.booted = f.started = false;
        f.start_timeout_usec = 180 * USEC_PER_SEC;
        check(&f, EXIT_GUEST_LOST, "start-timeout", LOG_ERR, "The guest has not booted within 180 s and was killed.");
        f.start_timeout_usec = 0;
        check(&f, 0, "stopped", LOG_INFO, "Stopped before the guest had booted.");
}

static void test_exit_status_json(void **state) {
        Outcome o = { .exit_code = 137, .reason = "oom-killed", .oom_killed = true, .signal = 9, .message = "out \"of\" memory \xff" };
        _cleanup_free_ char *s = NULL;

        assert_ok(outcome_format(&o, 1700000000000000, &s));
        assert_string_equal(s, "{\"exit_code\":137,\"finished_usec\":1700000000000000,\"message\":\"out \\\"of\\\" memory \xef\xbf\xbd\","
                               "\"oom_killed\":true,\"reason\":\"oom-killed\",\"signal\":9}\n");
}

static void test_seconds(void **state) {
        assert_string_equal(format_seconds(10 * USEC_PER_SEC), "10 s");
        assert_string_equal(format_seconds(1500000), "1.5 s");
        assert_string_equal(format_seconds(250000), "0.25 s");
        assert_string_equal(format_seconds(123456789), "123 s");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_status_lines),
                cmocka_unit_test(test_status_lines_refused),
                cmocka_unit_test(test_vmm_info),
                cmocka_unit_test(test_tail),
                cmocka_unit_test(test_outcome_of_the_workload),
                cmocka_unit_test(test_outcome_of_the_vmm),
                cmocka_unit_test(test_exit_status_json),
                cmocka_unit_test(test_seconds),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
