#include "kernel/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

int mount_new(const char *type, const struct mount_option options[], uint64_t attributes)
{
    _cleanup_close_ int context = fsopen(type, FSOPEN_CLOEXEC);
    if (context < 0)
        return -errno;
    for (; options && options->key; options++) {
        unsigned command = options->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
        if (fsconfig(context, command, options->key, options->value, 0) < 0)
            return -errno;
    }
    if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int fd = fsmount(context, FSMOUNT_CLOEXEC, (unsigned)attributes);
    return fd < 0 ? -errno : fd;
}

int mount_clone(int dir_fd, const char *path)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;
    if (!*path)
        flags |= AT_EMPTY_PATH;
    int fd = open_tree(dir_fd, path, flags);
    return fd < 0 ? -errno : fd;
}

int mount_set_attributes(int mount_fd, uint64_t attributes, int userns_fd)
{
    struct mount_attr set = {.attr_set = attributes};
    /* One of several: the kernel wants the field cleared. */
    if (attributes & MOUNT_ATTR__ATIME)
        set.attr_clr = MOUNT_ATTR__ATIME;
    if (attributes & MOUNT_ATTR_IDMAP)
        set.userns_fd = (uint64_t)userns_fd;
    return mount_setattr(mount_fd, "", AT_EMPTY_PATH, &set, sizeof(set)) < 0 ? -errno : 0;
}

int mount_attach(int mount_fd, int target_fd)
{
    return move_mount(mount_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

int mount_make_private(void)
{
    struct mount_attr set = {.propagation = MS_PRIVATE};
    return mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &set, sizeof(set)) < 0 ? -errno : 0;
}

int mount_make_private_one(int mount_fd)
{
    struct mount_attr set = {.propagation = MS_PRIVATE};
    return mount_setattr(mount_fd, "", AT_EMPTY_PATH, &set, sizeof(set)) < 0 ? -errno : 0;
}

int mount_end_writing(int mount_fd)
{
    _cleanup_close_ int context = fspick(mount_fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
    if (context < 0 || fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
            fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
        return -errno;
    return 0;
}

int mount_open_beneath(int dir_fd, const char *path)
{
    const struct open_how how = {
            .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    /* The kernel says EAGAIN when a rename raced with the walk and the answer is not certain. */
    for (unsigned attempt = 0;; attempt++) {
        long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN || attempt == 16)
            return -errno;
    }
}
