/* The cache of downloads against a build that plants what it likes in the places that are looked at. */
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
#include "builder/blake2b.h"
#include "builder/cache.h"
#include "builder/digest.h"
#include "plan/recipe.h"

#define NPM RECIPE_NPM_CACHE "/_cacache/content-v2/sha512"

struct fixture {
    char directory[64];
    int root_fd;
    int cache_fd;
};

__attribute__((format(printf, 1, 2))) static void shell(const char *format, ...)
{
    char command[2048];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(command, sizeof(command), format, list);
    va_end(list);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    (void)snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/test-cache-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    assert_int_equal(chdir(fixture->directory), 0);
    shell("mkdir -p cache root%s", RECIPE_DOWNLOADS);
    shell("mkdir -p root%s", NPM);
    shell("mkdir -p root%s", RECIPE_PIP_FILES);
    fixture->root_fd = open("root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fixture->cache_fd = open("cache", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(chdir("/"), 0);
    shell("rm -rf %s", fixture->directory);
    (void)fd_close(fixture->root_fd);
    (void)fd_close(fixture->cache_fd);
    free(fixture);
    return 0;
}

/* The vectors of RFC 7693 are of other sizes; these are of two implementations that are not ours. */
static void test_blake2b(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        const char *hex;
    } cases[] = {
            {0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
            {3, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
            {128, "860d4ea84c4ae28e1d51d1f33b9cc6ac927077cf853d038f960f942c53ee8fe0"},
            {129, "984d83d7b8922259b3a9336bbb286b9d3819fe81e755770a10882e076cbdf3a7"},
            {256, "001a5cef3f2c78c196b816d3604be96646872c263ad4e76e34f0be1894a5a42e"},
            {1000, "43eafc297e7bbec897ea681509bfee0b26db7415a99ad1a89edb0ccb62118334"},
    };
    char text[1000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)("abc"[i % 3]);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        for (size_t piece = 1; piece <= 200; piece += 33) {
            struct blake2b digest;
            uint8_t bytes[BLAKE2B_SIZE];
            char hex[DIGEST_HEX_MAX];
            blake2b_begin(&digest);
            for (size_t at = 0; at < cases[i].size; at += piece)
                blake2b_add(&digest, text + at, cases[i].size - at < piece ? cases[i].size - at : piece);
            blake2b_end(&digest, bytes);
            digest_format(bytes, hex);
            assert_string_equal(hex, cases[i].hex);
        }
    }
}

static void test_names(void **state)
{
    (void)state;
    char hex[200];
    char name[300];
    memset(hex, 'a', sizeof(hex));
    static const struct {
        const char *begin;
        size_t digits;
        const char *end;
        enum cache_kind kind;
    } cases[] = {
            {"pip-", 64, "", CACHE_PIP},
            {"pip-", 63, "", CACHE_NONE},
            {"pip-", 65, "", CACHE_NONE},
            {"npm-", 128, "", CACHE_NPM},
            {"npm-", 64, "", CACHE_NONE},
            {"npm-", 129, "", CACHE_NONE},
            {"Npm-", 128, "", CACHE_NONE},
            {"npm-", 127, "G", CACHE_NONE},
            {"npm-", 127, "A", CACHE_NONE},
            {"npm-/", 127, "", CACHE_NONE},
            {"apt-", 64, "", CACHE_APT},
            {"apt-", 63, "", CACHE_NONE},
            {"a_1_amd64.deb", 0, "", CACHE_NONE},
            {"", 0, "", CACHE_NONE},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        (void)snprintf(name, sizeof(name), "%s%.*s%s", cases[i].begin, (int)cases[i].digits, hex, cases[i].end);
        if (cache_kind_of(name) != cases[i].kind)
            fail_msg("%s", name);
    }
}

/* Makes the file at @path below root/, in the place that its digest has. */
static void put_npm(const char *text, char ret_name[CACHE_NAME_MAX])
{
    uint8_t bytes[DIGEST_SHA512_SIZE];
    char hex[DIGEST_SHA512_HEX_MAX];
    struct digest *digest = digest_new_sha512();
    digest_begin(digest);
    digest_add(digest, text, strlen(text));
    assert_int_equal(digest_end(digest, bytes), 0);
    digest_free(digest);
    digest_format_bytes(bytes, sizeof(bytes), hex);
    (void)snprintf(ret_name, CACHE_NAME_MAX, "npm-%s", hex);
    shell("d=root" NPM "/%.2s/%.2s; mkdir -p $d; printf '%%s' '%s' >$d/%s", hex, hex + 2, text, hex + 4);
}

static bool has(const struct fixture *fixture, const char *name)
{
    return faccessat(fixture->cache_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Keeps all that is found; how many could be kept. */
static unsigned keep_all(const struct fixture *fixture, size_t expected)
{
    struct cache_files files = {0};
    unsigned kept = 0;
    assert_int_equal(cache_find(fixture->root_fd, &files), 0);
    assert_int_equal(files.count, expected);
    for (size_t i = 0; i < files.count; i++)
        kept += cache_keep(fixture->root_fd, fixture->cache_fd, &files.items[i]) == 0;
    cache_files_done(&files);
    assert_false(has(fixture, ".new"));
    return kept;
}

static void test_npm(void **state)
{
    const struct fixture *fixture = *state;
    char good[CACHE_NAME_MAX];
    char document[CACHE_NAME_MAX];
    char poisoned[CACHE_NAME_MAX];
    char cut[CACHE_NAME_MAX];
    put_npm("\x1f\x8b good", good);
    put_npm("{\"name\":\"no archive\"}", document);
    put_npm("\x1f\x8b poisoned", poisoned);
    put_npm("\x1f\x8b cut", cut);
    shell("cd root" NPM "; for f in $(grep -rlE 'poisoned|cut'); do printf '\\037\\213 p' >$f; done");
    shell("cd root" NPM "; ln -s /etc/passwd x; mkfifo y; mkdir -p ../sha1/aa/bb; echo x >../sha1/aa/bb/c; echo z >%s",
            "z");
    assert_int_equal(keep_all(fixture, 4), 1);
    assert_true(has(fixture, good));
    assert_false(has(fixture, document) || has(fixture, poisoned) || has(fixture, cut));
    /* One that was spoiled is replaced when it is fetched again. */
    shell("echo spoiled >cache/%s", good);
    assert_int_equal(keep_all(fixture, 4), 1);
    shell("grep -q good cache/%s", good);
}

static void test_pip(void **state)
{
    const struct fixture *fixture = *state;
    const char *good = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"; /* of "abc" */
    shell("cd root" RECIPE_PIP_FILES "; printf abc >%s; printf abc >x; printf abc >y.new", good);
    shell("cd root" RECIPE_PIP_FILES "; printf abd >%s",
            "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    shell("cd root" RECIPE_PIP_FILES "; ln -s %s 1111111111111111111111111111111111111111111111111111111111111111",
            good);
    assert_int_equal(keep_all(fixture, 2), 1);
    assert_true(has(fixture, "pip-bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"));
    assert_false(has(fixture, "pip-0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"));
}

/* Whatever its name, a package is found again by what is in it alone; and none is left under a name of apt's. */
static void test_apt(void **state)
{
    const struct fixture *fixture = *state;
    struct cache_files files = {0};
    shell("cd root" RECIPE_DOWNLOADS "; echo one >a_1_all.deb; echo two >b_2%%3a1_all.deb; mkdir c_1_all.deb partial; "
          "echo x >partial/d_1_all.deb; ln -s a_1_all.deb e_1_all.deb; >f_1_all.deb; echo x >pip-; echo x "
          ">.g_1_all.deb; "
          "echo poison >apt-0000000000000000000000000000000000000000000000000000000000000000");
    shell("cd cache; echo old >a_1_all.deb; ln -s /etc/passwd h_1_all.deb; mkdir i_1_all.deb; echo x >notes");
    assert_int_equal(keep_all(fixture, 2), 2);
    shell("cd cache; for name in one two; do test $(cat apt-$(echo $name | sha256sum | cut -d' ' -f1)) = $name; done");
    assert_int_equal(cache_list(fixture->cache_fd, &files), 0);
    assert_int_equal(files.count, 2);
    cache_files_done(&files);
    shell("test \"$(cd cache; echo *.deb notes)\" = 'i_1_all.deb notes'");
}

/* A place that is a link, or a file, is none. */
static void test_places(void **state)
{
    const struct fixture *fixture = *state;
    shell("mkdir else; echo x >else/a_1_all.deb; cd root; rmdir .%s; ", RECIPE_DOWNLOADS);
    shell("ln -s $PWD/else root%s", RECIPE_DOWNLOADS);
    shell("rmdir root" RECIPE_PIP_FILES "; echo x >root%s", RECIPE_PIP_FILES);
    assert_int_equal(keep_all(fixture, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_blake2b),
            cmocka_unit_test(test_names),
            cmocka_unit_test_setup_teardown(test_npm, setup, teardown),
            cmocka_unit_test_setup_teardown(test_pip, setup, teardown),
            cmocka_unit_test_setup_teardown(test_apt, setup, teardown),
            cmocka_unit_test_setup_teardown(test_places, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
