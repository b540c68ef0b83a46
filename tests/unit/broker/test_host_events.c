/* Events of the host's files, as real ones: on a file system of the test's own there is no layer, so what is seen here
 * is the list of paths, and that what cannot be followed is refused. Each way is tried from end to end by
 * test_watch.py. */
#include "broker/host_events.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"

static struct host_events *events;

static int set_up(void **state)
{
    (void)state;
    events = calloc(1, sizeof(*events));
    return events ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    free(events);
    return 0;
}

static void test_paths(void **state)
{
    (void)state;
    struct host_paths *paths = &events->paths;
    assert_int_equal(host_paths_add(paths, "/usr/lib", "x"), 0);
    assert_int_equal(host_paths_add(paths, "/etc", NULL), 0);
    assert_int_equal(host_paths_add(paths, "/usr/lib/x", NULL), 0); /* it is there */
    assert_int_equal(host_paths_add(paths, "/usr/lib", "two\nlines"), 0);
    assert_int_equal(paths->count, 3);
    static const char wanted[] = "usr/lib/x\0etc\0usr/lib/two\nlines";
    assert_int_equal(paths->used, sizeof(wanted));
    assert_memory_equal(paths->text, wanted, sizeof(wanted));
    host_paths_clear(paths);
    assert_int_equal(host_paths_add(paths, "/usr/lib", "x"), 0);
    assert_int_equal(paths->count, 1);
}

static void test_too_many(void **state)
{
    (void)state;
    char name[300];
    for (unsigned i = 0; i < HOST_PATHS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "%u", i);
        assert_int_equal(host_paths_add(&events->paths, "/usr", name), 0);
    }
    assert_int_equal(host_paths_add(&events->paths, "/usr", "7"), 0);
    assert_int_equal(host_paths_add(&events->paths, "/usr", "one more"), -ENOSPC);
    host_paths_clear(&events->paths);
    /* By their size. */
    int r = 0;
    unsigned count = 0;
    while (r == 0) {
        (void)snprintf(name, sizeof(name), "%0255u", count++);
        r = host_paths_add(&events->paths, "/usr", name);
    }
    assert_int_equal(r, -ENOSPC);
    assert_true(count > 1000 && events->paths.used <= HOST_PATHS_SIZE);
    char path[5000] = "/";
    memset(path + 1, 'x', sizeof(path) - 2);
    assert_int_equal(host_paths_add(&events->paths, path, NULL), -ENAMETOOLONG);
}

static void test_layers(void **state)
{
    (void)state;
    static const char *const inside[] = {"/usr", "/usr/lib/x", "/etc/x", "/var/lib/dpkg/status", "/opt"};
    static const char *const outside[] = {
            "/", "/usrx", "/var", "/var/lib", "/var/lib/dpkgx", "usr/lib", "/home/usr", ""};
    for (size_t i = 0; i < ELEMENTS(inside); i++)
        assert_true(host_path_is_in_layers(inside[i]));
    for (size_t i = 0; i < ELEMENTS(outside); i++)
        assert_false(host_path_is_in_layers(outside[i]));
}

static void test_what_cannot_be_followed(void **state)
{
    (void)state;
    const char *why = NULL;
    const struct fanotify_event overflow = {.is_overflow = true};
    assert_int_equal(host_events_take(events, &overflow, &why), -EOVERFLOW);
    assert_non_null(why);
    /* Of a file system that is not watched. */
    const struct fanotify_event strange = {.name = "x", .parent = {.bytes = "12345678", .size = 8, .fsid = {1, 2}}};
    assert_int_equal(host_events_take(events, &strange, &why), -ENODEV);
    /* A file without itself, and a directory without its name. */
    events->disk_count = 1;
    events->disks[0].fsid[0] = 1;
    events->disks[0].fsid[1] = 2;
    events->disks[0].mount_fd = -EBADF;
    assert_int_equal(host_events_take(events, &strange, &why), -EBADMSG);
    struct fanotify_event directory = strange;
    directory.is_directory = true;
    directory.name = NULL;
    assert_int_equal(host_events_take(events, &directory, &why), -EBADMSG);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
            CASE(test_paths), CASE(test_too_many), CASE(test_layers), CASE(test_what_cannot_be_followed)};
    return cmocka_run_group_tests_name("broker/host_events", tests, NULL, NULL);
}
