#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "joblog/format.h"
#include "joblog/reader.h"

struct log {
    int log_fd;
    int index_fd;
    uint64_t size;
    uint64_t entries;
};

static int setup(void **fixture)
{
    struct log *log = calloc(1, sizeof(*log));
    log->log_fd = memfd_create("log", MFD_CLOEXEC);
    log->index_fd = memfd_create("index", MFD_CLOEXEC);
    *fixture = log;
    return log->log_fd < 0 || log->index_fd < 0 ? -1 : 0;
}

static int teardown(void **fixture)
{
    struct log *log = *fixture;
    (void)fd_close(log->log_fd);
    (void)fd_close(log->index_fd);
    free(log);
    return 0;
}

static void add_bytes(struct log *log, const char *text)
{
    assert_int_equal(fd_pwrite_all(log->log_fd, text, strlen(text), (off_t)log->size), 0);
    log->size += strlen(text);
}

static void put_entry(struct log *log, uint64_t number, uint64_t offset, uint32_t size, uint32_t stream)
{
    struct joblog_entry entry = {.offset = offset, .size = size, .stream = stream, .unix_ns = 1};
    assert_int_equal(fd_pwrite_all(log->index_fd, &entry, sizeof(entry), (off_t)(number * sizeof(entry))), 0);
}

static void add(struct log *log, uint32_t stream, const char *text)
{
    uint64_t offset = log->size;
    add_bytes(log, text);
    put_entry(log, log->entries++, offset, (uint32_t)strlen(text), stream);
}

/* The next chunk has to be @text of @stream. */
static void expect(struct joblog_reader *reader, bool is_ended, uint32_t stream, const char *text)
{
    char buffer[64];
    size_t size = 0;
    uint32_t got_stream = 99;
    assert_int_equal(joblog_reader_next(reader, is_ended, buffer, sizeof(buffer), &size, &got_stream), 1);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(buffer, text, size);
    assert_int_equal(got_stream, stream);
}

static void expect_nothing(struct joblog_reader *reader, bool is_ended)
{
    char buffer[64];
    size_t size = 77;
    uint32_t stream = 99;
    assert_int_equal(joblog_reader_next(reader, is_ended, buffer, sizeof(buffer), &size, &stream), 0);
    assert_int_equal(size, 77);
}

static void test_streams(void **fixture)
{
    struct log *log = *fixture;
    struct joblog_reader reader;
    joblog_reader_init(&reader, log->log_fd, log->index_fd);
    expect_nothing(&reader, false);
    add(log, JOBLOG_STREAM_STDOUT, "one ");
    add(log, JOBLOG_STREAM_STDOUT, "two ");
    add(log, JOBLOG_STREAM_STDERR, "three");
    add(log, JOBLOG_STREAM_SERVICE, "four");
    expect(&reader, false, JOBLOG_STREAM_STDOUT, "one two ");
    expect(&reader, false, JOBLOG_STREAM_STDERR, "three");
    expect(&reader, false, JOBLOG_STREAM_SERVICE, "four");
    expect_nothing(&reader, false);
    add(log, JOBLOG_STREAM_STDOUT, "five");
    expect(&reader, false, JOBLOG_STREAM_STDOUT, "five");
    expect_nothing(&reader, true);
}

/* joblet-init may make its last entry longer instead of adding one. */
static void test_last_entry_grows(void **fixture)
{
    struct log *log = *fixture;
    struct joblog_reader reader;
    joblog_reader_init(&reader, log->log_fd, log->index_fd);
    add(log, JOBLOG_STREAM_STDOUT, "one");
    expect(&reader, false, JOBLOG_STREAM_STDOUT, "one");
    add_bytes(log, "more");
    expect_nothing(&reader, false); /* not named yet */
    put_entry(log, 0, 0, 7, JOBLOG_STREAM_STDOUT);
    expect(&reader, false, JOBLOG_STREAM_STDOUT, "more");
    add_bytes(log, "!");
    put_entry(log, 0, 0, 8, JOBLOG_STREAM_STDOUT);
    add(log, JOBLOG_STREAM_STDERR, "err");
    expect(&reader, false, JOBLOG_STREAM_STDOUT, "!");
    expect(&reader, false, JOBLOG_STREAM_STDERR, "err");
    expect_nothing(&reader, true);
}

/* The last of a batch of entries is no different. */
static void test_batches(void **fixture)
{
    struct log *log = *fixture;
    for (unsigned count = 120; count < 270; count++) {
        struct joblog_reader reader;
        joblog_reader_init(&reader, log->log_fd, log->index_fd);
        while (log->entries < count)
            add(log, log->entries % 2 ? JOBLOG_STREAM_STDOUT : JOBLOG_STREAM_STDERR, "x");
        for (unsigned i = 0; i < count; i++)
            expect(&reader, false, i % 2 ? JOBLOG_STREAM_STDOUT : JOBLOG_STREAM_STDERR, "x");
        expect_nothing(&reader, false);
        if (count != 128 && count != 255)
            continue;
        add_bytes(log, "yz");
        put_entry(log, count - 1, count - 1, 3, count % 2 ? JOBLOG_STREAM_STDERR : JOBLOG_STREAM_STDOUT);
        expect(&reader, false, count % 2 ? JOBLOG_STREAM_STDERR : JOBLOG_STREAM_STDOUT, "yz");
        expect_nothing(&reader, false);
        /* Back to how it was. */
        log->size -= 2;
        assert_int_equal(ftruncate(log->log_fd, (off_t)log->size), 0);
        put_entry(log, count - 1, count - 1, 1, count % 2 ? JOBLOG_STREAM_STDERR : JOBLOG_STREAM_STDOUT);
    }
}

static void test_small_buffer(void **fixture)
{
    struct log *log = *fixture;
    struct joblog_reader reader;
    add(log, JOBLOG_STREAM_STDOUT, "abc");
    add(log, JOBLOG_STREAM_STDERR, "de");
    joblog_reader_init(&reader, log->log_fd, log->index_fd);
    static const char expected[] = "abcde";
    for (size_t i = 0; i < 5; i++) {
        char byte;
        size_t size = 0;
        uint32_t stream = 0;
        assert_int_equal(joblog_reader_next(&reader, false, &byte, 1, &size, &stream), 1);
        assert_int_equal(byte, expected[i]);
        assert_int_equal(stream, i < 3 ? JOBLOG_STREAM_STDOUT : JOBLOG_STREAM_STDERR);
    }
    expect_nothing(&reader, false);
}

static void test_tail_without_index(void **fixture)
{
    struct log *log = *fixture;
    struct joblog_reader reader;
    add(log, JOBLOG_STREAM_STDOUT, "named");
    add_bytes(log, "unnamed");
    joblog_reader_init(&reader, log->log_fd, log->index_fd);
    expect(&reader, false, JOBLOG_STREAM_STDOUT, "named");
    expect_nothing(&reader, false);
    expect(&reader, true, JOBLOG_STREAM_UNKNOWN, "unnamed");
    expect_nothing(&reader, true);
    joblog_reader_init(&reader, log->log_fd, -EBADF);
    expect(&reader, true, JOBLOG_STREAM_UNKNOWN, "namedunnamed");
}

/* Whatever the index says, each byte comes once and in order. */
static void test_lies(void **fixture)
{
    struct log *log = *fixture;
    static const struct joblog_entry lies[] = {
            {.offset = 4, .size = 0, .stream = 1},              /* empty */
            {.offset = 3, .size = 3, .stream = 1},              /* overlap */
            {.offset = 5, .size = 3, .stream = 1},              /* gap */
            {.offset = 4, .size = 3, .stream = 9},              /* no stream */
            {.offset = UINT64_MAX, .size = 3, .stream = 1},     /* beyond */
            {.offset = 4, .size = UINT32_MAX, .stream = 1},     /* more than there is */
            {.offset = INT64_MAX - 1, .size = 10, .stream = 1}, /* wraps */
    };
    add(log, JOBLOG_STREAM_STDOUT, "good");
    add_bytes(log, "rest of it");
    for (size_t i = 0; i < ELEMENTS(lies); i++) {
        assert_int_equal(fd_pwrite_all(log->index_fd, &lies[i], sizeof(lies[i]), sizeof(lies[i])), 0);
        struct joblog_reader reader;
        joblog_reader_init(&reader, log->log_fd, log->index_fd);
        char text[64] = "";
        size_t used = 0;
        int r;
        do {
            size_t size = 0;
            uint32_t stream;
            r = joblog_reader_next(&reader, true, text + used, sizeof(text) - used, &size, &stream);
            used += size;
        } while (r == 1);
        assert_int_equal(r, 0);
        assert_int_equal(used, 14);
        assert_memory_equal(text, "goodrest of it", 14);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_streams, setup, teardown),
            cmocka_unit_test_setup_teardown(test_last_entry_grows, setup, teardown),
            cmocka_unit_test_setup_teardown(test_batches, setup, teardown),
            cmocka_unit_test_setup_teardown(test_small_buffer, setup, teardown),
            cmocka_unit_test_setup_teardown(test_tail_without_index, setup, teardown),
            cmocka_unit_test_setup_teardown(test_lies, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
