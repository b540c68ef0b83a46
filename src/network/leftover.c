/* What is on the host by our names. A name alone proves nothing: a bridge says in its alias, a table in its comment,
 * whose it is, and the name must be the hash of that. */
#include <errno.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "kernel/netlink.h"
#include "kernel/nftables.h"
#include "network/life.h"
#include "network/network_private.h"

#define HASH_DIGITS 8U
#define OTHERS_MAX 64U

struct look {
    const struct network *network;
    void (*found)(const struct network_leftover *, void *);
    void *user;
    struct netlink_link others[OTHERS_MAX];
    bool has_ports[OTHERS_MAX];
    unsigned count;
};

static void tell(const struct look *look, enum network_thing thing, const char *name, const char *identity, bool is_own,
        const char *stays)
{
    struct network_leftover leftover = {.thing = thing, .is_own = is_own, .stays = stays};
    (void)snprintf(leftover.name, sizeof(leftover.name), "%s", name);
    (void)snprintf(leftover.identity, sizeof(leftover.identity), "%s", identity);
    look->found(&leftover, look->user);
}

/* "jb", eight digits, and nothing, or "p" and a number. */
static bool has_our_name(const char *name, bool *ret_is_port)
{
    static const char digits[] = "0123456789abcdef";
    if (strncmp(name, "jb", 2) != 0 || strspn(name + 2, digits) != HASH_DIGITS)
        return false;
    const char *rest = name + 2 + HASH_DIGITS;
    *ret_is_port = *rest == 'p' && rest[1] != '\0' && rest[1 + strspn(rest + 1, digits)] == '\0';
    return *rest == '\0' || *ret_is_port;
}

static int take_link(const struct netlink_link *link, void *user)
{
    struct look *look = user;
    bool is_port;
    for (unsigned i = 0; i < look->count; i++)
        if (look->others[i].index == link->index)
            return 0;
    if (look->count < OTHERS_MAX && has_our_name(link->name, &is_port) &&
            strcmp(link->name, look->network->names.name) != 0)
        look->others[look->count++] = *link;
    return 0;
}

static int take_ports(const struct netlink_link *link, void *user)
{
    struct look *look = user;
    for (unsigned i = 0; i < look->count; i++)
        look->has_ports[i] |= link->master == look->others[i].index;
    return 0;
}

static void judge_other(const struct look *look, const struct netlink_link *link, bool has_ports)
{
    char identity[RULESET_IDENTITY_MAX] = "";
    char name[NETLINK_NAME_MAX];
    bool is_port;
    if (has_our_name(link->name, &is_port) && is_port && link->master != 0)
        return; /* a build's end: it goes with the build */
    bool is_marked = strcmp(link->kind, "bridge") == 0 && bridge_read_identity(link, identity, sizeof(identity)) == 0;
    (void)snprintf(name, sizeof(name), "jb%08x", life_hash(identity));
    if (!is_marked || strcmp(name, link->name) != 0)
        tell(look, NETWORK_THING_BRIDGE, link->name, "", false, "a link with such a name, and without the mark of one");
    else if (life_is_dead(identity))
        tell(look, NETWORK_THING_BRIDGE, link->name, identity, false,
                has_ports ? "of another service that is dead, whose builds run on" : NULL);
}

static int find_others(struct look *look, int socket, struct error *error)
{
    int r = netlink_each_link(socket, take_link, look);
    if (r == 0 && look->count > 0)
        r = netlink_each_link(socket, take_ports, look);
    if (r < 0)
        return error_errno(error, -r, "list the host's links");
    for (unsigned i = 0; i < look->count; i++)
        judge_other(look, &look->others[i], look->has_ports[i]);
    return 0;
}

static int find_tables(const struct look *look, struct error *error)
{
    static const struct {
        const char *name;
        uint8_t number;
    } families[] = {{"inet", NFPROTO_INET}, {"bridge", NFPROTO_BRIDGE}};
    const struct ruleset *rules = &look->network->rules;
    _cleanup_close_ int socket = nftables_open();
    if (socket < 0)
        return error_errno(error, -socket, "open a netfilter socket");
    for (size_t i = 0; i < ELEMENTS(families); i++) {
        char name[64];
        int r = nftables_find_table(socket, families[i].number, rules->name, rules->identity);
        (void)snprintf(name, sizeof(name), "%s %s", families[i].name, rules->name);
        if (r == 1)
            tell(look, NETWORK_THING_TABLE, name, rules->identity, true, NULL);
        else if (r == -EEXIST)
            tell(look, NETWORK_THING_TABLE, name, "", false, "a table of this name, and without our comment");
        else if (r < 0)
            return error_errno(error, -r, "look for the table '%s' of nftables", name);
    }
    return 0;
}

static void tell_forwarding(const struct look *look, const char *switched)
{
    while (*switched) {
        char name[64];
        size_t length = strcspn(switched, " ");
        (void)snprintf(name, sizeof(name), "net.ipv4.conf.%.*s.forwarding", (int)length, switched);
        tell(look, NETWORK_THING_FORWARDING, name, look->network->rules.identity, true, NULL);
        switched += length + (switched[length] == ' ');
    }
}

static int find_own(const struct look *look, int socket, struct error *error)
{
    const struct network *network = look->network;
    struct netlink_link bridge;
    struct state state = {0};
    int found = state_read(network->run_fd, network->rules.identity, &state, error);
    if (found < 0 && found != -ENOENT)
        return found;
    struct error stranger = {0};
    int r = bridge_find(socket, &network->names, &bridge, &stranger);
    if (r == -EEXIST)
        tell(look, NETWORK_THING_BRIDGE, network->names.name, "", false,
                "a link of our name, and without the mark of our bridge");
    else if (r == 0)
        tell(look, NETWORK_THING_BRIDGE, network->names.name, network->rules.identity, true, NULL);
    else if (r != -ENODEV)
        return error_errno(error, -r, "look for the bridge '%s'", network->names.name);
    if (found == 0 || r == 0)
        tell_forwarding(look, found == 0 ? state.switched : bridge_get_switched(&bridge));
    return 0;
}

int network_find_leftovers(const struct network *network, void (*found)(const struct network_leftover *, void *),
        void *user, struct error *error)
{
    struct look look = {.network = network, .found = found, .user = user};
    _cleanup_close_ int socket = netlink_open();
    if (socket < 0)
        return error_errno(error, -socket, "open a route socket");
    int r = network->taken_count > 0 ? 0 : find_own(&look, socket, error);
    if (r == 0 && network->taken_count == 0)
        r = find_tables(&look, error);
    return r < 0 ? r : find_others(&look, socket, error);
}

bool network_has_others(const struct network *network)
{
    return !network || life_has_others(network->rules.identity);
}
