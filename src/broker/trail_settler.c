#include "broker/trail_settler.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "broker/context.h"

struct order {
    uint32_t size;
    char head[AUDIT_HEAD_MAX];
};

static int receive_order(int socket, struct order *order)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {order, sizeof(*order)};
    struct msghdr head = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(socket, &head, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *item = got == (ssize_t)sizeof(*order) ? CMSG_FIRSTHDR(&head) : NULL;
    int fd = -EBADF;
    if (item && item->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(item), sizeof(fd));
    return fd;
}

/* It ends with joblet: its socket does. */
__attribute__((noreturn)) static void run_settler(int socket, int dir_fd, gid_t readers)
{
    struct order order;
    int fd;
    (void)prctl(PR_SET_NAME, "joblet-audit", 0, 0, 0);
    while ((fd = receive_order(socket, &order)) >= 0) {
        int32_t r = audit_log_settle(dir_fd, fd, order.head, order.size, readers);
        (void)fd_close(fd);
        if (send(socket, &r, sizeof(r), MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}

/* Only these two stay open. */
static void keep_two(int one, int other)
{
    unsigned low = (unsigned)(one < other ? one : other);
    unsigned high = (unsigned)(one < other ? other : one);
    if (low > 0)
        (void)close_range(0, low - 1, 0);
    if (high > low + 1)
        (void)close_range(low + 1, high - 1, 0);
    (void)close_range(high + 1, ~0U, 0);
}

static int start_settler(struct broker *broker)
{
    struct trail *trail = &broker->trail;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    /* A directory of its own: the lock is joblet's, and goes with joblet. */
    _cleanup_close_ int dir_fd = openat(audit_log_directory(trail->log), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    long pid = dir_fd < 0 ? -1 : syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid == 0) {
        keep_two(ends[1], dir_fd);
        run_settler(ends[1], dir_fd, broker->config->api_gid);
    }
    int code = errno;
    (void)fd_close(ends[1]);
    if (pid < 0) {
        (void)fd_close(ends[0]);
        return -code;
    }
    trail->settler_pid = (pid_t)pid;
    int r = loop_add(broker->loop, &trail->settler, ends[0], EPOLLIN, trail_on_settled);
    if (r < 0)
        (void)fd_close(ends[0]);
    return r;
}

void trail_stop_settler(struct broker *broker)
{
    struct trail *trail = &broker->trail;
    trail->asked = 0;
    (void)fd_close(loop_remove(broker->loop, &trail->settler));
    if (trail->settler_pid > 0)
        (void)waitpid(trail->settler_pid, NULL, 0);
    trail->settler_pid = 0;
}

int trail_take_answer(struct broker *broker, int32_t *ret_code)
{
    ssize_t got = recv(broker->trail.settler.fd, ret_code, sizeof(*ret_code), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    return got == (ssize_t)sizeof(*ret_code) ? 0 : -EPIPE;
}

static int send_order(struct trail *trail, struct error *error)
{
    struct order order;
    memset(&order, 0, sizeof(order));
    int size = audit_log_make_head(trail->log, order.head, error);
    if (size < 0)
        return size;
    order.size = (uint32_t)size;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {&order, sizeof(order)};
    struct msghdr head = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *item = CMSG_FIRSTHDR(&head);
    const int fd = audit_log_file(trail->log);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(item), &fd, sizeof(fd));
    if (sendmsg(trail->settler.fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return error_errno(error, errno, "ask for the audit log to be put on the disk");
    return 0;
}

int trail_ask_settler(struct broker *broker, struct error *error)
{
    struct trail *trail = &broker->trail;
    for (unsigned tries = 0;; tries++) {
        int r = trail->settler.fd >= 0 ? 0 : start_settler(broker);
        if (r < 0)
            return error_errno(error, -r, "start the child that waits for the disk");
        r = send_order(trail, error);
        if (r != -EPIPE || tries > 0)
            return r;
        trail_stop_settler(broker); /* it was killed just now */
    }
}
