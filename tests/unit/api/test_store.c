#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/store.h"
#include "base/fd.h"

struct fixture {
    char path[64];
    int fd;
    struct store *store;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    (void)snprintf(fixture->path, sizeof(fixture->path), "/tmp/test-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->path));
    fixture->fd = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fixture->fd >= 0);
    assert_int_equal(store_new(fixture->fd, &fixture->store, NULL), 0);
    *state = fixture;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    store_free(fixture->store);
    (void)close(fixture->fd);
    int r = nftw(fixture->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return r;
}

static void put(const struct fixture *fixture, const char *path, const char *text)
{
    int fd = openat(fixture->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    (void)close(fd);
}

static void make(const struct fixture *fixture, const char *name, const char *version, const char *language)
{
    char path[256];
    char text[512];
    (void)mkdirat(fixture->fd, name, 0755);
    (void)snprintf(path, sizeof(path), "%s/%s", name, version);
    assert_int_equal(mkdirat(fixture->fd, path, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/%s/runtime.yml", name, version);
    (void)snprintf(text, sizeof(text),
            "name: %s\nversion: %s\nlanguage: %s\nlanguage_version: '1.19'\ndescription: d\n", name, version, language);
    put(fixture, path, text);
    (void)snprintf(path, sizeof(path), "%s/%s/manifest", name, version);
    put(fixture, path, "{\"manifest\":1}\n{\"files\":2,\"bytes\":30}\n");
}

/* "a@1.0.0 b@2.0.0 " */
static const char *list(struct fixture *fixture)
{
    static char text[4096];
    const struct store_runtime *runtimes = NULL;
    size_t count = 0;
    size_t used = 0;
    text[0] = '\0';
    assert_int_equal(store_list(fixture->store, &runtimes, &count, NULL), 0);
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s@%s ", runtimes[i].description->name,
                runtimes[i].description->version);
    return text;
}

/* What changes is seen at once, however soon after the last look. */
static void test_changes_are_seen(void **state)
{
    struct fixture *fixture = *state;
    assert_string_equal(list(fixture), "");
    make(fixture, "b", "1.9.0", "go");
    assert_string_equal(list(fixture), "b@1.9.0 ");
    make(fixture, "b", "1.10.0", "go");
    assert_string_equal(list(fixture), "b@1.10.0 b@1.9.0 ");
    make(fixture, "a", "1.0.0", "rust");
    assert_string_equal(list(fixture), "a@1.0.0 b@1.10.0 b@1.9.0 ");
    for (unsigned i = 0; i < 3; i++) {
        (void)usleep(150000);
        assert_string_equal(list(fixture), "a@1.0.0 b@1.10.0 b@1.9.0 ");
    }
    assert_int_equal(renameat(fixture->fd, "b/1.10.0", fixture->fd, "b/.trash"), 0);
    assert_string_equal(list(fixture), "a@1.0.0 b@1.9.0 ");
    assert_int_equal(renameat(fixture->fd, "a", fixture->fd, ".a"), 0);
    assert_string_equal(list(fixture), "b@1.9.0 ");
    const struct store_runtime *runtime = store_find(fixture->store, "b", "1.9.0");
    assert_non_null(runtime);
    assert_int_equal(runtime->size_bytes, 30);
    assert_int_equal(runtime->files, 2);
    assert_true(runtime->available);
    assert_null(store_find(fixture->store, "b", "1.10.0"));
}

static void test_nothing_else_is_a_runtime(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, "good", "1.0.0", "go");
    make(fixture, "good", ".staging", "go");
    make(fixture, "good", "1.0", "go");
    make(fixture, ".hidden", "1.0.0", "go");
    make(fixture, "Upper", "1.0.0", "go");
    make(fixture, "other", "1.0.0", "go");
    assert_int_equal(renameat(fixture->fd, "other", fixture->fd, "named-otherwise"), 0);
    assert_int_equal(symlinkat("good", fixture->fd, "link"), 0);
    assert_int_equal(symlinkat("1.0.0", fixture->fd, "good/2.0.0"), 0);
    assert_int_equal(mkdirat(fixture->fd, "empty", 0755), 0);
    assert_int_equal(mkdirat(fixture->fd, "empty/1.0.0", 0755), 0);
    put(fixture, "file", "");
    make(fixture, "pipe", "1.0.0", "go");
    assert_int_equal(unlinkat(fixture->fd, "pipe/1.0.0/runtime.yml", 0), 0);
    assert_int_equal(mkfifoat(fixture->fd, "pipe/1.0.0/runtime.yml", 0644), 0);
    make(fixture, "directory", "1.0.0", "go");
    assert_int_equal(unlinkat(fixture->fd, "directory/1.0.0/runtime.yml", 0), 0);
    assert_int_equal(mkdirat(fixture->fd, "directory/1.0.0/runtime.yml", 0755), 0);
    make(fixture, "linked", "1.0.0", "go");
    assert_int_equal(unlinkat(fixture->fd, "linked/1.0.0/runtime.yml", 0), 0);
    assert_int_equal(symlinkat("../../good/1.0.0/runtime.yml", fixture->fd, "linked/1.0.0/runtime.yml"), 0);
    make(fixture, "damaged", "1.0.0", "go");
    put(fixture, "damaged/1.0.0/runtime.yml", "name: damaged\nversion: 1.0.0\n\xff\xfe");
    make(fixture, "huge", "1.0.0", "go");
    assert_int_equal(truncate(strcat(strcpy((char[256]){0}, fixture->path), "/huge/1.0.0/runtime.yml"), 1 << 30), 0);
    assert_string_equal(list(fixture), "good@1.0.0 ");
}

static void test_manifest_that_is_none(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, "a", "1.0.0", "go");
    put(fixture, "a/1.0.0/manifest", "{\"files\":2,\"bytes\":30}");
    const struct store_runtime *runtime = store_find(fixture->store, "a", "1.0.0");
    assert_non_null(runtime);
    assert_false(runtime->available);
    assert_int_equal(runtime->size_bytes, 0);
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    assert_int_equal(store_read_manifest(fixture->store, runtime, 7, &text, &size, NULL), 0);
    assert_string_equal(text, "{\"files");
    assert_int_equal(unlinkat(fixture->fd, "a/1.0.0/manifest", 0), 0);
    char *none = NULL;
    struct error error = {0};
    assert_true(store_read_manifest(fixture->store, runtime, 7, &none, &size, &error) < 0);
    assert_non_null(strstr(error.text, "manifest of a"));
}

static void test_references(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *text;
        const char *version; /* NULL: none */
    } rows[] = {
            {"a", "1.10.0"},
            {"a@latest", "1.10.0"},
            {"a@1.9.0", "1.9.0"},
            {"a@1.8.0", NULL},
            {"go:1.19", "1.10.0"},
            {"go-1.19", "1.10.0"},
            {"b", NULL},
            {"rust:1.19", NULL},
    };
    make(fixture, "a", "1.9.0", "go");
    make(fixture, "a", "1.10.0", "go");
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct runtime_reference reference;
        const struct store_runtime *runtime = NULL;
        assert_int_equal(runtime_reference_parse(rows[i].text, &reference, NULL), 0);
        assert_int_equal(store_resolve(fixture->store, &reference, &runtime, NULL), 0);
        assert_int_equal(runtime != NULL, rows[i].version != NULL);
        if (runtime)
            assert_string_equal(runtime->description->version, rows[i].version);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_changes_are_seen, setup, teardown),
            cmocka_unit_test_setup_teardown(test_nothing_else_is_a_runtime, setup, teardown),
            cmocka_unit_test_setup_teardown(test_manifest_that_is_none, setup, teardown),
            cmocka_unit_test_setup_teardown(test_references, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
