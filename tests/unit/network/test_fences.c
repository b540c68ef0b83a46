/* What a build must not reach, tried with the fence inside (unreachable routes) and with that one torn down, so that
 * the host's rules hold alone; with bridge-nf-call-iptables on and off. The test has every right in the build's
 * namespace, which no build has: it plays one that broke out of everything else. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "network/network.h"
#include "network/range.h"
#include "world.h"

static struct network *networks[2];
static int prefixes[2];
static pid_t outside;
static pid_t build;
static pid_t neighbour; /* another build of the same service */
static pid_t stranger;  /* a build of another service */
static pid_t container; /* something else that runs on the host, behind a bridge */
static pid_t lan;       /* a machine of another network of the host's */
static struct plan_network plan;
static struct plan_network neighbour_plan;
static struct plan_network stranger_plan;

static void make_host(void)
{
    world_run(0, "ip link add dk0 type bridge; ip addr add 172.30.0.1/24 dev dk0; ip link set dk0 up; "
                 "echo 1 > /proc/sys/net/ipv4/conf/dk0/forwarding");
    container = world_new_node();
    world_run(0, "ip link add dkp type veth peer name eth0 netns %d; ip link set dkp master dk0; ip link set dkp up",
            container);
    world_run(
            container, "ip addr add 172.30.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 172.30.0.1");
    world_serve(container, false, 80);
    world_run(0, "ip addr add 192.0.2.77/32 dev lo");
    /* What the container publishes, as container engines do. */
    free(world_nft("add table ip engine; add chain ip engine pre { type nat hook prerouting priority dstnat; };"
                   "add rule ip engine pre fib daddr type local tcp dport 9090 dnat to 172.30.0.2:80"));
    lan = world_new_node();
    world_run(0,
            "ip link add up1 type veth peer name eth0 netns %d; ip addr add 10.5.0.1/24 dev up1; ip link set up1 up",
            lan);
    world_run(lan, "ip addr add 10.5.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.5.0.1");
    world_serve(lan, false, 80);
    /* A second way out. The outside knows the way back. */
    world_run(0, "ip route add default via 10.5.0.2 metric 500");
    world_run(outside, "ip route add 10.5.0.0/24 via " WORLD_HOST "; ip route add 10.99.0.0/24 via " WORLD_HOST);
}

static int set_up(void **state)
{
    uint32_t port;
    (void)state;
    outside = world_new();
    make_host();
    for (int i = 0; i < 2; i++) {
        prefixes[i] = world_new_prefix();
        networks[i] = world_open_network(prefixes[i], i == 0 ? "10.99.0.0/24" : "10.98.0.0/24");
    }
    build = world_build(networks[0], &port, &plan);
    neighbour = world_build(networks[0], &port, &neighbour_plan);
    stranger = world_build(networks[1], &port, &stranger_plan);
    for (int is_udp = 0; is_udp < 2; is_udp++) {
        world_serve(build, is_udp, 7000);
        world_serve(neighbour, is_udp, 7000);
        world_serve(stranger, is_udp, 7000);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_free();
    for (int i = 0; i < 2; i++) {
        for (uint32_t port = 0; port < 2; port++)
            (void)network_give(networks[i], port);
        network_done(networks[i]);
        (void)close(prefixes[i]);
    }
    return 0;
}

static void set_bridge_calls(bool is_on)
{
    world_run(0, "f=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e $f ] || echo %d > $f", is_on);
}

static void assert_refused(pid_t from, const char *address, uint16_t port, const char *source)
{
    for (int is_udp = 0; is_udp < 2; is_udp++) {
        unsigned before = world_count();
        int r = world_ask_in_vain(from, is_udp, address, port, source);
        if (r == 0 || world_count() != before)
            fail_msg("%s %s:%u was reached (%d)", is_udp ? "UDP" : "TCP", address, port, r);
    }
}

static void assert_outside_reached(void)
{
    char seen[64];
    for (int is_udp = 0; is_udp < 2; is_udp++) {
        assert_int_equal(world_ask(build, is_udp, WORLD_WEB, 80, NULL, seen), 0);
        assert_string_equal(seen, WORLD_HOST);
    }
}

static void text_of(uint32_t address, char ret_text[RANGE_TEXT_MAX])
{
    range_format_address(address, ret_text);
}

static void assert_all_refused(void)
{
    static const struct {
        const char *address;
        uint16_t port;
    } targets[] = {{WORLD_METADATA, 80}, {WORLD_METADATA, 53}, {WORLD_HOST, 8080}, {WORLD_HOST, 53}, {WORLD_HOST, 9090},
            {"192.0.2.77", 8080}, {"192.0.2.77", 9090}, {"172.30.0.1", 8080}, {"172.30.0.2", 80}, {"10.5.0.1", 8080},
            {"10.99.0.1", 8080}, {"10.99.0.1", 53}, {"10.99.0.1", 9090}, {"10.98.0.1", 8080}, {"10.99.0.255", 8080},
            {"10.99.0.0", 8080}, {"255.255.255.255", 8080}, {"224.0.0.1", 8080}, {"240.0.0.1", 80}, {"0.0.0.0", 8080}};
    char text[RANGE_TEXT_MAX];
    for (size_t i = 0; i < ELEMENTS(targets); i++)
        assert_refused(build, targets[i].address, targets[i].port, NULL);
    text_of(neighbour_plan.address, text);
    assert_refused(build, text, 7000, NULL);
    text_of(stranger_plan.address, text);
    assert_refused(build, text, 7000, NULL);
    assert_outside_reached();
}

static void test_refused_with_the_fence_inside(void **state)
{
    (void)state;
    for (int is_on = 0; is_on < 2; is_on++) {
        set_bridge_calls(is_on);
        assert_all_refused();
        /* At once, and not after a wait for nothing. */
        assert_int_equal(world_ask(build, false, WORLD_METADATA, 80, NULL, NULL), EHOSTUNREACH);
        assert_int_equal(world_ask(build, false, "172.30.0.2", 80, NULL, NULL), EHOSTUNREACH);
        assert_int_equal(world_ask(build, false, "10.99.0.1", 8080, NULL, NULL), EHOSTUNREACH);
        assert_int_equal(world_ask(build, false, WORLD_HOST, 8080, NULL, NULL), EHOSTUNREACH);
    }
}

static void test_refused_by_the_host_alone(void **state)
{
    (void)state;
    char text[RANGE_TEXT_MAX];
    text_of(neighbour_plan.address, text);
    world_run(build, "ip route flush type unreachable");
    for (int is_on = 0; is_on < 2; is_on++) {
        set_bridge_calls(is_on);
        assert_all_refused();
    }
    /* By way of the gateway, too: the subnet is not on the link then. */
    world_run(build, "ip route del 10.99.0.0/24; ip route del default; ip route add 10.99.0.1/32 dev eth0; "
                     "ip route add default via 10.99.0.1");
    for (int is_on = 0; is_on < 2; is_on++) {
        set_bridge_calls(is_on);
        assert_refused(build, text, 7000, NULL);
        assert_outside_reached();
    }
    /* And with the neighbour's address of the link known. */
    world_run(build, "ip route add 10.99.0.0/24 dev eth0; ip neigh replace %s lladdr 02:00:00:00:00:07 dev eth0", text);
    assert_refused(build, text, 7000, NULL);
}

static void test_forwarding_of_the_host_changes_nothing(void **state)
{
    (void)state;
    world_run(0, "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet");
    world_run(build, "ip route flush type unreachable");
    assert_all_refused();
    world_run(build, "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet; ip addr del 127.0.0.1/8 dev lo; "
                     "ip route flush table local; ip route add local 10.99.0.2 dev eth0 table local; "
                     "ip route add 127.0.0.0/8 via 10.99.0.1");
    assert_refused(build, "127.0.0.1", 8080, "10.99.0.2");
}

static void test_another_source_is_refused(void **state)
{
    (void)state;
    char others[2][RANGE_TEXT_MAX];
    text_of(neighbour_plan.address, others[0]);
    text_of(stranger_plan.address, others[1]);
    const char *const sources[] = {
            others[0], others[1], "10.99.0.1", "10.99.0.99", "10.5.0.2", WORLD_HOST, WORLD_WEB, "0.0.0.1"};
    for (size_t i = 0; i < ELEMENTS(sources); i++) {
        world_run(build, "ip addr add %s/32 dev eth0", sources[i]);
        for (int is_on = 0; is_on < 2; is_on++) {
            set_bridge_calls(is_on);
            assert_refused(build, WORLD_RESOLVER, 53, sources[i]);
            assert_refused(build, "10.5.0.2", 80, sources[i]);
        }
        world_run(build, "ip addr del %s/32 dev eth0", sources[i]);
    }
    assert_outside_reached();
}

static void test_nobody_reaches_a_build(void **state)
{
    (void)state;
    char text[RANGE_TEXT_MAX];
    text_of(plan.address, text);
    for (int is_on = 0; is_on < 2; is_on++) {
        set_bridge_calls(is_on);
        /* From the host itself the question arrives, but no answer comes back. */
        assert_int_not_equal(world_ask_in_vain(0, false, text, 7000, NULL), 0);
        assert_int_not_equal(world_ask_in_vain(0, true, text, 7000, NULL), 0);
        assert_refused(lan, text, 7000, NULL);
        assert_refused(container, text, 7000, NULL);
        assert_refused(stranger, text, 7000, NULL);
    }
}

/* Forwarding was off, and is on now for the links that builds go out of: the host is no router for others for that. */
static void test_the_host_is_no_router(void **state)
{
    (void)state;
    assert_refused(lan, WORLD_WEB, 80, NULL);
    assert_refused(lan, "172.30.0.2", 80, NULL);
    assert_int_equal(world_ask(build, false, "10.5.0.2", 80, NULL, NULL), 0);
}

/* Says on the link that @claimed has the build's hardware address. */
static void claim_address(pid_t node, uint32_t claimed)
{
    pid_t pid = fork();
    if (pid == 0) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", node);
        int ns = open(path, O_RDONLY | O_CLOEXEC);
        if (setns(ns, CLONE_NEWNET) < 0)
            _exit(1);
        int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ARP));
        struct ether_arp frame = {.ea_hdr = {htons(1), htons(ETH_P_IP), 6, 4, htons(ARPOP_REPLY)}};
        const uint8_t mine[6] = {2, 0, 0, 0, 0, 9};
        const uint32_t number = htonl(claimed);
        memcpy(frame.arp_sha, mine, sizeof(mine));
        memcpy(frame.arp_tha, mine, sizeof(mine));
        memcpy(frame.arp_spa, &number, sizeof(number));
        memcpy(frame.arp_tpa, &number, sizeof(number));
        struct sockaddr_ll to = {.sll_family = AF_PACKET,
                .sll_protocol = htons(ETH_P_ARP),
                .sll_ifindex = (int)if_nametoindex("eth0"),
                .sll_halen = 6};
        memset(to.sll_addr, 0xff, 6);
        _exit(sendto(fd, &frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)) < 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_addresses_of_others_cannot_be_claimed(void **state)
{
    (void)state;
    char text[RANGE_TEXT_MAX];
    char from[64];
    text_of(neighbour_plan.address, text);
    assert_int_equal(world_ask(neighbour, false, WORLD_WEB, 80, NULL, from), 0);
    world_run(0, "ip neigh show %s | grep -q lladdr", text);
    claim_address(build, neighbour_plan.address);
    claim_address(build, plan.gateway);
    world_run(0, "! ip neigh show | grep -i 02:00:00:00:00:09");
    assert_int_equal(world_ask(neighbour, false, WORLD_WEB, 80, NULL, from), 0);
    /* Its own one it may: this is how the test knows that the frame arrives. */
    assert_outside_reached();
    claim_address(build, plan.address);
    world_run(0, "ip neigh show | grep -iq 02:00:00:00:00:09");
}

static void test_no_ipv6(void **state)
{
    (void)state;
    char bridge[16];
    (void)snprintf(bridge, sizeof(bridge), "%.10s", plan.host_link);
    world_run(0, "! ip -6 addr show dev %s | grep -q inet6; ! ip -6 addr show dev %s | grep -q inet6", bridge,
            plan.host_link);
    world_run(build, "! ip -6 addr show dev eth0 | grep -q inet6");
    /* Somebody turned it on on both sides. */
    world_run(0,
            "echo 0 > /proc/sys/net/ipv6/conf/%s/disable_ipv6; ip addr add fd00:7::1/64 dev %s nodad; "
            "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
            bridge, bridge);
    world_run(build,
            "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6; "
            "ip addr add fd00:7::2/64 dev eth0 nodad; ip -6 route add default via fd00:7::1");
    for (int is_on = 0; is_on < 2; is_on++) {
        set_bridge_calls(is_on);
        assert_refused(build, "fd00:7::1", 8080, NULL);
        assert_refused(build, "ff02::1%eth0", 8080, NULL);
        assert_refused(build, "fd00:8::1", 80, NULL);
    }
}

static void test_ports_are_isolated(void **state)
{
    (void)state;
    char bridge[16];
    (void)snprintf(bridge, sizeof(bridge), "%.10s", plan.host_link);
    /* Without a single rule: the bridge itself passes nothing between builds. */
    for (int is_on = 0; is_on < 2; is_on++) {
        char text[RANGE_TEXT_MAX];
        set_bridge_calls(is_on);
        free(world_nft("flush ruleset"));
        text_of(neighbour_plan.address, text);
        assert_refused(build, text, 7000, NULL);
    }
}

/* What the other tests find refused is there: without the fences each is reached. */
static void test_without_fences_all_is_reached(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        uint16_t port;
    } targets[] = {{WORLD_METADATA, 80}, {WORLD_HOST, 8080}, {WORLD_HOST, 9090}, {"192.0.2.77", 8080},
            {"172.30.0.1", 8080}, {"172.30.0.2", 80}, {"10.99.0.1", 8080}, {"10.98.0.1", 8080}, {WORLD_WEB, 80}};
    char text[RANGE_TEXT_MAX];
    world_run(build, "ip route flush type unreachable");
    for (int i = 0; i < 2; i++) {
        char command[128];
        (void)snprintf(command, sizeof(command), "delete table inet joblet_%.8s; delete table bridge joblet_%.8s",
                (i == 0 ? &plan : &stranger_plan)->host_link + 2, (i == 0 ? &plan : &stranger_plan)->host_link + 2);
        free(world_nft(command));
    }
    for (size_t i = 0; i < ELEMENTS(targets); i++)
        if (world_ask(build, false, targets[i].address, targets[i].port, NULL, NULL) != 0)
            fail_msg("%s:%u is not reached", targets[i].address, targets[i].port);
    text_of(stranger_plan.address, text);
    world_run(stranger, "ip route flush type unreachable");
    assert_int_equal(world_ask(build, true, text, 7000, NULL, NULL), 0);
    assert_int_equal(world_ask(0, true, text, 7000, NULL, NULL), 0);
    assert_int_equal(world_ask(lan, false, WORLD_WEB, 80, NULL, NULL), 0);
    world_run(build, "ip addr add 10.99.0.99/32 dev eth0");
    assert_int_equal(world_ask(build, true, WORLD_RESOLVER, 53, "10.99.0.99", NULL), 0);
}

int main(void)
{
#define FENCE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            FENCE_TEST(test_refused_with_the_fence_inside),
            FENCE_TEST(test_refused_by_the_host_alone),
            FENCE_TEST(test_forwarding_of_the_host_changes_nothing),
            FENCE_TEST(test_another_source_is_refused),
            FENCE_TEST(test_nobody_reaches_a_build),
            FENCE_TEST(test_the_host_is_no_router),
            FENCE_TEST(test_addresses_of_others_cannot_be_claimed),
            FENCE_TEST(test_no_ipv6),
            FENCE_TEST(test_ports_are_isolated),
            FENCE_TEST(test_without_fences_all_is_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
