/* Which downloads go: by age, then the oldest until the rest fits; what is no file of ours stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "gc/downloads.h"

#define NOW 1000000

struct fixture {
    char path[64];
    int dir_fd;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (!fixture)
        return -1;
    (void)snprintf(fixture->path, sizeof(fixture->path), "/tmp/test-gc-XXXXXX");
    if (!mkdtemp(fixture->path))
        return -1;
    fixture->dir_fd = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = fixture;
    return fixture->dir_fd < 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"a.deb", "b.deb", "c.deb", "link"};
    for (size_t i = 0; i < ELEMENTS(names); i++)
        (void)unlinkat(fixture->dir_fd, names[i], 0);
    (void)unlinkat(fixture->dir_fd, "partial", AT_REMOVEDIR);
    (void)close(fixture->dir_fd);
    int r = rmdir(fixture->path);
    free(fixture);
    return r;
}

static void make(const struct fixture *fixture, const char *name, time_t used)
{
    char bytes[8192];
    memset(bytes, 'x', sizeof(bytes));
    const struct timespec times[2] = {{.tv_sec = used}, {.tv_sec = used}};
    int fd = openat(fixture->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, bytes, sizeof(bytes)), 0);
    assert_int_equal(fsync(fd), 0); /* the blocks are counted when they are there */
    assert_int_equal(futimens(fd, times), 0);
    (void)close(fd);
}

static void test_judges_and_removes(void **state)
{
    const struct fixture *fixture = *state;
    struct downloads downloads;
    struct error error = {0};
    make(fixture, "b.deb", NOW - 200);
    make(fixture, "a.deb", NOW - 1000);
    make(fixture, "c.deb", NOW + 50); /* a clock that was wrong: as new as can be */
    assert_int_equal(symlinkat("/etc/passwd", fixture->dir_fd, "link"), 0);
    assert_int_equal(mkdirat(fixture->dir_fd, "partial", 0755), 0);
    assert_int_equal(downloads_list(fixture->dir_fd, &downloads, &error), 0);
    assert_int_equal(downloads.count, 5);
    assert_string_equal(downloads.items[0].name, "a.deb");

    downloads_judge(&downloads, NOW, 0, 1 << 20);
    for (size_t i = 0; i < downloads.count; i++)
        assert_true(downloads.items[i].verdict == DOWNLOADS_KEPT || downloads.items[i].verdict == DOWNLOADS_NOT_OURS);
    downloads_judge(&downloads, NOW, 500, 1 << 20);
    assert_int_equal(downloads.items[0].verdict, DOWNLOADS_TOO_OLD);
    assert_int_equal(downloads.items[1].verdict, DOWNLOADS_KEPT);
    /* One of the three has room: the two oldest go. */
    downloads_judge(&downloads, NOW, 0, downloads.items[0].bytes + 100);
    assert_int_equal(downloads.items[0].verdict, DOWNLOADS_TOO_MANY);
    assert_int_equal(downloads.items[1].verdict, DOWNLOADS_TOO_MANY);
    assert_int_equal(downloads_remove(fixture->dir_fd, &downloads, &error), 0);
    assert_int_equal(downloads_remove(fixture->dir_fd, &downloads, &error), 0); /* gone already: fine */
    downloads_done(&downloads);

    assert_int_equal(downloads_list(fixture->dir_fd, &downloads, &error), 0);
    assert_int_equal(downloads.count, 3);
    /* Nothing fits: what is not ours stays nevertheless. */
    downloads_judge(&downloads, NOW, 1, 0);
    assert_int_equal(downloads_remove(fixture->dir_fd, &downloads, &error), 0);
    downloads_done(&downloads);
    assert_int_equal(downloads_list(fixture->dir_fd, &downloads, &error), 0);
    assert_int_equal(downloads.count, 2);
    for (size_t i = 0; i < downloads.count; i++)
        assert_int_equal(downloads.items[i].verdict, DOWNLOADS_NOT_OURS);
    downloads_done(&downloads);
}

/* A base goes with its record, and not while a build has it. */
/* shows: CIS-Docker 4.7 */
static void test_bases(void **state)
{
    const struct fixture *fixture = *state;
    struct downloads downloads;
    struct error error = {0};
    static const char *const names[] = {"one.image", "one.record", "two.image", "two.record"};
    for (size_t i = 0; i < ELEMENTS(names); i++)
        make(fixture, names[i], NOW - 100);
    int fd = openat(fixture->dir_fd, "two.image", O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    assert_int_equal(downloads_list(fixture->dir_fd, &downloads, &error), 0);
    downloads_keep_bases(&downloads);
    assert_int_equal(downloads.count, 2);
    downloads_judge(&downloads, NOW, 50, UINT64_MAX);
    assert_int_equal(downloads_remove_bases(fixture->dir_fd, &downloads, &error), 0);
    assert_int_equal(downloads.items[0].verdict, DOWNLOADS_TOO_OLD);
    assert_int_equal(downloads.items[1].verdict, DOWNLOADS_USED);
    downloads_done(&downloads);
    for (size_t i = 0; i < ELEMENTS(names); i++)
        assert_int_equal(faccessat(fixture->dir_fd, names[i], F_OK, 0), i < 2 ? -1 : 0);
    (void)close(fd);
    assert_int_equal(downloads_list(fixture->dir_fd, &downloads, &error), 0);
    downloads_keep_bases(&downloads);
    downloads_judge(&downloads, NOW, 0, 0);
    assert_int_equal(downloads_remove_bases(fixture->dir_fd, &downloads, &error), 0);
    downloads_done(&downloads);
    assert_int_equal(faccessat(fixture->dir_fd, "two.image", F_OK, 0), -1);
}

static void test_empty(void **state)
{
    const struct fixture *fixture = *state;
    struct downloads downloads;
    struct error error = {0};
    assert_int_equal(downloads_list(fixture->dir_fd, &downloads, &error), 0);
    assert_int_equal(downloads.count, 0);
    downloads_judge(&downloads, NOW, 1, 0);
    assert_int_equal(downloads_remove(fixture->dir_fd, &downloads, &error), 0);
    downloads_done(&downloads);
    assert_true(downloads_list(-EBADF, &downloads, &error) < 0);
    assert_int_not_equal(error.code, 0);
    downloads_done(&downloads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_judges_and_removes, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_bases, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
