/* resolv.conf as people and programs write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "network/range.h"
#include "network/resolver.h"

static void test_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *servers;
        const char *search;
        unsigned skipped;
    } files[] = {
            {"nameserver 192.0.2.53\n", "192.0.2.53 ", "", 0},
            {"nameserver 192.0.2.53", "192.0.2.53 ", "", 0},
            {"# made by\n;x\nnameserver\t192.0.2.53  # first\r\nnameserver 192.0.2.54\n", "192.0.2.53 192.0.2.54 ", "",
                    0},
            {"nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n",
                    "1.1.1.1 1.1.1.2 1.1.1.3 ", "", 0},
            {"search a.example b.example\nnameserver 192.0.2.1\n", "192.0.2.1 ", "search a.example b.example", 0},
            {"domain a.example\nnameserver 192.0.2.1\nsearch b.example\n", "192.0.2.1 ", "search b.example", 0},
            {"search ok.example bad\"name $(x) fine.example\nnameserver 192.0.2.1\n", "192.0.2.1 ",
                    "search ok.example fine.example", 0},
            {"nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n", "", "search lan", RESOLVER_STUB},
            {"nameserver 127.0.0.54\n", "", "", RESOLVER_STUB},
            {"nameserver 127.0.0.1\n", "", "", RESOLVER_LOOPBACK},
            {"nameserver 127.1.2.3\nnameserver 192.0.2.1\n", "192.0.2.1 ", "", RESOLVER_LOOPBACK},
            {"nameserver 0.0.0.0\n", "", "", RESOLVER_LOOPBACK},
            {"nameserver ::1\n", "", "", RESOLVER_LOOPBACK},
            {"", "", "", RESOLVER_LOOPBACK},
            {"options ndots:0\n", "", "", RESOLVER_LOOPBACK},
            {"nameserver 2001:db8::53\n", "", "", RESOLVER_IPV6},
            {"nameserver fe80::1%eth0\nnameserver 192.0.2.1\n", "192.0.2.1 ", "", RESOLVER_IPV6},
            {"nameserver dns.example\nnameserver 1.2.3\nnameserver 1.2.3.4.5\nnameserver\nnameserver \n", "", "",
                    RESOLVER_LOOPBACK},
            {"nameservers 192.0.2.1\n nameserver 192.0.2.2\n", "", "", RESOLVER_LOOPBACK},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct resolver_file file;
        char servers[256] = "";
        resolver_parse(files[i].text, &file);
        for (uint32_t j = 0; j < file.usable.count; j++) {
            char text[RANGE_TEXT_MAX];
            range_format_address(file.usable.addresses[j], text);
            (void)strcat(strcat(servers, text), " ");
        }
        if (strcmp(servers, files[i].servers) != 0 || strcmp(file.usable.search, files[i].search) != 0 ||
                file.skipped != files[i].skipped)
            fail_msg("'%s': '%s' '%s' %u", files[i].text, servers, file.usable.search, file.skipped);
    }
}

static void test_a_search_list_is_cut_between_domains(void **state)
{
    (void)state;
    char text[8192] = "search";
    struct resolver_file file;
    for (unsigned i = 0; i < 60; i++)
        (void)strcat(text, " abcd.ex");
    resolver_parse(text, &file);
    size_t length = strlen(file.usable.search);
    assert_true(length < sizeof(file.usable.search) && length > 240);
    assert_int_equal((length - strlen("search")) % strlen(" abcd.ex"), 0);
    /* A line beyond reason is passed over. */
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    (void)strcpy(text + 8000, "\nnameserver 192.0.2.1\n");
    resolver_parse(text, &file);
    assert_int_equal(file.usable.count, 1);
}

static char first[] = "/tmp/test-resolver-XXXXXX";
static char second[] = "/tmp/test-resolver-XXXXXX";

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void test_reading(void **state)
{
    (void)state;
    struct error error = {0};
    struct resolvers resolvers;
    (void)close(mkstemp(first));
    (void)close(mkstemp(second));
    write_file(first, "nameserver 127.0.0.53\n");
    write_file(second, "nameserver 192.0.2.77\n");
    assert_int_equal(resolvers_read(first, second, &resolvers, &error), 0);
    assert_int_equal(resolvers.count, 1);
    assert_int_equal(resolvers.addresses[0], 0xc000024d);
    write_file(second, "nameserver 127.0.0.1\n");
    assert_int_equal(resolvers_read(first, second, &resolvers, &error), -EADDRNOTAVAIL);
    assert_non_null(strstr(error.text, "listens on loopback only"));
    assert_non_null(strstr(error.text, second));
    assert_int_equal(unlink(second), 0);
    assert_int_equal(resolvers_read(first, second, &resolvers, &error), -ENOENT);
    assert_non_null(strstr(error.text, second));
    /* With one of its own that can be reached, nobody else is asked. */
    write_file(first, "nameserver 127.0.0.53\nnameserver 192.0.2.1\n");
    assert_int_equal(resolvers_read(first, second, &resolvers, &error), 0);
    write_file(first, "nameserver 2001:db8::1\n");
    assert_int_equal(resolvers_read(first, second, &resolvers, &error), -EADDRNOTAVAIL);
    assert_non_null(strstr(error.text, "IPv6"));
    write_file(first, "nameserver 127.0.0.1\n");
    assert_int_equal(resolvers_read(first, second, &resolvers, &error), -EADDRNOTAVAIL);
    FILE *file = fopen(first, "we");
    for (unsigned i = 0; i < 70000; i++)
        (void)fputc('\n', file);
    (void)fclose(file);
    assert_int_equal(resolvers_read(first, second, &resolvers, &error), -EFBIG);
    assert_int_equal(unlink(first), 0);
    assert_int_equal(resolvers_read(first, second, &resolvers, &error), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_files),
            cmocka_unit_test(test_a_search_list_is_cut_between_domains),
            cmocka_unit_test(test_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
