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
#include "elf/elf_file.h"

static bool needs(const struct elf_file *file, const char *start)
{
    for (size_t i = 0; i < file->needed_count; i++) {
        if (strncmp(file->needed[i], start, strlen(start)) == 0)
            return true;
    }
    return false;
}

static void test_program(void **state)
{
    (void)state;
    _cleanup_close_ int fd = open("/bin/bash", O_RDONLY | O_CLOEXEC);
    struct elf_file file;
    struct error error = {0};
    assert_int_equal(elf_read(fd, "/bin/bash", &file, &error), 0);
    assert_true(needs(&file, "libc.so"));
    assert_true(needs(&file, "libtinfo.so"));
    assert_non_null(file.interpreter);
    assert_int_equal(access(file.interpreter, X_OK), 0);

    struct elf_search search;
    assert_int_equal(elf_search_init(&search, AT_FDCWD, &error), 0);
    for (size_t i = 0; i < file.needed_count; i++) {
        char path[PATH_MAX];
        assert_int_equal(elf_find_library(&search, &file, "/bin/bash", file.needed[i], path), 0);
        assert_true(elf_fits(AT_FDCWD, path, &file));
    }
    char path[PATH_MAX];
    assert_int_equal(elf_find_library(&search, &file, "/bin/bash", "libnot-there.so.9", path), -ENOENT);
    /* A library of another machine is passed over. */
    file.machine = 0x1234;
    assert_int_equal(elf_find_library(&search, &file, "/bin/bash", "libc.so.6", path), -ENOENT);
    elf_search_done(&search);
    elf_done(&file);
}

static void copy_file(const char *from, const char *to)
{
    _cleanup_free_ char *text = NULL;
    char real[PATH_MAX];
    size_t size;
    assert_non_null(realpath(from, real));
    assert_int_equal(fd_read_file_at(AT_FDCWD, real, 16U << 20, &text, &size), 0);
    _cleanup_close_ int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, size), 0);
}

static void test_runpath(void **state)
{
    (void)state;
    char directory[] = "/tmp/test-elf-XXXXXX";
    assert_non_null(mkdtemp(directory));
    char program[64];
    char library[96];
    char below[64];
    (void)snprintf(program, sizeof(program), "%s/program", directory);
    (void)snprintf(below, sizeof(below), "%s/lib", directory);
    (void)snprintf(library, sizeof(library), "%s/libown.so", below);
    assert_int_equal(mkdir(below, 0700), 0);
    copy_file("/bin/true", library);
    _cleanup_close_ int fd = open("/bin/true", O_RDONLY | O_CLOEXEC);
    struct elf_file file;
    assert_int_equal(elf_read(fd, "true", &file, NULL), 0);
    free(file.runpath);
    file.runpath = strdup("/nowhere:$ORIGIN/lib");
    struct elf_search search = {.root_fd = AT_FDCWD};
    char path[PATH_MAX];
    assert_int_equal(elf_find_library(&search, &file, program, "libown.so", path), 0);
    assert_string_equal(path, library);
    free(file.runpath);
    file.runpath = strdup("relative:${ORIGIN}/lib/");
    assert_int_equal(elf_find_library(&search, &file, program, "libown.so", path), 0);
    elf_done(&file);
    assert_int_equal(unlink(library), 0);
    assert_int_equal(rmdir(below), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void test_no_elf(void **state)
{
    (void)state;
    _cleanup_close_ int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    struct elf_file file;
    assert_int_equal(elf_read(fd, "passwd", &file, NULL), 1);
}

static void write_text(int dir_fd, const char *path, const char *text)
{
    _cleanup_close_ int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

/* The search path of another root: links in it stay in it, and files that include each other end. */
static void test_other_root(void **state)
{
    (void)state;
    char directory[] = "/tmp/test-elf-root-XXXXXX";
    char command[64];
    assert_non_null(mkdtemp(directory));
    _cleanup_close_ int root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(root_fd, "etc", 0755), 0);
    assert_int_equal(mkdirat(root_fd, "own", 0755), 0);
    assert_int_equal(mkdirat(root_fd, "lib", 0755), 0);
    write_text(root_fd, "etc/ld.so.conf", "include /etc/*.conf.d # none\ninclude /own/*.conf\n/opt/lib\n");
    write_text(root_fd, "own/b.conf", "/b/lib\n");
    write_text(root_fd, "own/a.conf", "  /a/lib  \nrelative\n");
    struct elf_search search;
    struct error error = {0};
    assert_int_equal(elf_search_init(&search, root_fd, &error), 0);
    static const char *const expected[] = {"/a/lib", "/b/lib", "/opt/lib"};
    for (size_t i = 0; i < ELEMENTS(expected); i++)
        assert_string_equal(search.directories[i], expected[i]);

    /* Ours is not looked at, also not through a link that names it. */
    struct elf_file file;
    char path[PATH_MAX];
    _cleanup_close_ int fd = open("/bin/bash", O_RDONLY | O_CLOEXEC);
    assert_int_equal(elf_read(fd, "bash", &file, &error), 0);
    assert_int_equal(elf_find_library(&search, &file, "/bin/bash", "libc.so.6", path), -ENOENT);
    assert_int_equal(symlinkat("/bin/bash", root_fd, "lib/libc.so.6"), 0);
    assert_int_equal(mkfifoat(root_fd, "lib/libfifo.so", 0644), 0);
    assert_int_equal(elf_find_library(&search, &file, "/bin/bash", "libc.so.6", path), -ENOENT);
    assert_int_equal(elf_find_library(&search, &file, "/bin/bash", "libfifo.so", path), -ENOENT);
    elf_done(&file);
    elf_search_done(&search);

    write_text(root_fd, "own/a.conf", "include /own/*\ninclude /etc/ld.so.conf\n");
    assert_int_equal(elf_search_init(&search, root_fd, &error), -ELOOP);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
}

/* Headers that are cut or wrong at each byte: an error or an answer, never a crash. */
static void test_damaged(void **state)
{
    (void)state;
    _cleanup_free_ char *text = NULL;
    size_t size;
    char real[PATH_MAX];
    assert_non_null(realpath("/bin/true", real));
    assert_int_equal(fd_read_file_at(AT_FDCWD, real, 16U << 20, &text, &size), 0);
    unsigned refused = 0;
    for (size_t i = 4; i < 2000 && i < size; i++) {
        _cleanup_close_ int fd = memfd_create("damaged", MFD_CLOEXEC);
        char saved = text[i];
        text[i] = (char)~saved;
        assert_int_equal(fd_write_all(fd, text, i % 3 == 0 ? i + 1 : size), 0);
        text[i] = saved;
        struct elf_file file;
        struct error error = {0};
        int r = elf_read(fd, "damaged", &file, &error);
        if (r == 0)
            elf_done(&file);
        else
            refused++;
        assert_true(r <= 0);
    }
    assert_true(refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_program),
            cmocka_unit_test(test_runpath),
            cmocka_unit_test(test_no_elf),
            cmocka_unit_test(test_other_root),
            cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
