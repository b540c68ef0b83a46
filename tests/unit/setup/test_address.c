#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "base/fd.h"
#include "setup/address.h"

static void test_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host;
        bool is_ip;
        unsigned port; /* 0 = none */
        const char *formatted;
    } rows[] = {
            {"example.org", "example.org", false, 0, "example.org:0"},
            {"example.org:443", "example.org", false, 443, "example.org:443"},
            {"host-1", "host-1", false, 0, "host-1:0"},
            {"10.0.0.7", "10.0.0.7", true, 0, "10.0.0.7:0"},
            {"10.0.0.7:1", "10.0.0.7", true, 1, "10.0.0.7:1"},
            {"::1", "::1", true, 0, "[::1]:0"},
            {"[fe80::2]", "fe80::2", true, 0, "[fe80::2]:0"},
            {"[fe80::2]:65535", "fe80::2", true, 65535, "[fe80::2]:65535"},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct address address;
        assert_int_equal(address_parse(rows[i].text, &address, NULL), 0);
        assert_string_equal(address.host, rows[i].host);
        assert_int_equal(address.is_ip, rows[i].is_ip);
        assert_int_equal(address.has_port, rows[i].port != 0);
        assert_int_equal(address.port, rows[i].port);
        char text[ADDRESS_TEXT_MAX];
        address_format(&address, text);
        assert_string_equal(text, rows[i].formatted);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"", ":1", "a b", "a:0", "a:65536", "a:x", "a:", "[::1", "[::1]x", "[]:1",
            "[a]:1", "a..b", ".a", "a.", "-a", "a-.b", "a,IP:1.2.3.4", "a\nb", "::1::", "a\"b",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct address address;
        struct error error = {0};
        assert_int_equal(address_parse(rows[i], &address, &error), -EINVAL);
        assert_true(*error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_accepted),
            cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
