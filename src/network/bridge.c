#include "network/bridge.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "network/forwarding.h"
#include "network/survey.h"

/* Behind the identity in an alias: what is on because of it, and what it is just putting back. */
#define SWITCHED " forwarding "
#define LEAVING " leaving "

int bridge_find(int socket, const struct bridge_names *names, struct netlink_link *ret_link, struct error *error)
{
    struct netlink_link link;
    int r = netlink_find_link(socket, names->name, &link);
    if (r == -ENODEV)
        return r;
    if (r < 0)
        return error_errno(error, -r, "look for the bridge '%s'", names->name);
    size_t length = strlen(names->identity);
    bool is_marked = strncmp(link.alias, names->identity, length) == 0 &&
                     (link.alias[length] == ' ' || link.alias[length] == '\0');
    /* We died between making it and marking it: then it has our address, and is down. */
    bool is_unmarked = link.alias[0] == '\0' && !(link.flags & IFF_UP) &&
                       memcmp(link.address, names->address, sizeof(link.address)) == 0;
    if (strcmp(link.kind, "bridge") != 0 || (!is_marked && !is_unmarked))
        return error_text(error, EEXIST, "the link '%s' is not of this service", names->name);
    *ret_link = link;
    return 0;
}

/* Says @word and @links in the alias. */
static int set_alias(int socket, const struct bridge_names *names, const struct netlink_link *link, const char *word,
        const char *links, struct error *error)
{
    char alias[NETLINK_ALIAS_MAX];
    int length = snprintf(alias, sizeof(alias), "%s%s%s", names->identity, word, links);
    if (length < 0 || (size_t)length >= sizeof(alias))
        return error_text(error, E2BIG, "the alias of the bridge is too long");
    if (strcmp(alias, link->alias) == 0)
        return 0;
    int r = netlink_set_alias(socket, link->index, alias);
    return r < 0 ? error_errno(error, -r, "mark the bridge '%s'", names->name) : 0;
}

int bridge_set_switched(int socket, const struct bridge_names *names, const struct netlink_link *link,
        const char *switched, struct error *error)
{
    return set_alias(socket, names, link, SWITCHED, switched, error);
}

int bridge_set_leaving(int socket, const struct bridge_names *names, const char *switched, struct error *error)
{
    struct netlink_link link;
    int r = bridge_find(socket, names, &link, error);
    return r < 0 ? (r == -ENODEV ? 0 : r) : set_alias(socket, names, &link, LEAVING, switched, error);
}

/* What stands behind the identity, and its length; NULL: the alias is none of ours. */
static const char *skip_identity(const char *alias, size_t *ret_length)
{
    size_t mark = strlen(SURVEY_MARK);
    if (strncmp(alias, SURVEY_MARK, mark) != 0)
        return NULL;
    *ret_length = mark + strcspn(alias + mark, " ");
    return alias + *ret_length;
}

int bridge_read_identity(const struct netlink_link *link, char *ret_identity, size_t size)
{
    size_t length;
    if (!skip_identity(link->alias, &length) || length >= size)
        return -ENOENT;
    memcpy(ret_identity, link->alias, length);
    ret_identity[length] = '\0';
    return 0;
}

bool bridge_is_leaving(const struct netlink_link *link)
{
    size_t length;
    const char *rest = skip_identity(link->alias, &length);
    return rest && strncmp(rest, LEAVING, strlen(LEAVING)) == 0;
}

const char *bridge_get_switched(const struct netlink_link *link)
{
    size_t length;
    const char *rest = skip_identity(link->alias, &length);
    if (rest && strncmp(rest, SWITCHED, strlen(SWITCHED)) == 0)
        return rest + strlen(SWITCHED);
    return bridge_is_leaving(link) ? rest + strlen(LEAVING) : "";
}

int bridge_make(int socket, const struct bridge_names *names, uint32_t mtu, const char *switched,
        struct netlink_link *ret_link, struct error *error)
{
    struct netlink_link link = {0};
    int r = netlink_add_bridge(socket, names->name, names->address, mtu);
    if (r < 0)
        return error_errno(error, -r, "make the bridge '%s'", names->name);
    r = netlink_find_link(socket, names->name, &link);
    if (r < 0)
        return error_errno(error, -r, "find the bridge '%s'", names->name);
    r = bridge_set_switched(socket, names, &link, switched, error);
    if (r < 0) {
        (void)netlink_delete_link(socket, link.index);
        return r;
    }
    *ret_link = link;
    return 0;
}

int bridge_set_up(int socket, const struct netlink_link *link, const struct plan_route *network, struct error *error)
{
    int r = forwarding_write("ipv6", link->name, "disable_ipv6", "1");
    if (r < 0 && r != -ENOENT) /* a kernel without IPv6 */
        return error_errno(error, -r, "turn IPv6 off for the bridge");
    r = netlink_add_address(socket, link->index, network->address + 1, network->prefix_length);
    if (r < 0 && r != -EEXIST)
        return error_errno(error, -r, "give the bridge its address");
    r = netlink_set_up(socket, link->index);
    return r < 0 ? error_errno(error, -r, "set the bridge up") : 0;
}

struct port_search {
    uint32_t bridge;
    uint32_t found;
};

static int find_port(const struct netlink_link *link, void *user)
{
    struct port_search *search = user;
    if (link->master != search->bridge || strcmp(link->kind, "veth") != 0)
        return 0;
    search->found = link->index;
    return 1;
}

/* The builds' ends that are still below it: their namespaces are held by something that we did not adopt, or are just
 * being taken away. */
static int remove_ports(int socket, uint32_t bridge)
{
    for (;;) {
        struct port_search search = {.bridge = bridge};
        int r = netlink_each_link(socket, find_port, &search);
        if (r == 1)
            r = netlink_delete_link(socket, search.found);
        else
            return r;
        if (r < 0 && r != -ENODEV)
            return r;
    }
}

int bridge_remove(int socket, const struct bridge_names *names, struct error *error)
{
    struct netlink_link link;
    int r = bridge_find(socket, names, &link, error);
    if (r < 0)
        return r == -ENODEV ? 0 : r;
    r = remove_ports(socket, link.index);
    if (r == 0)
        r = netlink_delete_link(socket, link.index);
    return r < 0 && r != -ENODEV ? error_errno(error, -r, "remove the bridge '%s'", names->name) : 0;
}
