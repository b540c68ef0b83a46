/* A small world of network namespaces for tests of the network of builds: the host (the test's own process, in a
 * namespace of its own), an outside that the host has its default route to, and what else a test puts there. Nothing of
 * this touches the namespace that the test was started in. Needs root, ip and nsenter.
 *
 *   build ---- bridge [host] up0 198.51.100.2 ---- 198.51.100.1 [outside] 203.0.113.5, 169.254.169.254, 198.18.0.53
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "network/network.h"

#define WORLD_WEB "203.0.113.5"
#define WORLD_METADATA "169.254.169.254"
#define WORLD_RESOLVER "198.18.0.53"
#define WORLD_HOST "198.51.100.2"
#define WORLD_OUTSIDE "198.51.100.1"

/* A new host with its outside, which is returned; servers for TCP and UDP on ports 53 and 80 of the outside, 53 and
 * 8080 of the host. */
pid_t world_new(void);
/* Ends every process of it and, with them, the namespaces. */
void world_free(void);

/* A process in a new namespace with the loopback up, held until world_free. */
pid_t world_new_node(void);
void world_end_node(pid_t node);
/* Runs a shell command, on the host or in a node (0: host). It must succeed. */
void world_run(pid_t node, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Its output, the caller's. */
char *world_read(pid_t node, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Runs a command of nft on the host by libnftables; its output, the caller's. */
char *world_nft(const char *command);

/* Servers on all addresses: each answers with the address that it was asked from. How many were asked is counted. */
void world_serve(pid_t node, bool is_udp, uint16_t port);
unsigned world_count(void);

/* Asks from @node. 0: there was an answer, @ret_from (if not NULL) is what the server saw; else an errno, ETIMEDOUT
 * when there was none. @source: NULL or the address to ask from. */
int world_ask(pid_t node, bool is_udp, const char *address, uint16_t port, const char *source, char ret_from[64]);
/* The same without much patience, for what must not be answered. */
int world_ask_in_vain(pid_t node, bool is_udp, const char *address, uint16_t port, const char *source);

/* A directory to be a prefix and its run directory; removed by world_free. Its descriptor. */
int world_new_prefix(void);
/* Removes the last one already. */
void world_free_prefix(void);
/* Replaces the test's resolv.conf. */
void world_set_resolvers(const char *text);
const char *world_resolv_conf(void);
struct network *world_open_network(int prefix, const char *cidr);

/* A process in new PID and network namespaces that joins, as joblet-init does. With @error NULL it must succeed;
 * otherwise -errno is returned. Its pid; @route_socket is closed. */
pid_t world_join(const struct plan_network *plan, int route_socket, struct error *error);
/* network_take and world_join. */
pid_t world_build(struct network *network, uint32_t *ret_port, struct plan_network *ret_plan);

/* Everything that could be left: links, addresses, routes, rules, forwarding. The caller's. */
char *world_snapshot(void);
void world_print_difference(const char *before, const char *after);
