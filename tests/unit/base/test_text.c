#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "base/text.h"

#define S 1000000000ULL

static void test_parse_u64(void **state)
{
    (void)state;
    uint64_t value = 7;
    assert_int_equal(text_parse_u64("0", 10, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(text_parse_u64("18446744073709551615", UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(text_parse_u64("18446744073709551616", UINT64_MAX, &value), -ERANGE);
    assert_int_equal(text_parse_u64("11", 10, &value), -ERANGE);
    static const char *const wrong[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "a"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(text_parse_u64(wrong[i], 100, &value), -EINVAL);
    assert_true(value == UINT64_MAX); /* written on success only */
}

static void test_duration(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
        const char *formatted;
    } right[] = {
            {"0", 0, "0s"},
            {"30s", 30 * S, "30s"},
            {"1h30m", 5400 * S, "1h30m0s"},
            {"1.5h", 5400 * S, "1h30m0s"},
            {"250ms", S / 4, "250ms"},
            {"1m0.5s", 60 * S + S / 2, "1m0.5s"},
            {"2us", 2000, "2us"},
            {"7ns", 7, "7ns"},
            {"1h2m3.004s", 3723 * S + 4000000, "1h2m3.004s"},
    };
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        uint64_t ns;
        char text[TEXT_DURATION_MAX];
        assert_int_equal(text_parse_duration(right[i].text, &ns), 0);
        assert_true(ns == right[i].ns);
        text_format_duration(ns, text);
        assert_string_equal(text, right[i].formatted);
    }
    static const char *const wrong[] = {"", "5", "-5s", "+5s", "s", ".s", "5 s", "5d", "1h30", "5sx", "1e3s"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t ns;
        assert_int_equal(text_parse_duration(wrong[i], &ns), -EINVAL);
    }
    uint64_t ns;
    assert_int_equal(text_parse_duration("9999999999999999999999h", &ns), -ERANGE);
    assert_int_equal(text_parse_duration("2562047h2562047h", &ns), -ERANGE);
}

static void test_time(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    int64_t ns;
    assert_int_equal(text_parse_time("2026-01-02T03:04:05Z", &ns), 0);
    assert_true(ns == 1767323045LL * (int64_t)S);
    char text[TEXT_TIME_MAX];
    text_format_time(ns, text);
    assert_string_equal(text, "2026-01-02T03:04:05Z");
    int64_t with_zone;
    assert_int_equal(text_parse_time("2026-01-02T05:04:05.5+02:00", &with_zone), 0);
    assert_true(with_zone == ns + (int64_t)S / 2);
    setenv("TZ", "CET-1", 1);
    tzset();
    text_format_time(ns, text);
    assert_string_equal(text, "2026-01-02T04:04:05+01:00");
    setenv("TZ", "UTC", 1);
    tzset();
    static const char *const wrong[] = {"", "2026-01-02", "2026-01-02T03:04:05", "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z", "2026-01-02T25:00:00Z", "2026-01-02T03:04:05Zx", "2026-01-02T03:04:05+2:00",
            "2026-01-02T03:04:05.Z"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(text_parse_time(wrong[i], &ns), -EINVAL);
}

static void test_when(void **state)
{
    (void)state;
    int64_t day;
    int64_t other;
    assert_int_equal(text_parse_when("2026-01-31", &day), 0);
    assert_int_equal(text_parse_when("2026-01-31 15:30", &other), 0);
    assert_int_equal(other - day, (15 * 3600 + 30 * 60) * INT64_C(1000000000));
    assert_int_equal(text_parse_when("2026-01-31T15:30:01", &day), 0);
    assert_int_equal(day - other, 1000000000);
    assert_int_equal(text_parse_when("2026-01-31T15:30:01Z", &day), 0);
    assert_int_equal(day, INT64_C(1769873401000000000));
    const int64_t before = text_now_unix_ns();
    assert_int_equal(text_parse_when("2h", &day), 0);
    assert_true(day >= before - 7200 * INT64_C(1000000000) && day <= text_now_unix_ns());
    static const char *const bad[] = {"", "2026-13-01", "2026-01-31 15", "yesterday", "2026-01-31x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(text_parse_when(bad[i], &day), -EINVAL);
}

static void test_uuid(void **state)
{
    (void)state;
    uint8_t id[16];
    uint8_t again[16];
    char text[TEXT_UUID_MAX];
    assert_int_equal(text_new_uuid(id), 0);
    text_format_uuid(id, text);
    assert_int_equal(strlen(text), 36);
    assert_int_equal(text[14], '4');
    assert_non_null(strchr("89ab", text[19]));
    assert_int_equal(text_parse_uuid(text, again), 0);
    assert_memory_equal(id, again, sizeof(id));
    static const char *const wrong[] = {"", "0", "00000000-0000-4000-8000-00000000000",
            "00000000-0000-4000-8000-0000000000000", "00000000-0000-4000-8000-00000000000G",
            "00000000-0000-4000-8000-00000000000A", "00000000+0000-4000-8000-000000000000"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(text_parse_uuid(wrong[i], again), -EINVAL);
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const right[] = {"", "abc", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        assert_true(text_is_utf8(right[i], strlen(right[i])));
    static const char *const wrong[] = {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
            "\xff", "\xe2\x82", "a\xf0\x9f\x98"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(text_is_utf8(wrong[i], strlen(wrong[i])));
}

static void test_dup_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        const char *wanted;
    } cases[] = {{"abc", 2, "ab"}, {"abc", 3, "abc"}, {"abc", 4, "abc"}, {"a\0c", 3, "a"}, {"", 0, ""}, {"x", 0, ""}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* Exactly as long as it says, so that a sanitizer sees a byte too many. */
        char *bytes = malloc(cases[i].size ? cases[i].size : 1);
        assert_non_null(bytes);
        memcpy(bytes, cases[i].text, cases[i].size);
        char *copy = text_dup_bounded(bytes, cases[i].size);
        assert_non_null(copy);
        assert_string_equal(copy, cases[i].wanted);
        free(copy);
        free(bytes);
    }
}

static void test_environment_name(void **state)
{
    (void)state;
    assert_true(text_is_environment_name("_A9"));
    assert_true(text_is_environment_name("path"));
    assert_false(text_is_environment_name(""));
    assert_false(text_is_environment_name("9A"));
    assert_false(text_is_environment_name("A-B"));
    assert_false(text_is_environment_name("A="));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_parse_u64),
            cmocka_unit_test(test_duration),
            cmocka_unit_test(test_time),
            cmocka_unit_test(test_when),
            cmocka_unit_test(test_uuid),
            cmocka_unit_test(test_utf8),
            cmocka_unit_test(test_dup_bounded),
            cmocka_unit_test(test_environment_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
