/* The network namespace: loopback alone, or a build's one link. Set up while the namespace is ours to set up, and
 * proven when it is not any more. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/netlink_join.h"
#include "sandbox/network.h"
#include "sandbox/sandbox.h"

/* The link of the plan, as src/kernel names it. @prefixes is borrowed by @ret_join. */
static void make_join(const struct plan_network *network, struct netlink_prefix prefixes[PLAN_ROUTES_MAX],
        struct netlink_join *ret_join)
{
    _Static_assert(PLAN_ROUTES_MAX <= NETLINK_REFUSED_MAX, "a plan has more routes than a link can have");
    for (uint32_t i = 0; i < network->refused_count; i++)
        prefixes[i] = (struct netlink_prefix){
                .address = network->refused[i].address, .prefix_length = network->refused[i].prefix_length};
    *ret_join = (struct netlink_join){
            .host_socket = PLAN_FD_HOST_LINK,
            .bridge = network->bridge,
            .host_name = network->host_link,
            .address = network->address,
            .prefix_length = network->prefix_length,
            .gateway = network->gateway,
            .mtu = network->mtu,
            .refused = prefixes,
            .refused_count = network->refused_count,
    };
}

/* No IPv6 but on the loopback: NAT is IPv4 only. */
static int join_bridge(const struct sandbox *sandbox, struct error *error)
{
    struct netlink_prefix prefixes[PLAN_ROUTES_MAX];
    struct netlink_join join;
    int r = fd_write_file_at(sandbox->proc_sys_fd, "net/ipv6/conf/default/disable_ipv6", "1");
    if (r < 0 && r != -ENOENT) /* a kernel without it */
        return error_errno(error, -r, "turn IPv6 off in the network namespace");
    make_join(&sandbox->plan.network, prefixes, &join);
    r = netlink_join(&join, error);
    (void)close(PLAN_FD_HOST_LINK);
    return r;
}

int sandbox_set_network(struct sandbox *sandbox, struct error *error)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return error_errno(error, errno, "bring the loopback up");

    /* The network namespace belongs to the host: without these, ports below 1024 and ping are closed to the job (A16).
     */
    int r = fd_write_file_at(sandbox->proc_sys_fd, "net/ipv4/ip_unprivileged_port_start", "0");
    if (r < 0)
        return error_errno(error, -r, "open the low ports of the network namespace");
    char range[32];
    uint32_t base = sandbox->plan.id_base;
    (void)snprintf(range, sizeof(range), "%u %u", base, base + PLAN_RANGE_SIZE - 1);
    r = fd_write_file_at(sandbox->proc_sys_fd, "net/ipv4/ping_group_range", range);
    if (r < 0)
        return error_errno(error, -r, "open ping in the network namespace");
    return sandbox->plan.network.is_set ? join_bridge(sandbox, error) : 0;
}

int network_prove(const struct sandbox *sandbox, struct error *error)
{
    struct netlink_prefix prefixes[PLAN_ROUTES_MAX];
    struct netlink_join join;
    if (sandbox->plan.network.is_set) {
        make_join(&sandbox->plan.network, prefixes, &join);
        return netlink_prove(&join, error);
    }
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo"};
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return error_errno(error, errno, "look at the loopback");
    return request.ifr_flags & IFF_UP ? 0 : error_text(error, EPROTO, "the loopback is down");
}
