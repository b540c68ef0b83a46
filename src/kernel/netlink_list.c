/* What a namespace has, read from the kernel. */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel/netlink.h"
#include "kernel/netlink_private.h"

/* A list that changed while it was read is read again, so often. */
#define ATTEMPTS_MAX 16

/* What one list is made of. */
struct list {
    union {
        int (*link)(const struct netlink_link *link, void *user);
        int (*address)(const struct netlink_address *address, void *user);
        int (*route)(const struct netlink_route *route, void *user);
    } found;
    void *user;
    uint8_t family;
};

static int list_all(int socket, uint16_t type, const void *body, size_t body_size,
        int (*each)(const struct nlmsghdr *message, void *user), struct list *list)
{
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        struct netlink_request request;
        netlink_begin(&request, type, NLM_F_DUMP, body, body_size);
        int r = netlink_dump(socket, &request, each, list);
        if (r != -EINTR)
            return r;
    }
    return -EAGAIN;
}

static int parse_link_info(const struct rtattr *info, struct netlink_link *link)
{
    const struct rtattr *found[IFLA_INFO_SLAVE_DATA + 1];
    int r = netlink_parse_nest(info, found, IFLA_INFO_SLAVE_DATA);
    if (r < 0)
        return r;
    netlink_get_text(found[IFLA_INFO_KIND], link->kind, sizeof(link->kind));
    if (!found[IFLA_INFO_SLAVE_DATA])
        return 0;
    char master_kind[NETLINK_NAME_MAX];
    netlink_get_text(found[IFLA_INFO_SLAVE_KIND], master_kind, sizeof(master_kind));
    const struct rtattr *port[IFLA_BRPORT_ISOLATED + 1];
    r = netlink_parse_nest(found[IFLA_INFO_SLAVE_DATA], port, IFLA_BRPORT_ISOLATED);
    if (r < 0 || strcmp(master_kind, "bridge") != 0)
        return r;
    link->is_isolated = netlink_get_u8(port[IFLA_BRPORT_ISOLATED]) == 1;
    link->is_passing = netlink_get_u8(port[IFLA_BRPORT_STATE]) == BR_STATE_FORWARDING;
    return 0;
}

static int parse_link(const struct nlmsghdr *message, struct netlink_link *ret_link)
{
    const struct rtattr *found[IFLA_LINKINFO + 1];
    const struct rtattr *alias[IFLA_IFALIAS + 1];
    int r = netlink_parse(message, sizeof(struct ifinfomsg), found, IFLA_LINKINFO);
    if (r == 0)
        r = netlink_parse(message, sizeof(struct ifinfomsg), alias, IFLA_IFALIAS);
    if (r < 0)
        return r;
    const struct ifinfomsg *body = netlink_body(message);
    struct netlink_link link = {.index = (uint32_t)body->ifi_index,
            .flags = body->ifi_flags,
            .master = netlink_get_u32(found[IFLA_MASTER]),
            .mtu = netlink_get_u32(found[IFLA_MTU]),
            .is_working = netlink_get_u8(found[IFLA_OPERSTATE]) == IF_OPER_UP};
    if (found[IFLA_ADDRESS] && RTA_PAYLOAD(found[IFLA_ADDRESS]) == sizeof(link.address))
        memcpy(link.address, netlink_value(found[IFLA_ADDRESS]), sizeof(link.address));
    netlink_get_text(found[IFLA_IFNAME], link.name, sizeof(link.name));
    netlink_get_text(alias[IFLA_IFALIAS], link.alias, sizeof(link.alias));
    if (found[IFLA_LINKINFO])
        r = parse_link_info(found[IFLA_LINKINFO], &link);
    if (r == 0)
        *ret_link = link;
    return r;
}

static int each_link(const struct nlmsghdr *message, void *user)
{
    const struct list *list = user;
    struct netlink_link link;
    if (message->nlmsg_type != RTM_NEWLINK)
        return -EBADMSG;
    int r = parse_link(message, &link);
    return r < 0 ? r : list->found.link(&link, list->user);
}

int netlink_each_link(int socket, int (*found)(const struct netlink_link *link, void *user), void *user)
{
    const struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
    struct list list = {.found.link = found, .user = user};
    return list_all(socket, RTM_GETLINK, &body, sizeof(body), each_link, &list);
}

static int copy_link(const struct netlink_link *link, void *user)
{
    *(struct netlink_link *)user = *link;
    return 0;
}

int netlink_get_link(int socket, uint32_t index, struct netlink_link *ret_link)
{
    const struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    struct list list = {.found.link = copy_link, .user = ret_link};
    struct netlink_request request;
    netlink_begin(&request, RTM_GETLINK, 0, &body, sizeof(body));
    return netlink_dump(socket, &request, each_link, &list);
}

int netlink_find_link(int socket, const char *name, struct netlink_link *ret_link)
{
    const struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
    struct list list = {.found.link = copy_link, .user = ret_link};
    struct netlink_request request;
    netlink_begin(&request, RTM_GETLINK, 0, &body, sizeof(body));
    netlink_put_text(&request, IFLA_IFNAME, name);
    return netlink_dump(socket, &request, each_link, &list);
}

static int each_address(const struct nlmsghdr *message, void *user)
{
    const struct list *list = user;
    const struct rtattr *found[IFA_LOCAL + 1];
    if (message->nlmsg_type != RTM_NEWADDR)
        return -EBADMSG;
    int r = netlink_parse(message, sizeof(struct ifaddrmsg), found, IFA_LOCAL);
    if (r < 0)
        return r;
    const struct ifaddrmsg *body = netlink_body(message);
    if (body->ifa_family != list->family)
        return 0;
    struct netlink_address address = {
            .index = body->ifa_index, .prefix_length = body->ifa_prefixlen, .family = body->ifa_family};
    /* On a link with a peer IFA_ADDRESS is the peer's. */
    const struct rtattr *own = found[IFA_LOCAL] ? found[IFA_LOCAL] : found[IFA_ADDRESS];
    address.ipv4 = netlink_get_ipv4(own);
    if (own && RTA_PAYLOAD(own) == sizeof(address.ipv6))
        memcpy(address.ipv6, netlink_value(own), sizeof(address.ipv6));
    return list->found.address(&address, list->user);
}

int netlink_each_address(
        int socket, uint8_t family, int (*found)(const struct netlink_address *address, void *user), void *user)
{
    const struct ifaddrmsg body = {.ifa_family = family};
    struct list list = {.found.address = found, .user = user, .family = family};
    return list_all(socket, RTM_GETADDR, &body, sizeof(body), each_address, &list);
}

/* The ways of a route that has several, one by one. */
static int each_way(const struct list *list, const struct rtattr *ways, struct netlink_route *route)
{
    const uint8_t *bytes = netlink_value(ways);
    size_t size = RTA_PAYLOAD(ways);
    route->has_several = true;
    for (size_t at = 0; size - at >= sizeof(struct rtnexthop);) {
        const struct rtnexthop *way = (const void *)(bytes + at);
        if (way->rtnh_len < sizeof(*way) || way->rtnh_len > size - at)
            return -EBADMSG;
        const struct rtattr *found[RTA_VIA + 1];
        int r = netlink_parse_bytes(bytes + at + sizeof(*way), way->rtnh_len - sizeof(*way), found, RTA_VIA);
        if (r < 0)
            return r;
        route->index = (uint32_t)way->rtnh_ifindex;
        route->ipv4_gateway = netlink_get_ipv4(found[RTA_GATEWAY]);
        route->has_gateway = found[RTA_GATEWAY] || found[RTA_VIA];
        r = list->found.route(route, list->user);
        if (r != 0)
            return r;
        size_t step = RTNH_ALIGN(way->rtnh_len);
        at = step < size - at ? at + step : size;
    }
    return 0;
}

static int each_route(const struct nlmsghdr *message, void *user)
{
    const struct list *list = user;
    const struct rtattr *found[RTA_VIA + 1];
    if (message->nlmsg_type != RTM_NEWROUTE)
        return -EBADMSG;
    int r = netlink_parse(message, sizeof(struct rtmsg), found, RTA_VIA);
    if (r < 0)
        return r;
    const struct rtmsg *body = netlink_body(message);
    if (body->rtm_family != list->family || body->rtm_flags & RTM_F_CLONED)
        return 0;
    struct netlink_route route = {.prefix_length = body->rtm_dst_len,
            .ipv4 = netlink_get_ipv4(found[RTA_DST]),
            .ipv4_gateway = netlink_get_ipv4(found[RTA_GATEWAY]),
            .index = netlink_get_u32(found[RTA_OIF]),
            .table = found[RTA_TABLE] ? netlink_get_u32(found[RTA_TABLE]) : body->rtm_table,
            .family = body->rtm_family,
            .type = body->rtm_type,
            .has_gateway = found[RTA_GATEWAY] || found[RTA_VIA]};
    if (found[RTA_DST] && RTA_PAYLOAD(found[RTA_DST]) == sizeof(route.ipv6))
        memcpy(route.ipv6, netlink_value(found[RTA_DST]), sizeof(route.ipv6));
    return found[RTA_MULTIPATH] ? each_way(list, found[RTA_MULTIPATH], &route) : list->found.route(&route, list->user);
}

int netlink_each_route(
        int socket, uint8_t family, int (*found)(const struct netlink_route *route, void *user), void *user)
{
    const struct rtmsg body = {.rtm_family = family};
    struct list list = {.found.route = found, .user = user, .family = family};
    return list_all(socket, RTM_GETROUTE, &body, sizeof(body), each_route, &list);
}
