#include "builder_check.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

struct driver check_driver;
struct builder check_builder;
int check_other_fd;
int check_other_number;

static char shell_name[] = "sh";
static char shell_flag[] = "-c";

void check_show(const struct driver_job *job)
{
    if (job->failed)
        print_error("failed at '%s': %s\n", plan_stage_name(job->error.stage), job->error.text);
    print_error("the log is:\n%s\n", job->log ? job->log : "(none)");
}

void check_run(struct driver_job *job)
{
    assert_int_equal(driver_run(&check_driver, job), 0);
    assert_int_equal(job->leaked_mounts, 0);
}

void check_init(struct driver_job *job, uint32_t type, char *script)
{
    static char *arguments[4];
    arguments[0] = shell_name;
    arguments[1] = shell_flag;
    arguments[2] = script;
    builder_job_init(&check_builder, job, type, arguments);
}

void check_script(struct driver_job *job, uint32_t type, const char *script)
{
    check_init(job, type, (char *)(uintptr_t)script);
    check_run(job);
    if (!job->has_record || job->record.reason != RECORD_REASON_EXITED || job->record.exit_code != 0)
        check_show(job);
    assert_int_equal(job->record.exit_code, 0);
    assert_int_equal(job->record.reason, RECORD_REASON_EXITED);
}

void check_line(const struct driver_job *job, const char *line)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "%s\n", line);
    const char *found = job->log;
    size_t length = strlen(text);
    while ((found = strstr(found, text)) && found != job->log && found[-1] != '\n')
        found += length;
    if (!found) {
        print_error("no line '%s'\n", line);
        check_show(job);
    }
    assert_non_null(found);
}

void check_no_text(const struct driver_job *job, const char *text)
{
    if (strstr(job->log, text))
        check_show(job);
    assert_null(strstr(job->log, text));
}

void check_setup_fails(struct driver_job *job, uint32_t stage, const char *text)
{
    check_run(job);
    if (!job->failed || job->error.stage != stage || !strstr(job->error.text, text))
        check_show(job);
    assert_true(job->failed);
    assert_false(job->was_ready);
    assert_int_equal(job->log_size, 0);
    assert_string_equal(plan_stage_name(job->error.stage), plan_stage_name(stage));
    assert_non_null(strstr(job->error.text, text));
    driver_job_done(job);
    assert_int_equal(builder_renew_disk(&check_builder), 0);
}

void check_put_other(const struct driver *ignored, struct driver_job *job, int fds[])
{
    (void)ignored;
    (void)job;
    (void)fd_close(fds[check_other_number]);
    fds[check_other_number] = check_other_fd < 0 ? -1 : fcntl(check_other_fd, F_DUPFD_CLOEXEC, 0);
}

#define DEEP 17U

void check_make_deep(bool removes)
{
    char name[251];
    int fds[DEEP + 1];
    memset(name, '0', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    fds[0] = openat(check_driver.root_fd, "host/opt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < DEEP; i++) {
        assert_true(removes || mkdirat(fds[i], name, 0755) == 0);
        fds[i + 1] = openat(fds[i], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (removes)
        assert_int_equal(unlinkat(fds[DEEP], "deep", 0), 0);
    else
        (void)close(openat(fds[DEEP], "deep", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    for (unsigned i = DEEP; i > 0; i--) {
        (void)close(fds[i]);
        assert_true(!removes || unlinkat(fds[i - 1], name, AT_REMOVEDIR) == 0);
    }
    (void)close(fds[0]);
}

int check_set_up(void **state)
{
    (void)state;
    if (builder_cover_host(&check_builder) < 0)
        return -1;
    return builder_renew_disk(&check_builder);
}

int check_tear_down(void **state)
{
    (void)state;
    builder_uncover_host(&check_builder);
    builder_shell(&check_builder, "rm -rf host");
    check_builder.change_fds = NULL;
    builder_drop_base(&check_builder);
    return builder_renew_disk(&check_builder);
}

static int set_up_all(void **state)
{
    (void)state;
    return builder_open(&check_builder, &check_driver);
}

static int tear_down_all(void **state)
{
    (void)state;
    builder_close(&check_builder);
    return 0;
}

static int open_all(int count, char **arguments)
{
    if (geteuid() != 0) {
        (void)printf("skipped: needs root\n");
        return 77;
    }
    /* What stands for the host's network is the test's own. */
    if (unshare(CLONE_NEWNET) < 0) {
        perror("unshare");
        return 1;
    }
    return count == 2 && driver_open(&check_driver, arguments[1], /* has_hooks= */ false) == 0 ? 0 : 1;
}

int check_tests(int count, char **arguments, const char *name, const struct CMUnitTest tests[], size_t test_count)
{
    int r = open_all(count, arguments);
    if (r != 0)
        return r;
    int failed = _cmocka_run_group_tests(name, tests, test_count, set_up_all, tear_down_all);
    driver_close(&check_driver);
    return failed;
}
