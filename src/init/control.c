#include "init/control.h"

#include <errno.h>
#include <sys/socket.h>

int control_send(int fd, enum plan_message_type type, int64_t started_unix_ns, const struct error *error)
{
    struct plan_message message = {
            .magic = PLAN_MESSAGE_MAGIC,
            .type = type,
            .started_unix_ns = started_unix_ns,
    };
    if (error)
        message.error = *error;
    ssize_t size;
    do
        size = send(fd, &message, sizeof(message), MSG_NOSIGNAL);
    while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : 0;
}

int control_receive_go(int fd)
{
    struct plan_message message;
    ssize_t size;
    do
        size = recv(fd, &message, sizeof(message), MSG_TRUNC);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return -errno;
    if (size == 0)
        return -EPIPE;
    if (size != sizeof(message) || message.magic != PLAN_MESSAGE_MAGIC || message.type != PLAN_MESSAGE_GO)
        return -EPROTO;
    return 0;
}
