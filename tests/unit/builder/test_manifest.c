#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/fd.h"
#include "builder/manifest.h"

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HEAD "{\"manifest\":1,\"name\":\"a\",\"version\":\"1\"}\n"
#define PACKAGE "{\"package\":\"p\",\"version\":\"1\",\"type\":\"apt\"}\n"
#define BESIDE(name) "{\"file\":\"" name "\",\"size\":0,\"sha256\":\"" HEX "\"}\n"
#define DIRECTORY(path)                                                                                                \
    "{\"path\":\"" path "\",\"type\":\"directory\",\"mode\":\"0755\",\"uid\":0,\"gid\":0,\"origin\":\"base\"}\n"
#define FILE_LINE(path)                                                                                                \
    "{\"path\":\"" path "\",\"type\":\"file\",\"mode\":\"0644\",\"uid\":1,\"gid\":2,\"size\":3,\"sha256\":\"" HEX      \
    "\"}\n"
#define LINK(path, target)                                                                                             \
    "{\"path\":\"" path "\",\"type\":\"link\",\"mode\":\"0777\",\"uid\":0,\"gid\":0,\"target\":\"" target "\"}\n"
#define TOTAL(files) "{\"files\":" files ",\"bytes\":3}\n"

static int parse(const char *text, struct manifest *ret_manifest, struct error *error)
{
    return manifest_parse(strdup(text), strlen(text), ret_manifest, error);
}

static void test_good(void **state)
{
    (void)state;
    struct manifest manifest;
    struct error error = {0};
    assert_int_equal(parse(HEAD PACKAGE BESIDE("runtime.yml") DIRECTORY("/") DIRECTORY("/a") FILE_LINE("/a b")
                                     LINK("/b", "a") TOTAL("1"),
                             &manifest, &error),
            0);
    assert_int_equal(manifest.count, 4);
    const struct manifest_entry *entry = manifest_find(&manifest, "/a b");
    assert_int_equal(entry->type, MANIFEST_FILE);
    assert_int_equal(entry->mode, 0644);
    assert_int_equal(entry->gid, 2);
    assert_int_equal(entry->size, 3);
    assert_int_equal(entry->digest[0], 0xe3);
    assert_string_equal(manifest_find(&manifest, "/b")->target, "a");
    assert_null(manifest_find(&manifest, "/c"));
    assert_non_null(manifest_find(&manifest, "/"));
    assert_string_equal(manifest.beside[0].name, "runtime.yml");
    manifest_done(&manifest);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *error;
    } cases[] = {
            {"", "line 1"},
            {HEAD, "line 1"},
            {DIRECTORY("/"), "line 1"},
            {"{\"manifest\":2}\n", "line 1"},
            {HEAD TOTAL("0") TOTAL("0"), "line 3"},
            {HEAD FILE_LINE("/a") TOTAL("2"), "line 3"},
            {HEAD DIRECTORY("/a"), "line 2"},
            {HEAD DIRECTORY("/b") DIRECTORY("/a") TOTAL("0"), "line 3"},
            {HEAD DIRECTORY("/a") DIRECTORY("/a") TOTAL("0"), "line 3"},
            {HEAD DIRECTORY("/a") PACKAGE TOTAL("0"), "line 3"},
            {HEAD DIRECTORY("/a") BESIDE("x") TOTAL("0"), "line 3"},
            {HEAD TOTAL("0") DIRECTORY("/a"), "line 3"},
            {HEAD DIRECTORY("a") TOTAL("0"), "line 2"},
            {HEAD DIRECTORY("/a/") TOTAL("0"), "line 2"},
            {HEAD DIRECTORY("/../a") TOTAL("0"), "line 2"},
            {HEAD DIRECTORY("/a/./b") TOTAL("0"), "line 2"},
            {HEAD DIRECTORY("//a") TOTAL("0"), "line 2"},
            {HEAD LINK("/a", "") TOTAL("0"), "line 2"},
            {HEAD BESIDE("../x") TOTAL("0"), "line 2"},
            {HEAD BESIDE("") TOTAL("0"), "line 2"},
            {HEAD "{\"path\":\"/a\",\"type\":\"fifo\",\"mode\":\"0755\",\"uid\":0,\"gid\":0}\n" TOTAL("0"), "line 2"},
            {HEAD "{\"path\":\"/a\",\"type\":\"directory\",\"mode\":\"755\",\"uid\":0,\"gid\":0}\n" TOTAL("0"),
                    "line 2"},
            {HEAD "{\"path\":\"/a\",\"type\":\"directory\",\"mode\":\"0755\",\"uid\":4294967296,\"gid\":0}\n" TOTAL(
                     "0"),
                    "line 2"},
            {HEAD "{\"path\":\"/"
                  "a\",\"type\":\"file\",\"mode\":\"0755\",\"uid\":0,\"gid\":0,\"size\":1,\"sha256\":\"E3\"}\n" TOTAL(
                          "1"),
                    "line 2"},
            {HEAD "{\"files\":0,\"bytes\":0}", "line 2"},
            {HEAD "nonsense\n", "line 2"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct manifest manifest;
        struct error error = {0};
        assert_true(parse(cases[i].text, &manifest, &error) < 0);
        char expected[64];
        (void)snprintf(expected, sizeof(expected), "the manifest is damaged in %s", cases[i].error);
        assert_string_equal(error.text, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_good),
            cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
