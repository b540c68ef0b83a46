/* What bounds a run of `joblet verify` when the service does not answer: an rnx that waits for ever stands in for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "verify/run.h"

#define JOB "11111111-1111-4111-8111-111111111111"
#define NS_PER_MS 1000000LL

static char directory[] = "/tmp/joblet-verify-XXXXXX";
static struct run run;

static int64_t now_ms(void)
{
    return text_now_monotonic_ns() / NS_PER_MS;
}

/* The time for trying is over, and @left_ms are left until the end. */
static void begin(const char *script, int left_ms)
{
    memset(&run, 0, sizeof(run));
    (void)snprintf(run.rnx, sizeof(run.rnx), "%s/rnx", directory);
    FILE *file = fopen(run.rnx, "we");
    assert_non_null(file);
    (void)fprintf(file, "#!/bin/sh\n%s\n", script);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(run.rnx, 0755), 0);
    run.deadline_ns = text_now_monotonic_ns() - 1;
    run.end_ns = text_now_monotonic_ns() + left_ms * NS_PER_MS;
}

static void test_removing_shares_what_is_left(void **state)
{
    (void)state;
    begin("exec sleep 20", 400);
    int64_t start = now_ms();
    for (unsigned i = 0; i < 4; i++)
        assert_false(run_delete_job(&run, JOB));
    assert_in_range(now_ms() - start, 300, 5000);
    run_report_left(&run);
    assert_int_equal(run.report.count, 1);
    assert_int_equal(run.report.rows[0].verdict, REPORT_UNABLE);
    assert_non_null(strstr(run.report.rows[0].seen, "4 jobs of ours"));
    assert_non_null(strstr(run.report.rows[0].seen, JOB));
    report_done(&run.report);
}

/* One that goes on writing is not read for ever. */
static void test_noise_ends_too(void **state)
{
    struct client client;
    struct error error = {0};
    const char *const words[] = {"job", "list", NULL};
    (void)state;
    begin("exec yes", 400);
    run.deadline_ns = run.end_ns;
    int64_t start = now_ms();
    int status = run_rnx(&run, words, &client, &error);
    assert_int_equal(status, CLIENT_ENDED);
    assert_in_range(now_ms() - start, 300, 5000);
    assert_string_equal(client_why(&client, status, &error), "no answer within the time");
    client_done(&client);
}

static void test_removing_works_after_the_deadline(void **state)
{
    (void)state;
    begin("exit 0", 30000);
    assert_true(run_is_over(&run));
    assert_true(run_delete_job(&run, JOB));
    run_report_left(&run);
    assert_int_equal(run.report.count, 0);
}

static bool never(void *user)
{
    (void)user;
    return false;
}

static bool at_once(void *user)
{
    (void)user;
    return true;
}

/* What was waited for to the end of its own time is broken; what the run's end cut short could not be tried. */
static void test_waiting(void **state)
{
    long ms = 0;
    (void)state;
    begin("exit 0", 100);
    assert_int_equal(run_until(&run, never, NULL, 60000, &ms), REPORT_UNABLE);
    assert_in_range(ms, 50, 20000);
    assert_int_equal(run_until(&run, at_once, NULL, 60000, &ms), REPORT_KEPT);
    begin("exit 0", 60000);
    assert_int_equal(run_until(&run, never, NULL, 50, &ms), REPORT_BROKEN);
}

static void test_a_late_answer_breaks_no_promise(void **state)
{
    (void)state;
    begin("exit 0", 1000);
    run_fact(&run, 1, REPORT_CLIENT, false, "a", "b");
    run_fact(&run, 1, REPORT_CLIENT, true, "a", "b");
    run.deadline_ns = run.end_ns;
    run_fact(&run, 1, REPORT_CLIENT, false, "a", "b");
    assert_int_equal(run.report.rows[0].verdict, REPORT_UNABLE);
    assert_int_equal(run.report.rows[1].verdict, REPORT_KEPT);
    assert_int_equal(run.report.rows[2].verdict, REPORT_BROKEN);
    report_done(&run.report);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(run.rnx);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_removing_shares_what_is_left),
            cmocka_unit_test(test_noise_ends_too),
            cmocka_unit_test(test_removing_works_after_the_deadline),
            cmocka_unit_test(test_waiting),
            cmocka_unit_test(test_a_late_answer_breaks_no_promise),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
