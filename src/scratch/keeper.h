/* The stock of disks: some are always ready, more are made when starts wait, and what a job has used is dropped. One
 * thread speaks with joblet and never waits for the kernel; a few others make and drop disks, which is mostly waiting.
 *
 *     made --> ready, a mount of it with joblet --TAKEN--> a job's --RETURNED--> untouched? ready again : dropped
 *
 * Disks of builds have no stock: one is made when it is wanted, and from then on another one ahead. */
#pragma once

#include "scratch/disk.h"

/* What disks are copied from. A build's may be missing: @build_error says why, and answers whoever wants one. */
struct keeper_models {
    struct disk_template work;
    struct disk_template build;
    struct error build_error;
};

/* Serves @channel_fd until its other end is closed; then drops all that is ready. Jobs keep what they have. The caller
 * is alone in its mount namespace, whose root is empty and writable. 0 or -errno. */
int keeper_serve(int channel_fd, struct disk_place *place, const struct keeper_models *models);
