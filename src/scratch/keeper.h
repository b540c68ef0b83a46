/* The stock of disks: some are always ready, more are made when starts wait, and what a job has used is dropped. One
 * thread speaks with joblet and never waits for the kernel; a few others make and drop disks, which is mostly waiting.
 *
 *     made --> ready, a mount of it with joblet --TAKEN--> a job's --RETURNED--> untouched? ready again : dropped */
#pragma once

#include "scratch/disk.h"

/* Serves @channel_fd until its other end is closed; then drops all that is ready. Jobs keep what they have. The caller
 * is alone in its mount namespace, whose root is empty and writable. 0 or -errno. */
int keeper_serve(int channel_fd, struct disk_place *place, const struct disk_template *model);
