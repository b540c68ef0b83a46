#include "kernel/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"

static int read_device(int dir_fd, const char *file, dev_t *ret_device)
{
    _cleanup_free_ char *text = NULL;
    unsigned major_number;
    unsigned minor_number;
    int r = fd_read_file_at(dir_fd, file, 64, &text, NULL);
    if (r < 0)
        return r;
    if (sscanf(text, "%u:%u", &major_number, &minor_number) != 2)
        return -EBADMSG;
    *ret_device = makedev(major_number, minor_number);
    return 0;
}

int disk_find_whole(int fd, dev_t *ret_disk)
{
    char path[64];
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    (void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(status.st_dev), minor(status.st_dev));
    _cleanup_close_ int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return errno == ENOENT ? -ENODEV : -errno;
    /* The directory of a partition lies in that of its disk. */
    if (faccessat(dir_fd, "partition", F_OK, 0) == 0)
        return read_device(dir_fd, "../dev", ret_disk);
    *ret_disk = status.st_dev;
    return 0;
}
