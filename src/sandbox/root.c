/* The job's root, built beside the old one and through descriptors only. The base root is written by nobody, but a
 * runtime will be one that a build made: so no link is followed and nothing above the root is reached
 * (RESOLVE_BENEATH).
 *
 * Everything here belongs to the host's user namespace: the job cannot change any of it, also not as mapped root (A16).
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
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
#include "sandbox/root_table.h"
#include "sandbox/sandbox.h"

#define READ_ONLY_FILE "ro,nosuid,nodev,noexec"

/* Parts of /proc that tell of, or reach, the whole machine (A31). */
#define MASK(path)                                                                                                     \
    {                                                                                                                  \
        "proc/" path, ROOT_KIND_MASK, "tmpfs", READ_ONLY_FILE, 0, 0, false                                             \
    }

const struct root_mount root_mounts[] = {
        {"", ROOT_KIND_BASE, NULL, "ro,nosuid,nodev,idmapped", 0, 0, false},
        {"etc/hosts", ROOT_KIND_FILE, "tmpfs", READ_ONLY_FILE, 0, 0, false},
        {"etc/hostname", ROOT_KIND_FILE, "tmpfs", READ_ONLY_FILE, 0, 0, false},
        {"etc/resolv.conf", ROOT_KIND_FILE, "tmpfs", READ_ONLY_FILE, 0, 0, false},
        {"proc", ROOT_KIND_PROC, "proc", "rw,nosuid,nodev,noexec", 0, 0, false},
        {"proc/sys", ROOT_KIND_PROC_RO, "proc", READ_ONLY_FILE, 0, 0, false},
        MASK("kcore"),
        MASK("keys"),
        MASK("key-users"),
        MASK("timer_list"),
        MASK("sched_debug"),
        MASK("kallsyms"),
        MASK("sysrq-trigger"),
        MASK("scsi"),
        MASK("acpi"),
        MASK("bus"),
        MASK("fs"),
        MASK("irq"),
        MASK("tty/driver"),
        MASK("asound"),
        {"dev", ROOT_KIND_DEV, "tmpfs", "ro,nosuid,noexec", 0, 0, false},
        {"dev/pts", ROOT_KIND_DEVPTS, "devpts", "rw,nosuid,noexec", 0, 0, false},
        {"dev/mqueue", ROOT_KIND_MQUEUE, "mqueue", "rw,nosuid,nodev,noexec", 0, 0, false},
        {"dev/shm", ROOT_KIND_TMPFS, "tmpfs", "rw,nosuid,nodev", offsetof(struct plan, shm_bytes), 0, true},
        {"tmp", ROOT_KIND_TMPFS, "tmpfs", "rw,nosuid,nodev", offsetof(struct plan, tmp_bytes),
                offsetof(struct plan, tmp_inodes), true},
        {"work", ROOT_KIND_WORK, "tmpfs", "rw,nosuid,nodev", offsetof(struct plan, work_bytes),
                offsetof(struct plan, work_inodes), false},
};
const size_t root_mount_count = ELEMENTS(root_mounts);

#define PRIVATE_ATTRIBUTES (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* The files of this job lie on a file system of their own. Its pieces are cloned, and only what is attached can be
 * cloned (before 6.15): for the time of building it covers the old root's /proc, and goes with the old root. */
#define PRIVATE_PLACE "/proc"

static uint64_t plan_number(const struct sandbox *sandbox, size_t offset)
{
    uint64_t number;
    memcpy(&number, (const char *)&sandbox->plan + offset, sizeof(number));
    return number;
}

bool root_mount_is_sized(const struct sandbox *sandbox, const struct root_mount *mount)
{
    return mount->kind == ROOT_KIND_TMPFS || (mount->kind == ROOT_KIND_WORK && !sandbox->plan.work_on_disk);
}

uint64_t root_mount_bytes(const struct sandbox *sandbox, const struct root_mount *mount)
{
    uint64_t page = 4096;
    return (plan_number(sandbox, mount->bytes) + page - 1) / page * page;
}

uint64_t root_mount_inodes(const struct sandbox *sandbox, const struct root_mount *mount)
{
    return mount->inodes ? plan_number(sandbox, mount->inodes) : 0;
}

static int write_file(int dir_fd, const char *name, const char *text)
{
    _cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

/* The file system of this job's own files, and of the two empty things that masks are made of. */
static int new_private(const struct sandbox *sandbox, int *ret_fd, struct error *error)
{
    static const struct mount_option options[] = {
            {"size", "65536"}, {"nr_inodes", "16"}, {"mode", "0555"}, {NULL, NULL}};
    _cleanup_close_ int fd = mount_new("tmpfs", options, PRIVATE_ATTRIBUTES & ~(uint64_t)MOUNT_ATTR_RDONLY);
    if (fd < 0)
        return error_errno(error, -fd, "make the file system of the job's own files");
    char hosts[160];
    char hostname[32];
    (void)snprintf(hosts, sizeof(hosts),
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.0.1 %s\n", sandbox->host_name);
    (void)snprintf(hostname, sizeof(hostname), "%s\n", sandbox->host_name);
    int r = write_file(fd, "hosts", hosts);
    if (r == 0)
        r = write_file(fd, "hostname", hostname);
    if (r == 0)
        r = write_file(fd, "resolv.conf", "# This job has no network but its loopback.\n");
    if (r == 0)
        r = write_file(fd, "file", "");
    if (r == 0 && mkdirat(fd, "directory", 0555) < 0)
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

static int make_device(int dir_fd, const char *name, unsigned major_number, unsigned minor_number)
{
    if (mknodat(dir_fd, name, S_IFCHR | 0666, makedev(major_number, minor_number)) < 0)
        return -errno;
    return fchmodat(dir_fd, name, 0666, 0) < 0 ? -errno : 0;
}

/* /dev is made of new nodes, not of the host's: nothing of the host's /dev is reachable from here. */
static int new_dev(void)
{
    static const struct mount_option options[] = {
            {"size", "65536"}, {"nr_inodes", "32"}, {"mode", "0755"}, {NULL, NULL}};
    static const char *const directories[] = {"pts", "shm", "mqueue"};
    _cleanup_close_ int fd = mount_new("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    int r = fd < 0 ? fd : 0;
    for (size_t i = 0; r == 0 && i < ELEMENTS(devices); i++)
        r = make_device(fd, devices[i].name, 1, devices[i].minor);
    if (r == 0)
        r = make_device(fd, "tty", 5, 0);
    for (size_t i = 0; r == 0 && i < ELEMENTS(device_links); i++)
        if (symlinkat(device_links[i].target, fd, device_links[i].name) < 0)
            r = -errno;
    for (size_t i = 0; r == 0 && i < ELEMENTS(directories); i++)
        if (mkdirat(fd, directories[i], 0755) < 0)
            r = -errno;
    if (r == 0)
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

/* A detached mount for one row of the table; -ENOENT: the kernel does not have the part of /proc that it masks. */
static int new_mount(const struct sandbox *sandbox, const struct root_mount *mount, int private_fd, int target_fd)
{
    struct stat status;
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
        return new_dev();
    case ROOT_KIND_DEVPTS:
        return new_devpts(sandbox);
    case ROOT_KIND_MQUEUE:
        return mount_new("mqueue", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    case ROOT_KIND_TMPFS:
        return new_tmpfs(sandbox, mount);
    case ROOT_KIND_WORK:
        if (root_mount_is_sized(sandbox, mount))
            return new_tmpfs(sandbox, mount);
        int fd = fcntl(PLAN_FD_WORK, F_DUPFD_CLOEXEC, 0);
        return fd < 0 ? -errno : fd;
    case ROOT_KIND_BASE:
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
    _cleanup_close_ int target = mount_open_beneath(PLAN_FD_ROOT, mount->path);
    if (target == -ENOENT && mount->kind == ROOT_KIND_MASK)
        return 0;
    if (target < 0)
        return error_errno(error, -target, "open the mount point '/%s' of the root", mount->path);
    _cleanup_close_ int fd = new_mount(sandbox, mount, private_fd, target);
    if (fd < 0)
        return error_errno(error, -fd, "make the mount for '/%s'", mount->path);
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

/* Attaches the root on top of the old one, which stays in use by whatever path begins at "/" until the pivot. On a
 * shared mount this would happen to the host too, and nothing in this namespace would tell afterwards: so it is asked
 * before. */
static int attach_root(struct error *error)
{
    struct statx status;
    _cleanup_close_ int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old_root < 0 || statx(old_root, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) < 0)
        return error_errno(error, errno, "look at the old root");
    int r = mountinfo_is_shared(status.stx_mnt_id);
    if (r != 0)
        return r < 0 ? error_errno(error, -r, "look at the old root's propagation")
                     : error_text(error, EPROTO, "the mount tree is still shared with the host");
    r = mount_attach(PLAN_FD_ROOT, old_root);
    return r < 0 ? error_errno(error, -r, "attach the root") : 0;
}

int sandbox_build_root(struct sandbox *sandbox, struct error *error)
{
    _cleanup_close_ int private_fd = -EBADF;
    int r = attach_root(error);
    if (r == 0)
        r = new_private(sandbox, &private_fd, error);
    if (r < 0)
        return r;
    _cleanup_close_ int place = open(PRIVATE_PLACE, O_PATH | O_DIRECTORY | O_CLOEXEC);
    r = place < 0 ? -errno : mount_attach(private_fd, place);
    if (r < 0)
        return error_errno(error, -r, "mount the job's own files at the old root's '" PRIVATE_PLACE "'");
    for (size_t i = 1; r == 0 && i < root_mount_count; i++)
        r = place_mount(sandbox, &root_mounts[i], private_fd, error);
    return r;
}
