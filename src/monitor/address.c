/* Addresses of interfaces through one netlink socket that is kept: a dump of RTM_GETADDR, which the kernel answers at
 * once. Datagrams that do not come from the kernel, or belong to an earlier question, are passed over. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "monitor/sample.h"

int address_open(void)
{
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    /* The kernel answers before sendto returns; a lost answer must not stop the loop for good. */
    struct timeval patience = {.tv_usec = 200000};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int ask(int fd, uint16_t type, uint32_t sequence)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg body; /* starts as ifaddrmsg does: the family, here all */
    } question = {
            .header = {.nlmsg_len = sizeof(question),
                    .nlmsg_type = type,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                    .nlmsg_seq = sequence},
    };
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent = sendto(fd, &question, sizeof(question), 0, (const struct sockaddr *)&kernel, sizeof(kernel));
    return sent == sizeof(question) ? 0 : sent < 0 ? -errno : -EIO;
}

struct link {
    int index;
    char name[SAMPLE_NAME_MAX];
};

struct lists {
    struct link links[MONITOR_INTERFACES_MAX * 4];
    unsigned link_count;
    struct address *addresses;
    unsigned count;
    unsigned max;
};

/* The kernel's macros for these messages cast const away; so the pointers are not const, and nothing is written through
 * them. */
static void take_link(struct lists *lists, struct nlmsghdr *message)
{
    struct ifinfomsg *body = NLMSG_DATA(message);
    int size = (int)IFLA_PAYLOAD(message);
    for (struct rtattr *a = IFLA_RTA(body); RTA_OK(a, size); a = RTA_NEXT(a, size)) {
        if (a->rta_type != IFLA_IFNAME || lists->link_count == ELEMENTS(lists->links))
            continue;
        struct link *link = &lists->links[lists->link_count++];
        link->index = body->ifi_index;
        (void)snprintf(link->name, sizeof(link->name), "%.*s", (int)RTA_PAYLOAD(a), (const char *)RTA_DATA(a));
    }
}

static void take_address(struct lists *lists, struct nlmsghdr *message)
{
    struct ifaddrmsg *body = NLMSG_DATA(message);
    if (lists->count == lists->max || body->ifa_scope >= RT_SCOPE_LINK)
        return;
    const struct link *link = NULL;
    for (unsigned i = 0; i < lists->link_count; i++)
        if (lists->links[i].index == (int)body->ifa_index)
            link = &lists->links[i];
    /* On a point-to-point link IFA_ADDRESS is the other end's: IFA_LOCAL wins. */
    struct rtattr *best = NULL;
    int size = (int)IFA_PAYLOAD(message);
    for (struct rtattr *a = IFA_RTA(body); RTA_OK(a, size); a = RTA_NEXT(a, size))
        if (a->rta_type == IFA_LOCAL || (a->rta_type == IFA_ADDRESS && !best))
            best = a;
    size_t length = body->ifa_family == AF_INET ? 4 : 16;
    struct address *address = &lists->addresses[lists->count];
    if (!link || !best || RTA_PAYLOAD(best) < length)
        return;
    if (!inet_ntop(body->ifa_family, RTA_DATA(best), address->text, sizeof(address->text)))
        return;
    memcpy(address->interface, link->name, sizeof(address->interface));
    lists->count++;
}

/* One datagram of the answer: 1 there is more, 0 that was the end, -errno. */
static int take_datagram(struct lists *lists, void *bytes, size_t size, uint32_t sequence)
{
    struct nlmsghdr *message = bytes;
    unsigned left = (unsigned)size;
    for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
        if (message->nlmsg_seq != sequence)
            continue;
        if (message->nlmsg_type == NLMSG_DONE)
            return 0;
        if (message->nlmsg_type == NLMSG_ERROR)
            return -EIO;
        if (message->nlmsg_type == RTM_NEWLINK && message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifinfomsg)))
            take_link(lists, message);
        if (message->nlmsg_type == RTM_NEWADDR && message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifaddrmsg)))
            take_address(lists, message);
    }
    return 1;
}

static int dump(struct monitor *monitor, uint16_t type, struct lists *lists)
{
    _Alignas(struct nlmsghdr) char bytes[32768];
    uint32_t sequence = ++monitor->netlink_sequence;
    int r = ask(monitor->netlink_fd, type, sequence);
    if (r < 0)
        return r;
    for (r = 1; r == 1;) {
        struct sockaddr_nl sender = {0};
        socklen_t sender_size = sizeof(sender);
        ssize_t size = recvfrom(
                monitor->netlink_fd, bytes, sizeof(bytes), MSG_TRUNC, (struct sockaddr *)&sender, &sender_size);
        if (size < 0)
            return errno == EINTR ? -EAGAIN : -errno;
        if ((size_t)size > sizeof(bytes))
            return -EMSGSIZE;
        if (sender.nl_pid == 0)
            r = take_datagram(lists, bytes, (size_t)size, sequence);
    }
    return r;
}

int address_list(struct monitor *monitor, struct address addresses[], unsigned max)
{
    if (monitor->netlink_fd < 0)
        return monitor->netlink_fd;
    struct lists lists = {.addresses = addresses, .max = max};
    int r = dump(monitor, RTM_GETLINK, &lists);
    if (r == 0)
        r = dump(monitor, RTM_GETADDR, &lists);
    return r < 0 ? r : (int)lists.count;
}
