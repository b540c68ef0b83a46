#include "kernel/loop_device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#define BLOCK_SIZE 4096U
/* Another service of ours may remove a new device before we have opened it; not so often in a row. */
#define MISSING_MAX 16U

void loop_device_name(unsigned number, char ret_name[LOOP_DEVICE_NAME_MAX])
{
    (void)snprintf(ret_name, LOOP_DEVICE_NAME_MAX, "loop%u", number);
}

/* Puts the file behind the device that is there. A descriptor; -EBUSY: it has one; -ENOENT or -ENXIO: it is gone. */
static int configure(int dev_fd, int image_fd, unsigned number)
{
    char name[LOOP_DEVICE_NAME_MAX];
    /* Direct: else all that a job writes waits a second time, as dirty pages of the file below, and whoever next asks
     * the host's file system for durability (the job table does) waits for them. */
    const struct loop_config config = {.fd = (uint32_t)image_fd,
            .block_size = BLOCK_SIZE,
            .info = {.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO}};
    loop_device_name(number, name);
    _cleanup_close_ int fd = openat(dev_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    return ioctl(fd, LOOP_CONFIGURE, &config) < 0 ? -errno : TAKE_FD(fd);
}

static bool is_taken(int r)
{
    return r == -EBUSY || r == -ENXIO || r == -EEXIST;
}

int loop_device_attach(int dev_fd, int control_fd, int image_fd, unsigned wish, unsigned *ret_number)
{
    int fd = wish ? configure(dev_fd, image_fd, wish) : -EBUSY;
    unsigned number = wish;
    unsigned missing = 0;
    for (unsigned i = 0; (is_taken(fd) || (fd == -ENOENT && missing < MISSING_MAX)) && i < LOOP_DEVICE_COUNT; i++) {
        number = LOOP_DEVICE_FIRST + i;
        if (ioctl(control_fd, LOOP_CTL_ADD, (long)number) < 0) {
            fd = -errno;
            continue;
        }
        fd = configure(dev_fd, image_fd, number);
        missing += fd == -ENOENT;
        if (fd < 0 && !is_taken(fd))
            (void)loop_device_remove(control_fd, number);
    }
    if (fd >= 0)
        *ret_number = number;
    return fd;
}

int loop_device_remove(int control_fd, unsigned number)
{
    return ioctl(control_fd, LOOP_CTL_REMOVE, (long)number) < 0 ? -errno : 0;
}

int loop_device_list(int dev_fd, unsigned ret_numbers[], unsigned max)
{
    uint64_t number;
    unsigned count = 0;
    int fd = openat(dev_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        int code = errno;
        (void)fd_close(fd);
        return -code;
    }
    for (struct dirent *entry = readdir(directory); entry && count < max; entry = readdir(directory))
        if (strncmp(entry->d_name, "loop", 4) == 0 &&
                text_parse_u64(entry->d_name + 4, LOOP_DEVICE_FIRST + LOOP_DEVICE_COUNT - 1, &number) == 0 &&
                number >= LOOP_DEVICE_FIRST)
            ret_numbers[count++] = (unsigned)number;
    (void)closedir(directory);
    return (int)count;
}
