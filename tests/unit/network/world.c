#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/netlink_join.h"

#define PROCESSES_MAX 256
#define ANSWER_MS 3000 /* of what must be answered: the machine may be busy */
#define SILENCE_MS 120 /* of what must not */

static pid_t processes[PROCESSES_MAX];
static unsigned process_count;
static char prefixes[8][64];
static unsigned prefix_count;
static char resolv_conf[64];
static atomic_uint *asked;

static void remember(pid_t pid)
{
    assert_true(pid > 0 && process_count < PROCESSES_MAX);
    processes[process_count++] = pid;
}

void world_end_node(pid_t node)
{
    (void)kill(node, SIGKILL);
    (void)waitpid(node, NULL, 0);
    for (unsigned i = 0; i < process_count; i++)
        if (processes[i] == node)
            processes[i] = processes[--process_count];
}

static int loopback_up(void)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    return ioctl(fd, SIOCSIFFLAGS, &request);
}

static int enter(pid_t node)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", node);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    return node == 0 ? 0 : setns(fd, CLONE_NEWNET);
}

pid_t world_new_node(void)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (unshare(CLONE_NEWNET) < 0 || loopback_up() < 0)
            _exit(1);
        (void)fd_write_all(ready[1], "r", 1);
        for (;;)
            (void)pause();
    }
    (void)fd_close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)fd_close(ready[0]);
    remember(pid);
    return pid;
}

static char *run(pid_t node, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));
static char *run(pid_t node, const char *format, va_list arguments)
{
    char command[2048];
    size_t used = 0;
    if (node > 0)
        used = (size_t)snprintf(command, sizeof(command), "exec nsenter -t %d -n sh -ec '", node);
    used += (size_t)vsnprintf(command + used, sizeof(command) - used, format, arguments);
    assert_true(used + 2 < sizeof(command));
    if (node > 0)
        (void)strcpy(command + used, "'");
    FILE *output = popen(command, "re");
    assert_non_null(output);
    char *text = calloc(1, 1U << 20);
    assert_non_null(text);
    (void)!fread(text, 1, (1U << 20) - 1, output);
    int status = pclose(output);
    if (status != 0)
        fail_msg("'%s' ended with status %d", command, status);
    return text;
}

void world_run(pid_t node, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    free(run(node, format, arguments));
    va_end(arguments);
}

char *world_read(pid_t node, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = run(node, format, arguments);
    va_end(arguments);
    return text;
}

char *world_nft(const char *command)
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    assert_non_null(nft);
    (void)nft_ctx_buffer_output(nft);
    (void)nft_ctx_buffer_error(nft);
    if (nft_run_cmd_from_buffer(nft, command) != 0)
        fail_msg("nft '%s': %s", command, nft_ctx_get_error_buffer(nft));
    const char *text = nft_ctx_get_output_buffer(nft);
    char *copy = strdup(text ? text : "");
    nft_ctx_free(nft);
    assert_non_null(copy);
    return copy;
}

/* --- servers and questions --- */

/* One datagram, answered from the address that it was sent to. */
static void answer_datagram(int fd)
{
    struct sockaddr_in6 peer;
    char text[INET6_ADDRSTRLEN] = "";
    _Alignas(struct cmsghdr) char control[128];
    struct iovec part = {.iov_base = text, .iov_len = sizeof(text)};
    struct msghdr message = {.msg_name = &peer,
            .msg_namelen = sizeof(peer),
            .msg_iov = &part,
            .msg_iovlen = 1,
            .msg_control = control,
            .msg_controllen = sizeof(control)};
    if (recvmsg(fd, &message, 0) < 0)
        return;
    (void)atomic_fetch_add(asked, 1);
    (void)inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof(text));
    (void)sendmsg(fd, &message, 0);
}

static void answer_connection(int fd)
{
    struct sockaddr_in6 peer;
    socklen_t size = sizeof(peer);
    char text[INET6_ADDRSTRLEN] = "";
    _cleanup_close_ int connection = accept4(fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
    if (connection < 0)
        return;
    (void)atomic_fetch_add(asked, 1);
    (void)inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof(text));
    (void)!send(connection, text, sizeof(text), MSG_NOSIGNAL);
}

void world_serve(pid_t node, bool is_udp, uint16_t port)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        const int on = 1;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (enter(node) < 0)
            _exit(1);
        int fd = socket(AF_INET6, (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0 || (!is_udp && listen(fd, 16) < 0))
            _exit(1);
        (void)fd_write_all(ready[1], "r", 1);
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
        for (;;)
            is_udp ? answer_datagram(fd) : answer_connection(fd);
    }
    (void)fd_close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)fd_close(ready[0]);
    remember(pid);
}

unsigned world_count(void)
{
    return atomic_load(asked);
}

/* In a process of its own, in the node's namespace. Its status: an errno. */
static int ask(bool is_udp, const char *address, uint16_t port, const char *source, int patience_ms, int result)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in6 from = {.sin6_family = AF_INET6};
    char mapped[80];
    char text[64] = "";
    const int on = 1;
    (void)snprintf(mapped, sizeof(mapped), "%s%s", strchr(address, ':') ? "" : "::ffff:", address);
    char *link = strchr(mapped, '%');
    if (link) {
        to.sin6_scope_id = if_nametoindex(link + 1);
        *link = '\0';
    }
    if (inet_pton(AF_INET6, mapped, &to.sin6_addr) != 1)
        return EINVAL;
    int fd = socket(AF_INET6, (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
    if (source) {
        (void)snprintf(mapped, sizeof(mapped), "%s%s", strchr(source, ':') ? "" : "::ffff:", source);
        if (inet_pton(AF_INET6, mapped, &from.sin6_addr) != 1 ||
                bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0)
            return EINVAL;
    }
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
        return errno;
    struct pollfd ready = {.fd = fd, .events = is_udp ? POLLIN : POLLOUT};
    if (is_udp && send(fd, "?", 1, 0) < 0)
        return errno;
    if (poll(&ready, 1, patience_ms) == 0)
        return ETIMEDOUT;
    ready.events = POLLIN;
    if (poll(&ready, 1, patience_ms) == 0)
        return ETIMEDOUT;
    ssize_t got = recv(fd, text, sizeof(text) - 1, 0);
    if (got <= 0)
        return got < 0 ? errno : EPIPE;
    (void)fd_write_all(result, text, sizeof(text));
    return 0;
}

static int ask_from(pid_t node, bool is_udp, const char *address, uint16_t port, const char *source, int patience_ms,
        char ret_from[64])
{
    int result[2];
    int status;
    char text[64] = "";
    assert_int_equal(pipe2(result, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(enter(node) < 0 ? 255 : ask(is_udp, address, port, source, patience_ms, result[1]));
    (void)fd_close(result[1]);
    (void)fd_read_exact(result[0], text, sizeof(text));
    (void)fd_close(result[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
    const char *plain = strncmp(text, "::ffff:", 7) == 0 ? text + 7 : text;
    if (ret_from)
        (void)memmove(ret_from, plain, strlen(plain) + 1);
    return WEXITSTATUS(status);
}

int world_ask(pid_t node, bool is_udp, const char *address, uint16_t port, const char *source, char ret_from[64])
{
    return ask_from(node, is_udp, address, port, source, ANSWER_MS, ret_from);
}

int world_ask_in_vain(pid_t node, bool is_udp, const char *address, uint16_t port, const char *source)
{
    return ask_from(node, is_udp, address, port, source, SILENCE_MS, NULL);
}

/* --- the world --- */

pid_t world_new(void)
{
    asked = mmap(NULL, sizeof(*asked), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(asked != MAP_FAILED);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    assert_int_equal(loopback_up(), 0);
    (void)snprintf(resolv_conf, sizeof(resolv_conf), "/tmp/test-network-resolv-%d", getpid());
    world_set_resolvers("nameserver " WORLD_RESOLVER "\nsearch build.example\n");
    pid_t outside = world_new_node();
    /* An address that is still being tried would change the snapshot by itself. */
    world_run(0, "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad");
    world_run(0, "ip link add up0 type veth peer name w0 netns %d", outside);
    world_run(0, "ip addr add " WORLD_HOST "/24 dev up0; ip link set up0 up");
    world_run(outside,
            "ip addr add " WORLD_OUTSIDE "/24 dev w0; ip link set w0 up; ip addr add " WORLD_WEB "/32 dev lo; "
            "ip addr add " WORLD_METADATA "/32 dev lo; ip addr add " WORLD_RESOLVER "/32 dev lo");
    world_run(0, "ip route add default via " WORLD_OUTSIDE);
    /* A link works a little after it was set up. */
    world_run(0, "until ip -o link show up0 | grep -q \"state UP\"; do :; done");
    world_run(outside, "until ip -o link show w0 | grep -q \"state UP\"; do :; done");
    for (int is_udp = 0; is_udp < 2; is_udp++) {
        world_serve(outside, is_udp, 80);
        world_serve(outside, is_udp, 53);
        world_serve(0, is_udp, 53);
        world_serve(0, is_udp, 8080);
    }
    return outside;
}

void world_free_prefix(void)
{
    char path[80];
    prefix_count--;
    (void)snprintf(path, sizeof(path), "%s/network", prefixes[prefix_count]);
    (void)unlink(path);
    assert_int_equal(rmdir(prefixes[prefix_count]), 0);
}

void world_free(void)
{
    while (process_count > 0)
        world_end_node(processes[process_count - 1]);
    while (prefix_count > 0)
        world_free_prefix();
    (void)unlink(resolv_conf);
    (void)munmap(asked, sizeof(*asked));
}

int world_new_prefix(void)
{
    assert_true(prefix_count < ELEMENTS(prefixes));
    (void)strcpy(prefixes[prefix_count], "/tmp/test-network-XXXXXX");
    assert_non_null(mkdtemp(prefixes[prefix_count]));
    int fd = open(prefixes[prefix_count++], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

void world_set_resolvers(const char *text)
{
    int fd = open(resolv_conf, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    (void)close(fd);
}

const char *world_resolv_conf(void)
{
    return resolv_conf;
}

struct network *world_open_network(int prefix, const char *cidr)
{
    struct error error = {0};
    struct network *network = NULL;
    const struct network_options options = {
            .prefix_fd = prefix, .run_fd = prefix, .cidr = cidr, .resolv_conf = resolv_conf};
    if (network_open(&options, &network, &error) < 0)
        fail_msg("%s", error.text);
    return network;
}

/* PID 1 of its namespaces. Tells how it went and stays. */
static void be_build(const struct plan_network *plan, int route_socket, int result)
{
    struct error error = {0};
    struct netlink_prefix refused[PLAN_ROUTES_MAX];
    for (uint32_t i = 0; i < plan->refused_count; i++)
        refused[i] = (struct netlink_prefix){plan->refused[i].address, plan->refused[i].prefix_length};
    const struct netlink_join join = {.host_socket = route_socket,
            .bridge = plan->bridge,
            .host_name = plan->host_link,
            .address = plan->address,
            .prefix_length = plan->prefix_length,
            .gateway = plan->gateway,
            .mtu = plan->mtu,
            .refused = refused,
            .refused_count = plan->refused_count};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (loopback_up() < 0 || fd_write_file_at(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1") < 0)
        (void)error_errno(&error, errno, "prepare");
    else if (netlink_join(&join, &error) == 0)
        (void)netlink_prove(&join, &error);
    (void)fd_write_all(result, &error, sizeof(error));
    (void)close(route_socket);
    for (;;)
        (void)pause();
}

pid_t world_join(const struct plan_network *plan, int route_socket, struct error *error)
{
    int result[2];
    struct error told = {0};
    assert_int_equal(pipe2(result, O_CLOEXEC), 0);
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWNET | CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        be_build(plan, route_socket, result[1]);
    assert_true(pid > 0);
    (void)fd_close(route_socket);
    (void)fd_close(result[1]);
    int r = fd_read_exact(result[0], &told, sizeof(told));
    (void)fd_close(result[0]);
    remember(pid);
    assert_int_equal(r, 0);
    if (told.code == 0)
        return pid;
    if (!error)
        fail_msg("%s", told.text);
    else
        *error = told;
    world_end_node(pid);
    return -told.code;
}

pid_t world_build(struct network *network, uint32_t *ret_port, struct plan_network *ret_plan)
{
    struct error error = {0};
    int route_socket = -EBADF;
    if (network_take(network, ret_port, ret_plan, &route_socket, &error) < 0)
        fail_msg("%s", error.text);
    return world_join(ret_plan, route_socket, NULL);
}

char *world_snapshot(void)
{
    char *links =
            world_read(0, "ip -o link; ip -o addr; ip route show table all; ip rule; "
                          "grep -r . /proc/sys/net/ipv4/conf /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf "
                          "2>/dev/null | sort; true");
    char *rules = world_nft("list ruleset");
    char *all = NULL;
    assert_true(asprintf(&all, "%s%s", links, rules) > 0);
    free(links);
    free(rules);
    return all;
}

void world_print_difference(const char *before, const char *after)
{
    char names[2][64];
    const char *texts[2] = {before, after};
    for (int i = 0; i < 2; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "/tmp/test-network-%s-%d", i == 0 ? "before" : "after", getpid());
        FILE *file = fopen(names[i], "we");
        assert_non_null(file);
        (void)fputs(texts[i], file);
        (void)fclose(file);
    }
    char *difference = world_read(0, "diff -U0 %s %s || true", names[0], names[1]);
    print_message("%s\n", difference);
    free(difference);
    (void)unlink(names[0]);
    (void)unlink(names[1]);
}
