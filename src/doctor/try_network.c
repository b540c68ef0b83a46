/* The network of builds: whether this kernel has what it takes, tried in a namespace of the try's own; and what the
 * host itself decides, its resolvers and its firewall. A kernel module that is not loaded stays so: loading one is a
 * change of the host, which the first build makes. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "doctor/row.h"
#include "kernel/mount.h"
#include "kernel/netlink.h"
#include "kernel/netlink_join.h"
#include "network/forwarding.h"
#include "network/network.h"
#include "network/resolver.h"
#include "network/survey.h"

/* The module @name is loaded, or built in, or there are no modules. */
static bool has_module(const char *name)
{
    char path[256];
    char wanted[64];
    struct utsname names;
    _cleanup_free_ char *text = NULL;
    (void)snprintf(path, sizeof(path), "/sys/module/%s", name);
    if (access(path, F_OK) == 0 || access("/proc/modules", F_OK) < 0)
        return true;
    if (uname(&names) < 0)
        return false;
    (void)snprintf(path, sizeof(path), "/lib/modules/%s/modules.builtin", names.release);
    (void)snprintf(wanted, sizeof(wanted), "/%s.ko", name);
    return fd_read_file_at(AT_FDCWD, path, 4U << 20, &text, NULL) == 0 && strstr(text, wanted);
}

/* False with @finding when one of the modules would have to be loaded. */
static bool has_modules(const char *const names[], struct finding *finding)
{
    for (size_t i = 0; names[i]; i++)
        if (!has_module(names[i])) {
            finding_untested(finding, "the module '%s' is not loaded", names[i]);
            return false;
        }
    return true;
}

struct joining {
    struct plan_network plan;
    int route_socket;
};

/* In namespaces of its own, as joblet-init. */
static void join_and_prove(void *user, struct finding *finding)
{
    const struct joining *joining = user;
    const struct plan_network *plan = &joining->plan;
    struct netlink_prefix refused[PLAN_ROUTES_MAX];
    for (uint32_t i = 0; i < plan->refused_count; i++)
        refused[i] = (struct netlink_prefix){plan->refused[i].address, plan->refused[i].prefix_length};
    const struct netlink_join join = {.host_socket = joining->route_socket,
            .bridge = plan->bridge,
            .host_name = plan->host_link,
            .address = plan->address,
            .prefix_length = plan->prefix_length,
            .gateway = plan->gateway,
            .mtu = plan->mtu,
            .refused = refused,
            .refused_count = plan->refused_count};
    struct error error = {0};
    struct netlink_link loopback;
    _cleanup_close_ int socket = netlink_open();
    int r = socket < 0 ? socket : netlink_find_link(socket, "lo", &loopback);
    if (r == 0)
        r = netlink_set_up(socket, loopback.index);
    int ipv6 = fd_write_file_at(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    if (r < 0 || (ipv6 < 0 && ipv6 != -ENOENT))
        finding_errno(finding, r < 0 ? -r : -ipv6, "prepare a network namespace");
    else if (netlink_join(&join, &error) < 0 || netlink_prove(&join, &error) < 0)
        finding_fails(finding, "%s", error.text);
    else
        finding_holds(finding, "a bridge, rules, and a link that was made and proven from inside");
}

/* A directory that is gone with the try. */
static int new_directory(struct finding *finding)
{
    static const struct mount_option options[] = {{"mode", "0700"}, {NULL, NULL}};
    int fd = mount_new("tmpfs", options, 0);
    if (fd < 0)
        finding_errno(finding, -fd, "a directory for the try");
    return fd;
}

void try_build_link(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    static const char *const modules[] = {
            "bridge", "veth", "nf_tables", "nft_chain_nat", "nft_masq", "nft_fib_inet", "nft_ct", NULL};
    static const char resolver[] = "nameserver 192.0.2.53\n";
    (void)doctor;
    (void)row;
    if (!has_modules(modules, finding))
        return;
    _cleanup_close_ int directory = new_directory(finding);
    if (directory < 0)
        return;
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/resolv.conf", directory);
    const struct network_options options = {
            .prefix_fd = directory, .run_fd = directory, .cidr = "", .resolv_conf = path};
    struct error error = {0};
    struct joining joining = {.route_socket = -EBADF};
    struct network *network = NULL;
    uint32_t port;
    int r = fd_replace_file_at(directory, "resolv.conf", resolver, strlen(resolver), 0600);
    if (r < 0 || unshare(CLONE_NEWNET) < 0) {
        finding_errno(finding, r < 0 ? -r : errno, "prepare a network namespace");
        return;
    }
    if (network_open(&options, &network, &error) == 0 &&
            network_take(network, &port, &joining.plan, &joining.route_socket, &error) == 0) {
        (void)trial_clone(CLONE_NEWNET | CLONE_NEWPID, -1, join_and_prove, &joining, finding);
        (void)network_give(network, port);
    } else {
        finding_fails(finding, "%s", error.text);
    }
    (void)fd_close(joining.route_socket);
    network_done(network);
}

void try_resolvers(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    struct error error = {0};
    struct resolvers resolvers;
    char text[PLAN_RESOLVERS_MAX * (RANGE_TEXT_MAX + 2)] = "";
    if (resolvers_read(NULL, NULL, &resolvers, &error) < 0) {
        finding_fails(finding, "%s", error.text);
        return;
    }
    size_t used = 0;
    for (uint32_t i = 0; i < resolvers.count && used < sizeof(text); i++) {
        char address[RANGE_TEXT_MAX];
        range_format_address(resolvers.addresses[i], address);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i == 0 ? "" : ", ", address);
    }
    finding_holds(finding, "%s", text);
}

/* --- a packet's way through the host --- */

/* Two namespaces, each with one link to the host, from whose side packets are forwarded between them. Of the host
 * nothing is changed but these links, which go with the namespaces. */
#define NEAR 0
#define FAR 1
#define PROBE_PORT 50051

static const struct plan_route probe_networks[] = {{0xc613ff00U, 30}, {0xc613ff04U, 30}}; /* of 198.18.0.0/15 */

struct probe_end {
    pid_t pid;
    char link[NETLINK_NAME_MAX];
};

/* Waits for the link, sends to the other end or answers what comes, until it is killed. Exit 0: there was an answer. */
static void be_end(int number, int go)
{
    char byte;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    struct netlink_link link;
    const uint32_t host = probe_networks[number].address + 1;
    const struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(PROBE_PORT)};
    const struct sockaddr_in other = {.sin_family = AF_INET,
            .sin_port = htons(PROBE_PORT),
            .sin_addr.s_addr = htonl(probe_networks[!number].address + 2)};
    if (fd_read_exact(go, &byte, 1) < 0)
        _exit(2);
    int route = netlink_open();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (route < 0 || fd < 0 || netlink_find_link(route, "eth0", &link) < 0 ||
            netlink_add_address(route, link.index, host + 1, 30) < 0 || netlink_set_up(route, link.index) < 0 ||
            netlink_add_default_route(route, link.index, host) < 0 ||
            bind(fd, (const struct sockaddr *)&own, sizeof(own)) < 0)
        _exit(2);
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    for (int i = 0; number == FAR || i < 20; i++) {
        if (number == NEAR)
            (void)sendto(fd, "?", 1, 0, (const struct sockaddr *)&other, sizeof(other));
        if (poll(&readable, 1, number == FAR ? -1 : 100) <= 0 || recv(fd, &byte, 1, 0) != 1)
            continue;
        if (number == NEAR)
            _exit(0);
        (void)sendto(fd, "!", 1, 0, (const struct sockaddr *)&other, sizeof(other));
    }
    _exit(1);
}

/* A child in a network namespace of its own that waits at @go. A pid or -errno. */
static pid_t new_end(int number, int go)
{
    struct clone_args arguments = {.flags = CLONE_NEWNET, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid == 0)
        be_end(number, go);
    return pid < 0 ? -errno : (pid_t)pid;
}

static int make_link(int socket, int number, const struct probe_end *end)
{
    struct netlink_link link = {0};
    int r = netlink_add_veth(socket, end->link, 0, "eth0", end->pid, 1500);
    if (r == 0)
        r = netlink_find_link(socket, end->link, &link);
    if (r == 0)
        r = netlink_set_no_ipv6_address(socket, link.index);
    if (r == 0 || r == -EAFNOSUPPORT)
        r = netlink_add_address(socket, link.index, probe_networks[number].address + 1, 30);
    if (r == 0)
        r = forwarding_write("ipv4", end->link, "forwarding", "1");
    return r < 0 ? r : netlink_set_up(socket, link.index);
}

/* True when the networks of the try are nobody's. */
static bool is_free(int socket, struct finding *finding)
{
    struct survey survey;
    struct error error = {0};
    char with[RANGE_TEXT_MAX];
    if (survey_take(socket, "", &survey, &error) < 0) {
        finding_fails(finding, "%s", error.text);
        return false;
    }
    bool is_used = survey_overlaps(&survey, &probe_networks[NEAR], with) ||
                   survey_overlaps(&survey, &probe_networks[FAR], with);
    survey_done(&survey);
    if (is_used)
        finding_untested(finding, "the host uses %s, which the try would need", with);
    return !is_used;
}

/* The link goes with the namespace, a little later: not to be seen after the try, it is removed at once. */
static void end_end(int socket, const struct probe_end *end)
{
    struct netlink_link link;
    if (netlink_find_link(socket, end->link, &link) == 0 && strcmp(link.kind, "veth") == 0)
        (void)netlink_delete_link(socket, link.index);
    if (end->pid > 0) {
        (void)kill(end->pid, SIGKILL);
        (void)waitpid(end->pid, NULL, 0);
    }
}

/* Both ends are there: links, go, and what the near one says. */
static void send_through(int socket, const struct probe_end ends[2], int go, struct finding *finding)
{
    int status = 0;
    int r = make_link(socket, NEAR, &ends[NEAR]);
    if (r == 0)
        r = make_link(socket, FAR, &ends[FAR]);
    if (r == 0)
        r = fd_write_all(go, "go", 2);
    if (r < 0)
        finding_errno(finding, -r, "links between the host and two namespaces");
    else if (waitpid(ends[NEAR].pid, &status, 0) < 0)
        finding_errno(finding, errno, "wait for the try");
    else if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
        finding_fails(finding, "the try could not be set up");
    else if (WEXITSTATUS(status) == 1)
        finding_fails(finding, "the host's firewall drops what is forwarded for links named 'jb*'");
    else
        finding_holds(finding, "a packet went through the host and was answered");
}

void try_forwarding(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    static const char *const modules[] = {"veth", NULL};
    (void)doctor;
    (void)row;
    int go[2];
    struct probe_end ends[2] = {{.pid = -1}, {.pid = -1}};
    _cleanup_close_ int socket = netlink_open();
    if (!has_modules(modules, finding) || !is_free(socket, finding))
        return;
    if (pipe2(go, O_CLOEXEC) < 0) {
        finding_errno(finding, errno, "a pipe");
        return;
    }
    for (int i = 0; i < 2; i++) {
        (void)snprintf(ends[i].link, sizeof(ends[i].link), "jb%dn%d", getpid(), i);
        ends[i].pid = new_end(i, go[0]);
    }
    if (ends[NEAR].pid < 0 || ends[FAR].pid < 0)
        finding_errno(finding, EAGAIN, "two network namespaces");
    else
        send_through(socket, ends, go[1], finding);
    end_end(socket, &ends[NEAR]);
    end_end(socket, &ends[FAR]);
    (void)fd_close(go[0]);
    (void)fd_close(go[1]);
}
