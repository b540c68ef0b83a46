#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

struct fixture {
    char path[64];
    int dir_fd;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (!fixture)
        return -1;
    (void)snprintf(fixture->path, sizeof(fixture->path), "/tmp/test-fd-XXXXXX");
    if (!mkdtemp(fixture->path))
        return -1;
    fixture->dir_fd = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = fixture;
    return fixture->dir_fd < 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    (void)unlinkat(fixture->dir_fd, "file", 0);
    (void)unlinkat(fixture->dir_fd, "link", 0);
    int left = rmdir(fixture->path); /* fails when a temporary file was left */
    (void)close(fixture->dir_fd);
    free(fixture);
    return left;
}

static void test_replace_and_read(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(fd_replace_file_at(fixture->dir_fd, "file", "hello", 5, 0640), 0);
    struct stat status;
    assert_int_equal(fstatat(fixture->dir_fd, "file", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    _cleanup_free_ char *text = NULL;
    size_t size;
    assert_int_equal(fd_read_file_at(fixture->dir_fd, "file", 5, &text, &size), 0);
    assert_int_equal(size, 5);
    assert_string_equal(text, "hello");
    _cleanup_free_ char *none = NULL;
    assert_int_equal(fd_read_file_at(fixture->dir_fd, "file", 4, &none, &size), -EFBIG);
    assert_null(none);
    assert_int_equal(fd_read_file_at(fixture->dir_fd, "missing", 4, &none, NULL), -ENOENT);
    assert_int_equal(symlinkat("file", fixture->dir_fd, "link"), 0);
    assert_int_equal(fd_read_file_at(fixture->dir_fd, "link", 9, &none, NULL), -ELOOP);
}

static void test_read_large(void **state)
{
    struct fixture *fixture = *state;
    size_t size = 100000;
    _cleanup_free_ char *data = malloc(size);
    assert_non_null(data);
    memset(data, 'y', size);
    assert_int_equal(fd_replace_file_at(fixture->dir_fd, "file", data, size, 0600), 0);
    _cleanup_free_ char *text = NULL;
    size_t got;
    assert_int_equal(fd_read_file_at(fixture->dir_fd, "file", size, &text, &got), 0);
    assert_int_equal(got, size);
    assert_memory_equal(text, data, size);
}

static void test_sealed(void **state)
{
    (void)state;
    _cleanup_close_ int fd = fd_new_sealed("test", "data", 4);
    assert_true(fd >= 0);
    size_t size;
    assert_int_equal(fd_check_sealed(fd, 4, &size), 0);
    assert_int_equal(size, 4);
    assert_int_equal(fd_check_sealed(fd, 3, &size), -EFBIG);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(errno, EPERM);
    _cleanup_close_ int open_memfd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(fd_check_sealed(open_memfd, 4, &size), -EPERM);
    _cleanup_close_ int plain = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd_check_sealed(plain, 4, &size) < 0);
}

static void test_read_exact(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    _cleanup_close_ int reader = ends[0];
    int writer = ends[1];
    assert_int_equal(fd_write_all(writer, "abc", 3), 0);
    char buffer[4];
    assert_int_equal(fd_read_exact(reader, buffer, 2), 0);
    assert_memory_equal(buffer, "ab", 2);
    writer = fd_close(writer);
    assert_int_equal(fd_read_exact(reader, buffer, 2), -ENODATA);
}

static void test_move_above(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    _cleanup_close_ int moved = fd_move_above(fd, 50);
    assert_true(moved >= 50);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(fcntl(moved, F_GETFD), FD_CLOEXEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_replace_and_read, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_read_large, set_up, tear_down),
            cmocka_unit_test(test_sealed),
            cmocka_unit_test(test_read_exact),
            cmocka_unit_test(test_move_above),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
