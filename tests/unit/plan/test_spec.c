#include "plan/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/fd.h"

static char *const arguments[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){""}, NULL};
static char *const environment[] = {(char[]){"A=1"}, (char[]){"EMPTY="}, NULL};

static size_t encoded_bytes(uint8_t *buffer, size_t max)
{
    int fd = -1;
    assert_int_equal(spec_encode("/work", arguments, environment, &fd, NULL), 0);
    ssize_t size = pread(fd, buffer, max, 0);
    assert_true(size > 0);
    close(fd);
    return (size_t)size;
}

static void test_round_trip(void **state)
{
    (void)state;
    _cleanup_close_ int fd = -EBADF;
    struct spec spec = {0};
    assert_int_equal(spec_encode("/work", arguments, environment, &fd, NULL), 0);
    assert_int_equal(spec_decode(fd, &spec, NULL), 0);
    assert_string_equal(spec.work_dir, "/work");
    assert_string_equal(spec.arguments[0], "sh");
    assert_string_equal(spec.arguments[2], "");
    assert_null(spec.arguments[3]);
    assert_string_equal(spec.environment[0], "A=1");
    assert_string_equal(spec.environment[1], "EMPTY=");
    assert_null(spec.environment[2]);
    spec_done(&spec);
    assert_null(spec.memory);
    spec_done(&spec);
}

static void test_encode_refuses(void **state)
{
    (void)state;
    char *const none[] = {NULL};
    char *const no_equals[] = {(char[]){"A"}, NULL};
    char *const no_name[] = {(char[]){"=A"}, NULL};
    struct error error = {0};
    int fd = -1;
    assert_int_equal(spec_encode("work", arguments, environment, &fd, &error), -EINVAL);
    assert_int_equal(spec_encode("/work", none, environment, &fd, &error), -EINVAL);
    assert_int_equal(spec_encode("/work", arguments, no_equals, &fd, &error), -EINVAL);
    assert_int_equal(spec_encode("/work", arguments, no_name, &fd, &error), -EINVAL);
    char *large = malloc(SPEC_SIZE_MAX);
    memset(large, 'x', SPEC_SIZE_MAX - 1);
    large[SPEC_SIZE_MAX - 1] = '\0';
    char *const too_large[] = {large, NULL};
    assert_int_equal(spec_encode("/work", too_large, environment, &fd, &error), -E2BIG);
    free(large);
    char **many = calloc(SPEC_ARGUMENTS_MAX + 2, sizeof(char *));
    for (size_t i = 0; i <= SPEC_ARGUMENTS_MAX; i++)
        many[i] = arguments[2];
    assert_int_equal(spec_encode("/work", many, environment, &fd, &error), -E2BIG);
    free(many);
    assert_int_equal(fd, -1);
}

/* Each shorter form and each changed byte of the header or of a NUL is refused or still well-formed, never read beyond.
 */
static void test_decode_cut_and_changed(void **state)
{
    (void)state;
    uint8_t bytes[512];
    size_t size = encoded_bytes(bytes, sizeof(bytes));
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, bytes, cut);
        struct spec spec = {0};
        assert_int_equal(spec_decode_bytes(copy, cut, &spec, NULL), -EINVAL);
        assert_null(spec.memory);
        free(copy);
    }
    for (size_t i = 0; i < 20; i++) {
        uint8_t copy[512];
        memcpy(copy, bytes, size);
        copy[i] ^= 0x81;
        struct spec spec = {0};
        assert_int_equal(spec_decode_bytes(copy, size, &spec, NULL), -EINVAL);
    }
    bytes[size - 1] = 'x';
    struct spec spec = {0};
    assert_int_equal(spec_decode_bytes(bytes, size, &spec, NULL), -EINVAL);
}

static void test_decode_needs_seals(void **state)
{
    (void)state;
    uint8_t bytes[512];
    size_t size = encoded_bytes(bytes, sizeof(bytes));
    _cleanup_close_ int fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(fd_write_all(fd, bytes, size), 0);
    struct spec spec = {0};
    assert_int_equal(spec_decode(fd, &spec, NULL), -EPERM);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL), 0);
    assert_int_equal(spec_decode(fd, &spec, NULL), 0);
    spec_done(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_round_trip),
            cmocka_unit_test(test_encode_refuses),
            cmocka_unit_test(test_decode_cut_and_changed),
            cmocka_unit_test(test_decode_needs_seals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
