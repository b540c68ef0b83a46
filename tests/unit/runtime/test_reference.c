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
#include "runtime/reference.h"

static void test_order(void **state)
{
    (void)state;
    /* From the lowest to the highest. */
    static const char *const order[] = {"", "x", "0.0.9", "1.0.0-1", "1.0.0-2", "1.0.0-10", "1.0.0-alpha",
            "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0", "10.0.0",
            "18446744073709551616.0.0", "18446744073709551617.0.0"};
    for (size_t i = 0; i < ELEMENTS(order); i++)
        for (size_t j = 0; j < ELEMENTS(order); j++) {
            int got = runtime_version_compare(order[i], order[j]);
            if ((got > 0) - (got < 0) != (i > j) - (i < j))
                fail_msg("'%s' against '%s': %d", order[i], order[j], got);
        }
    assert_int_equal(runtime_version_compare("1.0", "1.0.0"), 0);
    assert_int_equal(runtime_version_compare("1.0.0+a", "1.0.0+b"), 0);
    assert_int_equal(runtime_version_compare("01.0.0", "1.0.0"), 0);
    assert_true(runtime_version_compare("1.0.0-a+b", "1.0.0") < 0);
}

static void test_valid_versions(void **state)
{
    (void)state;
    static const char *const right[] = {"1.2.3", "1.2.3-rc.1", "1.2.3+b", "1.2.3-a-b+c.d"};
    static const char *const wrong[] = {"", "1", "1.2", "1.2.3.4", "1.2.3-", "1.2.3+", "1.2.3-a..b", "1.2.3 ", "v1.2.3",
            "1.2.x", "1.2.3_4", "..", "1.2.3-a+b+c"};
    for (size_t i = 0; i < ELEMENTS(right); i++)
        assert_true(runtime_version_is_valid(right[i]));
    for (size_t i = 0; i < ELEMENTS(wrong); i++)
        assert_false(runtime_version_is_valid(wrong[i]));
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name; /* NULL = refused */
        const char *version;
        bool by_language;
    } rows[] = {
            {"python-3.11", "python-3.11", "", false},
            {"a@latest", "a", "", false},
            {"a@1.2.3", "a", "1.2.3", false},
            {"a@1.2.3-rc1+b", "a", "1.2.3-rc1+b", false},
            {"python:3.11", "python", "3.11", true},
            {"python:3.11+ml+gpu", "python", "3.11", true},
            {"", NULL, NULL, false},
            {"@1.0.0", NULL, NULL, false},
            {":3", NULL, NULL, false},
            {"a@", NULL, NULL, false},
            {"a@1", NULL, NULL, false},
            {"a@../../etc", NULL, NULL, false},
            {"../a", NULL, NULL, false},
            {"a/b@1.0.0", NULL, NULL, false},
            {"A", NULL, NULL, false},
            {"a:", NULL, NULL, false},
            {"a:+x", NULL, NULL, false},
            {"a:b:c", NULL, NULL, false},
            {"a:../b", NULL, NULL, false},
            {"a@1.0.0@2.0.0", NULL, NULL, false},
            {"a\n", NULL, NULL, false},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct runtime_reference reference;
        struct error error = {0};
        int r = runtime_reference_parse(rows[i].text, &reference, &error);
        if (r != (rows[i].name ? 0 : -EINVAL))
            fail_msg("'%s' gives %d", rows[i].text, r);
        if (!rows[i].name) {
            assert_non_null(strstr(error.text, "is right"));
            continue;
        }
        assert_string_equal(reference.name, rows[i].name);
        assert_string_equal(reference.version, rows[i].version);
        assert_int_equal(reference.by_language, rows[i].by_language);
    }
    char lengthy[RUNTIME_REFERENCE_MAX + 2];
    struct runtime_reference reference;
    memset(lengthy, 'a', sizeof(lengthy));
    lengthy[sizeof(lengthy) - 1] = '\0';
    assert_int_equal(runtime_reference_parse(lengthy, &reference, NULL), -EINVAL);
}

static void test_resolve(void **state)
{
    (void)state;
    static const struct runtime_candidate installed[] = {
            {"ml", "1.9.0", "python", "3.11"},
            {"ml", "1.10.0", "python", "3.12"},
            {"python-3.11", "2.0.0", "python", "3.11"},
            {"web", "1.0.0", "node", "18"},
            {"go-1.19", "0.1.0", "node", "20"},
    };
    static const struct {
        const char *text;
        int index; /* -1 = none */
    } rows[] = {
            {"ml", 1},
            {"ml@latest", 1},
            {"ml@1.9.0", 0},
            {"ml@1.9.1", -1},
            {"nothing", -1},
            {"python-3.11", 2}, /* its name, before any language */
            {"python:3.11", 2}, /* the highest of two that fit */
            {"python:3.12", 1},
            {"python-3.12", 1},
            {"python:3.12+gpu", 1},
            {"ml:1.9.0", 0},
            {"ml-1.9.0", 0},
            {"node-18", 3},
            {"node:18", 3},
            {"node-18@1.0.0", -1}, /* a version is asked of a name, never of a language */
            {"go-1.19", 4},
            {"go-1.19:0.1.0", 4},
            {"python", -1}, /* a language alone is no name */
            {"node-", -1},
            {"python-3.12-x", -1},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct runtime_reference reference;
        assert_int_equal(runtime_reference_parse(rows[i].text, &reference, NULL), 0);
        const struct runtime_candidate *found = runtime_reference_resolve(&reference, installed, ELEMENTS(installed));
        if (found != (rows[i].index < 0 ? NULL : &installed[rows[i].index]))
            fail_msg("'%s' resolves to %s %s", rows[i].text, found ? found->name : "nothing",
                    found ? found->version : "");
        assert_null(runtime_reference_resolve(&reference, NULL, 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_order),
            cmocka_unit_test(test_valid_versions),
            cmocka_unit_test(test_parse),
            cmocka_unit_test(test_resolve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
