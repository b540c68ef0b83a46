/* One packet from joblet-api, which may be in an attacker's hands. The first byte says how many descriptors come along.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "channel/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 4096)
        return 0;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return 0;
    unsigned fd_count = data[0] % (CHANNEL_FDS_MAX + 3);
    char packet[4096];
    memcpy(packet, data + 1, size - 1);
    union {
        char bytes[CMSG_SPACE((CHANNEL_FDS_MAX + 3) * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {packet, size - 1};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > 0) {
        head.msg_control = control.bytes;
        head.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *item = CMSG_FIRSTHDR(&head);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        for (unsigned i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(item) + i * sizeof(int), &ends[0], sizeof(int));
    }
    if (sendmsg(ends[0], &head, MSG_DONTWAIT) >= 0) {
        struct channel_received got;
        if (channel_receive(ends[1], &got) == 0) {
            assert(got.header.size == size - 1 && got.fd_count == fd_count);
            assert(memcmp(got.bytes, data + 1, size - 1) == 0);
            channel_received_done(&got);
        }
    }
    (void)fd_close(ends[0]);
    (void)fd_close(ends[1]);
    return 0;
}
