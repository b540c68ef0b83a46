/* rtnetlink: messages that are too long or malformed are refused; links, routes and the proof of a build's network, in
 * namespaces of the test's own. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/netlink.h"
#include "kernel/netlink_join.h"
#include "kernel/netlink_private.h"

static const uint8_t bridge_address[6] = {2, 0, 0, 0, 0, 1};

static void run(const char *command)
{
    if (system(command) != 0)
        fail_msg("'%s' failed", command);
}

static void new_namespace(void)
{
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    run("ip link set lo up");
}

/* --- bytes --- */

static void test_a_request_that_does_not_fit_is_not_sent(void **state)
{
    (void)state;
    static const uint8_t bytes[200];
    const struct ifinfomsg body = {0};
    struct netlink_request request;
    for (unsigned count = 0; count < 12; count++) {
        netlink_begin(&request, RTM_NEWLINK, 0, &body, sizeof(body));
        size_t nest = netlink_nest(&request, IFLA_LINKINFO);
        for (unsigned i = 0; i < count; i++)
            netlink_put(&request, IFLA_IFALIAS, bytes, sizeof(bytes));
        netlink_unnest(&request, nest);
        assert_true(request.header.nlmsg_len <= sizeof(request.bytes));
        assert_int_equal(request.is_full, count >= 5);
        if (request.is_full)
            assert_int_equal(netlink_talk(-1, &request), -EMSGSIZE);
    }
    netlink_begin(&request, RTM_NEWLINK, 0, &body, sizeof(body));
    netlink_put(&request, IFLA_IFALIAS, bytes, SIZE_MAX);
    assert_true(request.is_full);
}

static void test_malformed_attributes_are_refused(void **state)
{
    (void)state;
    struct {
        struct nlmsghdr header;
        struct ifinfomsg body;
        struct rtattr attribute;
        uint32_t value;
        uint32_t room[4];
    } message = {.header = {.nlmsg_type = RTM_NEWLINK}, .attribute = {.rta_type = IFLA_MTU}, .value = 1500};
    const struct rtattr *found[IFLA_LINKINFO + 1];
    const uint32_t whole = offsetof(__typeof__(message), room);
    for (uint16_t length = 0; length < 32; length++) {
        message.header.nlmsg_len = whole;
        message.attribute.rta_len = length;
        int r = netlink_parse((struct nlmsghdr *)&message, sizeof(message.body), found, IFLA_LINKINFO);
        /* With a length of 4 the value is taken for a second one, which is far too long. */
        assert_int_equal(r, length <= 4 || length > 8 ? -EBADMSG : 0);
        if (r == 0)
            assert_int_equal(netlink_get_u32(found[IFLA_MTU]), length == 8 ? 1500 : 0);
    }
    message.attribute.rta_len = 8;
    for (uint32_t size = 0; size < whole; size++) {
        message.header.nlmsg_len = size;
        int r = netlink_parse((struct nlmsghdr *)&message, sizeof(message.body), found, IFLA_LINKINFO);
        /* Shorter than its fixed part, or cut within its attribute. A rest that holds no attribute is none. */
        bool is_cut = size < sizeof(message.header) + sizeof(message.body) || size >= whole - 4;
        assert_int_equal(r, is_cut ? -EBADMSG : 0);
    }
    char text[4];
    netlink_get_text(NULL, text, sizeof(text));
    assert_string_equal(text, "");
    const struct {
        struct rtattr attribute;
        char text[8];
    } name = {{.rta_len = 12, .rta_type = IFLA_IFNAME}, "abcdefgh"};
    netlink_get_text(&name.attribute, text, sizeof(text));
    assert_string_equal(text, "abc");
}

/* --- links --- */

struct count {
    unsigned links;
    unsigned ways;
    uint32_t indices;
};

static int count_link(const struct netlink_link *link, void *user)
{
    (void)link;
    ((struct count *)user)->links++;
    return 0;
}

static int count_way(const struct netlink_route *route, void *user)
{
    struct count *count = user;
    if (route->prefix_length != 0)
        return 0;
    assert_true(route->has_several && route->has_gateway);
    count->ways++;
    count->indices |= 1U << route->index;
    return count->ways == 7 ? 77 : 0;
}

static void test_links_come_and_go(void **state)
{
    (void)state;
    struct netlink_link link;
    struct count count = {0};
    new_namespace();
    _cleanup_close_ int socket = netlink_open();
    assert_true(socket >= 0);
    assert_int_equal(netlink_find_link(socket, "br0", &link), -ENODEV);
    assert_int_equal(netlink_add_bridge(socket, "br0", bridge_address, 1400), 0);
    assert_int_equal(netlink_add_bridge(socket, "br0", bridge_address, 1400), -EEXIST);
    assert_int_equal(netlink_find_link(socket, "br0", &link), 0);
    assert_string_equal(link.kind, "bridge");
    assert_int_equal(link.mtu, 1400);
    assert_memory_equal(link.address, bridge_address, 6);
    assert_false(link.flags & IFF_UP);
    const uint32_t bridge = link.index;
    char alias[NETLINK_ALIAS_MAX];
    memset(alias, 'a', sizeof(alias) - 1);
    alias[sizeof(alias) - 1] = '\0';
    assert_int_equal(netlink_set_alias(socket, bridge, alias), 0);
    assert_int_equal(netlink_set_up(socket, bridge), 0);
    assert_int_equal(netlink_add_address(socket, bridge, 0x0a000001, 24), 0);
    assert_int_equal(netlink_add_address(socket, bridge, 0x0a000001, 24), -EEXIST);
    assert_int_equal(netlink_add_address(socket, bridge, 0x0a000001, 33), -EINVAL);
    assert_int_equal(netlink_find_link(socket, "br0", &link), 0);
    assert_string_equal(link.alias, alias);
    assert_true(link.flags & IFF_UP);
    /* More than one answer of the kernel holds. */
    for (unsigned i = 0; i < 60; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "v%u", i);
        char peer[16];
        (void)snprintf(peer, sizeof(peer), "p%u", i);
        assert_int_equal(netlink_add_veth(socket, name, bridge, peer, getpid(), 1400), 0);
    }
    assert_int_equal(netlink_add_veth(socket, "v1", bridge, "x", getpid(), 1400), -EEXIST);
    assert_int_equal(netlink_each_link(socket, count_link, &count), 0);
    assert_int_equal(count.links, 122);
    assert_int_equal(netlink_find_link(socket, "v7", &link), 0);
    assert_int_equal(link.master, bridge);
    assert_false(link.is_isolated);
    assert_int_equal(netlink_set_isolated_port(socket, link.index, bridge_address), 0);
    assert_int_equal(netlink_get_link(socket, link.index, &link), 0);
    assert_true(link.is_isolated);
    assert_int_equal(netlink_delete_link(socket, link.index), 0);
    assert_int_equal(netlink_find_link(socket, "p7", &link), -ENODEV);
    assert_int_equal(netlink_delete_link(socket, 0), -EINVAL);
    assert_int_equal(netlink_delete_link(socket, 99999), -ENODEV);
    assert_int_equal(netlink_delete_link(socket, bridge), 0);
}

static void test_a_route_with_several_ways(void **state)
{
    (void)state;
    struct count count = {0};
    new_namespace();
    _cleanup_close_ int socket = netlink_open();
    run("ip link add a0 type veth peer name a1; ip link add b0 type veth peer name b1; ip link set a0 up; ip link set "
        "b0 up; "
        "ip link set a1 up; ip link set b1 up; ip addr add 10.1.0.1/24 dev a0; ip addr add 10.2.0.1/24 dev b0; "
        "ip route add default nexthop via 10.1.0.9 nexthop via 10.2.0.9");
    assert_int_equal(netlink_each_route(socket, AF_INET, count_way, &count), 0);
    assert_int_equal(count.ways, 2);
    assert_int_equal(count.indices, 1U << if_nametoindex("a0") | 1U << if_nametoindex("b0"));
    /* What the caller says ends it, and the socket is good for more. */
    count.ways = 6;
    assert_int_equal(netlink_each_route(socket, AF_INET, count_way, &count), 77);
    count.links = 0;
    assert_int_equal(netlink_each_link(socket, count_link, &count), 0);
    assert_int_equal(count.links, 5);
}

/* --- the join and its proof --- */

static int host_socket = -EBADF;
static uint32_t host_bridge;
static int host_namespace = -EBADF;
/* The gateway's own address is out of reach; what goes by way of it is not. */
static struct netlink_prefix refused[] = {{0xa9fe0000, 16}, {0xc0000201, 32}, {0x0a630001, 32}};
static struct netlink_join join;

static int set_up_join(void **state)
{
    struct netlink_link link;
    (void)state;
    new_namespace();
    host_socket = netlink_open();
    host_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (netlink_add_bridge(host_socket, "br0", bridge_address, 1500) < 0 ||
            netlink_find_link(host_socket, "br0", &link) < 0 || netlink_set_up(host_socket, link.index) < 0 ||
            netlink_add_address(host_socket, link.index, 0x0a630001, 24) < 0)
        return -1;
    host_bridge = link.index;
    join = (struct netlink_join){.host_socket = host_socket,
            .bridge = host_bridge,
            .host_name = "jbp0",
            .address = 0x0a630002,
            .prefix_length = 24,
            .gateway = 0x0a630001,
            .mtu = 1500,
            .refused = refused,
            .refused_count = ELEMENTS(refused)};
    new_namespace();
    return fd_write_file_at(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
}

static int tear_down_join(void **state)
{
    (void)state;
    host_socket = fd_close(host_socket);
    host_namespace = fd_close(host_namespace);
    return 0;
}

static void assert_joined(void)
{
    struct error error = {0};
    if (netlink_join(&join, &error) < 0 || netlink_prove(&join, &error) < 0)
        fail_msg("%s", error.text);
}

static void test_a_joined_namespace_is_proven(void **state)
{
    (void)state;
    struct netlink_link link;
    assert_joined();
    assert_int_equal(netlink_find_link(host_socket, "jbp0", &link), 0);
    assert_true(link.is_isolated && link.is_working && link.is_passing && link.master == host_bridge);
    assert_true(link.flags & IFF_UP);
    /* Without a right in the world. */
    pid_t pid = fork();
    if (pid == 0) {
        struct error error = {0};
        if (setresuid(65534, 65534, 65534) < 0)
            _exit(1);
        _exit(netlink_prove(&join, &error) < 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_whatever_else_is_there_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *make;
        const char *undo;
    } changes[] = {
            {"ip addr add 10.99.0.77/24 dev eth0", "ip addr del 10.99.0.77/24 dev eth0"},
            {"ip addr add 10.0.0.1/32 dev lo", "ip addr del 10.0.0.1/32 dev lo"},
            {"ip link add x0 type veth peer name x1", "ip link del x0"},
            {"ip link add eth1 type bridge", "ip link del eth1"},
            {"ip route add 169.254.169.254/32 via 10.99.0.1", "ip route del 169.254.169.254/32"},
            {"ip route add 10.5.0.0/16 dev eth0", "ip route del 10.5.0.0/16"},
            {"ip route add unreachable 10.5.0.0/16", "ip route del unreachable 10.5.0.0/16"},
            {"ip route add blackhole 10.5.0.0/16", "ip route del blackhole 10.5.0.0/16"},
            {"ip route add 10.5.0.0/16 via 10.99.0.1 table 7", "ip route del 10.5.0.0/16 table 7"},
            {"ip route add local 10.5.0.0/16 dev lo", "ip route del local 10.5.0.0/16 table local"},
            {"ip route add default via 10.99.0.3 metric 5", "ip route del default via 10.99.0.3"},
            {"ip route replace default via 10.99.0.3", "ip route replace default via 10.99.0.1 proto static"},
            {"ip route del unreachable 192.0.2.1", "ip route add unreachable 192.0.2.1 proto static"},
            {"ip route del default", "ip route add default via 10.99.0.1 proto static"},
            {"ip route del 10.99.0.0/24", "ip route add 10.99.0.0/24 dev eth0 proto kernel scope link src 10.99.0.2"},
            {"echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6",
                    "echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6"},
            {"ip -6 addr add fd00::1/128 dev lo", "ip -6 addr del fd00::1/128 dev lo"},
            {"ip -6 route add fd00:7::/64 dev lo", "ip -6 route del fd00:7::/64 dev lo"},
            {"ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500"},
            {"ip addr del 127.0.0.1/8 dev lo", "ip addr add 127.0.0.1/8 dev lo"},
            {"ip link set lo down", "ip link set lo up"},
    };
    assert_joined();
    for (size_t i = 0; i < ELEMENTS(changes); i++) {
        struct error error = {0};
        run(changes[i].make);
        int r = netlink_prove(&join, &error);
        if (r != -EPROTO || error.code != EPROTO || error.text[0] == '\0')
            fail_msg("'%s' was not found: %d", changes[i].make, r);
        run(changes[i].undo);
        memset(&error, 0, sizeof(error));
        if (netlink_prove(&join, &error) < 0)
            fail_msg("after '%s': %s", changes[i].undo, error.text);
    }
    join.address++;
    assert_int_equal(netlink_prove(&join, NULL), -EPROTO);
}

static void test_nothing_but_the_loopback_is_no_network(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(netlink_prove(&join, &error), -EPROTO);
    assert_non_null(strstr(error.text, "eth0"));
}

static void test_a_join_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct netlink_prefix again[] = {{0xa9fe0000, 16}, {0xa9fe0000, 16}};
    _cleanup_close_ int own = netlink_open();
    for (int i = 0; i < 6; i++) {
        struct netlink_join bad = join;
        struct error error = {0};
        struct count count = {0};
        struct netlink_link link;
        if (i == 0)
            bad.bridge = 4711;
        else if (i == 1)
            bad.bridge = 0;
        else if (i == 2)
            bad.refused = again;
        else if (i == 3)
            bad.prefix_length = 40;
        else if (i == 4)
            bad.gateway = 0x08080808;
        else if (i == 5)
            bad.host_name = "a-name-that-is-too-long-for-the-kernel";
        if (netlink_join(&bad, &error) >= 0)
            fail_msg("number %d went well", i);
        assert_true(error.code > 0 && error.text[0] != '\0');
        assert_int_equal(netlink_find_link(host_socket, "jbp0", &link), -ENODEV);
        assert_int_equal(netlink_each_link(own, count_link, &count), 0);
        assert_int_equal(count.links, 1);
    }
    /* A name that is somebody's stays so. */
    struct netlink_link link;
    struct error error = {0};
    assert_int_equal(netlink_add_bridge(host_socket, "jbp0", bridge_address, 1500), 0);
    assert_int_equal(netlink_join(&join, &error), -EEXIST);
    assert_int_equal(netlink_find_link(host_socket, "jbp0", &link), 0);
    assert_string_equal(link.kind, "bridge");
    assert_int_equal(netlink_delete_link(host_socket, link.index), 0);
}

int main(void)
{
#define JOIN_TEST(function) cmocka_unit_test_setup_teardown(function, set_up_join, tear_down_join)
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_a_request_that_does_not_fit_is_not_sent),
            cmocka_unit_test(test_malformed_attributes_are_refused),
            cmocka_unit_test(test_links_come_and_go),
            cmocka_unit_test(test_a_route_with_several_ways),
            JOIN_TEST(test_a_joined_namespace_is_proven),
            JOIN_TEST(test_whatever_else_is_there_is_found),
            JOIN_TEST(test_nothing_but_the_loopback_is_no_network),
            JOIN_TEST(test_a_join_that_fails_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
