#include "plan/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

static const struct record sample = {
        .job_id = {1, 2, 3},
        .reason = RECORD_REASON_TIMEOUT,
        .exit_code = 124,
        .started_unix_ns = 5,
        .ended_unix_ns = 6,
        .log_bytes = 7,
        .error = {.code = 2, .text = "text"},
};

static size_t written_bytes(uint8_t *buffer, size_t max)
{
    _cleanup_close_ int fd = memfd_create("record", MFD_CLOEXEC);
    assert_int_equal(record_write(fd, &sample), 0);
    ssize_t size = pread(fd, buffer, max, 0);
    assert_int_equal((size_t)size, RECORD_FILE_SIZE);
    return (size_t)size;
}

static void test_round_trip(void **state)
{
    (void)state;
    _cleanup_close_ int fd = memfd_create("record", MFD_CLOEXEC);
    struct record record;
    assert_int_equal(record_read(fd, &record), -ENODATA);
    assert_int_equal(record_write(fd, &sample), 0);
    assert_int_equal(record_read(fd, &record), 0);
    assert_memory_equal(&record, &sample, sizeof(record));
    assert_int_equal(pwrite(fd, "x", 1, RECORD_FILE_SIZE), 1);
    assert_int_equal(record_read(fd, &record), -EBADMSG);
}

static void test_torn(void **state)
{
    (void)state;
    uint8_t bytes[RECORD_FILE_SIZE];
    size_t size = written_bytes(bytes, sizeof(bytes));
    struct record record;
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(record_read_bytes(bytes, cut, &record), -ENODATA);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x10;
        assert_int_equal(record_read_bytes(bytes, size, &record), -EBADMSG);
        bytes[i] ^= 0x10;
    }
}

static void test_no_reason(void **state)
{
    (void)state;
    struct record none = sample;
    none.reason = RECORD_REASON_COUNT;
    _cleanup_close_ int fd = memfd_create("record", MFD_CLOEXEC);
    assert_int_equal(record_write(fd, &none), 0);
    struct record record;
    assert_int_equal(record_read(fd, &record), -EBADMSG);
}

static void test_names(void **state)
{
    (void)state;
    for (uint32_t i = RECORD_REASON_NONE + 1; i < RECORD_REASON_COUNT; i++) {
        assert_true(record_reason_name(i)[0] != '\0');
        assert_int_equal(record_reason_from_name(record_reason_name(i)), i);
    }
    assert_string_equal(record_reason_name(RECORD_REASON_COUNT), "");
    assert_int_equal(record_reason_from_name("no reason"), RECORD_REASON_NONE);
    assert_int_equal(record_reason_from_name(""), RECORD_REASON_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_round_trip),
            cmocka_unit_test(test_torn),
            cmocka_unit_test(test_no_reason),
            cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
