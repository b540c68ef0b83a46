#include "kernel/netlink_join.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/netlink.h"

/* The kernel takes milliseconds at most, unless the machine is very busy. */
#define WORKING_MS 5000

/* The host's end, from down and open to fenced in and up. No frame passes before it is isolated. */
static int set_up_host_end(
        const struct netlink_join *join, const uint8_t peer[6], uint32_t *ret_index, struct error *error)
{
    struct netlink_link link;
    int r = netlink_find_link(join->host_socket, join->host_name, &link);
    if (r < 0)
        return error_errno(error, -r, "find the link '%s' on the host", join->host_name);
    if (link.master != join->bridge || strcmp(link.kind, "veth") != 0)
        return error_text(error, EPROTO, "the link '%s' on the host is not below the bridge", join->host_name);
    r = netlink_set_no_ipv6_address(join->host_socket, link.index);
    /* A kernel without IPv6 does not know the setting, and needs none. */
    if (r < 0 && r != -EAFNOSUPPORT)
        return error_errno(error, -r, "turn IPv6 off for the link '%s'", join->host_name);
    r = netlink_set_isolated_port(join->host_socket, link.index, peer);
    if (r < 0)
        return error_errno(error, -r, "isolate the port '%s' of the bridge", join->host_name);
    r = netlink_set_up(join->host_socket, link.index);
    *ret_index = link.index;
    return r < 0 ? error_errno(error, -r, "bring the link '%s' up", join->host_name) : 0;
}

static int set_up_inside(const struct netlink_join *join, int socket, uint32_t index, struct error *error)
{
    int r = netlink_add_address(socket, index, join->address, join->prefix_length);
    if (r < 0)
        return error_errno(error, -r, "give " NETLINK_JOIN_NAME " its address");
    r = netlink_set_up(socket, index);
    if (r < 0)
        return error_errno(error, -r, "bring " NETLINK_JOIN_NAME " up");
    for (uint32_t i = 0; i < join->refused_count; i++) {
        r = netlink_add_unreachable_route(socket, join->refused[i].address, join->refused[i].prefix_length);
        if (r < 0)
            return error_errno(
                    error, -r, "make %08x/%u unreachable", join->refused[i].address, join->refused[i].prefix_length);
    }
    r = netlink_add_default_route(socket, index, join->gateway);
    return r < 0 ? error_errno(error, -r, "make the default route") : 0;
}

/* Whether a packet from inside, and one to there, would not be dropped on its way by a link that is up but not working
 * yet: the kernel's work on that comes a little later. 1, 0 or -errno. */
static int is_working(const struct netlink_join *join, int socket, uint32_t inside, uint32_t port)
{
    struct netlink_link links[3];
    int r = netlink_get_link(socket, inside, &links[0]);
    if (r == 0)
        r = netlink_get_link(join->host_socket, port, &links[1]);
    if (r == 0)
        r = netlink_get_link(join->host_socket, join->bridge, &links[2]);
    return r < 0 ? r : links[0].is_working && links[1].is_working && links[1].is_passing && links[2].is_working;
}

static int wait_until_working(
        const struct netlink_join *join, int socket, uint32_t inside, uint32_t port, struct error *error)
{
    struct pollfd news[2] = {
            {.fd = socket, .events = POLLIN},
            {.fd = join->host_socket, .events = POLLIN},
    };
    for (;;) {
        int r = is_working(join, socket, inside, port);
        if (r < 0)
            return error_errno(error, -r, "look at the pair of links");
        if (r == 1)
            return 0;
        r = poll(news, ELEMENTS(news), WORKING_MS);
        if (r < 0 && errno != EINTR)
            return error_errno(error, errno, "wait for the pair of links");
        if (r == 0)
            return error_text(error, ETIMEDOUT, "the link to the host does not begin to work");
        netlink_drain(socket);
        netlink_drain(join->host_socket);
    }
}

static int set_up(const struct netlink_join *join, struct error *error)
{
    _cleanup_close_ int socket = netlink_open();
    if (socket < 0)
        return error_errno(error, -socket, "open a route socket");
    struct netlink_link inside;
    int r = netlink_find_link(socket, NETLINK_JOIN_NAME, &inside);
    if (r < 0)
        return error_errno(error, -r, "find " NETLINK_JOIN_NAME);
    r = netlink_watch_links(socket);
    if (r == 0)
        r = netlink_watch_links(join->host_socket);
    if (r < 0)
        return error_errno(error, -r, "watch the links");
    uint32_t port = 0;
    r = set_up_host_end(join, inside.address, &port, error);
    if (r == 0)
        r = set_up_inside(join, socket, inside.index, error);
    return r < 0 ? r : wait_until_working(join, socket, inside.index, port, error);
}

int netlink_join(const struct netlink_join *join, struct error *error)
{
    if (join->refused_count > NETLINK_REFUSED_MAX || join->bridge == 0)
        return error_text(error, EINVAL, "a link without a bridge or with too many routes");
    int r = netlink_add_veth(join->host_socket, join->host_name, join->bridge, NETLINK_JOIN_NAME, getpid(), join->mtu);
    if (r < 0)
        return error_errno(error, -r, "make the pair of links '%s' and " NETLINK_JOIN_NAME, join->host_name);
    r = set_up(join, error);
    if (r < 0) {
        /* By our own end: the name on the host could be anybody's by now. */
        _cleanup_close_ int socket = netlink_open();
        struct netlink_link inside;
        if (socket >= 0 && netlink_find_link(socket, NETLINK_JOIN_NAME, &inside) == 0)
            (void)netlink_delete_link(socket, inside.index);
    }
    return r;
}

/* What netlink_prove has seen; each call of the kernel may show a thing twice. */
struct proof {
    const struct netlink_join *join;
    struct error *error;
    uint32_t loopback;
    uint32_t inside;
    bool has_loopback_address;
    bool has_address;
    bool has_subnet;
    bool has_default;
    bool has_refused[NETLINK_REFUSED_MAX];
};

static int prove_link(const struct netlink_link *link, void *user)
{
    struct proof *proof = user;
    if (link->flags & IFF_LOOPBACK && strcmp(link->name, "lo") == 0) {
        proof->loopback = link->index;
    } else if (strcmp(link->name, NETLINK_JOIN_NAME) == 0 && strcmp(link->kind, "veth") == 0 &&
               link->mtu == proof->join->mtu && link->master == 0) {
        proof->inside = link->index;
    } else {
        return error_text(proof->error, EPROTO, "there is a link '%s' that is not of the plan", link->name);
    }
    if (!(link->flags & IFF_UP))
        return error_text(proof->error, EPROTO, "the link '%s' is down", link->name);
    return 0;
}

static int prove_address(const struct netlink_address *address, void *user)
{
    struct proof *proof = user;
    const struct netlink_join *join = proof->join;
    if (address->index == proof->loopback && address->ipv4 == INADDR_LOOPBACK && address->prefix_length == 8)
        proof->has_loopback_address = true;
    else if (address->index == proof->inside && address->ipv4 == join->address &&
             address->prefix_length == join->prefix_length)
        proof->has_address = true;
    else
        return error_text(proof->error, EPROTO, "there is an address %08x/%u that is not of the plan", address->ipv4,
                address->prefix_length);
    return 0;
}

static bool is_loopback_ipv6(const uint8_t ipv6[16], uint32_t prefix_length)
{
    static const uint8_t loopback[16] = {[15] = 1};
    return prefix_length == 128 && memcmp(ipv6, loopback, sizeof(loopback)) == 0;
}

static int prove_ipv6_address(const struct netlink_address *address, void *user)
{
    struct proof *proof = user;
    if (address->index == proof->loopback && is_loopback_ipv6(address->ipv6, address->prefix_length))
        return 0;
    return error_text(proof->error, EPROTO, "there is an IPv6 address that is not of the plan");
}

static int prove_ipv6_route(const struct netlink_route *route, void *user)
{
    struct proof *proof = user;
    if (route->index == proof->loopback && !route->has_gateway && !route->has_several &&
            (route->type == RTN_UNREACHABLE || is_loopback_ipv6(route->ipv6, route->prefix_length)))
        return 0;
    return error_text(proof->error, EPROTO, "there is an IPv6 route that is not of the plan");
}

static uint32_t mask_of(uint32_t prefix_length)
{
    return prefix_length == 0 ? 0 : UINT32_MAX << (32 - prefix_length);
}

/* What the kernel makes of itself for an address: the address, its network's first and last one. */
static bool is_own(const struct netlink_route *route, uint32_t address, uint32_t prefix_length)
{
    uint32_t mask = mask_of(prefix_length);
    if (route->table != RT_TABLE_LOCAL || route->has_gateway || route->has_several)
        return false;
    if (route->type == RTN_LOCAL)
        return (route->prefix_length == 32 && route->ipv4 == address) ||
               (address == INADDR_LOOPBACK && route->prefix_length == 8 && route->ipv4 == (address & mask));
    return route->type == RTN_BROADCAST && route->prefix_length == 32 &&
           (route->ipv4 == (address & mask) || route->ipv4 == (address | ~mask));
}

static bool take_main_route(struct proof *proof, const struct netlink_route *route)
{
    const struct netlink_join *join = proof->join;
    if (route->type == RTN_UNREACHABLE) {
        for (uint32_t i = 0; i < join->refused_count; i++)
            if (join->refused[i].address == route->ipv4 && join->refused[i].prefix_length == route->prefix_length) {
                proof->has_refused[i] = true;
                return true;
            }
        return false;
    }
    if (route->type != RTN_UNICAST || route->index != proof->inside || route->has_several)
        return false;
    if (route->has_gateway && route->prefix_length == 0 && route->ipv4_gateway == join->gateway)
        proof->has_default = true;
    else if (!route->has_gateway && route->prefix_length == join->prefix_length &&
             route->ipv4 == (join->address & mask_of(join->prefix_length)))
        proof->has_subnet = true;
    else
        return false;
    return true;
}

static int prove_route(const struct netlink_route *route, void *user)
{
    struct proof *proof = user;
    bool is_known =
            route->table == RT_TABLE_MAIN ? take_main_route(proof, route)
            : route->index == proof->loopback
                    ? is_own(route, INADDR_LOOPBACK, 8)
                    : route->index == proof->inside && is_own(route, proof->join->address, proof->join->prefix_length);
    return is_known ? 0
                    : error_text(proof->error, EPROTO, "there is a route to %08x/%u that is not of the plan",
                              route->ipv4, route->prefix_length);
}

static int check_complete(const struct proof *proof, struct error *error)
{
    const char *missing = !proof->loopback               ? "the loopback"
                          : !proof->inside               ? "the link " NETLINK_JOIN_NAME
                          : !proof->has_loopback_address ? "the loopback's address"
                          : !proof->has_address          ? "the address"
                          : !proof->has_subnet           ? "the route to the network"
                          : !proof->has_default          ? "the default route"
                                                         : NULL;
    for (uint32_t i = 0; i < proof->join->refused_count && !missing; i++)
        if (!proof->has_refused[i])
            missing = "an unreachable route";
    return missing ? error_text(error, EPROTO, "%s of the plan is not there", missing) : 0;
}

int netlink_prove(const struct netlink_join *join, struct error *error)
{
    struct error found = {0};
    struct proof proof = {.join = join, .error = &found};
    if (join->refused_count > NETLINK_REFUSED_MAX)
        return error_text(error, EINVAL, "a link with too many routes");
    _cleanup_close_ int socket = netlink_open();
    int r = socket < 0 ? socket : netlink_each_link(socket, prove_link, &proof);
    if (r == 0)
        r = netlink_each_address(socket, AF_INET, prove_address, &proof);
    if (r == 0)
        r = netlink_each_address(socket, AF_INET6, prove_ipv6_address, &proof);
    if (r == 0)
        r = netlink_each_route(socket, AF_INET, prove_route, &proof);
    if (r == 0)
        r = netlink_each_route(socket, AF_INET6, prove_ipv6_route, &proof);
    if (r == 0)
        return check_complete(&proof, error);
    if (found.code == 0)
        return error_errno(error, -r, "ask the kernel for the network");
    if (error)
        *error = found;
    return r;
}
