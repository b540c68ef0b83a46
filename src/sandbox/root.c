/* The job's root, built beside the old one and through descriptors only. The base root is written by nobody, but a
 * runtime is one that a build made, and so is what is collected: no link is followed and nothing above the root is
 * reached (RESOLVE_BENEATH).
 *
 * Everything here belongs to the host's user namespace: the job cannot change any of it, also not as mapped root (A16).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/mount.h"
#include "kernel/mountinfo.h"
#include "sandbox/builder_root.h"
#include "sandbox/layers.h"
#include "sandbox/root_files.h"
#include "sandbox/root_table.h"
#include "sandbox/sandbox.h"

/* Of one file. */
#define TEXT_MAX 1024U
#define PRIVATE_ATTRIBUTES (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static int write_file(int dir_fd, const char *name, const char *text)
{
    _cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

/* The file system of this job's own files, and of the two empty things that masks are made of. Its pieces are cloned,
 * and only what is attached can be cloned (before 6.15): for the time of building it covers the old root's /proc, and
 * goes with the old root. */
static int new_private(const struct sandbox *sandbox, int *ret_fd, struct error *error)
{
    static const struct mount_option options[] = {
            {"size", "65536"}, {"nr_inodes", "16"}, {"mode", "0555"}, {NULL, NULL}};
    _cleanup_close_ int fd = mount_new("tmpfs", options, PRIVATE_ATTRIBUTES & ~(uint64_t)MOUNT_ATTR_RDONLY);
    if (fd < 0)
        return error_errno(error, -fd, "make the file system of the job's own files");
    char text[TEXT_MAX];
    root_files_hosts(sandbox, text, sizeof(text));
    int r = write_file(fd, "hosts", text);
    root_files_hostname(sandbox, text, sizeof(text));
    if (r == 0)
        r = write_file(fd, "hostname", text);
    root_files_resolvers(sandbox, text, sizeof(text));
    if (r == 0)
        r = write_file(fd, "resolv.conf", text);
    if (r == 0)
        r = write_file(fd, "file", "");
    if (r == 0 && mkdirat(fd, "directory", 0555) < 0)
        r = -errno;
    if (r == 0 && sandbox->plan.type != PLAN_TYPE_STANDARD && mkdirat(fd, ROOT_DISK_NAME, 0555) < 0)
        r = -errno;
    if (r == 0)
        r = mount_set_attributes(fd, MOUNT_ATTR_RDONLY, -EBADF);
    if (r < 0)
        return error_errno(error, -r, "fill the file system of the job's own files");
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static const struct {
    const char *name;
    unsigned minor;
} devices[] = {{"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}};

static const struct {
    const char *name;
    const char *target;
} device_links[] = {
        {"fd", "/proc/self/fd"},
        {"stdin", "/proc/self/fd/0"},
        {"stdout", "/proc/self/fd/1"},
        {"stderr", "/proc/self/fd/2"},
        {"ptmx", "pts/ptmx"},
};

static int make_device(int dir_fd, const char *name, unsigned major_number, unsigned minor_number, uid_t owner)
{
    if (mknodat(dir_fd, name, S_IFCHR | 0666, makedev(major_number, minor_number)) < 0 ||
            fchmodat(dir_fd, name, 0666, 0) < 0 || fchownat(dir_fd, name, owner, owner, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int fill_dev(int fd, uid_t owner)
{
    static const char *const directories[] = {"pts", "shm", "mqueue"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ELEMENTS(devices); i++)
        r = make_device(fd, devices[i].name, 1, devices[i].minor, owner);
    if (r == 0)
        r = make_device(fd, "tty", 5, 0, owner);
    for (size_t i = 0; r == 0 && i < ELEMENTS(device_links); i++)
        if (symlinkat(device_links[i].target, fd, device_links[i].name) < 0)
            r = -errno;
    for (size_t i = 0; r == 0 && i < ELEMENTS(directories); i++)
        if (mkdirat(fd, directories[i], 0755) < 0)
            r = -errno;
    return r;
}

/* /dev is made of new nodes, not of the host's: nothing of the host's /dev is reachable from here. Where it is writable
 * it belongs to the job's root, which can make no node there all the same. */
static int new_dev(const struct sandbox *sandbox, const struct root_mount *mount)
{
    char owner[16];
    uid_t id = root_mount_is_writable(mount) ? sandbox->plan.id_base : 0;
    (void)snprintf(owner, sizeof(owner), "%u", id);
    const struct mount_option options[] = {{"size", "65536"},
            {"nr_inodes", root_mount_is_writable(mount) ? "64" : "32"}, {"mode", "0755"}, {"uid", owner},
            {"gid", owner}, {NULL, NULL}};
    _cleanup_close_ int fd = mount_new("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    int r = fd < 0 ? fd : fill_dev(fd, id);
    if (r == 0 && !root_mount_is_writable(mount))
        r = mount_set_attributes(fd, MOUNT_ATTR_RDONLY, -EBADF);
    return r < 0 ? r : TAKE_FD(fd);
}

/* The whole machine has some thousand of them: without a number of its own a job could take them all. */
#define TERMINALS_MAX "128"

static int new_devpts(const struct sandbox *sandbox)
{
    /* Group "tty" of the job, as a host id: the mount is made outside the job's user namespace. */
    char gid[16];
    (void)snprintf(gid, sizeof(gid), "%u", sandbox->plan.id_base + 5);
    const struct mount_option options[] = {{"newinstance", NULL}, {"gid", gid}, {"mode", "0620"}, {"ptmxmode", "0666"},
            {"max", TERMINALS_MAX}, {NULL, NULL}};
    return mount_new("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

static int new_tmpfs(const struct sandbox *sandbox, const struct root_mount *mount)
{
    char size[24];
    char inodes[24];
    char owner[16];
    uint32_t id = mount->is_shared ? 0 : sandbox->plan.command_id;
    (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)root_mount_bytes(sandbox, mount));
    (void)snprintf(inodes, sizeof(inodes), "%llu", (unsigned long long)root_mount_inodes(sandbox, mount));
    (void)snprintf(owner, sizeof(owner), "%u", sandbox->plan.id_base + id);
    const struct mount_option options[] = {{"size", size}, {"mode", mount->is_shared ? "01777" : "0755"},
            {"uid", owner}, {"gid", owner}, {mount->inodes ? "nr_inodes" : NULL, inodes}, {NULL, NULL}};
    return mount_new("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

static int copy_fd(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? -errno : copy;
}

/* A detached mount for one row of the list. A descriptor or -errno; @error may say more. */
static int new_mount(const struct sandbox *sandbox, const struct root_mount *mount, int private_fd, int target_fd,
        struct error *error)
{
    struct stat status;
    char path[64];
    switch (mount->kind) {
    case ROOT_KIND_FILE:
        return mount_clone(private_fd, strrchr(mount->path, '/') + 1);
    case ROOT_KIND_MASK:
        if (fstat(target_fd, &status) < 0)
            return -errno;
        return mount_clone(private_fd, S_ISDIR(status.st_mode) ? "directory" : "file");
    case ROOT_KIND_PROC:
        return mount_new("proc", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    case ROOT_KIND_PROC_RO: {
        _cleanup_close_ int fd = mount_clone(target_fd, "");
        int r = fd < 0 ? fd : mount_set_attributes(fd, MOUNT_ATTR_RDONLY, -EBADF);
        return r < 0 ? r : TAKE_FD(fd);
    }
    case ROOT_KIND_DEV:
        return new_dev(sandbox, mount);
    case ROOT_KIND_DEVPTS:
        return new_devpts(sandbox);
    case ROOT_KIND_MQUEUE:
        return mount_new("mqueue", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    case ROOT_KIND_TMPFS:
        return new_tmpfs(sandbox, mount);
    case ROOT_KIND_WORK:
        if (root_mount_is_sized(sandbox, mount))
            return new_tmpfs(sandbox, mount);
        return copy_fd(PLAN_FD_WORK);
    case ROOT_KIND_HANDED:
        return copy_fd((int)mount->number);
    case ROOT_KIND_DISK:
        (void)snprintf(path, sizeof(path), ROOT_DISK_PLACE "/%s", mount->source);
        return mount_clone(AT_FDCWD, path);
    case ROOT_KIND_UNDER:
        (void)snprintf(path, sizeof(path), ROOT_DISK_PLACE "/" LAYERS_BASE "/%s", mount->source);
        return mount_clone(AT_FDCWD, path);
    case ROOT_KIND_LOWER:
        (void)snprintf(path, sizeof(path), ROOT_DISK_PLACE "/" LAYERS_LOWER "/%u", mount->number);
        return mount_clone(AT_FDCWD, path);
    case ROOT_KIND_LAYER:
    case ROOT_KIND_MERGED:
        return layers_mount(sandbox, mount->number, mount->kind == ROOT_KIND_MERGED, error);
    case ROOT_KIND_BASE:
    case ROOT_KIND_TOOL:
        break;
    }
    return -EINVAL;
}

static int make_temporary_directory(const struct sandbox *sandbox, int tmp_fd)
{
    char name[48];
    uid_t owner = sandbox->plan.id_base + sandbox->plan.command_id;
    (void)snprintf(name, sizeof(name), "job-%s", sandbox->job_id);
    if (mkdirat(tmp_fd, name, 0700) < 0 || fchownat(tmp_fd, name, owner, owner, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int place_mount(struct sandbox *sandbox, const struct root_mount *mount, int private_fd, struct error *error)
{
    _cleanup_close_ int target = mount_open_beneath(sandbox->root_fd, mount->path);
    if (target == -ENOENT && mount->kind == ROOT_KIND_MASK)
        return 0;
    if (target < 0)
        return error_errno(error, -target, "open the mount point '/%s' of the root", mount->path);
    _cleanup_close_ int fd = new_mount(sandbox, mount, private_fd, target, error);
    if (fd < 0)
        return error->code != 0 ? fd : error_errno(error, -fd, "make the mount for '/%s'", mount->path);
    int r = mount_attach(fd, target);
    if (r < 0)
        return error_errno(error, -r, "mount '/%s'", mount->path);
    /* After the join the limits on namespaces are written: this descriptor goes below the read-only mount. */
    if (mount->kind == ROOT_KIND_PROC_RO)
        sandbox->proc_sys_fd = TAKE_FD(target);
    if (mount->kind == ROOT_KIND_TMPFS && strcmp(mount->path, "tmp") == 0) {
        r = make_temporary_directory(sandbox, fd);
        if (r < 0)
            return error_errno(error, -r, "make the job's temporary directory");
    }
    return 0;
}

/* On a shared mount everything from here on would happen to the host too, and nothing in this namespace would tell
 * afterwards: so it is asked before. */
static int check_private(struct error *error)
{
    struct statx status;
    _cleanup_close_ int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old_root < 0 || statx(old_root, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) < 0)
        return error_errno(error, errno, "look at the old root");
    int r = mountinfo_is_shared(status.stx_mnt_id);
    if (r != 0)
        return r < 0 ? error_errno(error, -r, "look at the old root's propagation")
                     : error_text(error, EPROTO, "the mount tree is still shared with the host");
    return 0;
}

/* Puts the root on top of the old one, which stays in use by whatever path begins at "/" until the pivot. */
static int attach_root(const struct sandbox *sandbox, struct error *error)
{
    _cleanup_close_ int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = old_root < 0 ? -errno : mount_attach(sandbox->root_fd, old_root);
    return r < 0 ? error_errno(error, -r, "attach the root") : 0;
}

static int make_root(struct sandbox *sandbox, struct error *error)
{
    switch (sandbox->plan.type) {
    case PLAN_TYPE_STANDARD:
        sandbox->root_fd = PLAN_FD_ROOT;
        return root_list_make(sandbox, error);
    case PLAN_TYPE_BUILD: {
        int r = builder_root_make(sandbox, error);
        return r == 0 ? root_list_make(sandbox, error) : r;
    }
    default:
        return tool_root_make(sandbox, error);
    }
}

int sandbox_build_root(struct sandbox *sandbox, struct error *error)
{
    _cleanup_close_ int private_fd = -EBADF;
    int r = check_private(error);
    if (r == 0)
        r = new_private(sandbox, &private_fd, error);
    if (r < 0)
        return r;
    _cleanup_close_ int place = open(ROOT_PRIVATE_PLACE, O_PATH | O_DIRECTORY | O_CLOEXEC);
    r = place < 0 ? -errno : mount_attach(private_fd, place);
    if (r < 0)
        return error_errno(error, -r, "mount the job's own files at the old root's '" ROOT_PRIVATE_PLACE "'");
    r = make_root(sandbox, error);
    if (r == 0)
        r = attach_root(sandbox, error);
    for (size_t i = 1; r == 0 && i < sandbox->root.count; i++)
        r = place_mount(sandbox, &sandbox->root.mounts[i], private_fd, error);
    return r;
}
