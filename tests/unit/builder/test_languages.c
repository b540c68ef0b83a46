#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "builder/languages.h"

static void test_metadata(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name;
        const char *version;
    } cases[] = {
            {"Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n\nName: other\n", "six", "1.16.0"},
            {"Version: 1\r\nName: a b\r\n\r\nVersion: 2\n", "a b", "1"},
            {"", "", ""},
            {"\nName: x\nVersion: 1\n", "", ""},
            {"Name:x\nName: \nVersion", "", ""},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct languages_package package;
        languages_read_metadata(cases[i].text, &package);
        assert_string_equal(package.name, cases[i].name);
        assert_string_equal(package.version, cases[i].version);
    }
    char text[1000] = "Name: ";
    struct languages_package package;
    memset(text + 6, 'x', 900);
    languages_read_metadata(text, &package);
    assert_int_equal(strlen(package.name), LANGUAGES_TEXT_MAX - 1);
}

static void test_package_json(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name;
        const char *version;
    } cases[] = {
            {"{\"name\":\"@s/p\",\"version\":\"1.2.3\"}", "@s/p", "1.2.3"},
            {" {\n \"author\": {\"name\": \"me\", \"x\": [{\"version\": \"9\"}]},\n \"version\" : \"1\" , \"name\": "
             "\"p\"\n}",
                    "p", "1"},
            {"{\"a\":\"name\",\"b\":\"version\",\"c\":\"x\"}", "", ""},
            {"{\"name\":{\"name\":\"x\"},\"version\":[\"1\"]}", "", ""},
            {"{\"name\":\"a\\\"b\",\"version\":\"1\\", "a\\\"b", ""},
            {"[\"name\",\"x\"]", "", ""},
            {"", "", ""},
            {"\"", "", ""},
            {"\"\\", "", ""},
            {"}}}}{\"name\":\"x\"", "x", ""},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct languages_package package;
        languages_read_package_json(cases[i].text, strlen(cases[i].text), &package);
        assert_string_equal(package.name, cases[i].name);
        assert_string_equal(package.version, cases[i].version);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_metadata),
            cmocka_unit_test(test_package_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
