/* The network of a build, looked at from within: a child of ours goes into the build's network namespace, with the
 * rights of the host's root and nothing else of the build's. There the unreachable routes, the build's inner fence, are
 * passed by: the child makes its packets itself. What the host answers to then is what its own rules permit. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "verify/run.h"

#define INSIDE "eth0"
#define PATIENCE_MS 1000

/* What the child found. */
struct found {
    int code;
    char step[48]; /* that failed with the code */
    char port[IFNAMSIZ];
    bool is_isolated;
    bool is_answered;
};

/* The host's end of the link and where packets for the host go. */
struct way {
    int links_fd; /* /sys/class/net of the host */
    struct in_addr own;
    struct in_addr gateway;
    uint8_t gateway_mac[6];
};

static int fail(struct found *found, const char *step)
{
    found->code = errno ? errno : EIO;
    (void)snprintf(found->step, sizeof(found->step), "%s", step);
    return -found->code;
}

static int read_line(int dir_fd, const char *path, char ret_text[64])
{
    char *text = NULL;
    int r = fd_read_file_at(dir_fd, path, 4096, &text, NULL);
    if (r == 0)
        (void)snprintf(ret_text, 64, "%.*s", (int)strcspn(text, "\n"), text);
    free(text);
    return r;
}

/* The old sysfs shows the links of the host, a new one those of the namespace. */
static int enter(pid_t pid, struct way *way, struct found *found)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    _cleanup_close_ int namespace = open(path, O_RDONLY | O_CLOEXEC);
    way->links_fd = open("/sys/class/net", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (namespace < 0 || way->links_fd < 0 || setns(namespace, CLONE_NEWNET) < 0)
        return fail(found, "enter the network namespace");
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL) < 0)
        return fail(found, "look at the links inside");
    return 0;
}

/* The link of the host that is the other end of the build's. */
static int find_port(struct way *way, struct found *found)
{
    char index[64];
    char text[64];
    char path[320];
    if (read_line(AT_FDCWD, "/sys/class/net/" INSIDE "/iflink", index) < 0)
        return fail(found, "find the link inside");
    DIR *directory = fdopendir(dup(way->links_fd));
    for (struct dirent *entry; directory && !found->port[0] && (entry = readdir(directory)) != NULL;) {
        (void)snprintf(path, sizeof(path), "%s/ifindex", entry->d_name);
        if (entry->d_name[0] != '.' && read_line(way->links_fd, path, text) == 0 && strcmp(text, index) == 0)
            (void)snprintf(found->port, sizeof(found->port), "%.15s", entry->d_name);
    }
    if (directory)
        (void)closedir(directory);
    (void)snprintf(path, sizeof(path), "%s/brport/isolated", found->port);
    if (!found->port[0] || read_line(way->links_fd, path, text) < 0)
        return fail(found, "find the link on the host");
    found->is_isolated = strcmp(text, "1") == 0;
    (void)snprintf(path, sizeof(path), "%s/master/address", found->port);
    uint8_t *mac = way->gateway_mac;
    if (read_line(way->links_fd, path, text) < 0 ||
            sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) != 6)
        return fail(found, "find the bridge");
    return 0;
}

/* The build's own address and the host's on the bridge, where the default route leads. */
static int find_addresses(struct way *way, struct found *found)
{
    struct ifreq request = {.ifr_name = INSIDE};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFADDR, &request) < 0)
        return fail(found, "read the address inside");
    struct sockaddr_in address;
    memcpy(&address, &request.ifr_addr, sizeof(address));
    way->own = address.sin_addr;
    _cleanup_free_ char *routes = NULL;
    if (fd_read_file_at(AT_FDCWD, "/proc/self/net/route", 1U << 20, &routes, NULL) < 0)
        return fail(found, "read the routes inside");
    const char *line = strstr(routes, INSIDE "\t00000000\t");
    unsigned gateway;
    if (!line || sscanf(line, INSIDE "\t00000000\t%8x", &gateway) != 1)
        return fail(found, "find the default route");
    way->gateway.s_addr = gateway; /* the file has it as it lies in memory */
    return 0;
}

static uint16_t checksum(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

struct packet {
    struct iphdr ip;
    struct icmphdr icmp;
};

/* An echo request to the host's address on the bridge. */
static struct packet make_packet(const struct way *way)
{
    struct packet packet = {.ip = {.version = 4,
                                    .ihl = 5,
                                    .tot_len = htons(sizeof(packet)),
                                    .ttl = 64,
                                    .protocol = IPPROTO_ICMP,
                                    .saddr = way->own.s_addr,
                                    .daddr = way->gateway.s_addr},
            .icmp = {.type = ICMP_ECHO}};
    packet.icmp.checksum = checksum(&packet.icmp, sizeof(packet.icmp));
    packet.ip.check = checksum(&packet.ip, sizeof(packet.ip));
    return packet;
}

static bool is_answer(const struct packet *packet, ssize_t size, const struct way *way)
{
    return size >= (ssize_t)sizeof(*packet) && packet->ip.protocol == IPPROTO_ICMP &&
           packet->ip.saddr == way->gateway.s_addr && packet->icmp.type == ICMP_ECHOREPLY;
}

/* True when an answer comes before nothing has come for the length of our patience. */
static bool wait_for_answer(int fd, const struct way *way)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    while (poll(&entry, 1, PATIENCE_MS) == 1) {
        struct packet packet;
        ssize_t size = recv(fd, &packet, sizeof(packet), 0);
        if (is_answer(&packet, size, way))
            return true;
    }
    return false;
}

static int ask_host(const struct way *way, struct found *found)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
            .sll_protocol = htons(ETH_P_IP),
            .sll_ifindex = (int)if_nametoindex(INSIDE),
            .sll_halen = sizeof(way->gateway_mac)};
    memcpy(to.sll_addr, way->gateway_mac, sizeof(way->gateway_mac));
    const struct packet packet = make_packet(way);
    _cleanup_close_ int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP));
    if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
            sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to)) != (ssize_t)sizeof(packet))
        return fail(found, "send a packet to the host");
    found->is_answered = wait_for_answer(fd, way);
    return 0;
}

__attribute__((noreturn)) static void look_inside(pid_t pid, int result_fd)
{
    struct way way = {.links_fd = -EBADF};
    struct found found = {0};
    int r = enter(pid, &way, &found);
    if (r == 0)
        r = find_port(&way, &found);
    if (r == 0)
        r = find_addresses(&way, &found);
    if (r == 0)
        (void)ask_host(&way, &found);
    (void)fd_write_all(result_fd, &found, sizeof(found));
    _exit(0);
}

/* 0 or -errno; what the child says is in @ret_found. */
static int ask_child(pid_t pid, struct found *ret_found)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    _cleanup_close_ int result = ends[0];
    pid_t child = fork();
    int code = errno;
    if (child == 0)
        look_inside(pid, ends[1]);
    (void)close(ends[1]);
    if (child < 0)
        return -code;
    int r = fd_read_exact(result, ret_found, sizeof(*ret_found));
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return r;
}

void look_at_network(struct run *run, struct seen_sandbox *sandbox)
{
    static const char tried[] = "a build: the host's own rules, past the build's routes";
    struct found found = {0};
    int r = ask_child(sandbox->command, &found);
    if (r < 0 || found.code != 0)
        return report_add(&run->report, 3, REPORT_OUTSIDE, REPORT_UNABLE, tried, "%s: %s", found.step,
                strerror(r < 0 ? -r : found.code));
    (void)snprintf(sandbox->link, sizeof(sandbox->link), "%s", found.port);
    report_fact(&run->report, 3, REPORT_OUTSIDE, !found.is_answered, tried, "the host %s an echo request",
            found.is_answered ? "answered" : "did not answer");
    report_fact(&run->report, 3, REPORT_OUTSIDE, found.is_isolated, "a build: its link reaches no other build's",
            "the bridge's port '%s' is %s", found.port, found.is_isolated ? "isolated" : "not isolated");
}
