/* Stands in for joblet-api: passes every packet of the privileged channel on to a test, and back, with descriptors. The
 * test listens at state/db/relay (SOCK_SEQPACKET). */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "channel/message.h"
#include "config/settings.h"

static int connect_test(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/relay", SETTINGS_FD_DATABASE);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return fd;
}

/* One packet of any size, whatever it holds. False at the end of either side. */
static int pass(int from, int to)
{
    union {
        char bytes[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    char bytes[65536];
    struct iovec part = {bytes, sizeof(bytes)};
    struct msghdr head = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(from, &head, MSG_CMSG_CLOEXEC);
    if (got <= 0)
        return 0;
    part.iov_len = (size_t)got;
    ssize_t sent = sendmsg(to, &head, MSG_NOSIGNAL);
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&head); item; item = CMSG_NXTHDR(&head, item)) {
        size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(item) + i * sizeof(fd), sizeof(fd));
            (void)fd_close(fd);
        }
    }
    return sent >= 0;
}

int main(void)
{
    int test = connect_test();
    if (test < 0)
        return 3;
    /* The channel does not wait when its queue is full; here nobody hurries. */
    struct pollfd entries[] = {{.fd = SETTINGS_FD_CHANNEL, .events = POLLIN}, {.fd = test, .events = POLLIN}};
    for (;;) {
        if (poll(entries, 2, -1) < 0)
            return 4;
        if (entries[0].revents && !pass(SETTINGS_FD_CHANNEL, test))
            return 0;
        if (entries[1].revents && !pass(test, SETTINGS_FD_CHANNEL))
            return 0;
    }
}
