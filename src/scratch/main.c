/* joblet-scratch: keeps disks of the configured size ready for the /work of jobs, and makes those of builds. A process
 * of its own, because making and dropping a file system waits for the kernel, and because its mount namespace, with all
 * that no job uses, goes when it ends, however it ends.
 *
 * It reads nothing that a job or a client wrote: its channel leads to joblet, and of a job's disk it looks at times and
 * counts alone. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kernel/capability.h"
#include "kernel/mount.h"
#include "scratch/keeper.h"
#include "scratch/message.h"

/* An empty, private root: the host's mounts are not held, and the disks' places are nobody else's. */
static int take_own_root(struct error *error)
{
    static const struct mount_option options[] = {
            {"size", "1m"}, {"nr_inodes", "16384"}, {"mode", "0700"}, {NULL, NULL}};
    _cleanup_close_ int root = mount_new("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    _cleanup_close_ int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || old_root < 0)
        return error_errno(error, root < 0 ? -root : errno, "make an own root");
    int r = mount_attach(root, old_root);
    if (r < 0)
        return error_errno(error, -r, "attach an own root");
    if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || fchdir(old_root) < 0 ||
            umount2(".", MNT_DETACH) < 0)
        return error_errno(error, errno, "change to an own root");
    return 0;
}

/* Mounting and the devices' control need this one. */
static int drop_rights(struct error *error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const uint32_t kept = 1U << CAP_SYS_ADMIN;
    const struct __user_cap_data_struct data[2] = {{.effective = kept, .permitted = kept}};
    int r = capability_drop_bounding();
    if (r < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_errno(error, r < 0 ? -r : errno, "drop rights");
    return syscall(SYS_capset, &header, data) < 0 ? error_errno(error, errno, "drop capabilities") : 0;
}

/* Everything that can fail on a host that has no loop devices, no ext4 or no mke2fs. */
static int prepare(const struct scratch_message *setup, struct disk_place *place, struct keeper_models *models,
        struct error *error)
{
    if (unshare(CLONE_NEWNS) < 0)
        return error_errno(error, errno, "unshare the mount namespace");
    int r = mount_make_private();
    if (r < 0)
        return error_errno(error, -r, "make the mounts private");
    r = disk_place_open(SCRATCH_FD_DIRECTORY, place, error);
    if (r < 0)
        return r;
    /* Left by one that was killed. */
    (void)disk_place_sweep(place);
    r = template_make(place, setup->bytes, setup->inodes, setup->owner, &models->work, error);
    if (r < 0)
        return r;
    /* Now, for there is no mke2fs in our own root. A host that cannot have one of this size has jobs all the same. */
    if (setup->build_bytes > 0)
        (void)template_make(
                place, setup->build_bytes, setup->build_inodes, DISK_NO_OWNER, &models->build, &models->build_error);
    else
        (void)error_text(&models->build_error, ENOTSUP, "no size of a build's disk is known");
    r = take_own_root(error);
    if (r == 0 && fchdir(place->dev_fd) < 0)
        r = error_errno(error, errno, "change to /dev");
    return r == 0 ? drop_rights(error) : r;
}

static void wait_for_end(void)
{
    struct pollfd entry = {.fd = SCRATCH_FD_CHANNEL};
    while (poll(&entry, 1, -1) < 0 && errno == EINTR)
        ;
}

int main(void)
{
    struct scratch_message message = {0};
    struct scratch_message state = {.magic = SCRATCH_MAGIC, .kind = SCRATCH_STATE};
    struct disk_place place = {.dev_fd = -EBADF, .control_fd = -EBADF};
    struct keeper_models models = {0};
    int fds[SCRATCH_FDS_MAX] = {-EBADF, -EBADF, -EBADF};
    (void)umask(022);
    if (close_range(SCRATCH_FD_CHANNEL, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ||
            scratch_receive(SCRATCH_FD_CHANNEL, /* wait= */ 1, &message, fds) < 0 || message.kind != SCRATCH_SETUP)
        return 2;
    log_open("joblet-scratch", (enum log_level)message.log_level, (enum log_format)message.log_format);
    int r = prepare(&message, &place, &models, &state.error);
    state.on_disk = r == 0;
    state.bytes = models.work.bytes;
    state.inodes = models.work.inodes;
    if (scratch_send(SCRATCH_FD_CHANNEL, &state, NULL, 0) < 0)
        r = -EPIPE;
    else if (r == 0)
        r = keeper_serve(SCRATCH_FD_CHANNEL, &place, &models);
    else
        wait_for_end();
    disk_place_close(&place);
    template_done(&models.work);
    template_done(&models.build);
    /* Not through the C library: a sanitizer would want to look into this process, which nobody may. */
    _exit(r == 0 || !state.on_disk ? 0 : 1);
}
