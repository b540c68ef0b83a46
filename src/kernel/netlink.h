/* Links, addresses and routes of a network namespace, by rtnetlink: see rtnetlink(7). Messages are made and read here,
 * over a plain socket, because joblet-init is a static program and libmnl has no static library everywhere.
 *
 * A socket belongs to the namespace that it was opened in, whoever holds it, but the kernel asks for the rights of
 * both, of who opened it and of who sends. IPv4 addresses are in host byte order. Replies are taken only from the
 * kernel, and what is longer or shorter than it says is -EBADMSG. All calls: any thread, one at a time for each socket.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NETLINK_NAME_MAX 16U
#define NETLINK_ALIAS_MAX 256U

struct netlink_link {
    uint32_t index;
    uint32_t flags;  /* IFF_* */
    uint32_t master; /* index of the bridge that it is a port of, 0 = none */
    uint32_t mtu;
    bool is_working;  /* what is sent goes out: the kernel turns that on a little after the link was set up */
    bool is_passing;  /* a port of a bridge that takes part */
    bool is_isolated; /* a port of a bridge that does not reach other such ports */
    uint8_t address[6];
    char name[NETLINK_NAME_MAX];
    char kind[NETLINK_NAME_MAX]; /* "bridge", "veth" and so on; "" for hardware */
    char alias[NETLINK_ALIAS_MAX];
};

struct netlink_address {
    uint32_t index; /* of the link */
    uint32_t prefix_length;
    uint32_t ipv4;
    uint8_t ipv6[16];
    uint8_t family; /* AF_INET, AF_INET6 */
};

struct netlink_route {
    uint32_t prefix_length;
    uint32_t ipv4; /* destination; 0 with prefix_length 0 is the default route */
    uint32_t ipv4_gateway;
    uint8_t ipv6[16];
    uint32_t index; /* of the link it goes out of, 0 = none */
    uint32_t table; /* RT_TABLE_* */
    uint8_t family;
    uint8_t type; /* RTN_* */
    bool has_gateway;
    bool has_several; /* this is one of several ways, each of which is told */
};

/* A route socket of the calling thread's network namespace, close-on-exec. A descriptor or -errno. */
int netlink_open(void);

/* Calls @found for each until it returns another value than 0, which is returned. 0, -errno. -EAGAIN: they kept
 * changing. @found may see an object more than once. @family: AF_INET or AF_INET6. */
int netlink_each_link(int socket, int (*found)(const struct netlink_link *link, void *user), void *user);
int netlink_each_address(
        int socket, uint8_t family, int (*found)(const struct netlink_address *address, void *user), void *user);
int netlink_each_route(
        int socket, uint8_t family, int (*found)(const struct netlink_route *route, void *user), void *user);

/* The link of this name or index. 0; -ENODEV; -errno. */
int netlink_find_link(int socket, const char *name, struct netlink_link *ret_link);
int netlink_get_link(int socket, uint32_t index, struct netlink_link *ret_link);

/* From here on the socket also gets what happens to links, so that poll tells of it; netlink_drain reads it away.
 * Others of our calls pass it over. 0 or -errno. */
int netlink_watch_links(int socket);
void netlink_drain(int socket);

/* Makes a bridge, down, with the address @address, which does not change with its ports then. 0; -EEXIST; -errno. */
int netlink_add_bridge(int socket, const char *name, const uint8_t address[6], uint32_t mtu);
/* Makes a pair of links: @name here, a port of the bridge @master (0: of none), down; @peer_name in the network
 * namespace of the process @peer_pid, as the caller sees pids. 0; -EEXIST (one of the names); -errno. */
int netlink_add_veth(
        int socket, const char *name, uint32_t master, const char *peer_name, pid_t peer_pid, uint32_t mtu);
/* Removes a link, of a pair both. 0; -ENODEV; -errno. */
int netlink_delete_link(int socket, uint32_t index);
int netlink_set_up(int socket, uint32_t index);
/* A text of at most NETLINK_ALIAS_MAX - 1 bytes that stays with the link. */
int netlink_set_alias(int socket, uint32_t index, const char *alias);
/* No IPv6 address is made for the link of itself. */
int netlink_set_no_ipv6_address(int socket, uint32_t index);
/* Fences a port of a bridge in: it reaches no other isolated port, only frames to @peer (which it then knows without
 * learning) and broadcasts come to it. */
int netlink_set_isolated_port(int socket, uint32_t index, const uint8_t peer[6]);

/* 0; -EEXIST; -errno. */
int netlink_add_address(int socket, uint32_t index, uint32_t address, uint32_t prefix_length);
int netlink_add_default_route(int socket, uint32_t index, uint32_t gateway);
/* What goes there is answered with "no route to host". */
int netlink_add_unreachable_route(int socket, uint32_t address, uint32_t prefix_length);
