/* The kernel runs programs of the host by itself: modprobe for a module that somebody asked for. A job must not be able
 * to ask: the program runs as the host's root, and what it loads is kernel code that the host did not want (P2). Each
 * of these calls asks on a kernel with modules, without any capability, unless it is refused before.
 *
 * In the virtual machine tests/e2e/test_escapes.py watches what the kernel really runs. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempt.h"

/* The kernel looks for "tty-ldisc-NUMBER". */
static int line_discipline(char seen[ATTEMPT_SEEN_MAX])
{
    int terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    if (terminal < 0)
        return attempt_fact(0, seen, "no terminal of our own to try on: %s", strerrorname_np(errno));
    for (int number = 1; number < 32; number++)
        for (unsigned shift = 0; shift < 64; shift += 33)
            if (syscall(SYS_ioctl, terminal, 0x5423ULL /* TIOCSETD */ | (shift ? 1ULL << shift : 0), &number) != -1 ||
                    errno != EPERM)
                return attempt_fact(0, seen, "discipline %d: %s", number, strerrorname_np(errno));
    return attempt_fact(1, seen, "EPERM for each");
}

static int is_permitted_socket(int family, int type, int protocol)
{
    int icmp = family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    return (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP)) ||
           (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP || protocol == icmp));
}

/* The kernel looks for "net-pf-2-proto-PROTOCOL-type-TYPE": SCTP, DCCP, L2TP, SMC and what else was ever written. */
static int protocols_of(int family, char seen[ATTEMPT_SEEN_MAX])
{
    for (int type = 0; type < 12; type++) {
        for (int protocol = 0; protocol < 270; protocol++) {
            if (is_permitted_socket(family, type, protocol))
                continue;
            int expected = type == SOCK_RAW ? EPERM : EPROTONOSUPPORT;
            if (socket(family, type, protocol) != -1 || errno != expected)
                return attempt_fact(
                        0, seen, "family %d type %d protocol %d: %s", family, type, protocol, strerrorname_np(errno));
        }
    }
    return attempt_fact(1, seen, "none but TCP, UDP and echo requests");
}

static int inet_protocols(char seen[ATTEMPT_SEEN_MAX])
{
    return protocols_of(AF_INET, seen);
}

static int inet6_protocols(char seen[ATTEMPT_SEEN_MAX])
{
    return protocols_of(AF_INET6, seen);
}

static int protocol_high_bits(char seen[ATTEMPT_SEEN_MAX])
{
    static const unsigned long long tries[][3] = {{AF_INET, SOCK_STREAM, 1ULL << 32 | IPPROTO_SCTP},
            {AF_INET, 1ULL << 32 | SOCK_SEQPACKET, 0}, {1ULL << 32 | AF_INET, SOCK_STREAM, IPPROTO_SCTP},
            {1ULL << 32 | AF_INET6, SOCK_DCCP, IPPROTO_DCCP}, {AF_INET, SOCK_STREAM, 1ULL << 32},
            {AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP}, {AF_INET, SOCK_DCCP | SOCK_NONBLOCK, 0},
            {AF_INET, 1ULL << 40 | SOCK_STREAM, IPPROTO_TCP}};
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
        if (syscall(SYS_socket, tries[i][0], tries[i][1], tries[i][2]) != -1 || errno != EPROTONOSUPPORT)
            return attempt_fact(0, seen, "try %zu: %s", i, strerrorname_np(errno));
    return attempt_fact(1, seen, "EPROTONOSUPPORT for each");
}

/* The sockets that programs need are there, with their flags. */
static int common_sockets(char seen[ATTEMPT_SEEN_MAX])
{
    static const int flags[] = {0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK};
    static const int families[] = {AF_INET, AF_INET6};
    for (size_t f = 0; f < 4; f++) {
        for (size_t i = 0; i < 2; i++) {
            int icmp = i == 0 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
            if (socket(families[i], SOCK_STREAM | flags[f], 0) < 0 ||
                    socket(families[i], SOCK_STREAM | flags[f], IPPROTO_TCP) < 0 ||
                    socket(families[i], SOCK_DGRAM | flags[f], 0) < 0 ||
                    socket(families[i], SOCK_DGRAM | flags[f], IPPROTO_UDP) < 0)
                return attempt_fact(0, seen, "family %d, flags %#x: %s", families[i], flags[f], strerrorname_np(errno));
            /* Who may do this says a setting of the network namespace. */
            if (socket(families[i], SOCK_DGRAM | flags[f], icmp) < 0 && errno != EACCES)
                return attempt_fact(0, seen, "echo requests: %s", strerrorname_np(errno));
        }
        if (socket(AF_UNIX, SOCK_SEQPACKET | flags[f], 0) < 0 || socket(AF_NETLINK, SOCK_RAW | flags[f], 0) < 0)
            return attempt_fact(0, seen, "UNIX or route: %s", strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "TCP, UDP, UNIX and route are there");
}

/* The kernel looks for "bridge" and "8021q" before it asks who is calling. */
static int interface_requests(char seen[ATTEMPT_SEEN_MAX])
{
    static const unsigned long long requests[] = {0x8940 /* SIOCGIFBR */, 0x8941 /* SIOCSIFBR */,
            0x8982 /* SIOCGIFVLAN */, 0x8983 /* SIOCSIFVLAN */, 0x89a0 /* SIOCBRADDBR */, 0x89a1 /* SIOCBRDELBR */};
    char argument[64] = {0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        for (unsigned shift = 0; shift < 64; shift += 33)
            if (syscall(SYS_ioctl, fd, requests[i] | (shift ? 1ULL << shift : 0), argument) != -1 || errno != EPERM)
                return attempt_fact(0, seen, "request %#llx: %s", requests[i], strerrorname_np(errno));
    return attempt_fact(1, seen, "EPERM for each");
}

/* "crypto-NAME": the name comes from the caller for TCP-AO, is md5 for its elder. "tcp-ulp-NAME" for TLS in the kernel,
 * which asks for ciphers too. */
static int tcp_options(char seen[ATTEMPT_SEEN_MAX])
{
    static const int options[] = {14 /* MD5SIG */, 31 /* ULP */, 32 /* MD5SIG_EXT */, 38 /* AO_ADD_KEY */,
            39 /* AO_DEL_KEY */, 40 /* AO_INFO */};
    char argument[256] = "hostile-canary";
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        for (unsigned shift = 0; shift < 64; shift += 33)
            if (syscall(SYS_setsockopt, fd, IPPROTO_TCP | (shift ? 1ULL << shift : 0), options[i], argument,
                        sizeof(argument)) != -1 ||
                    errno != ENOPROTOOPT)
                return attempt_fact(0, seen, "option %d: %s", options[i], strerrorname_np(errno));
    return attempt_fact(1, seen, "ENOPROTOOPT for each");
}

/* "tcp_hostile-canary": by name, for whoever has the host's CAP_NET_ADMIN. */
static int congestion_control(char seen[ATTEMPT_SEEN_MAX])
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return ATTEMPT_REFUSED(
            setsockopt(fd, IPPROTO_TCP, 13 /* TCP_CONGESTION */, "hostile", 7), seen, ENOENT, EPERM, ENOPROTOOPT);
}

/* "ip_tables", "ip_set" and so on: by socket options. */
static int packet_filter_options(char seen[ATTEMPT_SEEN_MAX])
{
    char argument[128] = "nat";
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    for (int option = 64; option < 100; option++) {
        socklen_t size = sizeof(argument);
        if (setsockopt(fd, IPPROTO_IP, option, argument, size) != -1 || (errno != EPERM && errno != ENOPROTOOPT))
            return attempt_fact(0, seen, "set %d: %s", option, strerrorname_np(errno));
        /* 80 asks where a connection went before it was redirected: about its own connection, without a table. */
        if (option != 80 &&
                (getsockopt(fd, IPPROTO_IP, option, argument, &size) != -1 || (errno != EPERM && errno != ENOPROTOOPT)))
            return attempt_fact(0, seen, "get %d: %s", option, strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "EPERM or ENOPROTOOPT for each");
}

/* A name that is no interface: "netdev-NAME", for whoever has the host's CAP_NET_ADMIN. */
static int interface_by_name(char seen[ATTEMPT_SEEN_MAX])
{
    char request[64] = "hostilecanary";
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return ATTEMPT_REFUSED(ioctl(fd, 0x8933 /* SIOCGIFINDEX */, request), seen, ENODEV);
}

struct request {
    struct nlmsghdr header;
    struct tcmsg message;
    struct rtattr attribute;
    char kind[16];
};

/* Sends @request and returns the errno of the answer (0: accepted or no answer). */
static int ask_route(struct request *request, size_t size)
{
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[4096];
    } answer = {0};
    request->header.nlmsg_len = size;
    request->header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    if (send(fd, request, size, 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
        return errno;
    (void)close(fd);
    return answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : 0;
}

/* What changes something needs a capability; it must be asked for before a module is. */
static int change_by_route(char seen[ATTEMPT_SEEN_MAX])
{
    static const int types[] = {RTM_NEWLINK, RTM_NEWQDISC, RTM_NEWTFILTER, RTM_NEWACTION, RTM_NEWROUTE, RTM_NEWADDR,
            RTM_NEWNEIGH, RTM_NEWRULE, RTM_DELLINK, RTM_NEWCHAIN, 104 /* RTM_NEWNEXTHOP */, 120 /* RTM_NEWTUNNEL */};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct request request = {.header = {.nlmsg_type = types[i], .nlmsg_flags = NLM_F_CREATE},
                .message = {.tcm_ifindex = 1},
                .attribute = {.rta_len = RTA_LENGTH(13), .rta_type = TCA_KIND},
                .kind = "hostilecanar"};
        int code = ask_route(&request, sizeof(request));
        if (code != EPERM && code != EOPNOTSUPP)
            return attempt_fact(0, seen, "request %d: %s", types[i], strerrorname_np(code));
    }
    return attempt_fact(1, seen, "EPERM for each");
}

/* The other way to modprobe: execution of a format that nobody knows. Here only that it does not run. */
static int unknown_format(char seen[ATTEMPT_SEEN_MAX])
{
    static const unsigned char bytes[128] = {0x01, 0x02, 0xca, 0xfe, 0x05};
    int fd = open("/tmp/format", O_WRONLY | O_CREAT | O_TRUNC, 0700);
    if (fd < 0 || write(fd, bytes, sizeof(bytes)) != sizeof(bytes))
        return attempt_fact(0, seen, "cannot write /tmp: %s", strerrorname_np(errno));
    (void)close(fd);
    char *arguments[] = {"/tmp/format", NULL};
    return ATTEMPT_REFUSED(execv(arguments[0], arguments), seen, ENOEXEC);
}

/* A question about a traffic filter of a block that is not there: the kernel looks the kind up first. */
static int classifier_question(char seen[ATTEMPT_SEEN_MAX])
{
    struct request request = {.header = {.nlmsg_type = RTM_GETTFILTER},
            .message = {.tcm_ifindex = -1 /* TCM_IFINDEX_MAGIC_BLOCK */, .tcm_parent = 1, .tcm_info = 0x00010008},
            .attribute = {.rta_len = RTA_LENGTH(13), .rta_type = TCA_KIND},
            .kind = "hostilecanar"};
    int code = ask_route(&request, sizeof(request));
    return attempt_fact(code != 0, seen, "%s", strerrorname_np(code));
}

static const struct attempt modules_attempts[] = {
        {"M01", "P2", "line-discipline", "modules by TIOCSETD: CVE-2017-2636", line_discipline},
        {"M02", "P2", "inet-protocols", "modules by the protocol of an IPv4 socket: CVE-2017-6074, CVE-2021-23133",
                inet_protocols},
        {"M03", "P2", "inet6-protocols", "modules by the protocol of an IPv6 socket: CVE-2017-6074, CVE-2021-23133",
                inet6_protocols},
        {"M04", "P2", "protocol-high-bits", "bits that a rule compares and the kernel ignores", protocol_high_bits},
        {"M05", "P2", "common-sockets", "none: what must stay possible beside M02 to M04", common_sockets},
        {"M06", "P2", "interface-requests", "modules by ioctl: bridge and 8021q", interface_requests},
        {"M07", "P2", "tcp-options", "modules by TCP options: ciphers, kernel TLS (CVE-2023-0461)", tcp_options},
        {"M08", "P2", "congestion-control", "modules by the name of a congestion control", congestion_control},
        {"M09", "P2", "packet-filter-options", "x_tables by socket option: CVE-2021-22555", packet_filter_options},
        {"M10", "P2", "interface-by-name", "modules by the name of an interface", interface_by_name},
        {"M11", "P2", "change-by-route", "modules by what is to be made through the route socket: CVE-2022-2588",
                change_by_route},
        {"M12", "P2", "unknown-format", "modules by executing an unknown format", unknown_format},
        {"M13", "P2", "classifier-question", "modules by a question about traffic filters", classifier_question},
};

const struct attempt_group attempts_modules = {
        modules_attempts, sizeof(modules_attempts) / sizeof(modules_attempts[0])};
