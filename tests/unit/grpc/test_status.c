#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "grpc/status.h"

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(grpc_status_name(GRPC_OK), "OK");
    assert_string_equal(grpc_status_name(GRPC_CANCELLED), "Canceled");
    assert_string_equal(grpc_status_name(GRPC_UNAUTHENTICATED), "Unauthenticated");
    assert_string_equal(grpc_status_name(17), "Unknown");
    assert_string_equal(grpc_status_name(-1), "Unknown");
}

static void test_timeout(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } right[] = {{"1n", 1}, {"5u", 5000}, {"10m", 10000000}, {"2S", 2000000000ULL}, {"1M", 60000000000ULL},
            {"1H", 3600000000000ULL}, {"99999999S", 99999999000000000ULL}};
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        uint64_t ns = 0;
        assert_int_equal(grpc_parse_timeout(right[i].text, strlen(right[i].text), &ns), 0);
        assert_true(ns == right[i].ns);
    }
    static const char *const wrong[] = {"", "S", "5", "5s", "-5S", "123456789S", "5 S", "0x5S"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t ns;
        assert_int_equal(grpc_parse_timeout(wrong[i], strlen(wrong[i]), &ns), -EINVAL);
    }
}

/* What is sent must never be a shorter deadline than was asked for, and hardly a longer one. */
static void test_timeout_round_trip(void **state)
{
    (void)state;
    static const uint64_t values[] = {1, 999, 99999999, 100000000, 123456789012ULL, 10000000000ULL, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char text[16];
        uint64_t ns;
        grpc_format_timeout(values[i], text);
        assert_true(strlen(text) <= 9);
        assert_int_equal(grpc_parse_timeout(text, strlen(text), &ns), 0);
        assert_true(ns >= values[i]);
        assert_true(values[i] > UINT64_MAX / 2 || ns - values[i] <= values[i] / 1000);
    }
}

static void test_message(void **state)
{
    (void)state;
    char encoded[64];
    char decoded[64];
    const char *text = "a b%\xc3\xa4\n~";
    grpc_encode_message(text, encoded, sizeof(encoded));
    assert_string_equal(encoded, "a b%25%C3%A4%0A~");
    grpc_decode_message(encoded, strlen(encoded), decoded, sizeof(decoded));
    assert_string_equal(decoded, text);
    /* Cut between escapes, never within one. */
    grpc_encode_message("\xc3\xa4\xc3\xa4", encoded, 9);
    assert_string_equal(encoded, "%C3%A4");
    /* Wrong escapes stay, a NUL never comes in. */
    grpc_decode_message("%zz%4%00%41", 11, decoded, sizeof(decoded));
    assert_string_equal(decoded, "%zz%4%00A");
    grpc_decode_message("abcdef", 6, decoded, 4);
    assert_string_equal(decoded, "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_names),
            cmocka_unit_test(test_timeout),
            cmocka_unit_test(test_timeout_round_trip),
            cmocka_unit_test(test_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
