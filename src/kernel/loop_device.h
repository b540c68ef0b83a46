/* Block devices over files. Numbers are ours alone: the host's own programs ask the kernel for the lowest free number,
 * we make devices from LOOP_DEVICE_FIRST on, each for one file, and remove it afterwards. So the host's /dev is as
 * before, nobody's device is taken, and whatever is there and holds no file was left by a crash of ours. */
#pragma once

#include <stdint.h>

#define LOOP_DEVICE_FIRST 10000U
#define LOOP_DEVICE_COUNT 16384U
/* "loop" and a number. */
#define LOOP_DEVICE_NAME_MAX 24U

/* Puts @image_fd behind a device, in one go: behind the one named @wish when that is free, or a new one. It lets go of
 * the file when the last user is gone (also when we are). @wish: 0 for none; @dev_fd: the host's /dev; @control_fd: its
 * loop-control. The device's descriptor or -errno. Any thread. */
int loop_device_attach(int dev_fd, int control_fd, int image_fd, unsigned wish, unsigned *ret_number);
/* Removes the device @number when nobody uses it any more; waits some tens of milliseconds. 0 or -errno (-EBUSY:
 * somebody does). Any thread. */
int loop_device_remove(int control_fd, unsigned number);
/* The devices of our numbers, whoever uses them. Their count, at most @max, or -errno. */
int loop_device_list(int dev_fd, unsigned ret_numbers[], unsigned max);

/* The name of the device @number below /dev. */
void loop_device_name(unsigned number, char ret_name[LOOP_DEVICE_NAME_MAX]);
