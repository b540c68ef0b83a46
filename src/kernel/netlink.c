#include "kernel/netlink.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/netlink_private.h"

/* The kernel answers before the request's call returns. Whoever waits longer waits for nothing. */
#define ANSWER_SECONDS 10

int netlink_open(void)
{
    const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    const int room = 1 << 20;
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    const struct sockaddr_nl own = {.nl_family = AF_NETLINK};
    if (bind(fd, (const struct sockaddr *)&own, sizeof(own)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int netlink_watch_links(int socket)
{
    const int group = RTNLGRP_LINK;
    return setsockopt(socket, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ? -errno : 0;
}

void netlink_drain(int socket)
{
    uint8_t bytes[4096];
    /* What was lost (ENOBUFS) is news, too. */
    while (recv(socket, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC) >= 0 || errno == ENOBUFS || errno == EINTR)
        ;
}

static void begin_link(struct netlink_request *request, uint16_t type, uint16_t flags, uint32_t index)
{
    const struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    netlink_begin(request, type, flags, &body, sizeof(body));
}

int netlink_add_bridge(int socket, const char *name, const uint8_t address[6], uint32_t mtu)
{
    struct netlink_request request;
    begin_link(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    netlink_put_text(&request, IFLA_IFNAME, name);
    netlink_put_u32(&request, IFLA_MTU, mtu);
    netlink_put(&request, IFLA_ADDRESS, address, 6);
    size_t info = netlink_nest(&request, IFLA_LINKINFO);
    netlink_put_text(&request, IFLA_INFO_KIND, "bridge");
    size_t data = netlink_nest(&request, IFLA_INFO_DATA);
    netlink_put_u8(&request, IFLA_BR_MCAST_SNOOPING, 0);
    netlink_unnest(&request, data);
    netlink_unnest(&request, info);
    return netlink_talk(socket, &request);
}

int netlink_add_veth(int socket, const char *name, uint32_t master, const char *peer_name, pid_t peer_pid, uint32_t mtu)
{
    static const struct ifinfomsg peer_body = {.ifi_family = AF_UNSPEC};
    struct netlink_request request;
    begin_link(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    netlink_put_text(&request, IFLA_IFNAME, name);
    netlink_put_u32(&request, IFLA_MTU, mtu);
    if (master > 0)
        netlink_put_u32(&request, IFLA_MASTER, master);
    size_t info = netlink_nest(&request, IFLA_LINKINFO);
    netlink_put_text(&request, IFLA_INFO_KIND, "veth");
    size_t data = netlink_nest(&request, IFLA_INFO_DATA);
    size_t peer = netlink_nest(&request, VETH_INFO_PEER);
    netlink_put_raw(&request, &peer_body, sizeof(peer_body));
    netlink_put_text(&request, IFLA_IFNAME, peer_name);
    netlink_put_u32(&request, IFLA_MTU, mtu);
    netlink_put_u32(&request, IFLA_NET_NS_PID, (uint32_t)peer_pid);
    netlink_unnest(&request, peer);
    netlink_unnest(&request, data);
    netlink_unnest(&request, info);
    return netlink_talk(socket, &request);
}

int netlink_delete_link(int socket, uint32_t index)
{
    struct netlink_request request;
    begin_link(&request, RTM_DELLINK, 0, index);
    return index == 0 ? -EINVAL : netlink_talk(socket, &request);
}

int netlink_set_up(int socket, uint32_t index)
{
    const struct ifinfomsg body = {
            .ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct netlink_request request;
    netlink_begin(&request, RTM_SETLINK, 0, &body, sizeof(body));
    return netlink_talk(socket, &request);
}

int netlink_set_alias(int socket, uint32_t index, const char *alias)
{
    struct netlink_request request;
    begin_link(&request, RTM_SETLINK, 0, index);
    netlink_put(&request, IFLA_IFALIAS, alias, strlen(alias)); /* the kernel adds the NUL */
    return netlink_talk(socket, &request);
}

int netlink_set_no_ipv6_address(int socket, uint32_t index)
{
    struct netlink_request request;
    begin_link(&request, RTM_SETLINK, 0, index);
    size_t families = netlink_nest(&request, IFLA_AF_SPEC);
    size_t ipv6 = netlink_nest(&request, AF_INET6);
    netlink_put_u8(&request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    netlink_unnest(&request, ipv6);
    netlink_unnest(&request, families);
    return netlink_talk(socket, &request);
}

/* The address @peer is behind the port @index: no frame has to tell. */
static int add_peer(int socket, uint32_t index, const uint8_t peer[6])
{
    const struct ndmsg body = {
            .ndm_family = AF_BRIDGE, .ndm_ifindex = (int)index, .ndm_state = NUD_NOARP, .ndm_flags = NTF_MASTER};
    struct netlink_request request;
    netlink_begin(&request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof(body));
    netlink_put(&request, NDA_LLADDR, peer, 6);
    return netlink_talk(socket, &request);
}

int netlink_set_isolated_port(int socket, uint32_t index, const uint8_t peer[6])
{
    const struct ifinfomsg body = {.ifi_family = AF_BRIDGE, .ifi_index = (int)index};
    struct netlink_request request;
    netlink_begin(&request, RTM_SETLINK, 0, &body, sizeof(body));
    size_t port = netlink_nest(&request, IFLA_PROTINFO | NLA_F_NESTED);
    netlink_put_u8(&request, IFLA_BRPORT_ISOLATED, 1);
    netlink_put_u8(&request, IFLA_BRPORT_LEARNING, 0);
    netlink_put_u8(&request, IFLA_BRPORT_UNICAST_FLOOD, 0);
    netlink_put_u8(&request, IFLA_BRPORT_MCAST_FLOOD, 0);
    netlink_unnest(&request, port);
    int r = netlink_talk(socket, &request);
    return r < 0 ? r : add_peer(socket, index, peer);
}

int netlink_add_address(int socket, uint32_t index, uint32_t address, uint32_t prefix_length)
{
    const struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = (uint8_t)prefix_length, .ifa_index = index};
    struct netlink_request request;
    if (prefix_length > 32)
        return -EINVAL;
    netlink_begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
    netlink_put_ipv4(&request, IFA_LOCAL, address);
    netlink_put_ipv4(&request, IFA_ADDRESS, address);
    return netlink_talk(socket, &request);
}

static void begin_route(
        struct netlink_request *request, uint8_t type, uint8_t scope, uint32_t address, uint32_t prefix_length)
{
    const struct rtmsg body = {.rtm_family = AF_INET,
            .rtm_dst_len = (uint8_t)prefix_length,
            .rtm_table = RT_TABLE_MAIN,
            .rtm_protocol = RTPROT_STATIC,
            .rtm_scope = scope,
            .rtm_type = type};
    netlink_begin(request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
    if (prefix_length > 0)
        netlink_put_ipv4(request, RTA_DST, address);
}

int netlink_add_default_route(int socket, uint32_t index, uint32_t gateway)
{
    struct netlink_request request;
    begin_route(&request, RTN_UNICAST, RT_SCOPE_UNIVERSE, 0, 0);
    netlink_put_ipv4(&request, RTA_GATEWAY, gateway);
    netlink_put_u32(&request, RTA_OIF, index);
    return netlink_talk(socket, &request);
}

int netlink_add_unreachable_route(int socket, uint32_t address, uint32_t prefix_length)
{
    struct netlink_request request;
    if (prefix_length > 32)
        return -EINVAL;
    begin_route(&request, RTN_UNREACHABLE, RT_SCOPE_UNIVERSE, address, prefix_length);
    return netlink_talk(socket, &request);
}
