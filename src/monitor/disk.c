/* Space on the mounted file systems that lie on a device (/dev/...), each device once: bind mounts and subvolumes would
 * show the same space again. statfs(2) needs no right on the directory itself, so Landlock is not in the way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/fd.h"
#include "monitor/message.h"
#include "monitor/sample.h"

#define MOUNTS_SIZE_MAX (16U << 20)

/* Undoes \040 and its like, in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' &&
                from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static bool is_listed(const Joblet__SystemStatusResponse *status, const char *device)
{
    for (size_t i = 0; i < status->n_disks; i++)
        if (strcmp(status->disks[i]->device, device) == 0)
            return true;
    return false;
}

static void fill_space(Joblet__DiskMetrics *disk, const struct statvfs *space)
{
    uint64_t unit = space->f_frsize;
    uint64_t used = space->f_blocks > space->f_bavail ? space->f_blocks - space->f_bavail : 0;
    uint64_t inodes_used = space->f_files > space->f_favail ? space->f_files - space->f_favail : 0;
    disk->total_bytes = (int64_t)(space->f_blocks * unit);
    disk->used_bytes = (int64_t)(used * unit);
    disk->free_bytes = (int64_t)(space->f_bavail * unit);
    disk->usage_percent = sample_percent(used, space->f_blocks);
    disk->inodes_total = (int64_t)space->f_files;
    disk->inodes_used = (int64_t)inodes_used;
    disk->inodes_free = (int64_t)space->f_favail;
    disk->inodes_usage_percent = sample_percent(inodes_used, space->f_files);
}

static int add_disk(Joblet__SystemStatusResponse *status, const char *device, const char *target, const char *type)
{
    struct statvfs space;
    /* Under a directory that we may not enter: not ours to see. */
    if (statvfs(target, &space) < 0)
        return 0;
    Joblet__DiskMetrics *disk = MESSAGE_ADD(status, disks, Joblet__DiskMetrics, joblet__disk_metrics__init);
    if (!disk)
        return -ENOMEM;
    fill_space(disk, &space);
    int r = message_set_text(&disk->device, device);
    if (r == 0)
        r = message_set_text(&disk->mount_point, target);
    return r == 0 ? message_set_text(&disk->filesystem, type) : r;
}

int disk_read(const struct monitor *monitor, Joblet__SystemStatusResponse *status, struct error *error)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    int r = fd_read_file_at(monitor->proc_fd, "self/mounts", MOUNTS_SIZE_MAX, &text, &size);
    if (r < 0)
        return error_errno(error, -r, "read mounts");
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *field = NULL;
        char *device = strtok_r(line, " ", &field);
        char *target = strtok_r(NULL, " ", &field);
        const char *type = strtok_r(NULL, " ", &field);
        if (!type || strncmp(device, "/dev/", 5) != 0 || status->n_disks == MONITOR_DISKS_MAX)
            continue;
        unescape(device);
        unescape(target);
        if (is_listed(status, device))
            continue;
        r = add_disk(status, device, target, type);
        if (r < 0)
            return error_errno(error, -r, "read disks");
    }
    return 0;
}
