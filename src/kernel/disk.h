/* The disk below a file, as control groups name it. */
#pragma once

#include <sys/types.h>

/* The whole block device that the file system of @fd lies on: io.max takes no partitions. 0; -ENODEV when it is on none
 * (in memory, over a network, on several as btrfs); -errno. Any thread. */
int disk_find_whole(int fd, dev_t *ret_disk);
