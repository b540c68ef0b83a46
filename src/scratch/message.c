#include "scratch/message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

union control {
    char bytes[CMSG_SPACE(SCRATCH_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

int scratch_send(int channel_fd, const struct scratch_message *message, const int fds[], unsigned count)
{
    struct iovec part = {(void *)(uintptr_t)message, sizeof(*message)};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    union control control = {0};
    if (count > SCRATCH_FDS_MAX)
        return -EINVAL;
    if (count > 0) {
        head.msg_control = control.bytes;
        head.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *item = CMSG_FIRSTHDR(&head);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(item), fds, count * sizeof(int));
    }
    ssize_t sent = sendmsg(channel_fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : 0;
}

static void take_fds(struct msghdr *head, int ret_fds[SCRATCH_FDS_MAX])
{
    const struct cmsghdr *item = CMSG_FIRSTHDR(head);
    if (!item || item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS)
        return;
    size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count && i < SCRATCH_FDS_MAX; i++)
        memcpy(&ret_fds[i], CMSG_DATA(item) + i * sizeof(int), sizeof(int));
}

int scratch_receive(int channel_fd, int wait, struct scratch_message *ret_message, int ret_fds[SCRATCH_FDS_MAX])
{
    struct iovec part = {ret_message, sizeof(*ret_message)};
    union control control;
    struct msghdr head = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    int fds[SCRATCH_FDS_MAX] = {-EBADF, -EBADF, -EBADF};
    ssize_t got = recvmsg(channel_fd, &head, (wait ? 0 : MSG_DONTWAIT) | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    take_fds(&head, fds);
    bool valid = got == (ssize_t)sizeof(*ret_message) && ret_message->magic == SCRATCH_MAGIC &&
                 !(head.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    for (unsigned i = 0; i < SCRATCH_FDS_MAX; i++)
        if (valid)
            ret_fds[i] = fds[i];
        else
            (void)fd_close(fds[i]);
    if (valid)
        ret_message->error.text[sizeof(ret_message->error.text) - 1] = '\0';
    if (got == 0)
        return -ENODATA;
    return valid ? 0 : -EPROTO;
}
