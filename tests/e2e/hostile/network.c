/* The network: raw and foreign socket families, the host's services, abstract sockets of the host, other interfaces. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "attempt.h"

static int foreign_families(char seen[ATTEMPT_SEEN_MAX])
{
    for (int family = 0; family < 60; family++) {
        if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
            continue;
        if (socket(family, SOCK_DGRAM, 0) != -1 || socket(family, SOCK_RAW, 0) != -1 ||
                socket(family, SOCK_STREAM, 0) != -1)
            return attempt_fact(0, seen, "a socket of family %d", family);
        if (errno != EPERM && errno != EAFNOSUPPORT && errno != EACCES)
            return attempt_fact(0, seen, "family %d: %s", family, strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "no socket of any other family");
}

static int family_high_bits(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(
            syscall(SYS_socket, (1ULL << 32) | AF_PACKET, (unsigned long)SOCK_RAW, 0UL), seen, EPERM, EAFNOSUPPORT);
}

static int packet_socket(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(socket(AF_PACKET, SOCK_RAW, htons(3)), seen, EPERM, EAFNOSUPPORT);
}

static int raw_socket(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(socket(AF_INET, SOCK_RAW, IPPROTO_TCP), seen, EPERM);
}

static int other_netlink(char seen[ATTEMPT_SEEN_MAX])
{
    for (int protocol = 1; protocol < 23; protocol++) /* 0 is NETLINK_ROUTE */
        if (socket(AF_NETLINK, SOCK_RAW, protocol) != -1)
            return attempt_fact(0, seen, "a netlink socket of protocol %d", protocol);
    return attempt_fact(1, seen, "only the route protocol");
}

static int only_loopback(char seen[ATTEMPT_SEEN_MAX])
{
    struct if_nameindex *interfaces = if_nameindex();
    if (!interfaces)
        return attempt_fact(0, seen, "if_nameindex: %s", strerrorname_np(errno));
    for (struct if_nameindex *next = interfaces; next->if_index; next++)
        if (strcmp(next->if_name, "lo") != 0)
            return attempt_fact(0, seen, "interface %s", next->if_name);
    if_freenameindex(interfaces);
    return attempt_fact(1, seen, "lo alone");
}

static int connect_to(const char *address, uint16_t port)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(port)};
    (void)inet_pton(AF_INET, address, &peer.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int result = connect(fd, (struct sockaddr *)&peer, sizeof(peer));
    int code = errno;
    (void)close(fd);
    errno = code;
    return result;
}

/* The host's own service listens on the host's loopback; HOSTILE_PORT would be it. In the job nobody listens. */
static int host_loopback(char seen[ATTEMPT_SEEN_MAX])
{
    static const uint16_t ports[] = {22, 25, 53, 80, 111, 631, 2375, 3306, 5432, 6443, 8080, 50051};
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        if (connect_to("127.0.0.1", ports[i]) == 0)
            return attempt_fact(0, seen, "port %u of loopback answers", ports[i]);
    return attempt_fact(1, seen, "nothing listens on this loopback");
}

static int metadata_service(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(connect_to("169.254.169.254", 80), seen, ENETUNREACH, EHOSTUNREACH, EACCES, EPERM);
}

static int outside_world(char seen[ATTEMPT_SEEN_MAX])
{
    /* An address of the documentation range: nothing is ever sent. */
    return ATTEMPT_REFUSED(connect_to("192.0.2.1", 80), seen, ENETUNREACH, EHOSTUNREACH, EACCES, EPERM);
}

static int host_sockets(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const paths[] = {"/run/systemd/private", "/run/dbus/system_bus_socket", "/run/docker.sock",
            "/run/containerd/containerd.sock", "/run/systemd/journal/socket", "/dev/log", "/run/joblet/joblet.sock"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct sockaddr_un peer = {.sun_family = AF_UNIX};
        (void)snprintf(peer.sun_path, sizeof(peer.sun_path), "%s", paths[i]);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)) == 0 || errno != ENOENT)
            return attempt_fact(0, seen, "%s: %s", paths[i], strerrorname_np(errno));
        (void)close(fd);
    }
    return attempt_fact(1, seen, "none is there");
}

/* Abstract sockets belong to the network namespace: the host's must not be seen. */
static int abstract_sockets(char seen[ATTEMPT_SEEN_MAX])
{
    FILE *list = fopen("/proc/net/unix", "r");
    if (!list)
        return attempt_fact(1, seen, "no list: %s", strerrorname_np(errno));
    char line[512];
    unsigned count = 0;
    while (fgets(line, sizeof(line), list))
        if (strchr(line, '@'))
            count++;
    (void)fclose(list);
    return attempt_fact(count == 0, seen, "%u abstract sockets", count);
}

static int change_interface(char seen[ATTEMPT_SEEN_MAX])
{
    struct ifreq request = {0};
    (void)strcpy(request.ifr_name, "lo");
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return ATTEMPT_REFUSED(ioctl(fd, SIOCSIFFLAGS, &request), seen, EPERM);
}

/* Vsock reaches the hypervisor; AF_ALG and AF_VSOCK are among the families above, this names the worst. */
static int vsock(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(socket(AF_VSOCK, SOCK_STREAM, 0), seen, EPERM, EAFNOSUPPORT);
}

static const struct attempt network_attempts[] = {
        {"N01", "P2", "foreign-families",
                "socket families other than UNIX, IP and route, among them AF_ALG and AF_VSOCK", foreign_families},
        {"N02", "P2", "family-high-bits", "bits that a rule compares and the kernel ignores", family_high_bits},
        {"N03", "P3", "packet-socket", "packet sockets: CVE-2017-7308, CVE-2020-14386", packet_socket},
        {"N04", "P3", "raw-socket", "raw sockets: forged packets", raw_socket},
        {"N05", "P2", "other-netlink",
                "netlink sockets other than route, nftables among them: CVE-2022-1015, CVE-2024-1086", other_netlink},
        {"N06", "P3", "only-loopback", "interfaces of the host", only_loopback},
        {"N07", "P3", "host-loopback", "services on the host's loopback", host_loopback},
        {"N08", "P3", "metadata-service", "the cloud's metadata service", metadata_service},
        {"N09", "P3", "outside-world", "addresses outside", outside_world},
        {"N10", "P3", "host-sockets", "sockets of the host's services", host_sockets},
        {"N11", "P3", "abstract-sockets", "abstract sockets of the host: CVE-2020-15257", abstract_sockets},
        {"N12", "P2", "change-interface", "changing an interface", change_interface},
        {"N13", "P3", "vsock", "a socket to the hypervisor", vsock},
};

const struct attempt_group attempts_network = {
        network_attempts, sizeof(network_attempts) / sizeof(network_attempts[0])};
