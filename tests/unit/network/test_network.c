/* The life of the network of builds: it is there while a build needs it, works, and leaves the host as it was. Needs
 * root; runs in namespaces of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/netlink.h"
#include "network/network.h"
#include "network/range.h"
#include "world.h"

static char *before;

static int set_up(void **state)
{
    (void)state;
    (void)world_new();
    before = world_snapshot();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_free();
    free(before);
    return 0;
}

static double now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* The kernel takes the link of a build that ended away by itself, within a second. */
static void assert_as_before(void)
{
    double end = now_ms() + 1000;
    for (;;) {
        char *after = world_snapshot();
        bool is_same = strcmp(before, after) == 0;
        if (!is_same && now_ms() > end) {
            world_print_difference(before, after);
            fail_msg("the host is not as before");
        }
        free(after);
        if (is_same)
            return;
    }
}

static void assert_reaches(pid_t build, const char *address, uint16_t port)
{
    char from[64];
    for (int is_udp = 0; is_udp < 2; is_udp++) {
        assert_int_equal(world_ask(build, is_udp, address, port, NULL, from), 0);
        assert_string_equal(from, WORLD_HOST);
    }
}

static int idle(struct network *network)
{
    struct error error = {0};
    int r = network_idle(network, &error);
    if (r < 0)
        print_message("%s\n", error.text);
    return r;
}

/* One setting of the host. */
static char setting(const char *name)
{
    _cleanup_free_ char *text = NULL;
    char path[128];
    (void)snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
    assert_int_equal(fd_read_file_at(AT_FDCWD, path, 16, &text, NULL), 0);
    return text[0];
}

static void test_a_build_reaches_the_outside(void **state)
{
    (void)state;
    uint32_t port;
    struct plan_network plan;
    _cleanup_close_ int prefix = world_new_prefix();
    struct network *network = world_open_network(prefix, "");
    pid_t build = world_build(network, &port, &plan);
    assert_reaches(build, WORLD_WEB, 80);
    assert_reaches(build, WORLD_RESOLVER, 53);
    assert_int_equal(plan.resolver_count, 1);
    assert_string_equal(plan.resolvers[0], WORLD_RESOLVER);
    assert_string_equal(plan.search, "search build.example");
    assert_int_equal(plan.mtu, 1500);
    assert_int_equal(setting("ip_forward"), '0');
    assert_int_equal(setting("conf/up0/forwarding"), '1');
    assert_int_equal(network_idle(network, NULL), 0); /* a build uses it */
    assert_reaches(build, WORLD_WEB, 80);
    world_end_node(build);
    assert_true(network_give(network, port));
    assert_false(network_give(network, port));
    assert_int_equal(idle(network), 0);
    assert_as_before();
    assert_int_equal(faccessat(prefix, "network", F_OK, 0), -1);
    network_done(network);
}

static void test_builds_come_and_go(void **state)
{
    (void)state;
    uint32_t ports[8];
    struct plan_network plans[8];
    _cleanup_close_ int prefix = world_new_prefix();
    struct network *network = world_open_network(prefix, "10.99.0.0/24");
    pid_t builds[8];
    for (unsigned i = 0; i < ELEMENTS(builds); i++) {
        struct error error = {0};
        int socket;
        double started = now_ms();
        assert_int_equal(network_take(network, &ports[i], &plans[i], &socket, &error), 0);
        double took = now_ms();
        builds[i] = world_join(&plans[i], socket, NULL);
        print_message("take %.2f ms, join and proof with a process %.2f ms\n", took - started, now_ms() - took);
        assert_int_equal(plans[i].address >> 8, 0x0a6300);
        for (unsigned j = 0; j < i; j++)
            assert_true(plans[i].address != plans[j].address && ports[i] != ports[j]);
    }
    for (unsigned i = 0; i < ELEMENTS(builds); i++)
        assert_reaches(builds[i], WORLD_WEB, 80);
    for (unsigned i = 0; i < ELEMENTS(builds); i++) {
        world_end_node(builds[i]);
        assert_int_equal(network_give(network, ports[i]), i + 1 == ELEMENTS(builds));
    }
    double started = now_ms();
    network_done(network);
    print_message("removed in %.2f ms\n", now_ms() - started);
    assert_as_before();
}

static void test_forwarding_that_is_on_stays_on(void **state)
{
    (void)state;
    uint32_t port;
    struct plan_network plan;
    _cleanup_close_ int prefix = world_new_prefix();
    world_run(0, "echo 1 > /proc/sys/net/ipv4/ip_forward");
    free(before);
    before = world_snapshot();
    struct network *network = world_open_network(prefix, "");
    pid_t build = world_build(network, &port, &plan);
    assert_reaches(build, WORLD_WEB, 80);
    world_end_node(build);
    assert_true(network_give(network, port));
    network_done(network);
    assert_as_before();
}

static void test_what_another_switched_on_is_not_put_back(void **state)
{
    (void)state;
    uint32_t port;
    struct plan_network plan;
    _cleanup_close_ int prefix = world_new_prefix();
    struct network *network = world_open_network(prefix, "");
    pid_t build = world_build(network, &port, &plan);
    world_run(0, "echo 1 > /proc/sys/net/ipv4/ip_forward");
    world_end_node(build);
    assert_true(network_give(network, port));
    network_done(network);
    assert_int_equal(setting("ip_forward"), '1');
    assert_int_equal(setting("conf/up0/forwarding"), '1');
}

static void test_two_services_share_a_host(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        int prefixes[2] = {world_new_prefix(), world_new_prefix()};
        struct network *networks[2];
        uint32_t ports[2];
        struct plan_network plans[2];
        pid_t builds[2];
        for (int i = 0; i < 2; i++) {
            networks[i] = world_open_network(prefixes[i], "");
            builds[i] = world_build(networks[i], &ports[i], &plans[i]);
        }
        assert_true(plans[0].address >> 8 != plans[1].address >> 8);
        for (int i = 0; i < 2; i++) {
            char other[RANGE_TEXT_MAX];
            assert_reaches(builds[i], WORLD_WEB, 80);
            world_serve(builds[i], false, 7000);
            range_format_address(plans[!i].address, other);
            assert_int_not_equal(world_ask(builds[i], false, other, 7000, NULL, NULL), 0);
            range_format_address(plans[!i].gateway, other);
            assert_int_not_equal(world_ask(builds[i], false, other, 8080, NULL, NULL), 0);
        }
        int last = !first;
        world_end_node(builds[first]);
        assert_true(network_give(networks[first], ports[first]));
        network_done(networks[first]);
        assert_int_equal(setting("conf/up0/forwarding"), '1');
        assert_reaches(builds[last], WORLD_WEB, 80);
        world_end_node(builds[last]);
        assert_true(network_give(networks[last], ports[last]));
        network_done(networks[last]);
        assert_as_before();
        for (int i = 0; i < 2; i++)
            (void)close(prefixes[i]);
    }
}

/* Takes a place in a process of its own, which is killed then. The build lives on. */
static pid_t build_of_the_dead(int prefix, uint32_t *ret_port)
{
    int told[2];
    struct {
        uint32_t port;
        struct plan_network plan;
    } taken;
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    int sockets[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets), 0);
    pid_t joblet = fork();
    if (joblet == 0) {
        struct network *network = world_open_network(prefix, "");
        int socket;
        if (network_take(network, &taken.port, &taken.plan, &socket, NULL) < 0)
            _exit(1);
        (void)fd_write_all(told[1], &taken, sizeof(taken));
        for (;;)
            (void)pause();
    }
    assert_int_equal(fd_read_exact(told[0], &taken, sizeof(taken)), 0);
    assert_int_equal(kill(joblet, SIGKILL), 0);
    assert_int_equal(waitpid(joblet, NULL, 0), joblet);
    for (int i = 0; i < 2; i++) {
        (void)close(told[i]);
        (void)close(sockets[i]);
    }
    *ret_port = taken.port;
    return world_join(&taken.plan, netlink_open(), NULL);
}

struct counted {
    unsigned own;
    unsigned others;
    unsigned left; /* not ours to remove */
};

static void count_leftover(const struct network_leftover *leftover, void *user)
{
    struct counted *counted = user;
    *(leftover->stays ? &counted->left : leftover->is_own ? &counted->own : &counted->others) += 1;
}

/* When nothing changes any more by itself: a link goes a little after the process that had its other end. */
static char *settled_snapshot(void)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    const double end = now_ms() + 30000;
    char *last = world_snapshot();
    for (;;) {
        (void)nanosleep(&pause, NULL);
        char *next = world_snapshot();
        bool is_same = strcmp(last, next) == 0;
        free(last);
        last = next;
        if (is_same || now_ms() > end)
            return last;
    }
}

/* Bridge and tables are told, and the links that were switched on; looking changes nothing. */
static void assert_leftovers(const struct network *network, unsigned own, unsigned others, unsigned left)
{
    struct counted counted = {0};
    struct error error = {0};
    char *first = settled_snapshot();
    assert_int_equal(network_find_leftovers(network, count_leftover, &counted, &error), 0);
    char *second = world_snapshot();
    assert_string_equal(first, second);
    free(first);
    free(second);
    assert_true(own == 0 ? counted.own == 0 : counted.own >= own);
    assert_int_equal(counted.others, others);
    assert_int_equal(counted.left, left);
}

static void test_what_a_killed_service_left_is_removed(void **state)
{
    (void)state;
    for (int with_file = 0; with_file < 2; with_file++) {
        uint32_t port;
        struct error error = {0};
        _cleanup_close_ int prefix = world_new_prefix();
        pid_t build = build_of_the_dead(prefix, &port);
        assert_reaches(build, WORLD_WEB, 80);
        if (with_file)
            world_end_node(build);
        else
            assert_int_equal(unlinkat(prefix, "network", 0), 0);
        struct network *network = world_open_network(prefix, "");
        assert_leftovers(network, 3, 0, 0);
        assert_int_equal(network_reconcile(network, &error), 0);
        assert_leftovers(network, 0, 0, 0);
        assert_as_before();
        assert_int_equal(faccessat(prefix, "network", F_OK, 0), -1);
        network_done(network);
    }
}

/* A build's link goes a little after its process. */
static void wait_for_ports(unsigned count)
{
    world_run(0,
            "for i in $(seq 100); do test $(ip -o link show type veth | grep -c ' jb') = %u && exit; sleep 0.1; done; "
            "exit 1",
            count);
}

static void end_build(struct network *network, pid_t build, uint32_t port)
{
    world_end_node(build);
    assert_true(network_give(network, port));
    network_done(network);
}

/* Killed, and its prefix deleted: no service of that prefix will ever come to remove what is left. */
static void test_what_a_lost_service_left_is_removed_by_another(void **state)
{
    (void)state;
    for (int is_late = 0; is_late < 2; is_late++) {
        uint32_t port = NETWORK_PORT_NONE;
        uint32_t lost_port;
        struct plan_network plan;
        struct error error = {0};
        pid_t build = 0;
        _cleanup_close_ int prefix = world_new_prefix();
        _cleanup_close_ int lost_prefix = world_new_prefix();
        struct network *network = world_open_network(prefix, "");
        pid_t lost = build_of_the_dead(lost_prefix, &lost_port);
        if (!is_late)
            build = world_build(network, &port, &plan);
        assert_reaches(lost, WORLD_WEB, 80);
        world_end_node(lost);
        world_free_prefix();
        wait_for_ports(is_late ? 0 : 1);
        if (is_late) {
            assert_leftovers(network, 0, 1, 0);
            assert_int_equal(network_reconcile(network, &error), 0);
            assert_as_before();
            network_done(network);
        } else {
            assert_reaches(build, WORLD_WEB, 80);
            end_build(network, build, port);
        }
        assert_as_before();
    }
}

/* Its builds run on without it, and it may come again. */
static void test_builds_of_a_killed_service_are_left_alone(void **state)
{
    (void)state;
    uint32_t port;
    uint32_t other_port;
    struct plan_network plan;
    _cleanup_close_ int prefix = world_new_prefix();
    _cleanup_close_ int other_prefix = world_new_prefix();
    pid_t other = build_of_the_dead(other_prefix, &other_port);
    struct network *network = world_open_network(prefix, "");
    assert_leftovers(network, 0, 0, 1);
    assert_int_equal(network_reconcile(network, NULL), 0);
    assert_reaches(other, WORLD_WEB, 80);
    pid_t build = world_build(network, &port, &plan);
    end_build(network, build, port);
    assert_reaches(other, WORLD_WEB, 80);
    world_end_node(other);
    wait_for_ports(0);
    network = world_open_network(prefix, "");
    assert_int_equal(network_reconcile(network, NULL), 0);
    assert_as_before();
    network_done(network);
}

static void test_a_living_service_is_left_alone(void **state)
{
    (void)state;
    int told[2];
    char byte;
    _cleanup_close_ int prefix = world_new_prefix();
    _cleanup_close_ int other_prefix = world_new_prefix();
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    pid_t living = fork();
    if (living == 0) {
        uint32_t port;
        int socket;
        struct plan_network plan;
        struct network *network = world_open_network(other_prefix, "");
        if (network_take(network, &port, &plan, &socket, NULL) < 0 || !network_give(network, port))
            _exit(1);
        (void)fd_write_all(told[1], "r", 1); /* no build, and the bridge is there still */
        for (;;)
            (void)pause();
    }
    assert_int_equal(fd_read_exact(told[0], &byte, 1), 0);
    char *with_living = world_snapshot();
    struct network *network = world_open_network(prefix, "");
    assert_leftovers(network, 0, 0, 0);
    assert_true(network_has_others(network));
    assert_int_equal(network_reconcile(network, NULL), 0);
    uint32_t port;
    struct plan_network plan;
    pid_t build = world_build(network, &port, &plan);
    end_build(network, build, port);
    char *after = world_snapshot();
    world_print_difference(with_living, after);
    assert_string_equal(with_living, after);
    assert_int_equal(kill(living, SIGKILL), 0);
    assert_int_equal(waitpid(living, NULL, 0), living);
    network = world_open_network(prefix, "");
    assert_int_equal(network_reconcile(network, NULL), 0);
    assert_as_before();
    network_done(network);
    for (int i = 0; i < 2; i++)
        (void)close(told[i]);
    free(with_living);
    free(after);
}

/* Two that end at once must not each wait for the other to put it back. */
static void test_who_leaves_does_not_count(void **state)
{
    (void)state;
    static const char *const words[] = {"leaving", "forwarding"};
    for (size_t i = 0; i < ELEMENTS(words); i++) {
        uint32_t port;
        struct plan_network plan;
        _cleanup_close_ int prefix = world_new_prefix();
        struct network *network = world_open_network(prefix, "");
        pid_t build = world_build(network, &port, &plan);
        world_run(
                0, "ip link add jbffffffff type bridge; ip link set jbffffffff alias 'joblet 1:1:1 %s up0'", words[i]);
        end_build(network, build, port);
        assert_int_equal(setting("conf/up0/forwarding"), i == 0 ? '0' : '1');
        world_run(0, "ip link del jbffffffff; echo 0 > /proc/sys/net/ipv4/conf/up0/forwarding");
        assert_as_before();
    }
    /* But who begins meanwhile does not rely on it. */
    uint32_t port;
    struct plan_network plan;
    _cleanup_close_ int prefix = world_new_prefix();
    world_run(0, "ip link add jbffffffff type bridge; ip link set jbffffffff alias 'joblet 1:1:1 leaving up0'; "
                 "echo 1 > /proc/sys/net/ipv4/conf/up0/forwarding");
    struct network *network = world_open_network(prefix, "");
    pid_t build = world_build(network, &port, &plan);
    end_build(network, build, port);
    assert_int_equal(setting("conf/up0/forwarding"), '0');
    world_run(0, "ip link del jbffffffff");
    assert_as_before();
}

static void test_a_running_build_is_adopted(void **state)
{
    (void)state;
    for (int is_damaged = 0; is_damaged < 2; is_damaged++) {
        uint32_t port;
        uint32_t other_port;
        struct plan_network other_plan;
        struct error error = {0};
        _cleanup_close_ int prefix = world_new_prefix();
        pid_t build = build_of_the_dead(prefix, &port);
        if (is_damaged) {
            free(world_nft("flush ruleset"));
            world_run(0, "echo 0 > /proc/sys/net/ipv4/conf/up0/forwarding");
            assert_int_not_equal(world_ask_in_vain(build, false, WORLD_WEB, 80, NULL), 0);
        }
        struct network *network = world_open_network(prefix, "");
        assert_int_equal(network_adopt(network, port), 0);
        assert_int_equal(network_adopt(network, port), -EBUSY);
        assert_int_equal(network_adopt(network, NETWORK_PORT_NONE), -ENOENT);
        assert_int_equal(network_reconcile(network, &error), 0);
        assert_reaches(build, WORLD_WEB, 80);
        pid_t other = world_build(network, &other_port, &other_plan);
        assert_true(other_port != port);
        assert_reaches(other, WORLD_WEB, 80);
        world_end_node(build);
        world_end_node(other);
        assert_false(network_give(network, port));
        assert_true(network_give(network, other_port));
        network_done(network);
        assert_as_before();
    }
}

static int take_fails(const char *cidr, char text[ERROR_TEXT_MAX])
{
    struct error error = {0};
    struct plan_network plan;
    uint32_t port = 77;
    int socket = -EBADF;
    _cleanup_close_ int prefix = world_new_prefix();
    struct network *network = world_open_network(prefix, cidr);
    int r = network_take(network, &port, &plan, &socket, &error);
    assert_true(r < 0 && error.code == -r);
    assert_int_equal(port, 77);
    assert_int_equal(socket, -EBADF);
    memcpy(text, error.text, ERROR_TEXT_MAX);
    network_done(network);
    assert_int_equal(faccessat(prefix, "network", F_OK, 0), -1);
    return r;
}

static void refresh(void)
{
    free(before);
    before = world_snapshot();
}

static void test_a_clash_is_refused(void **state)
{
    (void)state;
    char text[ERROR_TEXT_MAX];
    world_run(0, "ip link add dk0 type bridge; ip addr add 10.77.1.1/24 dev dk0; ip link set dk0 up");
    world_run(0, "ip route add 10.88.0.0/16 via " WORLD_OUTSIDE);
    refresh();
    assert_int_equal(take_fails("10.77.0.0/16", text), -EADDRINUSE);
    assert_string_equal(text, "the configured network of builds overlaps 10.77.1.0/24, which the host uses already");
    assert_as_before();
    assert_int_equal(take_fails("10.88.3.0/24", text), -EADDRINUSE);
    assert_non_null(strstr(text, "10.88.0.0/16"));
    assert_as_before();
}

static void test_a_free_network_is_chosen(void **state)
{
    (void)state;
    uint32_t port;
    struct plan_network plan;
    char text[ERROR_TEXT_MAX];
    _cleanup_close_ int prefix = world_new_prefix();
    /* All but one of the first pool. */
    world_run(0, "for i in $(seq 0 255); do [ $i = 17 ] || echo route add 10.213.$i.0/24 via " WORLD_OUTSIDE
                 "; done | ip -batch -");
    refresh();
    struct network *network = world_open_network(prefix, "");
    pid_t build = world_build(network, &port, &plan);
    assert_int_equal(plan.gateway, 0x0ad51101);
    world_end_node(build);
    assert_true(network_give(network, port));
    assert_int_equal(idle(network), 0);
    assert_as_before();
    /* All of it; then all of all. A default route in two halves is no obstacle. */
    world_run(0, "ip route add 10.213.17.0/24 via " WORLD_OUTSIDE "; ip route add 128.0.0.0/1 via " WORLD_OUTSIDE
                 "; ip route add 0.0.0.0/1 via " WORLD_OUTSIDE);
    refresh();
    build = world_build(network, &port, &plan);
    assert_int_equal(plan.gateway >> 16, 0xac1d);
    world_end_node(build);
    assert_true(network_give(network, port));
    network_done(network);
    assert_as_before();
    world_run(0, "ip route add 172.16.0.0/12 via " WORLD_OUTSIDE "; ip route add 192.168.0.0/16 via " WORLD_OUTSIDE);
    refresh();
    assert_int_equal(take_fails("", text), -EADDRINUSE);
    assert_as_before();
}

static void test_what_is_not_ours_is_left_alone(void **state)
{
    (void)state;
    struct error error = {0};
    uint32_t port;
    struct plan_network plan;
    int socket;
    char command[512];
    char name[16];
    _cleanup_close_ int prefix = world_new_prefix();
    struct network *network = world_open_network(prefix, "");
    pid_t build = world_build(network, &port, &plan);
    (void)snprintf(name, sizeof(name), "%.10s", plan.host_link);
    world_end_node(build);
    assert_true(network_give(network, port));
    assert_int_equal(idle(network), 0);
    assert_as_before();

    world_run(0, "ip link add %s type bridge; ip link set %s up", name, name);
    refresh();
    assert_leftovers(network, 0, 0, 1);
    assert_int_equal(network_take(network, &port, &plan, &socket, &error), -EEXIST);
    assert_as_before();
    assert_int_equal(network_reconcile(network, &error), -EEXIST);
    assert_as_before();
    world_run(0, "ip link del %s", name);

    for (int i = 0; i < 2; i++) {
        const char *family = i == 0 ? "inet" : "bridge";
        (void)snprintf(
                command, sizeof(command), "add table %s joblet_%s { comment \"joblet 1:1:1\"; }", family, name + 2);
        free(world_nft(command));
        refresh();
        assert_leftovers(network, 0, 0, 1);
        assert_int_equal(network_take(network, &port, &plan, &socket, &error), -EEXIST);
        assert_non_null(strstr(error.text, "is not of this service"));
        assert_as_before();
        assert_int_equal(network_reconcile(network, &error), 0);
        assert_as_before();
        (void)snprintf(command, sizeof(command), "delete table %s joblet_%s", family, name + 2);
        free(world_nft(command));
    }
    network_done(network);
}

static void test_rules_that_are_flushed_come_back(void **state)
{
    (void)state;
    uint32_t port;
    struct plan_network plan;
    struct error error = {0};
    char command[128];
    _cleanup_close_ int prefix = world_new_prefix();
    struct network *network = world_open_network(prefix, "");
    struct pollfd watch = {.fd = network_get_watch(network), .events = POLLIN};
    free(world_nft("add table ip other"));
    assert_int_equal(poll(&watch, 1, 0), 0); /* nobody looks while nothing of ours is there */
    refresh();
    pid_t build = world_build(network, &port, &plan);
    assert_int_equal(network_check(network, &error), 0);
    assert_int_equal(poll(&watch, 1, 0), 0);
    free(world_nft("add chain ip other c"));
    assert_int_equal(poll(&watch, 1, 0), 1);
    assert_int_equal(network_check(network, &error), 0);
    free(world_nft("delete chain ip other c"));
    (void)snprintf(command, sizeof(command), "flush chain inet joblet_%.8s to_host", plan.host_link + 2);
    const char *const commands[] = {"flush ruleset; add table ip other", command};
    for (size_t i = 0; i < ELEMENTS(commands); i++) {
        free(world_nft(commands[i]));
        assert_int_equal(poll(&watch, 1, 0), 1);
        assert_int_equal(network_check(network, &error), 1);
        assert_int_equal(network_check(network, &error), 0);
        assert_reaches(build, WORLD_WEB, 80);
        world_run(build, "ip route flush type unreachable");
        assert_int_equal(world_ask_in_vain(build, false, WORLD_HOST, 8080, NULL), ETIMEDOUT);
    }
    world_end_node(build);
    assert_true(network_give(network, port));
    assert_int_equal(idle(network), 0);
    assert_as_before();
    network_done(network);
}

static void test_a_small_network_is_full(void **state)
{
    (void)state;
    uint32_t port;
    struct plan_network plan;
    struct error error = {0};
    int socket;
    _cleanup_close_ int prefix = world_new_prefix();
    struct network *network = world_open_network(prefix, "192.168.77.4/30");
    pid_t build = world_build(network, &port, &plan);
    assert_int_equal(plan.address, 0xc0a84d06);
    assert_reaches(build, WORLD_WEB, 80);
    assert_int_equal(network_take(network, &port, &plan, &socket, &error), -EAGAIN);
    assert_string_equal(error.text, "all 1 addresses of the network of builds are in use");
    assert_reaches(build, WORLD_WEB, 80);
    world_end_node(build);
    assert_true(network_give(network, 0));
    network_done(network);
    assert_as_before();
}

static void test_more_addresses_than_can_be_refused(void **state)
{
    (void)state;
    char text[ERROR_TEXT_MAX];
    world_run(0, "for i in $(seq 1 300); do echo addr add 192.0.2.$((i %% 200))/32 dev up0; "
                 "echo addr add 100.64.$((i / 100)).$((i %% 100 * 2))/32 dev up0; done | ip -force -batch - "
                 "2>/dev/null; true");
    refresh();
    assert_int_equal(take_fails("", text), -E2BIG);
    assert_as_before();
}

static void test_resolvers_of_the_host_itself(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        uint16_t refused_port;
        bool is_host;
    } cases[] = {{WORLD_HOST, 8080, true}, {WORLD_METADATA, 80, false}};
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        uint32_t port;
        struct plan_network plan;
        char line[64];
        _cleanup_close_ int prefix = world_new_prefix();
        (void)snprintf(line, sizeof(line), "nameserver %s\n", cases[i].address);
        world_set_resolvers(line);
        struct network *network = world_open_network(prefix, "");
        pid_t build = world_build(network, &port, &plan);
        for (int is_udp = 0; is_udp < 2; is_udp++) {
            char from[64];
            assert_int_equal(world_ask(build, is_udp, cases[i].address, 53, NULL, from), 0);
            assert_int_equal(
                    world_ask_in_vain(build, is_udp, cases[i].address, cases[i].refused_port, NULL), ETIMEDOUT);
        }
        assert_reaches(build, WORLD_WEB, 80);
        /* The neighbours of the address are out of reach all the same. */
        assert_int_equal(world_ask(build, false, "169.254.169.253", 53, NULL, NULL), EHOSTUNREACH);
        world_end_node(build);
        assert_true(network_give(network, port));
        network_done(network);
        assert_as_before();
    }
}

static void test_no_usable_resolver(void **state)
{
    (void)state;
    char text[ERROR_TEXT_MAX];
    world_set_resolvers("nameserver 127.0.0.1\n");
    assert_int_equal(take_fails("", text), -EADDRNOTAVAIL);
    assert_non_null(strstr(text, "the host's resolver listens on loopback only, which a build cannot reach"));
    assert_as_before();
}

static void test_configured_networks(void **state)
{
    (void)state;
    static const char *const good[] = {
            "10.0.0.0/8", "10.1.2.0/24", "172.16.0.0/12", "192.168.255.252/30", "100.64.0.0/10"};
    static const char *const bad[] = {"", "10.0.0.0", "10.0.0.0/7", "10.0.0.0/31", "10.0.0.1/24", "11.0.0.0/24",
            "8.8.8.0/24", "172.32.0.0/16", "10.0.0.0/24 ", "10.0.0/24", "10.0.0.0/+24", "fd00::/64", "169.254.0.0/16",
            "127.0.0.0/8", "10.0.0.0/99999999999999999999"};
    for (size_t i = 0; i < ELEMENTS(good); i++)
        assert_true(network_cidr_is_valid(good[i]));
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        assert_false(network_cidr_is_valid(bad[i]));
}

int main(void)
{
#define WORLD_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_configured_networks),
            WORLD_TEST(test_a_build_reaches_the_outside),
            WORLD_TEST(test_builds_come_and_go),
            WORLD_TEST(test_forwarding_that_is_on_stays_on),
            WORLD_TEST(test_what_another_switched_on_is_not_put_back),
            WORLD_TEST(test_two_services_share_a_host),
            WORLD_TEST(test_what_a_killed_service_left_is_removed),
            WORLD_TEST(test_what_a_lost_service_left_is_removed_by_another),
            WORLD_TEST(test_builds_of_a_killed_service_are_left_alone),
            WORLD_TEST(test_a_living_service_is_left_alone),
            WORLD_TEST(test_who_leaves_does_not_count),
            WORLD_TEST(test_a_running_build_is_adopted),
            WORLD_TEST(test_a_clash_is_refused),
            WORLD_TEST(test_a_free_network_is_chosen),
            WORLD_TEST(test_what_is_not_ours_is_left_alone),
            WORLD_TEST(test_rules_that_are_flushed_come_back),
            WORLD_TEST(test_a_small_network_is_full),
            WORLD_TEST(test_more_addresses_than_can_be_refused),
            WORLD_TEST(test_resolvers_of_the_host_itself),
            WORLD_TEST(test_no_usable_resolver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
