#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "base/error.h"

static void test_errno(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(error_errno(&error, ENOENT, "open '%s'", "x"), -ENOENT);
    assert_int_equal(error.code, ENOENT);
    assert_string_equal(error.text, "open 'x': No such file or directory");
    assert_int_equal(error_errno(NULL, EPERM, "nobody listens"), -EPERM);
}

static void test_text(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(error_text(&error, EINVAL, "field %d", 3), -EINVAL);
    assert_string_equal(error.text, "field 3");
}

static void test_prefix(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(error_prefix(&error, "no error yet"), -EIO);
    (void)error_text(&error, EINVAL, "inner");
    assert_int_equal(error_prefix(&error, "outer %d", 1), -EINVAL);
    assert_string_equal(error.text, "outer 1: inner");
}

static void test_cut(void **state)
{
    (void)state;
    struct error error = {0};
    char text[1000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    (void)error_errno(&error, EIO, "%s", text);
    assert_int_equal(strlen(error.text), ERROR_TEXT_MAX - 1);
    (void)error_prefix(&error, "%s", text);
    assert_int_equal(strlen(error.text), ERROR_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_errno),
            cmocka_unit_test(test_text),
            cmocka_unit_test(test_prefix),
            cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
