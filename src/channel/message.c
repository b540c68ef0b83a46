#include "channel/message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"

/* One row a request: its only valid size and number of descriptors. */
static const struct {
    uint16_t size;
    uint16_t fds;
} requests[CHANNEL_OPERATION_COUNT] = {
        [CHANNEL_HELLO] = {sizeof(struct channel_hello), 0},
        [CHANNEL_LIST_JOBS] = {sizeof(struct channel_list_jobs), 0},
        [CHANNEL_JOB_START] = {sizeof(struct channel_job_start), 1},
        [CHANNEL_JOB_SIGNAL] = {sizeof(struct channel_job_signal), 0},
        [CHANNEL_JOB_RELEASE] = {sizeof(struct channel_job_id), 0},
        [CHANNEL_JOB_REMOVE] = {sizeof(struct channel_job_id), 0},
        [CHANNEL_JOB_LOOK] = {sizeof(struct channel_job_id), 0},
        [CHANNEL_BUILD_START] = {sizeof(struct channel_build_start), 1},
        [CHANNEL_TOOL_START] = {sizeof(struct channel_tool_start), 1},
        [CHANNEL_BUILD_PUBLISH] = {sizeof(struct channel_build_publish), 0},
        [CHANNEL_RUNTIME_REMOVE] = {sizeof(struct channel_runtime_remove), 0},
        [CHANNEL_HOST_STATE] = {sizeof(struct channel_header), 0},
        [CHANNEL_AUDIT_APPEND] = {sizeof(struct channel_header), 1},
        [CHANNEL_BASE_FIND] = {sizeof(struct channel_base_find), 0},
        [CHANNEL_BASE_SEAL] = {sizeof(struct channel_base_seal), 0},
};

_Static_assert(sizeof(struct channel_start_reply) <= CHANNEL_MESSAGE_MAX, "channel_start_reply fits a message");
_Static_assert(sizeof(struct channel_base_reply) <= CHANNEL_MESSAGE_MAX, "channel_base_reply fits a message");
_Static_assert(sizeof(struct channel_base_seal) <= CHANNEL_MESSAGE_MAX, "channel_base_seal fits a message");
_Static_assert(sizeof(struct channel_host_reply) <= CHANNEL_MESSAGE_MAX, "channel_host_reply fits a message");
_Static_assert(sizeof(struct channel_tool_start) <= CHANNEL_MESSAGE_MAX, "channel_tool_start fits a message");
_Static_assert(sizeof(struct channel_job_reply) <= CHANNEL_MESSAGE_MAX, "channel_job_reply fits a message");

uint16_t channel_request_size(uint16_t operation)
{
    return operation < CHANNEL_OPERATION_COUNT ? requests[operation].size : 0;
}

unsigned channel_request_fds(uint16_t operation)
{
    return operation < CHANNEL_OPERATION_COUNT ? requests[operation].fds : 0;
}

union control {
    char bytes[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

int channel_send(int socket, const void *message, const int fds[], unsigned fd_count)
{
    struct channel_header header;
    memcpy(&header, message, sizeof(header));
    if (header.size < sizeof(header) || header.size > CHANNEL_MESSAGE_MAX || fd_count > CHANNEL_FDS_MAX)
        return -EINVAL;
    struct iovec part = {.iov_len = header.size};
    memcpy(&part.iov_base, &message, sizeof(message)); /* sendmsg only reads, its type does not say so */
    union control control = {0};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > 0) {
        head.msg_control = control.bytes;
        head.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *item = CMSG_FIRSTHDR(&head);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(item), fds, fd_count * sizeof(int));
    }
    ssize_t put;
    do
        put = sendmsg(socket, &head, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    return put == header.size ? 0 : -EIO;
}

/* More than a socket's queue holds: each takes more than half a KiB of its buffer. */
#define PACKETS_MAX 4096U

/* Closes what a peer sent. A connection that lingers would hold us up to the last moment of its time, if ours is the
 * last descriptor of it. */
static int close_foreign(int fd)
{
    const struct linger none = {0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    return fd_close(fd);
}

/* Takes the descriptors out of the control data. True when there was nothing else. */
static bool take_fds(struct msghdr *head, struct channel_received *message)
{
    bool valid = true;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(head); item; item = CMSG_NXTHDR(head, item)) {
        if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) {
            valid = false;
            continue;
        }
        size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(item) + i * sizeof(fd), sizeof(fd));
            if (message->fd_count < CHANNEL_FDS_MAX) {
                message->fds[message->fd_count++] = fd;
                continue;
            }
            (void)close_foreign(fd);
            valid = false;
        }
    }
    return valid;
}

int channel_receive(int socket, struct channel_received *ret_message)
{
    struct channel_received message = {0};
    struct iovec part = {.iov_base = message.bytes, .iov_len = sizeof(message.bytes)};
    union control control;
    struct msghdr head = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t got;
    do
        got = recvmsg(socket, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == ECONNRESET ? -ENODATA : -errno;
    bool valid = take_fds(&head, &message);
    /* A packet of no bytes looks like the end; a peer that sends one has lost its way all the same. */
    if (got == 0 && message.fd_count == 0)
        return -ENODATA;
    if (!valid || (head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (size_t)got < sizeof(message.header) ||
            message.header.size != got) {
        channel_received_done(&message);
        return -EPROTO;
    }
    *ret_message = message;
    return 0;
}

void channel_received_done(struct channel_received *message)
{
    for (unsigned i = 0; i < message->fd_count; i++)
        message->fds[i] = close_foreign(message->fds[i]);
    message->fd_count = 0;
}

int channel_close(int socket)
{
    struct channel_received message;
    if (socket < 0)
        return -EBADF;
    (void)shutdown(socket, SHUT_RDWR); /* nothing comes after what is there */
    /* Empty packets look like the end, and lie before others. */
    for (unsigned ends = 0; ends < PACKETS_MAX;) {
        int r = channel_receive(socket, &message);
        if (r == 0)
            channel_received_done(&message);
        else if (r != -EPROTO)
            ends++;
    }
    return fd_close(socket);
}
