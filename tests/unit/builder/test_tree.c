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
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/root.h"
#include "builder/tree.h"

static const struct tree_owner owner = {ORIGIN_STEP, 0};

struct fixture {
    char directory[64];
    int root_fd;
    struct tree tree;
    struct error error;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    (void)snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/test-builder-tree-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    fixture->root_fd = open(fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int roots[TREE_SOURCES] = {
            [TREE_BASE] = -EBADF, [TREE_MERGED] = fixture->root_fd, [TREE_ISOLATED] = -EBADF, [TREE_TEXT] = -EBADF};
    assert_int_equal(tree_init(&fixture->tree, roots, &fixture->error), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[128];
    tree_done(&fixture->tree);
    (void)fd_close(fixture->root_fd);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", fixture->directory);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

static void make_directory(const struct fixture *fixture, const char *path)
{
    assert_int_equal(mkdirat(fixture->root_fd, path, 0755), 0);
}

static void make_file(const struct fixture *fixture, const char *path, mode_t mode)
{
    int fd = openat(fixture->root_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    (void)fd_close(fd);
}

static void make_link(const struct fixture *fixture, const char *target, const char *path)
{
    assert_int_equal(symlinkat(target, fixture->root_fd, path), 0);
}

static int add(struct fixture *fixture, const char *path)
{
    return tree_add(&fixture->tree, TREE_MERGED, path, owner, NULL, NULL);
}

static void test_links(void **state)
{
    struct fixture *fixture = *state;
    make_directory(fixture, "usr");
    make_directory(fixture, "usr/bin");
    make_link(fixture, "usr/bin", "bin");
    make_file(fixture, "usr/bin/real", 04755);
    make_link(fixture, "/bin/real", "usr/bin/name");
    make_link(fixture, "../../../../usr/bin/real", "usr/bin/up");
    assert_int_equal(add(fixture, "/bin/name"), 0);
    assert_true(S_ISLNK(tree_find(&fixture->tree, "/bin")->mode));
    assert_string_equal(tree_find(&fixture->tree, "/usr/bin/name")->text, "/bin/real");
    const struct tree_entry *real = tree_find(&fixture->tree, "/usr/bin/real");
    assert_int_equal(real->mode & 07777, 0755);
    assert_null(tree_find(&fixture->tree, "/bin/name"));
    assert_int_equal(add(fixture, "/usr/bin/up"), 0);
    assert_int_equal(fixture->tree.stripped, 1);
    char canonical[4096];
    assert_int_equal(tree_follow(&fixture->tree, "/bin/../bin/./name", canonical), 0);
    assert_string_equal(canonical, "/usr/bin/real");
    assert_int_equal(tree_follow(&fixture->tree, "/bin/nothing", canonical), 1);
    assert_int_equal(tree_follow(&fixture->tree, "/usr/bin/real/x", canonical), 1);
}

static void test_links_without_end(void **state)
{
    struct fixture *fixture = *state;
    make_link(fixture, "loop", "loop");
    make_link(fixture, "b", "a");
    make_link(fixture, "a/x", "b");
    make_link(fixture, "x/../x/../x/../x", "x");
    make_link(fixture, "../../../../../../etc/passwd", "out");
    assert_int_equal(add(fixture, "/loop"), 0);
    assert_int_equal(add(fixture, "/loop/below"), 1);
    assert_int_equal(add(fixture, "/a/below"), 1);
    assert_int_equal(add(fixture, "/x/below"), 1);
    assert_int_equal(add(fixture, "/out"), 0);
    assert_null(tree_find(&fixture->tree, "/etc"));
    assert_int_equal(add(fixture, "/nothing"), 1);
    assert_int_equal(add(fixture, "nothing"), 1);
    assert_int_equal(add(fixture, "/.."), 1);
    assert_int_equal(add(fixture, "/"), 1);
    assert_int_equal(add(fixture, ""), 1);
    char canonical[4096];
    assert_int_equal(tree_follow(&fixture->tree, "/loop", canonical), 1);
}

static void test_conflicts(void **state)
{
    struct fixture *fixture = *state;
    make_directory(fixture, "d");
    make_file(fixture, "d/f", 0644);
    assert_int_equal(tree_write(&fixture->tree, "/d", S_IFREG | 0644, "text"), 0);
    assert_int_equal(add(fixture, "/d/f"), 1);
    assert_int_equal(tree_put(&fixture->tree, TREE_MERGED, "/d", owner), 2);
    assert_int_equal(tree_write(&fixture->tree, "/e/f/g", S_IFREG | 0600, "x"), 0);
    assert_true(S_ISDIR(tree_find(&fixture->tree, "/e/f")->mode));
    assert_int_equal(mkfifoat(fixture->root_fd, "fifo", 0644), 0);
    assert_int_equal(tree_put(&fixture->tree, TREE_MERGED, "/fifo", owner), 2);
    assert_null(tree_find(&fixture->tree, "/fifo"));
}

static void test_prune(void **state)
{
    struct fixture *fixture = *state;
    static const char *const files[] = {"m/a.py", "m/__pycache__/a.cpython-311.pyc", "n/__pycache__/b.cpython-311.pyc"};
    make_directory(fixture, "m");
    make_directory(fixture, "m/__pycache__");
    make_directory(fixture, "n");
    make_directory(fixture, "n/__pycache__");
    make_directory(fixture, "empty");
    for (size_t i = 0; i < ELEMENTS(files); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/%s", files[i]);
        make_file(fixture, files[i], 0644);
        assert_int_equal(add(fixture, path), 0);
    }
    assert_int_equal(add(fixture, "/empty"), 0);
    tree_prune(&fixture->tree);
    assert_non_null(tree_find(&fixture->tree, "/m/__pycache__/a.cpython-311.pyc"));
    assert_null(tree_find(&fixture->tree, "/n/__pycache__/b.cpython-311.pyc"));
    assert_null(tree_find(&fixture->tree, "/n"));
    assert_non_null(tree_find(&fixture->tree, "/empty"));
    uint32_t count;
    _cleanup_free_ uint32_t *order = tree_sort(&fixture->tree, &count);
    for (uint32_t i = 1; i < count; i++)
        assert_true(strcmp(fixture->tree.paths.texts[order[i - 1]], fixture->tree.paths.texts[order[i]]) < 0);
}

static void test_reading(void **state)
{
    struct fixture *fixture = *state;
    char *text = NULL;
    size_t size;
    make_link(fixture, "/etc", "link");
    make_file(fixture, "file", 0644);
    assert_int_equal(mkfifoat(fixture->root_fd, "fifo", 0644), 0);
    assert_int_equal(root_open_file(fixture->root_fd, "/fifo"), -EINVAL);
    assert_int_equal(root_open_file(fixture->root_fd, "/link"), -EINVAL);
    assert_int_equal(root_open_file(fixture->root_fd, "/link/passwd"), -ELOOP);
    assert_int_equal(root_open_file(fixture->root_fd, "/../etc/passwd"), -EXDEV);
    assert_int_equal(root_open_directory(fixture->root_fd, "/link"), -ELOOP);
    assert_int_equal(root_read_file(fixture->root_fd, "/file", 10, &text, &size), 0);
    assert_int_equal(size, 0);
    free(text);
    int fd = openat(fixture->root_fd, "file", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 1LL << 40), 0);
    (void)fd_close(fd);
    assert_int_equal(root_read_file(fixture->root_fd, "/file", 10, &text, &size), -EFBIG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
            TEST(test_links),
            TEST(test_links_without_end),
            TEST(test_conflicts),
            TEST(test_prune),
            TEST(test_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
