#include "plan/suspects.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

int suspects_read_head(int fd, struct suspects_head *ret_head)
{
    struct suspects_head head;
    struct stat status;
    ssize_t size = pread(fd, &head, sizeof(head), 0);
    if (size < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (size != (ssize_t)sizeof(head) || head.magic != SUSPECTS_MAGIC || head.version != SUSPECTS_VERSION ||
            head.kind > SUSPECTS_LOOKED || head.reserved != 0 || head.used < sizeof(head) ||
            head.used > SUSPECTS_SIZE_MAX || head.used > (uint64_t)status.st_size)
        return -EBADMSG;
    *ret_head = head;
    return 0;
}
