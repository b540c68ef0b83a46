/* The store of runtimes: what is no runtime of ours is not opened, and what is renamed is whole. Root only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "broker/store.h"

#define OWNER 70000u
#define READER 70001u

static char prefix[] = "/var/tmp/joblet-store-XXXXXX";
static int prefix_fd;
static struct store store = {.fd = -EBADF};
static const struct channel_runtime runtime = {.name = "hello", .version = "1.0"};

static int set_up(void **state)
{
    struct error error = {0};
    (void)state;
    memcpy(prefix + strlen(prefix) - 6, "XXXXXX", 6);
    if (!mkdtemp(prefix))
        return -1;
    prefix_fd = open(prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return store_open(&store, prefix_fd, OWNER, READER, &error);
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    store_done(&store);
    (void)close(prefix_fd);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", prefix);
    return system(command);
}

/* What a build made writable for all is in reach of nobody on the host; also where an earlier version left it open. */
static void test_closed_to_others(void **state)
{
    (void)state;
    struct stat status;
    struct error error = {0};
    store_done(&store);
    assert_int_equal(fchmodat(prefix_fd, "runtimes", 0755, 0), 0);
    assert_int_equal(fchownat(prefix_fd, "runtimes", 0, 0, 0), 0);
    assert_int_equal(store_open(&store, prefix_fd, OWNER, READER, &error), 0);
    assert_int_equal(fstatat(prefix_fd, "runtimes", &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(status.st_mode & 07777, 0750);
    assert_int_equal(status.st_uid, 0);
    assert_int_equal(status.st_gid, READER);
}

static struct store_id make_stage(const char *name)
{
    struct error error = {0};
    struct store_id id = {0};
    _cleanup_close_ int fd = store_make_stage(&store, name, &id, &error);
    assert_true(fd >= 0);
    assert_int_equal(mkdirat(fd, "isolated", 0755), 0);
    assert_int_equal(fchownat(fd, "isolated", OWNER, OWNER, 0), 0);
    return id;
}

static int publish(const char *stage, bool replace, char trash[STORE_NAME_MAX], struct store_id *old)
{
    struct error error = {0};
    int r = store_publish(&store, stage, &runtime, replace, trash, old, &error);
    assert_int_equal(error.code, -r);
    return r;
}

static int find(struct store_id *id)
{
    struct error error = {0};
    int fd = store_find(&store, &runtime, id, &error);
    assert_int_equal(error.code, fd < 0 ? -fd : 0);
    (void)fd_close(fd);
    return fd < 0 ? fd : 0;
}

static int open_root(void)
{
    struct error error = {0};
    struct store_id id;
    int fd = store_open_root(&store, &runtime, &id, &error);
    (void)fd_close(fd);
    return fd < 0 ? fd : 0;
}

static void test_publish_and_remove(void **state)
{
    (void)state;
    char trash[STORE_NAME_MAX];
    struct store_id id;
    struct store_id old;
    struct error error = {0};
    const struct store_id stage = make_stage(".staging-a");
    assert_int_equal(find(&id), -ENOENT);
    assert_int_equal(publish(".staging-a", false, trash, &old), 0);
    assert_string_equal(trash, "");
    assert_int_equal(find(&id), 0);
    assert_true(store_id_equal(&id, &stage));
    assert_true(store_is_verified(&store, &id));
    assert_int_equal(open_root(), 0);
    assert_int_equal(store_sync(&store, &runtime), 0);
    assert_int_equal(publish(".staging-a", false, trash, &old), -ENOENT);
    assert_int_equal(store_remove(&store, &runtime, trash, &error), 0);
    assert_int_equal(strncmp(trash, STORE_TRASH_PREFIX, strlen(STORE_TRASH_PREFIX)), 0);
    assert_int_equal(faccessat(store.fd, trash, F_OK, 0), 0);
    assert_int_equal(faccessat(store.fd, "hello", F_OK, 0), -1);
    assert_false(store_is_verified(&store, &id));
    assert_int_equal(store_sync(&store, &runtime), 0); /* the last version of it has gone */
    assert_int_equal(store_remove(&store, &runtime, trash, &error), -ENOENT);
}

static void test_replace(void **state)
{
    (void)state;
    char trash[STORE_NAME_MAX];
    struct store_id id;
    struct store_id old;
    const struct store_id first = make_stage(".staging-a");
    const struct store_id second = make_stage(".staging-b");
    assert_int_equal(publish(".staging-a", true, trash, &old), 0);
    assert_int_equal(publish(".staging-b", false, trash, &old), -EEXIST);
    assert_int_equal(faccessat(store.fd, ".staging-b", F_OK, 0), 0);
    assert_int_equal(find(&id), 0);
    assert_true(store_id_equal(&id, &first));
    assert_int_equal(publish(".staging-b", true, trash, &old), 0);
    assert_true(store_id_equal(&old, &first));
    assert_int_equal(faccessat(store.fd, trash, F_OK, 0), 0);
    assert_int_equal(faccessat(store.fd, ".staging-b", F_OK, 0), -1);
    assert_int_equal(find(&id), 0);
    assert_true(store_id_equal(&id, &second));
    assert_true(store_is_verified(&store, &second));
    assert_false(store_is_verified(&store, &first));
}

/* What somebody put there by hand. */
static void test_foreign(void **state)
{
    (void)state;
    char trash[STORE_NAME_MAX];
    struct store_id id;
    struct store_id old;
    (void)make_stage(".staging-a");
    /* A link in place of all versions, of one, and of the root. */
    assert_int_equal(symlinkat("/etc", store.fd, "hello"), 0);
    assert_int_equal(find(&id), -ELOOP);
    assert_int_equal(publish(".staging-a", false, trash, &old), -ENOTDIR);
    assert_int_equal(unlinkat(store.fd, "hello", 0), 0);
    assert_int_equal(mkdirat(store.fd, "hello", 0755), 0);
    assert_int_equal(symlinkat("../.staging-a", store.fd, "hello/1.0"), 0);
    assert_int_equal(find(&id), -ELOOP);
    assert_int_equal(unlinkat(store.fd, "hello/1.0", 0), 0);
    /* Versions that others can write. */
    assert_int_equal(fchmodat(store.fd, "hello", 0777, 0), 0);
    assert_int_equal(publish(".staging-a", false, trash, &old), -EPERM);
    assert_int_equal(fchmodat(store.fd, "hello", 0755, 0), 0);
    /* Of another owner; without a root; with a link for one. */
    assert_int_equal(mkdirat(store.fd, "hello/1.0", 0755), 0);
    assert_int_equal(find(&id), -EPERM);
    assert_int_equal(fchownat(store.fd, "hello/1.0", OWNER, OWNER, 0), 0);
    assert_int_equal(find(&id), 0);
    assert_int_equal(open_root(), -EKEYREJECTED);
    assert_int_equal(store_set_verified(&store, &id), 0);
    assert_int_equal(open_root(), -ENOENT);
    assert_int_equal(symlinkat("/etc", store.fd, "hello/1.0/isolated"), 0);
    assert_int_equal(open_root(), -ELOOP);
    assert_int_equal(unlinkat(store.fd, "hello/1.0/isolated", 0), 0);
    assert_int_equal(mkdirat(store.fd, "hello/1.0/isolated", 0755), 0);
    assert_int_equal(open_root(), -EPERM);
    assert_int_equal(fchownat(store.fd, "hello/1.0/isolated", OWNER, OWNER, 0), 0);
    assert_int_equal(open_root(), 0);
}

static void test_names(void **state)
{
    (void)state;
    struct error error = {0};
    struct channel_runtime bad = {0};
    assert_int_equal(store_check_operand(&runtime, false, &error), 0);
    assert_int_equal(store_check_operand(&bad, true, &error), 0);
    assert_int_equal(store_check_operand(&bad, false, &error), -EINVAL);
    static const char *const names[] = {".", "..", ".staging-a", ".trash-a", "a/b", "A", "a b", "-a"};
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        bad = runtime;
        memset(bad.name, 0, sizeof(bad.name));
        memcpy(bad.name, names[i], strlen(names[i]));
        assert_int_equal(store_check_operand(&bad, true, &error), -EINVAL);
    }
    bad = runtime;
    bad.version[10] = 'x';
    assert_int_equal(store_check_operand(&bad, true, &error), -EINVAL);
    bad = runtime;
    bad.reserved[0] = 1;
    assert_int_equal(store_check_operand(&bad, true, &error), -EINVAL);
    memset(&bad, 'a', sizeof(bad));
    assert_int_equal(store_check_operand(&bad, true, &error), -EINVAL);
}

int main(void)
{
    if (geteuid() != 0) {
        (void)printf("skipped: needs root\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_closed_to_others, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_publish_and_remove, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_replace, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_foreign, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
