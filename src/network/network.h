/* The network of builds on the host: one bridge with NAT for each service, there while a build needs it.
 *
 * What is set on the host, all of it named after the prefix's directory (device and inode, as 8 hexadecimal digits H):
 *   - the bridge "jbH" with the first address of its network, and the builds' ends "jbHpN" below it as isolated ports;
 *   - the tables "inet joblet_H" and "bridge joblet_H" of nftables (ruleset.h);
 *   - net.ipv4.conf.LINK.forwarding of the links that builds go out of, where it was off. Not ip_forward: that would
 *     change every link, and accept_redirects with it, and nobody could tell our change from another's.
 * While the service lives it holds a name in the host's network namespace (life.h): without it, and without a build,
 * other services on the host remove what is there. Bridge and tables carry the whole identity as text; what has the
 * name and not the text is not ours and is an error. PREFIX/run/network says what was changed, before it is changed.
 *
 * Who calls (joblet alone, single-threaded):
 *   network_open at the start; network_adopt for each build that runs already; network_reconcile, which takes away what
 *   an earlier joblet left; network_take before a build's joblet-init is made, network_give when it has ended. When
 *   network_give says that it was the last one: network_idle after NETWORK_IDLE_NS, unless another was taken
 *   meanwhile. network_done at the end.
 *
 * A build's link needs no removal: it goes with the build's network namespace. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "plan/plan.h"

/* So many builds at a time; fewer in a network smaller than /24. */
#define NETWORK_PORTS_MAX 250U
#define NETWORK_PORT_NONE UINT32_MAX
/* How long the bridge stays after its last build. */
#define NETWORK_IDLE_NS (10ULL * 1000 * 1000 * 1000)

/* Where a network is chosen from when none is configured: the first /24 that no address and no route of the host
 * overlaps, beginning at a place that the identity says. */
#define NETWORK_POOLS "10.213.0.0/16, 172.29.0.0/16, 192.168.208.0/20"

struct network;

struct network_options {
    int prefix_fd;           /* the prefix's directory, borrowed: the identity */
    int run_fd;              /* the directory of "network", borrowed as long as the network is there */
    const char *cidr;        /* "10.1.2.0/24": private, /8 to /30; "" = choose */
    const char *resolv_conf; /* NULL: /etc/resolv.conf; otherwise another, for tests. Borrowed */
    const char *resolved;    /* NULL: systemd-resolved's; otherwise another. Borrowed */
};

/* True when @text is a private IPv4 network of /8 to /30, with no bit set behind the prefix; for the configuration. */
bool network_cidr_is_valid(const char *text);

/* Changes nothing on the host. 0 or -errno with @error (the configured network is none). */
int network_open(const struct network_options *options, struct network **ret_network, struct error *error);
/* Frees it. What is on the host is removed unless a build uses it (a service that ends while its builds run on). */
void network_done(struct network *network);
/* Frees it alone; NULL is fine. */
void network_forget(struct network *network);

/* The build with this port runs, as an earlier joblet started it. 0; -ENOENT: no such port; -EBUSY: taken. */
int network_adopt(struct network *network, uint32_t port);
/* Once, after the builds were adopted: with one of them, bridge and tables are taken over as they are (and put right
 * where they are not); without, whatever is left of an earlier joblet is removed and each setting is as before. In
 * either case, and in network_idle, what dead services of other prefixes left is removed too.
 * 0 or -errno with @error: something of ours could not be removed. */
int network_reconcile(struct network *network, struct error *error);

/* What is on the host by our names while no build of this service runs (with one, nothing is told). */
enum network_thing { NETWORK_THING_BRIDGE, NETWORK_THING_TABLE, NETWORK_THING_FORWARDING };
struct network_leftover {
    enum network_thing thing;
    char name[64];
    char identity[96]; /* what its alias or comment says, "" = nothing of ours */
    bool is_own;       /* of this service; else of another one */
    const char *stays; /* why it is not ours to remove; NULL: network_reconcile removes it */
};
/* Calls @found for each. 0 or -errno with @error. Changes nothing. */
int network_find_leftovers(const struct network *network, void (*found)(const struct network_leftover *, void *),
        void *user, struct error *error);

/* True when a service of another prefix lives on this host; also when that cannot be found out. */
bool network_has_others(const struct network *network);

/* A place for one build. Makes bridge, tables and settings when they are not there, and puts them right when the host's
 * addresses, routes or resolvers have changed. Writes the number of the port, to be given back; @ret_plan; and a route
 * socket of this network namespace, the caller's. 0; -EAGAIN with @error: all ports are in use; -errno with @error, and
 * what was made for it is gone again. Milliseconds; the first time some tens. */
int network_take(struct network *network, uint32_t *ret_port, struct plan_network *ret_plan, int *ret_route_socket,
        struct error *error);
/* The build has ended, nothing of it runs any more. True when it was the last one. */
bool network_give(struct network *network, uint32_t port);
/* A descriptor of the network's that becomes readable when somebody changes the host's nftables while ours are there;
 * then network_check is to be called. "systemctl reload nftables" removes every table. */
int network_get_watch(const struct network *network);
/* Puts the rules back if they are not there as they were. 1: they were gone, and are there again; 0: all is well;
 * -errno with @error: builds run without rules, fenced in only by the routes of their own namespaces. */
int network_check(struct network *network, struct error *error);
/* Takes everything off the host again when no port is taken. 0 or -errno with @error. */
int network_idle(struct network *network, struct error *error);
