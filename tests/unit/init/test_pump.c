/* The log pump: offsets, entries, quota, and what happens when the log cannot be written. */
#include "init/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

struct fixture {
    int log_fd;
    int index_fd;
    int null_fd;
    int pipe_fds[2];
    struct pump pump;
};

static int temporary_file(void)
{
    char path[] = "/tmp/joblet-pump-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    (void)unlink(path);
    return fd;
}

static void fixture_init(struct fixture *fixture, uint64_t quota_bytes)
{
    fixture->log_fd = temporary_file();
    fixture->index_fd = temporary_file();
    fixture->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pipe2(fixture->pipe_fds, O_CLOEXEC), 0);
    pump_init(&fixture->pump, fixture->log_fd, fixture->index_fd, fixture->null_fd, quota_bytes);
}

static void fixture_done(struct fixture *fixture)
{
    (void)fd_close(fixture->log_fd);
    (void)fd_close(fixture->index_fd);
    (void)fd_close(fixture->null_fd);
    (void)fd_close(fixture->pipe_fds[0]);
    (void)fd_close(fixture->pipe_fds[1]);
}

static void put(struct fixture *fixture, const char *text)
{
    assert_int_equal(fd_write_all(fixture->pipe_fds[1], text, strlen(text)), 0);
}

static struct joblog_entry entry_at(const struct fixture *fixture, unsigned number)
{
    struct joblog_entry entry;
    assert_int_equal(pread(fixture->index_fd, &entry, sizeof(entry), (off_t)(number * sizeof(entry))), sizeof(entry));
    return entry;
}

static void assert_log(const struct fixture *fixture, const char *wanted)
{
    char text[512] = {0};
    assert_true(pread(fixture->log_fd, text, sizeof(text) - 1, 0) >= 0);
    assert_string_equal(text, wanted);
}

static void test_streams(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    put(&fixture, "one");
    assert_int_equal(pump_move(&fixture.pump, fixture.pipe_fds[0], JOBLOG_STREAM_STDOUT), 3);
    put(&fixture, "two");
    assert_int_equal(pump_move(&fixture.pump, fixture.pipe_fds[0], JOBLOG_STREAM_STDOUT), 3);
    put(&fixture, "three");
    assert_int_equal(pump_move(&fixture.pump, fixture.pipe_fds[0], JOBLOG_STREAM_STDERR), 5);
    assert_int_equal(pump_move(&fixture.pump, fixture.pipe_fds[0], JOBLOG_STREAM_STDERR), -EAGAIN);
    pump_add_line(&fixture.pump, "note");
    assert_log(&fixture, "onetwothreejoblet: note\n");
    /* The two of standard output share an entry: they came within its time. */
    assert_int_equal(fixture.pump.entry_count, 3);
    assert_int_equal(entry_at(&fixture, 0).size, 6);
    assert_int_equal(entry_at(&fixture, 1).offset, 6);
    assert_int_equal(entry_at(&fixture, 1).stream, JOBLOG_STREAM_STDERR);
    assert_int_equal(entry_at(&fixture, 2).stream, JOBLOG_STREAM_SERVICE);
    assert_true(entry_at(&fixture, 2).unix_ns > 0);
    fixture.pipe_fds[1] = fd_close(fixture.pipe_fds[1]);
    assert_int_equal(pump_move(&fixture.pump, fixture.pipe_fds[0], JOBLOG_STREAM_STDOUT), 0);
    fixture_done(&fixture);
}

static void test_entry_span(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    put(&fixture, "a");
    (void)pump_move(&fixture.pump, fixture.pipe_fds[0], JOBLOG_STREAM_STDOUT);
    fixture.pump.last_started_ns -= 200 * INT64_C(1000000); /* as if long ago */
    put(&fixture, "b");
    (void)pump_move(&fixture.pump, fixture.pipe_fds[0], JOBLOG_STREAM_STDOUT);
    assert_int_equal(fixture.pump.entry_count, 2);
    assert_int_equal(entry_at(&fixture, 1).offset, 1);
    fixture_done(&fixture);
}

static void test_quota(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 4);
    put(&fixture, "abcdefgh");
    pump_drain(&fixture.pump, fixture.pipe_fds[0], JOBLOG_STREAM_STDOUT);
    assert_log(&fixture, "abcd");
    assert_int_equal(fixture.pump.log_bytes, 4);
    assert_int_equal(fixture.pump.left_out_bytes, 4);
    /* A line of the service's own is beyond the quota; what the job writes after it is still left out. */
    pump_add_line(&fixture.pump, "x");
    put(&fixture, "more");
    pump_drain(&fixture.pump, fixture.pipe_fds[0], JOBLOG_STREAM_STDOUT);
    assert_log(&fixture, "abcdjoblet: x\n");
    assert_int_equal(fixture.pump.left_out_bytes, 8);
    fixture_done(&fixture);
}

/* The log's disk is full: the job goes on, the bytes are counted. */
static void test_broken_log(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    (void)fd_close(fixture.log_fd);
    fixture.log_fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(fcntl(fixture.log_fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    fixture.pump.log_fd = fixture.log_fd;
    put(&fixture, "lost");
    assert_int_equal(pump_move(&fixture.pump, fixture.pipe_fds[0], JOBLOG_STREAM_STDOUT), 4);
    assert_true(fixture.pump.is_broken);
    assert_int_equal(fixture.pump.log_bytes, 0);
    assert_int_equal(fixture.pump.left_out_bytes, 4);
    assert_int_equal(fixture.pump.entry_count, 0);
    fixture_done(&fixture);
}

static void test_long_line(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    char text[400];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    pump_add_line(&fixture.pump, text);
    char line[512] = {0};
    ssize_t size = pread(fixture.log_fd, line, sizeof(line) - 1, 0);
    assert_int_equal(size, fixture.pump.log_bytes);
    assert_true(size > 200 && line[size - 1] == '\n');
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_streams),
            cmocka_unit_test(test_entry_span),
            cmocka_unit_test(test_quota),
            cmocka_unit_test(test_broken_log),
            cmocka_unit_test(test_long_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
