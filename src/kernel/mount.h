/* The descriptor-first mount calls: make a file system or a clone detached, set it up, put it in place through
 * descriptors. No path is walked that could hold a link. */
#pragma once

#include <stdint.h>
#include <sys/mount.h>

/* One option of a new file system: key and value, or a flag with a NULL value. */
struct mount_option {
    const char *key;
    const char *value;
};

/* A new, detached mount of @type with @options (ended by a NULL key) and MOUNT_ATTR_* @attributes. A descriptor (it is
 * usable as a directory) or -errno. */
int mount_new(const char *type, const struct mount_option options[], uint64_t attributes);
/* A detached clone of the mount at @path below @dir_fd, from that path on and without what is mounted below it. With
 * @path "" of @dir_fd itself. A descriptor or -errno. */
int mount_clone(int dir_fd, const char *path);
/* Adds @attributes to the mount at @mount_fd; an idmap (the user namespace @userns_fd, or -EBADF for none) comes with
 * MOUNT_ATTR_IDMAP. 0 or -errno. */
int mount_set_attributes(int mount_fd, uint64_t attributes, int userns_fd);
/* Puts the detached mount @mount_fd on top of the directory or file @target_fd. 0 or -errno. */
int mount_attach(int mount_fd, int target_fd);
/* Makes the whole mount tree of this namespace private. 0 or -errno. */
int mount_make_private(void);
/* Makes the one mount @mount_fd private. A clone belongs to the peer group of its original: what is mounted below a
 * shared clone appears below the original, on the host. 0 or -errno. */
int mount_make_private_one(int mount_fd);

/* Makes the whole file system of the mount @mount_fd read-only, by whatever mount it is looked at, and writes all of it
 * out: what lies on the device is complete then. 0; -EBUSY: somebody still writes, or a deleted file is still open;
 * -errno. It can take long. */
int mount_end_writing(int mount_fd);

/* Opens @path below @dir_fd as O_PATH; no link is followed and nothing above @dir_fd is reached. A descriptor, -errno.
 */
int mount_open_beneath(int dir_fd, const char *path);
