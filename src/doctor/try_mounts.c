/* The mounts that a job's root is made of, each in a mount namespace that ends with the try. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "doctor/row.h"
#include "kernel/mount.h"
#include "kernel/userns.h"
#include "setup/base.h"

#define RANGE_SIZE 65536U
#define QUIET (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

void try_tmpfs(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    char id[16];
    struct stat status;
    (void)snprintf(id, sizeof(id), "%u", doctor->range_start);
    const struct mount_option options[] = {
            {"size", "1m"}, {"nr_inodes", "16"}, {"mode", "0700"}, {"uid", id}, {"gid", id}, {NULL, NULL}};
    if (!trial_unshare_mounts(finding))
        return;
    _cleanup_close_ int fd = mount_new("tmpfs", options, QUIET);
    if (fd < 0)
        finding_errno(finding, -fd, "tmpfs with size, inodes and owner");
    else if (fstat(fd, &status) < 0 || status.st_uid != doctor->range_start)
        finding_fails(finding, "the owner of a tmpfs is not the one asked for");
    else
        finding_holds(finding, "with size, inodes and owner");
}

static void check_proc(void *user, struct finding *finding)
{
    (void)user;
    char text[16] = "";
    int r = mount_make_private();
    _cleanup_close_ int fd = r < 0 ? r : mount_new("proc", NULL, QUIET);
    if (fd < 0)
        finding_errno(finding, -fd, "a new /proc");
    else if (readlinkat(fd, "self", text, sizeof(text) - 1) < 0 || strcmp(text, "1") != 0)
        finding_fails(finding, "a new /proc does not show the new PID namespace");
    else
        finding_holds(finding, "shows its own PID namespace alone");
}

void try_proc(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    (void)trial_clone(CLONE_NEWPID | CLONE_NEWNS, -EBADF, check_proc, NULL, finding);
}

void try_devpts(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    const struct mount_option options[] = {{"newinstance", NULL}, {"ptmxmode", "0666"}, {"mode", "0620"}, {NULL, NULL}};
    if (!trial_unshare_mounts(finding))
        return;
    _cleanup_close_ int fd = mount_new("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    if (fd < 0)
        finding_errno(finding, -fd, "devpts");
    else if (faccessat(fd, "0", F_OK, 0) == 0)
        finding_fails(finding, "a new devpts shows terminals of the host");
    else
        finding_holds(finding, "an instance of its own");
}

static void check_mqueue(void *user, struct finding *finding)
{
    (void)user;
    int r = mount_make_private();
    _cleanup_close_ int fd = r < 0 ? r : mount_new("mqueue", NULL, QUIET);
    if (fd < 0)
        finding_errno(finding, -fd, "mqueue");
    else
        finding_holds(finding, "in an IPC namespace of its own");
}

void try_mqueue(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    (void)trial_clone(CLONE_NEWIPC | CLONE_NEWNS, -EBADF, check_mqueue, NULL, finding);
}

/* A root of one empty tmpfs, put over a directory that every host has, and the host's root let go. */
void try_pivot_root(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    if (!trial_unshare_mounts(finding))
        return;
    _cleanup_close_ int root = mount_new("tmpfs", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    _cleanup_close_ int target = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = root < 0 ? root : target < 0 ? -errno : mount_attach(root, target);
    if (r < 0) {
        finding_errno(finding, -r, "attach a new root");
        return;
    }
    if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) {
        finding_errno(finding, errno, "pivot_root");
        return;
    }
    if (access("/etc", F_OK) == 0 || access("/proc", F_OK) == 0)
        finding_fails(finding, "the old root is still there");
    else
        finding_holds(finding, "the old root is gone");
}

/* The base when it is there, else the nearest directory above where it will be. */
static int open_base(const struct doctor *doctor, bool *ret_is_base)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/" BASE_NAME, doctor->prefix);
    *ret_is_base = true;
    for (;;) {
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 || errno != ENOENT)
            return fd < 0 ? -errno : fd;
        char *slash = strrchr(path, '/');
        if (!slash || path[1] == '\0')
            return -ENOENT;
        slash[slash == path] = '\0';
        *ret_is_base = false;
    }
}

static void check_owner(const struct doctor *doctor, int tree, bool is_base, struct finding *finding)
{
    struct stat status;
    if (fstat(tree, &status) < 0)
        finding_errno(finding, errno, "look into an idmapped mount");
    else if (is_base && status.st_uid != doctor->range_start)
        finding_fails(
                finding, "through the mount the base belongs to %u, not to %u", status.st_uid, doctor->range_start);
    else
        finding_holds(finding, "%s", is_base ? "the base belongs to the job's range" : "on the prefix's file system");
}

void try_idmapped_base(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    struct error error = {0};
    bool is_base;
    const struct userns_map map = {doctor->disk_start, doctor->range_start, RANGE_SIZE};
    _cleanup_close_ int base = open_base(doctor, &is_base);
    _cleanup_close_ int userns = userns_new(&map, &error);
    if (base < 0 || userns < 0) {
        finding_fails(finding, "%s", base < 0 ? "the prefix cannot be opened" : error.text);
        return;
    }
    _cleanup_close_ int tree = mount_clone(base, "");
    int r = tree < 0 ? tree
                     : mount_set_attributes(tree,
                               MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, userns);
    if (r < 0)
        finding_errno(finding, -r, "an idmapped, read-only clone");
    else
        check_owner(doctor, tree, is_base && doctor->config, finding);
}

void try_paths(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    _cleanup_close_ int dev = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int inside = mount_open_beneath(dev, "status");
    int outside = mount_open_beneath(dev, "../status");
    int link = mount_open_beneath(dev, "root/etc");
    if (inside < 0)
        finding_errno(finding, -inside, "openat2 beneath a directory");
    else if (outside >= 0 || link >= 0)
        finding_fails(finding, "openat2 left the directory that it was given");
    else if (close_range(1000, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        finding_errno(finding, errno, "close_range");
    else
        finding_holds(finding, "openat2 stays beneath, close_range works");
    (void)fd_close(outside);
    (void)fd_close(link);
}
