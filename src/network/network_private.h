/* Between network.c and leftover.c: what is known of this service's network. */
#pragma once

#include "network/bridge.h"
#include "network/network.h"
#include "network/ruleset.h"
#include "network/state.h"

struct network {
    int run_fd;
    int watch_fd;
    int life_fd; /* holds our name (life.h); -errno: somebody else has it */
    const char *resolv_conf;
    const char *resolved;
    bool is_configured;
    struct plan_route configured;
    struct bridge_names names;
    struct ruleset rules; /* its identity is the names' identity */

    bool is_up;           /* something of ours is on the host, or may be */
    bool has_network;     /* @state.network is chosen */
    struct state state;   /* what is on the host */
    struct state written; /* what the file says; nothing when its network has no length */
    uint32_t next_port;
    uint32_t taken_count;
    bool is_taken[NETWORK_PORTS_MAX];
};
