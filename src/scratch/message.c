#include "scratch/message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

int scratch_send(int channel_fd, const struct scratch_message *message, int fd)
{
    struct iovec part = {(void *)(uintptr_t)message, sizeof(*message)};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    union control control = {0};
    if (fd >= 0) {
        head.msg_control = control.bytes;
        head.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *item = CMSG_FIRSTHDR(&head);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(item), &fd, sizeof(fd));
    }
    ssize_t sent = sendmsg(channel_fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : 0;
}

int scratch_receive(int channel_fd, int wait, struct scratch_message *ret_message, int *ret_fd)
{
    struct iovec part = {ret_message, sizeof(*ret_message)};
    union control control;
    struct msghdr head = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(channel_fd, &head, (wait ? 0 : MSG_DONTWAIT) | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    _cleanup_close_ int fd = -EBADF;
    const struct cmsghdr *item = CMSG_FIRSTHDR(&head);
    if (item && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS &&
            item->cmsg_len == CMSG_LEN(sizeof(fd)))
        memcpy(&fd, CMSG_DATA(item), sizeof(fd));
    if (got == 0)
        return -ENODATA;
    if (got != (ssize_t)sizeof(*ret_message) || ret_message->magic != SCRATCH_MAGIC ||
            head.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return -EPROTO;
    ret_message->error.text[sizeof(ret_message->error.text) - 1] = '\0';
    *ret_fd = TAKE_FD(fd);
    return 0;
}
