#include "network/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/fd.h"
#include "kernel/netlink.h"
#include "kernel/nftables.h"
#include "network/forwarding.h"
#include "network/life.h"
#include "network/network_private.h"
#include "network/resolver.h"
#include "network/survey.h"

_Static_assert(NETWORK_PORTS_MAX <= 1000, "a port's number has at most three digits, its link's name 15");

#define LIFE_TRIES 50U
#define LIFE_PAUSE_NS (20L * 1000 * 1000)

/* --- names --- */

static void set_names(struct network *network, const struct stat *prefix)
{
    (void)snprintf(network->rules.identity, sizeof(network->rules.identity), SURVEY_MARK "%u:%u:%llu",
            major(prefix->st_dev), minor(prefix->st_dev), (unsigned long long)prefix->st_ino);
    const uint32_t hash = life_hash(network->rules.identity);
    (void)snprintf(network->rules.name, sizeof(network->rules.name), "joblet_%08x", hash);
    (void)snprintf(network->names.name, sizeof(network->names.name), "jb%08x", hash);
    memcpy(network->rules.bridge, network->names.name, sizeof(network->rules.bridge));
    network->names.identity = network->rules.identity;
    /* Locally administered, of one card. */
    const uint8_t address[6] = {
            0x02, (uint8_t)(hash >> 24), (uint8_t)(hash >> 16), (uint8_t)(hash >> 8), (uint8_t)hash, 0x01};
    memcpy(network->names.address, address, sizeof(address));
}

static bool is_private(const struct plan_route *range)
{
    static const struct plan_route private[] = {
            {0x0a000000U, 8}, {0xac100000U, 12}, {0xc0a80000U, 16}, {0x64400000U, 10}};
    for (size_t i = 0; i < ELEMENTS(private); i++)
        if (range_contains(&private[i], range))
            return true;
    return false;
}

static int parse_cidr(const char *text, struct plan_route *ret_range)
{
    struct plan_route range;
    if (range_parse(text, &range) < 0 || range.prefix_length < 8 || range.prefix_length > 30 || !is_private(&range))
        return -EINVAL;
    *ret_range = range;
    return 0;
}

bool network_cidr_is_valid(const char *text)
{
    struct plan_route range;
    return parse_cidr(text, &range) == 0;
}

static void network_free(struct network *network)
{
    ruleset_done(&network->rules);
    (void)fd_close(network->watch_fd);
    (void)fd_close(network->life_fd);
    free(network);
}

/* Another service that buries an earlier one of ours has our name for some milliseconds. Without it all works, but we
 * may be taken for dead while no build runs; so it is asked for again with each build. */
static void hold_life(struct network *network, unsigned tries)
{
    const struct timespec pause = {.tv_nsec = LIFE_PAUSE_NS};
    while (network->life_fd < 0) {
        network->life_fd = life_hold(network->rules.identity);
        if (network->life_fd != -EADDRINUSE || --tries == 0)
            return;
        (void)nanosleep(&pause, NULL);
    }
}

int network_open(const struct network_options *options, struct network **ret_network, struct error *error)
{
    struct stat prefix;
    if (fstat(options->prefix_fd, &prefix) < 0)
        return error_errno(error, errno, "look at the prefix");
    struct network *network = calloc(1, sizeof(*network));
    if (!network)
        return error_errno(error, ENOMEM, "prepare the network of builds");
    network->run_fd = options->run_fd;
    network->watch_fd = nftables_watch();
    if (network->watch_fd < 0) {
        int r = network->watch_fd;
        free(network);
        return error_errno(error, -r, "open a netfilter socket");
    }
    network->resolv_conf = options->resolv_conf;
    network->resolved = options->resolved;
    network->is_configured = options->cidr && options->cidr[0] != '\0';
    network->life_fd = -EBADF;
    set_names(network, &prefix);
    if (network->is_configured && parse_cidr(options->cidr, &network->configured) < 0) {
        network_free(network);
        return error_text(error, EINVAL, "'%s' is no private IPv4 network of /8 to /30", options->cidr);
    }
    hold_life(network, LIFE_TRIES);
    *ret_network = network;
    return 0;
}

void network_forget(struct network *network)
{
    if (network)
        network_free(network);
}

void network_done(struct network *network)
{
    if (!network)
        return;
    (void)network_idle(network, NULL); /* what cannot be removed, the next start will name, ignoring */
    network_free(network);
}

/* --- which addresses --- */

static uint32_t port_count(const struct plan_route *range)
{
    /* Without the network's own address, the bridge's and the one for all. */
    uint64_t count = (1ULL << (32 - range->prefix_length)) - 3;
    return count < NETWORK_PORTS_MAX ? (uint32_t)count : NETWORK_PORTS_MAX;
}

/* The first /24 of @pool from number @start on, around, that nothing of the host overlaps. */
static bool choose_from(
        const struct survey *survey, const struct plan_route *pool, uint32_t start, struct plan_route *ret_range)
{
    const uint32_t count = 1U << (24 - pool->prefix_length);
    for (uint32_t i = 0; i < count; i++) {
        char with[RANGE_TEXT_MAX];
        const struct plan_route range = {pool->address + (((start + i) % count) << 8), 24};
        if (!survey_overlaps(survey, &range, with)) {
            *ret_range = range;
            return true;
        }
    }
    return false;
}

static int choose_network(struct network *network, const struct survey *survey, struct error *error)
{
    static const char *const pools[] = {"10.213.0.0/16", "172.29.0.0/16", "192.168.208.0/20"};
    char with[RANGE_TEXT_MAX];
    if (network->has_network)
        return 0;
    if (network->is_configured) {
        if (survey_overlaps(survey, &network->configured, with))
            return error_text(error, EADDRINUSE,
                    "the configured network of builds overlaps %s, which the host uses already", with);
        network->state.network = network->configured;
        return 0;
    }
    for (size_t i = 0; i < ELEMENTS(pools); i++) {
        struct plan_route pool;
        if (range_parse(pools[i], &pool) == 0 &&
                choose_from(survey, &pool, network->names.address[4], &network->state.network))
            return 0;
    }
    return error_text(error, EADDRINUSE, "the host uses all of " NETWORK_POOLS "; configure a network for builds");
}

/* --- on the host --- */

static int write_state(struct network *network, struct error *error)
{
    if (memcmp(&network->written, &network->state, sizeof(network->state)) == 0)
        return 0;
    int r = state_write(network->run_fd, network->rules.identity, &network->state, error);
    if (r == 0)
        network->written = network->state;
    return r;
}

/* Everything as it should be, in the order in which nothing is ever open: first what is written down, then the rules,
 * then the bridge, then forwarding. */
static int put_up(struct network *network, int socket, const struct survey *survey, const struct resolvers *resolvers,
        struct netlink_link *ret_bridge, struct error *error)
{
    struct state *state = &network->state;
    int r = bridge_find(socket, &network->names, ret_bridge, error);
    bool is_there = r == 0;
    if (r < 0 && r != -ENODEV)
        return r;
    r = choose_network(network, survey, error);
    if (r == 0)
        r = forwarding_plan(socket, network->names.name, survey, state->switched, state->switched, error);
    if (r < 0)
        return r;
    network->is_up = true;
    network->has_network = true;
    r = write_state(network, error);
    if (r < 0)
        return r;
    const struct ruleset_values values = {.network = state->network,
            .port_count = port_count(&state->network),
            .survey = survey,
            .resolvers = resolvers,
            .switched = state->switched};
    r = nftables_set_watching(network->watch_fd, true);
    if (r < 0)
        return error_errno(error, -r, "watch the rules");
    r = ruleset_load(&network->rules, &values, error);
    if (r == 0)
        r = is_there ? bridge_set_switched(socket, &network->names, ret_bridge, state->switched, error)
                     : bridge_make(socket, &network->names, survey_mtu(survey), state->switched, ret_bridge, error);
    if (r == 0)
        r = bridge_set_up(socket, ret_bridge, &state->network, error);
    return r < 0 ? r : forwarding_apply(network->names.name, state->switched, error);
}

/* Everything of ours off the host. */
static int take_down(struct network *network, struct error *error)
{
    _cleanup_close_ int socket = netlink_open();
    if (socket < 0)
        return error_errno(error, -socket, "open a route socket");
    int r = bridge_set_leaving(socket, &network->names, network->state.switched, error);
    if (r == 0)
        r = forwarding_restore(socket, network->names.name, network->state.switched, error);
    if (r == 0)
        r = bridge_remove(socket, &network->names, error);
    if (r == 0)
        r = ruleset_unload(&network->rules, error);
    if (r < 0)
        return r;
    state_remove(network->run_fd);
    (void)nftables_set_watching(network->watch_fd, false); /* one look too many, ignoring */
    memset(&network->state, 0, sizeof(network->state));
    memset(&network->written, 0, sizeof(network->written));
    network->has_network = false;
    network->is_up = false;
    return life_bury(socket, network->names.name, error);
}

int network_idle(struct network *network, struct error *error)
{
    return network->is_up && network->taken_count == 0 ? take_down(network, error) : 0;
}

/* --- places --- */

static void name_port(const struct network *network, uint32_t port, char ret_name[NETLINK_NAME_MAX])
{
    (void)snprintf(ret_name, NETLINK_NAME_MAX, "%.10sp%u", network->names.name, port % 1000);
}

/* The next port that no build has, and whose link is gone: the kernel takes it away when it takes the namespace away,
 * a little after the build's end. */
static int find_port(const struct network *network, int socket, uint32_t *ret_port, struct error *error)
{
    const uint32_t count = port_count(&network->state.network);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t port = (network->next_port + i) % count;
        char name[NETLINK_NAME_MAX];
        struct netlink_link link;
        if (network->is_taken[port])
            continue;
        name_port(network, port, name);
        int r = netlink_find_link(socket, name, &link);
        if (r == -ENODEV) {
            *ret_port = port;
            return 0;
        }
        if (r < 0)
            return error_errno(error, -r, "look for the link '%s'", name);
    }
    return error_text(error, EAGAIN, "all %u addresses of the network of builds are in use", count);
}

/* What a build is told. */
static int fill_plan(const struct network *network, uint32_t port, const struct survey *survey,
        const struct resolvers *resolvers, uint32_t bridge, struct plan_network *ret_plan, struct error *error)
{
    struct plan_network plan = {.is_set = 1,
            .bridge = bridge,
            .address = network->state.network.address + 2 + port,
            .prefix_length = network->state.network.prefix_length,
            .gateway = network->state.network.address + 1,
            .mtu = survey_mtu(survey),
            .resolver_count = resolvers->count};
    struct ranges refused;
    /* The gateway's own address is the host's; what goes by way of it does not ask for a route to it. */
    const struct plan_route gateway = {plan.gateway, 32};
    int r = survey_list_refused(survey, &gateway, resolvers->addresses, resolvers->count, &refused, error);
    if (r < 0)
        return r;
    name_port(network, port, plan.host_link);
    plan.refused_count = refused.count;
    memcpy(plan.refused, refused.at, refused.count * sizeof(refused.at[0]));
    for (uint32_t i = 0; i < resolvers->count; i++)
        range_format_address(resolvers->addresses[i], plan.resolvers[i]);
    memcpy(plan.search, resolvers->search, sizeof(plan.search));
    *ret_plan = plan;
    return 0;
}

static int take(struct network *network, int socket, const struct survey *survey, uint32_t *ret_port,
        struct plan_network *ret_plan, struct error *error)
{
    struct resolvers resolvers;
    struct netlink_link bridge = {0};
    int r = resolvers_read(network->resolv_conf, network->resolved, &resolvers, error);
    if (r == 0)
        r = put_up(network, socket, survey, &resolvers, &bridge, error);
    if (r == 0)
        r = find_port(network, socket, ret_port, error);
    return r < 0 ? r : fill_plan(network, *ret_port, survey, &resolvers, bridge.index, ret_plan, error);
}

int network_take(struct network *network, uint32_t *ret_port, struct plan_network *ret_plan, int *ret_route_socket,
        struct error *error)
{
    struct survey survey = {0};
    uint32_t port = NETWORK_PORT_NONE;
    _cleanup_close_ int socket = netlink_open();
    if (socket < 0)
        return error_errno(error, -socket, "open a route socket");
    hold_life(network, 1);
    int r = survey_take(socket, network->names.name, &survey, error);
    if (r == 0)
        r = take(network, socket, &survey, &port, ret_plan, error);
    survey_done(&survey);
    if (r < 0) {
        (void)network_idle(
                network, NULL); /* the first failure is told; the next start removes what is left, ignoring */
        return r;
    }
    network->is_taken[port] = true;
    network->taken_count++;
    network->next_port = port + 1;
    *ret_port = port;
    *ret_route_socket = TAKE_FD(socket);
    return 0;
}

bool network_give(struct network *network, uint32_t port)
{
    if (port >= NETWORK_PORTS_MAX || !network->is_taken[port])
        return false;
    network->is_taken[port] = false;
    return --network->taken_count == 0;
}

/* --- after a restart --- */

int network_adopt(struct network *network, uint32_t port)
{
    if (port >= NETWORK_PORTS_MAX)
        return -ENOENT;
    if (network->is_taken[port])
        return -EBUSY;
    network->is_taken[port] = true;
    network->taken_count++;
    return 0;
}

static int copy_network(const struct netlink_address *address, void *user)
{
    struct plan_route *own = user;
    if (address->index != own->prefix_length)
        return 0;
    *own = (struct plan_route){address->ipv4 & range_mask(address->prefix_length), address->prefix_length};
    return 1;
}

/* What is known of what an earlier joblet changed: by its file, by the bridge's alias, by the bridge's address. */
static int recall(struct network *network, int socket, struct error *error)
{
    struct netlink_link bridge;
    struct state state = {0};
    int found = state_read(network->run_fd, network->rules.identity, &state, error);
    if (found < 0 && found != -ENOENT)
        return found;
    int r = bridge_find(socket, &network->names, &bridge, error);
    if (r < 0 && r != -ENODEV)
        return r;
    if (r == 0 && found < 0) {
        const char *switched = bridge_get_switched(&bridge);
        if (strlen(switched) < sizeof(state.switched))
            memcpy(state.switched, switched, strlen(switched) + 1);
        struct plan_route own = {.prefix_length = bridge.index};
        r = netlink_each_address(socket, AF_INET, copy_network, &own);
        if (r < 0)
            return error_errno(error, -r, "list the addresses of the bridge");
        network->has_network = r == 1;
        state.network = own;
    }
    network->has_network |= found == 0;
    network->state = state;
    network->is_up = true;
    return 0;
}

/* Builds run: everything is put right, if anything is not. */
static int take_over(struct network *network, int socket, struct error *error)
{
    struct survey survey;
    struct resolvers resolvers;
    struct netlink_link bridge;
    if (!network->has_network)
        return error_text(error, ENOENT, "the bridge of the running builds is gone");
    int r = resolvers_read(network->resolv_conf, network->resolved, &resolvers, error);
    if (r == 0)
        r = survey_take(socket, network->names.name, &survey, error);
    if (r < 0)
        return r;
    r = put_up(network, socket, &survey, &resolvers, &bridge, error);
    survey_done(&survey);
    return r;
}

int network_get_watch(const struct network *network)
{
    return network->watch_fd;
}

int network_check(struct network *network, struct error *error)
{
    nftables_drain(network->watch_fd);
    if (network->taken_count == 0)
        return 0;
    int r = ruleset_is_intact(&network->rules);
    if (r < 0)
        return error_errno(error, -r, "look at the rules");
    if (r == 1)
        return 0;
    _cleanup_close_ int socket = netlink_open();
    r = socket < 0 ? error_errno(error, -socket, "open a route socket") : take_over(network, socket, error);
    return r < 0 ? r : 1;
}

int network_reconcile(struct network *network, struct error *error)
{
    _cleanup_close_ int socket = netlink_open();
    if (socket < 0)
        return error_errno(error, -socket, "open a route socket");
    int r = recall(network, socket, error);
    if (r < 0)
        return r;
    if (network->taken_count == 0)
        return take_down(network, error);
    r = take_over(network, socket, error);
    return r < 0 ? r : life_bury(socket, network->names.name, error);
}
