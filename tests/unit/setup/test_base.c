/* The copied tree and the trial of a base. As root: files get other owners, and the trial needs namespaces. */
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
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "setup/base_try.h"
#include "setup/tree.h"

#define OWNER 0x7f010000U

struct fixture {
    char path[64];
    char host[80]; /* what is copied from */
    int prefix_fd;
    int root_fd;
    FILE *manifest;
    char *text;
    size_t size;
    struct tree tree;
    struct error error;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (!fixture)
        return -1;
    (void)umask(022);
    (void)snprintf(fixture->path, sizeof(fixture->path), "/tmp/test-base-XXXXXX");
    if (!mkdtemp(fixture->path))
        return -1;
    (void)snprintf(fixture->host, sizeof(fixture->host), "%s/host", fixture->path);
    fixture->prefix_fd = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mkdir(fixture->host, 0755) < 0 || mkdirat(fixture->prefix_fd, "root", 0755) < 0)
        return -1;
    fixture->root_fd = openat(fixture->prefix_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fixture->manifest = open_memstream(&fixture->text, &fixture->size);
    tree_init(&fixture->tree, fixture->root_fd, OWNER, fixture->manifest);
    *state = fixture;
    return fixture->root_fd < 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    tree_done(&fixture->tree);
    (void)fclose(fixture->manifest);
    free(fixture->text);
    (void)close(fixture->root_fd);
    (void)close(fixture->prefix_fd);
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = tree_remove(fd, fixture->path + strlen("/tmp/"));
    (void)close(fd);
    free(fixture);
    return r;
}

/* A file of the "host" with @mode and @uid. */
static void make_file(const struct fixture *fixture, const char *name, mode_t mode, uid_t uid, char ret_path[128])
{
    (void)snprintf(ret_path, 128, "%s/%s", fixture->host, name);
    FILE *file = fopen(ret_path, "w");
    assert_non_null(file);
    assert_true(fputs("text", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chown(ret_path, uid, uid), 0);
    assert_int_equal(chmod(ret_path, mode), 0);
}

static void assert_copied(const struct fixture *fixture, const char *path, mode_t mode)
{
    struct stat status;
    assert_int_equal(fstatat(fixture->root_fd, path + 1, &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(status.st_uid, OWNER);
    assert_int_equal(status.st_gid, OWNER);
    if (!S_ISLNK(status.st_mode))
        assert_int_equal(status.st_mode & 07777, mode);
}

static void test_copies(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    make_file(fixture, "program", 04755, 0, path);
    assert_int_equal(tree_add(&fixture->tree, path, &fixture->error), 0);
    assert_copied(fixture, path, 0755); /* without the set-uid bit */
    assert_int_equal(tree_add(&fixture->tree, path, &fixture->error), 0);
    assert_int_equal(fixture->tree.count, 1);
    assert_int_equal(fixture->tree.bytes, 4);
    make_file(fixture, "data", 0664, 0, path);
    assert_int_equal(tree_add(&fixture->tree, path, &fixture->error), 0);
    assert_copied(fixture, path, 0644);
    assert_copied(fixture, fixture->host, 0755);
}

/* shows: CIS-Docker 4.2, NIST 4.1.3 */
static void test_refuses(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    struct stat status;
    static const struct {
        mode_t mode;
        uid_t uid;
    } rows[] = {{0640, 0}, {0600, 0}, {0646, 0}, {0644, 1000}, {0755, 1}};
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        make_file(fixture, "secret", rows[i].mode, rows[i].uid, path);
        assert_int_equal(tree_add(&fixture->tree, path, &fixture->error), 2);
        assert_int_equal(fstatat(fixture->root_fd, path + 1, &status, AT_SYMLINK_NOFOLLOW), -1);
    }
    assert_int_equal(tree_add(&fixture->tree, "/dev/null", &fixture->error), 2);
    assert_int_equal(tree_add(&fixture->tree, "/etc", &fixture->error), 2);
    assert_int_equal(tree_add(&fixture->tree, "/etc/not-there", &fixture->error), 1);
    assert_int_equal(tree_add(&fixture->tree, "/not-there/at-all", &fixture->error), 1);
    assert_int_equal(fixture->tree.count, 0);
}

static void test_links(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    char link_path[128];
    make_file(fixture, "real", 0644, 0, path);
    (void)snprintf(link_path, sizeof(link_path), "%s/second", fixture->host);
    assert_int_equal(symlink("real", link_path), 0);
    (void)snprintf(path, sizeof(path), "%s/first", fixture->host);
    assert_int_equal(symlink(link_path, path), 0);
    assert_int_equal(tree_add(&fixture->tree, path, &fixture->error), 0);
    static const char *const names[] = {"first", "second", "real"};
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", fixture->host, names[i]);
        assert_copied(fixture, path, 0644);
    }
    (void)snprintf(path, sizeof(path), "%s/loop", fixture->host);
    assert_int_equal(symlink("loop", path), 0);
    /* Its copy is there when the walk comes back to it. */
    assert_int_equal(tree_add(&fixture->tree, path, &fixture->error), 0);
}

static void test_manifest(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    make_file(fixture, "with blank", 0644, 0, path);
    assert_int_equal(tree_add(&fixture->tree, path, &fixture->error), 0);
    assert_int_equal(fflush(fixture->manifest), 0);
    fixture->text[strcspn(fixture->text, "\n")] = '\0';
    assert_true(tree_check_line(fixture->text));
    make_file(fixture, "with blank", 0644, 0, path); /* another time of change */
    assert_false(tree_check_line(fixture->text));
    assert_int_equal(unlink(path), 0);
    assert_false(tree_check_line(fixture->text));
    assert_true(tree_check_line("- gawk"));
}

/* Removal follows no link and does not cross a mount. */
static void test_remove(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    make_file(fixture, "stays", 0644, 0, path);
    assert_int_equal(mkdirat(fixture->prefix_fd, "gone", 0700), 0);
    assert_int_equal(mkdirat(fixture->prefix_fd, "gone/below", 0), 0);
    assert_int_equal(symlinkat(fixture->host, fixture->prefix_fd, "gone/link"), 0);
    assert_int_equal(tree_remove(fixture->prefix_fd, "gone"), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(faccessat(fixture->prefix_fd, "gone", F_OK, 0), -1);
    assert_int_equal(tree_remove(fixture->prefix_fd, "gone"), 0);

    assert_int_equal(mkdirat(fixture->prefix_fd, "mount", 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/mount", fixture->path);
    assert_int_equal(mount("tmpfs", path, "tmpfs", 0, "size=64k"), 0);
    assert_int_equal(tree_remove(fixture->prefix_fd, "mount"), -EXDEV);
    assert_int_equal(umount2(path, 0), 0);
}

static bool has_nothing(const void *context, const char *name)
{
    (void)context;
    (void)name;
    return false;
}

static int try_command(struct fixture *fixture, const char *path, const char *arguments)
{
    const struct base_try_command command = {path, arguments};
    return base_try(fixture->root_fd, OWNER + 65534, &command, 1, has_nothing, NULL, &fixture->error);
}

static void add(struct fixture *fixture, const char *path)
{
    assert_int_equal(tree_add(&fixture->tree, path, &fixture->error), 0);
}

/* A program without its libraries, without its linker, one that is not there, one that dies: each is found. */
static void test_trial_finds_faults(void **state)
{
    struct fixture *fixture = *state;
    static const char *const directories[] = {"/dev", "/proc", "/tmp", "/bin", "/lib64"};
    for (size_t i = 0; i < ELEMENTS(directories); i++)
        assert_int_equal(tree_make_directory(&fixture->tree, directories[i], &fixture->error), 0);
    add(fixture, "/usr/bin/env");
    assert_int_equal(try_command(fixture, "/usr/bin/env", "--version"), -ENOEXEC);
    assert_non_null(strstr(fixture->error.text, "No such file or directory"));
    assert_int_equal(try_command(fixture, "/usr/bin/not-there", ""), -ENOEXEC);

    /* With the linker alone: its own message. */
    char linker[] = "/lib64/ld-linux-x86-64.so.2";
    if (access(linker, F_OK) < 0) {
        print_message("skipped from here: not an x86-64 host\n");
        return;
    }
    char real[4096];
    assert_non_null(realpath(linker, real));
    add(fixture, real);
    (void)unlinkat(fixture->root_fd, "lib64/ld-linux-x86-64.so.2", 0);
    assert_int_equal(symlinkat(real, fixture->root_fd, "lib64/ld-linux-x86-64.so.2"), 0);
    assert_int_equal(try_command(fixture, "/usr/bin/env", "--version"), -ENOEXEC);
    assert_non_null(strstr(fixture->error.text, "libc.so.6"));
}

int main(void)
{
    if (geteuid() != 0) {
        (void)printf("skipped: not root\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_copies, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_refuses, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_manifest, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_remove, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_trial_finds_faults, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
