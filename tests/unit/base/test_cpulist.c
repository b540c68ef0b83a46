#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/cpulist.h"
#include "base/error.h"

static void test_parse_and_format(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *again;
    } cases[] = {{"", ""}, {"0", "0"}, {"0-3", "0-3"}, {"1,3", "1,3"}, {"3,1", "1,3"}, {"0-1,2", "0-2"},
            {" 0 - 3 , 5 ", "0-3,5"}, {"63,64", "63-64"}, {"0-1023", "0-1023"}, {"1023", "1023"}, {"5-5", "5"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cpulist list;
        char text[CPULIST_TEXT_MAX];
        assert_int_equal(cpulist_parse(cases[i].text, &list, NULL), 0);
        cpulist_format(&list, text);
        assert_string_equal(text, cases[i].again);
        assert_int_equal(cpulist_is_empty(&list), !*cases[i].again);
    }
}

static void test_wrong(void **state)
{
    (void)state;
    static const char *const cases[] = {"a", "-1", "1-", "-", ",", "1,", ",1", "1,,2", "3-1", "1,1", "0-3,2", "1024",
            "99999999999999999999", "0x1", "1 2", "0-1-2", "1;2", "all", " ", "1\n", "+1", "1.5"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cpulist list = {{7}};
        struct error error = {0};
        assert_int_equal(cpulist_parse(cases[i], &list, &error), -EINVAL);
        assert_non_null(strstr(error.text, "list of CPUs"));
        assert_int_equal(list.bits[0], 7); /* untouched */
    }
}

static void test_longest(void **state)
{
    (void)state;
    struct cpulist list;
    char text[CPULIST_TEXT_MAX];
    for (size_t i = 0; i < CPULIST_CPUS_MAX / 64; i++)
        list.bits[i] = 0xaaaaaaaaaaaaaaaaULL;
    cpulist_format(&list, text);
    assert_true(strlen(text) < CPULIST_TEXT_MAX - 1);
    assert_non_null(strstr(text, ",1023"));
    struct cpulist again;
    assert_int_equal(cpulist_parse(text, &again, NULL), 0);
    assert_memory_equal(&again, &list, sizeof(list));
}

static void test_outside(void **state)
{
    (void)state;
    struct cpulist list;
    struct cpulist all;
    assert_int_equal(cpulist_parse("0-3", &all, NULL), 0);
    assert_int_equal(cpulist_parse("1,3", &list, NULL), 0);
    assert_int_equal(cpulist_first_outside(&list, &all), -1);
    assert_int_equal(cpulist_parse("1,70,900", &list, NULL), 0);
    assert_int_equal(cpulist_first_outside(&list, &all), 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_parse_and_format),
            cmocka_unit_test(test_wrong),
            cmocka_unit_test(test_longest),
            cmocka_unit_test(test_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
