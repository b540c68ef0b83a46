#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "base/fd.h"
#include "rnx/environment.h"
#include "rnx/gpu_memory.h"

static int parse(
        const char *const *texts, size_t count, bool secret, struct environment *environment, struct rnx_error *error)
{
    const char *items[16];
    for (size_t i = 0; i < count; i++)
        items[i] = texts[i];
    const struct rnx_list list = {items, count};
    return environment_parse(&list, secret, environment, error);
}

static void test_variables(void **state)
{
    (void)state;
    static const char *const texts[] = {"A=1", " B =two words ", "_C3==x=y", "A=last", "EMPTY="};
    struct environment environment;
    struct rnx_error error;
    assert_int_equal(parse(texts, ELEMENTS(texts), false, &environment, &error), 0);
    assert_int_equal(environment.count, 4);
    static const char *const expected[][2] = {{"A", "last"}, {"B", "two words "}, {"_C3", "=x=y"}, {"EMPTY", ""}};
    for (size_t i = 0; i < ELEMENTS(expected); i++) {
        assert_string_equal(environment.variables[i].name, expected[i][0]);
        assert_string_equal(environment.variables[i].value, expected[i][1]);
    }
    environment_done(&environment);
    assert_int_equal(parse(texts, 0, false, &environment, &error), 0);
    assert_int_equal(environment.count, 0);
    environment_done(&environment);
}

static void test_errors(void **state)
{
    (void)state;
    static char long_value[ENVIRONMENT_VALUE_MAX + 8] = "LONG=";
    memset(long_value + 5, 'x', ENVIRONMENT_VALUE_MAX + 1);
    static const struct {
        const char *text;
        bool secret;
        const char *error;
    } wrong[] = {
            {"NOVALUE", false,
                    "environment variable processing failed: invalid environment variable format: NOVALUE (expected "
                    "KEY=VALUE)"},
            {"hunter2", true,
                    "secret environment variable processing failed: invalid environment variable format (expected "
                    "KEY=VALUE)"},
            {" =x", false, "environment variable processing failed: environment variable key cannot be empty"},
            {"1A=x", false,
                    "environment variable processing failed: invalid environment variable name '1A': must start with "
                    "letter or underscore and contain only letters, numbers, and underscores"},
            {long_value, true,
                    "secret environment variable processing failed: invalid environment variable value for 'LONG': "
                    "value "
                    "is too long (32769 bytes, max 32768)"},
    };
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        struct environment environment;
        struct rnx_error error;
        assert_int_equal(parse(&wrong[i].text, 1, wrong[i].secret, &environment, &error), -EINVAL);
        assert_string_equal(error.text, wrong[i].error);
    }
    long_value[5 + ENVIRONMENT_VALUE_MAX] = '\0';
    struct environment environment;
    struct rnx_error error;
    const char *text = long_value;
    assert_int_equal(parse(&text, 1, false, &environment, &error), 0);
    environment_done(&environment);
}

static void test_warnings(void **state)
{
    (void)state;
    assert_true(environment_is_reserved("PATH"));
    assert_true(environment_is_reserved("JOBLET_JOB_ID"));
    assert_false(environment_is_reserved("path"));
    assert_true(environment_is_suspicious("$(id)"));
    assert_true(environment_is_suspicious("a `id`"));
    assert_true(environment_is_suspicious("RM -RF /"));
    assert_true(environment_is_suspicious("../x"));
    assert_false(environment_is_suspicious("$HOME"));
}

static void test_gpu_memory(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t mb;
    } right[] = {{"8GB", 8192}, {"8gb", 8192}, {"1024MB", 1024}, {"2048", 2048}, {"0", 0}};
    struct rnx_error error;
    for (size_t i = 0; i < ELEMENTS(right); i++) {
        int32_t mb = -1;
        assert_int_equal(gpu_memory_parse(right[i].text, &mb, &error), 0);
        assert_int_equal(mb, right[i].mb);
    }
    static const char *const wrong[] = {
            "", "GB", "8 GB", "8TB", "-1", "1.5GB", "2097152GB", "99999999999999999999999999"};
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        int32_t mb = -1;
        assert_int_equal(gpu_memory_parse(wrong[i], &mb, &error), -EINVAL);
        assert_int_equal(mb, -1);
        assert_non_null(strstr(error.text, "--gpu-memory: want a size such as 8GB"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_variables),
            cmocka_unit_test(test_errors),
            cmocka_unit_test(test_warnings),
            cmocka_unit_test(test_gpu_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
