/* The rules that nftables has are told, each once, and one that was replaced has another digest. In a namespace
 * of the test's own. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <nftables/libnftables.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "kernel/nftables.h"

#define RULES 3000U

static void nft(const char *command)
{
    struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
    assert_non_null(context);
    (void)nft_ctx_buffer_error(context);
    if (nft_run_cmd_from_buffer(context, command) != 0)
        fail_msg("nft '%s': %s", command, nft_ctx_get_error_buffer(context));
    nft_ctx_free(context);
}

/* Without the digest. */
static int put(const struct nftables_rule *rule, void *user)
{
    return fprintf(user, "%s %s %" PRIu64 " %u\n", rule->table, rule->chain, rule->handle, rule->family) < 0 ? -EIO : 0;
}

static int add_digest(const struct nftables_rule *rule, void *user)
{
    *(uint64_t *)user ^= rule->digest;
    return 0;
}

/* Of all rules of the namespace together. */
static uint64_t digest(void)
{
    uint64_t sum = 0;
    _cleanup_close_ int socket = nftables_open();
    assert_int_equal(nftables_each_rule(socket, add_digest, &sum), 0);
    return sum;
}

static char *list(void)
{
    char *text = NULL;
    size_t size;
    _cleanup_close_ int socket = nftables_open();
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    assert_int_equal(nftables_each_rule(socket, put, file), 0);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void check(const char *expected)
{
    char *text = list();
    assert_string_equal(text, expected);
    free(text);
}

static int set_up(void **state)
{
    (void)state;
    return unshare(CLONE_NEWNET);
}

static void test_rules_of_all_tables(void **state)
{
    (void)state;
    check("");
    nft("add table ip one; add chain ip one c; add table inet two; add chain inet two d");
    check("");
    nft("add rule ip one c counter; add rule inet two d accept; add rule ip one c drop");
    check("one c 2 2\none c 3 2\ntwo d 2 1\n");
    nft("delete rule inet two d handle 2");
    check("one c 2 2\none c 3 2\n");
}

static void send_a_packet(void)
{
    const struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(system("ip link set lo up"), 0);
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(sendto(fd, "x", 1, 0, (const struct sockaddr *)&address, sizeof(address)), 1);
}

/* What a rule does counts, not what it has counted. */
static void test_digest(void **state)
{
    (void)state;
    nft("add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c counter accept");
    uint64_t first = digest();
    send_a_packet();
    assert_true(digest() == first);
    nft("replace rule ip t c handle 2 ip daddr 192.0.2.1 counter drop");
    uint64_t second = digest();
    assert_true(second != first);
    nft("replace rule ip t c handle 2 ip daddr 192.0.2.2 counter drop");
    assert_true(digest() != second);
    nft("replace rule ip t c handle 2 counter accept");
    assert_true(digest() == first);
}

static int count(const struct nftables_rule *rule, void *user)
{
    assert_int_equal(rule->family, AF_INET);
    return ++*(unsigned *)user == 10 ? -ECANCELED : 0;
}

/* More than one message holds; and the caller has enough. */
static void test_many_rules(void **state)
{
    (void)state;
    char *command = NULL;
    size_t size;
    unsigned lines = 0;
    FILE *file = open_memstream(&command, &size);
    assert_non_null(file);
    (void)fputs("add table ip many; add chain ip many c\n", file);
    for (unsigned i = 0; i < RULES; i++)
        (void)fprintf(file, "add rule ip many c tcp dport %u counter accept\n", i + 1);
    assert_int_equal(fclose(file), 0);
    nft(command);
    free(command);
    char *text = list();
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    free(text);
    assert_int_equal(lines, RULES);
    unsigned seen = 0;
    _cleanup_close_ int socket = nftables_open();
    assert_int_equal(nftables_each_rule(socket, count, &seen), -ECANCELED);
    assert_int_equal(seen, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup(test_rules_of_all_tables, set_up),
            cmocka_unit_test_setup(test_digest, set_up),
            cmocka_unit_test_setup(test_many_rules, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
