#include "audit/syslog.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "base/fd.h"

/* Security messages of the system, informational (RFC 5424). */
#define SYSLOG_PREFIX "<86>joblet-audit: "
#define SYSLOG_PATH "/dev/log"

static int connect_socket(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SYSLOG_PATH};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        int code = errno;
        (void)fd_close(fd);
        return -code;
    }
    return fd;
}

static int send_line(int fd, const char *line)
{
    size_t size = strlen(line);
    char prefix[] = SYSLOG_PREFIX;
    struct iovec parts[2] = {{prefix, sizeof(prefix) - 1}, {.iov_len = size > 0 ? size - 1 : 0}};
    memcpy(&parts[1].iov_base, &line, sizeof(line)); /* sendmsg only reads, its type does not say so */
    const struct msghdr head = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(fd, &head, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int audit_syslog_send(int *fd, const char *line)
{
    if (*fd >= 0 && send_line(*fd, line) == 0)
        return 0;
    (void)fd_close(*fd); /* perhaps syslog was started again */
    *fd = connect_socket();
    return *fd < 0 ? *fd : send_line(*fd, line);
}
