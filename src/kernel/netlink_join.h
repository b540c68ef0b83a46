/* The one link of a build: made by joblet-init itself, in the build's network namespace, while it still has host root's
 * rights, and proven afterwards, when it has none.
 *
 * Before netlink_join the caller
 *   - brings the loopback up,
 *   - writes "1" to net/ipv6/conf/default/disable_ipv6 of the namespace, through its proc_sys_fd (ENOENT: a kernel
 *     without IPv6, fine). The link gets no IPv6 at all then, because NAT is IPv4 only; the loopback keeps ::1.
 *     netlink_prove fails when this was forgotten.
 *
 * After it the caller closes @host_socket. Nobody in the build can change anything of this: the namespace belongs to
 * the host's user namespace (A16). */
#pragma once

#include <stdint.h>

struct error;

/* Name of the link inside. */
#define NETLINK_JOIN_NAME "eth0"
#define NETLINK_REFUSED_MAX 256U

/* IPv4, host byte order. */
struct netlink_prefix {
    uint32_t address;
    uint32_t prefix_length;
};

struct netlink_join {
    int host_socket; /* borrowed: a route socket of the host's namespace */
    uint32_t bridge; /* index of the bridge there */
    const char *host_name;
    uint32_t address;
    uint32_t prefix_length;
    uint32_t gateway;
    uint32_t mtu;
    const struct netlink_prefix *refused; /* what is unreachable from inside; no two the same */
    uint32_t refused_count;               /* at most NETLINK_REFUSED_MAX */
};

/* Makes the pair: the host's end @host_name below the bridge, as an isolated port, up; eth0 in the calling process's
 * namespace, with its address, the unreachable routes and, last, the default route; and waits until packets pass. 0 or
 * -errno with @error; then the pair is gone again, and the namespace is of no use any more. The calling process has one
 * thread. */
int netlink_join(const struct netlink_join *join, struct error *error);

/* Reads back from the kernel that the calling process's namespace has exactly the loopback and eth0, up, with these
 * addresses and routes and nothing else. Needs no right, does not use @host_socket, bridge and host_name. 0; -EPROTO
 * with @error, which names what is too much or not there; -errno with @error. */
int netlink_prove(const struct netlink_join *join, struct error *error);
