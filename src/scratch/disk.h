/* One disk, a job's /work or all that a build writes: a file without a name on the file system of the prefix, a loop
 * device over it, ext4 in it.
 * Its size is the limit; what is in it is gone with its last user, whoever that is. Only what we formatted is mounted:
 * a disk is a copy of a template that mke2fs made, and its file is never in reach of a job. That of a build may get a
 * name from joblet when the build is over: then it is opened again as often as it is wanted, and only read. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* The one directory of a disk that jobs see. */
#define DISK_DIRECTORY "work"
/* As an owner: there is no such directory, a build has the whole file system. */
#define DISK_NO_OWNER UINT32_MAX

/* Devices that were used and are kept for the next disk: making and removing one takes the kernel much longer. */
#define DISK_SPARE_MAX 64U

/* Where disks are made. */
struct disk_place {
    int directory_fd; /* borrowed: whose file system holds the files */
    int dev_fd;       /* the host's /dev */
    int control_fd;   /* its loop-control */
    pthread_mutex_t lock;
    unsigned spare_count;
    unsigned spares[DISK_SPARE_MAX];
};

/* Opens what making disks needs and changes to /dev, for the kernel wants the devices by path: also after the root has
 * changed, that path leads nowhere else. 0 or -errno with @error. */
int disk_place_open(int directory_fd, struct disk_place *ret_place, struct error *error);
/* Closes them, and removes every device that nobody uses: also those of an earlier, killed process of ours, and those
 * that another service keeps for later and makes anew. What is let go of meanwhile is waited for, a quarter of a second
 * as long as something is in use. */
void disk_place_close(struct disk_place *place);
/* Removes them once. How many somebody uses. */
unsigned disk_place_sweep(const struct disk_place *place);

struct template_part {
    uint64_t offset;
    uint64_t size;
    uint8_t *bytes;
};

struct disk_template {
    uint64_t image_bytes; /* of the file */
    uint64_t bytes;       /* what the file system says: its blocks, and its inodes */
    uint64_t inodes;
    uint64_t usable_bytes; /* what can be written: the kernel keeps some blocks for itself */
    uint64_t free_blocks;  /* of one that is untouched */
    uint64_t free_inodes;
    int64_t changed_sec; /* the change time of the directory */
    uint32_t changed_nsec;
    bool can_be_named; /* a build's: its file may stay */
    unsigned part_count;
    struct template_part *parts; /* what is not zero */
};

/* Formats a file system into which @bytes can be written, and with about @inodes; its directory belongs to @owner, or
 * is not there (DISK_NO_OWNER). Runs mke2fs, with no rights. 0 or -errno with @error. Takes tens of milliseconds. */
int template_make(struct disk_place *place, uint64_t bytes, uint64_t inodes, uint32_t owner,
        struct disk_template *ret_model, struct error *error);
void template_done(struct disk_template *model);

struct disk {
    int image_fd;
    int mount_fd; /* the whole file system */
    unsigned number;
    blkcnt_t blocks; /* of the file, when it was new */
};

/* Makes a disk, not attached anywhere. 0 or -errno with @error. Any thread; takes milliseconds, most of them waiting.
 */
int disk_make(struct disk_place *place, const struct disk_template *model, struct disk *ret_disk, struct error *error);
/* Mounts the file @image_fd (taken), which was a disk's, once more, read-only. 0 or -errno with @error. Any thread. */
int disk_open(struct disk_place *place, int image_fd, struct disk *ret_disk, struct error *error);
/* A detached mount of the directory alone. The disk must be attached in the caller's namespace (kernel 6.1). A
 * descriptor or -errno. */
int disk_clone(const struct disk *disk);
/* The same of the whole file system. */
int disk_clone_whole(const struct disk *disk);
/* True when the job that had it has changed nothing: not the directory, and nothing was written to the file. */
bool disk_is_untouched(const struct disk_template *model, const struct disk *disk);
/* What lies on it now. */
uint64_t disk_used_bytes(const struct disk_template *model, const struct disk *disk);
/* Drops what was not written back yet; every user gets errors from now on. Without it, letting go would first write all
 * of it out. The kernel tells the console of it. */
void disk_shut(const struct disk *disk);
/* Closes it; its device is kept as a spare, or removed. The mount must be detached. Any thread. */
void disk_close(struct disk_place *place, struct disk *disk);
