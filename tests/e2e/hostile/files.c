/* Files: writing outside the named places, reading what is not the job's, devices, mounts, links out of the root. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "attempt.h"

/* Tries to create a file in each of @directories; the first that can be written is the escape. */
static int write_in_system_directories(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const directories[] = {"/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/bin", "/lib", "/sbin",
            "/opt", "/root", "/home", "/var", "/var/lib", "/run", "/dev", "/sys", "/proc", "/proc/sys/kernel",
            "/volumes"};
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s/hostile-was-here", directories[i]);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd >= 0)
            return attempt_fact(0, seen, "wrote %s", path);
        if (errno != EROFS && errno != EACCES && errno != EPERM && errno != ENOENT)
            return attempt_fact(0, seen, "%s: %s", path, strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "no system directory can be written");
}

static int overwrite_system_file(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(open("/bin/sh", O_WRONLY), seen, EROFS, EACCES, EPERM, ETXTBSY);
}

static int unlink_system_file(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(unlink("/etc/passwd"), seen, EROFS, EACCES, EPERM);
}

static int chmod_system_file(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(chmod("/etc/passwd", 0666), seen, EROFS, EPERM, EACCES);
}

static int read_host_secrets(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const paths[] = {"/etc/shadow", "/etc/gshadow", "/root/.bashrc", "/opt/joblet/config",
            "/var/lib/dpkg/status", "/etc/machine-id", "/proc/kcore", "/proc/keys", "/proc/timer_list",
            "/proc/sched_debug", "/proc/1/environ", "/proc/1/mem", "/proc/1/maps", "/proc/1/root/etc",
            "/proc/1/cwd/etc", "/proc/1/exe"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        int fd = open(paths[i], O_RDONLY);
        if (fd < 0)
            continue;
        char byte;
        ssize_t got = read(fd, &byte, 1);
        if (got > 0 || (got < 0 && errno == EISDIR))
            return attempt_fact(0, seen, "read %s", paths[i]);
        (void)close(fd);
    }
    return attempt_fact(1, seen, "nothing of the host can be read");
}

/* The old root must be gone: every way up ends in our own root. */
static int climb_out_by_dotdot(char seen[ATTEMPT_SEEN_MAX])
{
    struct stat root;
    if (stat("/", &root) < 0 || chdir("/") < 0)
        return attempt_fact(0, seen, "cannot look at /: %s", strerrorname_np(errno));
    for (int i = 0; i < 40; i++) {
        struct stat up;
        if (chdir("..") < 0 || stat(".", &up) < 0)
            return attempt_fact(0, seen, "cannot climb: %s", strerrorname_np(errno));
        if (up.st_dev != root.st_dev || up.st_ino != root.st_ino)
            return attempt_fact(0, seen, "left the root after %d steps", i + 1);
    }
    return attempt_fact(1, seen, "40 steps up are still /");
}

/* The classic: chroot into a directory while the working directory is outside of it. */
static int climb_out_by_chroot(char seen[ATTEMPT_SEEN_MAX])
{
    (void)mkdir("/tmp/jail", 0755);
    return ATTEMPT_REFUSED(chroot("/tmp/jail"), seen, EPERM);
}

/* CVE-2024-21626: a leaked descriptor or working directory of the host. Every descriptor must be ours. */
static int leaked_descriptors(char seen[ATTEMPT_SEEN_MAX])
{
    for (int fd = 3; fd < 1024; fd++) {
        char path[32];
        char target[128];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        return attempt_fact(0, seen, "descriptor %d is open: %s", fd, target);
    }
    return attempt_fact(1, seen, "nothing above descriptor 2 is open");
}

static int standard_descriptors(char seen[ATTEMPT_SEEN_MAX])
{
    struct stat status;
    if (fstat(0, &status) < 0 || !S_ISCHR(status.st_mode) || status.st_rdev != makedev(1, 3))
        return attempt_fact(0, seen, "standard input is not /dev/null");
    for (int fd = 1; fd < 3; fd++)
        if (fstat(fd, &status) < 0 || !S_ISFIFO(status.st_mode))
            return attempt_fact(0, seen, "descriptor %d is not a pipe", fd);
    /* A pipe end that is reopened for reading would let a job read what others of it wrote, no more. */
    return attempt_fact(1, seen, "/dev/null and two pipes");
}

static int escape_by_root_link(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(open("/proc/1/root", O_RDONLY | O_DIRECTORY), seen, EACCES, EPERM, ENOENT);
}

static int escape_by_cwd_link(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(chdir("/proc/1/cwd"), seen, EACCES, EPERM, ENOENT);
}

static int escape_by_fd_link(char seen[ATTEMPT_SEEN_MAX])
{
    for (int fd = 0; fd < 64; fd++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/proc/1/fd/%d", fd);
        if (open(path, O_RDWR) >= 0 || errno == ENXIO)
            return attempt_fact(0, seen, "opened %s", path);
    }
    return attempt_fact(1, seen, "no descriptor of process 1 can be opened");
}

static int overwrite_init(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(open("/proc/1/exe", O_WRONLY), seen, EACCES, EPERM, ENOENT, ETXTBSY);
}

static int open_by_handle(char seen[ATTEMPT_SEEN_MAX])
{
    struct {
        struct file_handle handle;
        unsigned char bytes[8];
    } root = {.handle = {.handle_bytes = 8, .handle_type = 1}, .bytes = {2}};
    return ATTEMPT_REFUSED(open_by_handle_at(AT_FDCWD, &root.handle, O_RDONLY), seen, EPERM, ENOSYS);
}

static int mount_tmpfs(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(mount("none", "/tmp", "tmpfs", 0, NULL), seen, EPERM, ENOSYS);
}

static int mount_proc(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(mount("none", "/tmp", "proc", 0, NULL), seen, EPERM, ENOSYS);
}

static int remount_root(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL), seen, EPERM, ENOSYS);
}

static int unmount_mask(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(umount2("/proc", MNT_DETACH), seen, EPERM, ENOSYS);
}

static int new_mount_calls(char seen[ATTEMPT_SEEN_MAX])
{
    static const struct {
        long number;
        const char *name;
    } calls[] = {{SYS_open_tree, "open_tree"}, {SYS_move_mount, "move_mount"}, {SYS_fsopen, "fsopen"},
            {SYS_fsmount, "fsmount"}, {SYS_fspick, "fspick"}, {442 /* mount_setattr */, "mount_setattr"},
            {SYS_pivot_root, "pivot_root"}};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        long result = syscall(calls[i].number, -1, "/", -1, "/", 0);
        if (result != -1 || (errno != EPERM && errno != ENOSYS))
            return attempt_fact(0, seen, "%s: %s", calls[i].name, result == -1 ? strerrorname_np(errno) : "succeeded");
    }
    return attempt_fact(1, seen, "all refused");
}

static int make_device(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(mknod("/tmp/disk", S_IFBLK | 0600, makedev(254, 0)), seen, EPERM, EACCES);
}

static int make_whiteout(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(mknod("/tmp/whiteout", S_IFCHR, makedev(0, 0)), seen, EPERM, EACCES);
}

static int open_devices(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const devices[] = {"/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/sda", "/dev/vda",
            "/dev/nvme0n1", "/dev/loop0", "/dev/loop-control", "/dev/fuse", "/dev/kvm", "/dev/net/tun",
            "/dev/vhost-net", "/dev/mapper/control", "/dev/ttyS0", "/dev/console", "/dev/tty0", "/dev/snapshot",
            "/dev/cpu_dma_latency", "/dev/userfaultfd", "/dev/btrfs-control", "/dev/uinput", "/dev/vsock"};
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
        if (open(devices[i], O_RDONLY | O_NONBLOCK) >= 0 || (errno != ENOENT && errno != EACCES && errno != EPERM))
            return attempt_fact(0, seen, "%s: %s", devices[i], strerrorname_np(errno));
    return attempt_fact(1, seen, "no device beyond the private ones");
}

static int change_owner(char seen[ATTEMPT_SEEN_MAX])
{
    int fd = open("/tmp/mine", O_WRONLY | O_CREAT, 0600);
    if (fd < 0)
        return attempt_fact(0, seen, "cannot write /tmp: %s", strerrorname_np(errno));
    (void)close(fd);
    return ATTEMPT_REFUSED(chown("/tmp/mine", 0, 0), seen, EPERM, EINVAL);
}

/* A set-uid file of the job's own must not give another id: nosuid, no-new-privileges. */
static int set_uid_file(char seen[ATTEMPT_SEEN_MAX])
{
    struct stat status;
    if (stat("/proc/self/exe", &status) < 0)
        return attempt_fact(0, seen, "stat: %s", strerrorname_np(errno));
    return attempt_fact(geteuid() != 0 && geteuid() == getuid(), seen, "uid %u euid %u", getuid(), geteuid());
}

static int sysctl_write(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const files[] = {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
            "/proc/sys/kernel/hostname", "/proc/sys/kernel/hotplug", "/proc/sys/vm/drop_caches",
            "/proc/sys/net/ipv4/ip_forward", "/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/ns_last_pid",
            "/proc/sysrq-trigger", "/proc/self/oom_score_adj_x", "/sys/kernel/uevent_helper"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (open(files[i], O_WRONLY) >= 0)
            return attempt_fact(0, seen, "opened %s for writing", files[i]);
    return attempt_fact(1, seen, "none can be opened for writing");
}

static int cgroup_write(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const files[] = {"/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs",
            "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/unified/cgroup.procs"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (open(files[i], O_WRONLY) >= 0)
            return attempt_fact(0, seen, "opened %s for writing", files[i]);
    return attempt_fact(1, seen, "no control group can be reached");
}

static const struct attempt files_attempts[] = {
        {"F01", "P2", "write-system-directories", "creating a file outside of the named places",
                write_in_system_directories},
        {"F02", "P2", "overwrite-system-file", "writing a file of the base root", overwrite_system_file},
        {"F03", "P2", "unlink-system-file", "removing a file of the base root", unlink_system_file},
        {"F04", "P2", "chmod-system-file", "changing the mode of a file of the base root", chmod_system_file},
        {"F05", "P3", "read-host-secrets", "reading what only the host's root may read", read_host_secrets},
        {"F06", "P3", "climb-dotdot", "climbing above the root", climb_out_by_dotdot},
        {"F07", "P3", "climb-chroot", "chroot with the working directory outside of it", climb_out_by_chroot},
        {"F08", "P3", "leaked-descriptors", "descriptors of the host that stay open: CVE-2024-21626, CVE-2016-9962",
                leaked_descriptors},
        {"F09", "P3", "standard-descriptors", "what the first three descriptors are: CVE-2024-21626",
                standard_descriptors},
        {"F10", "P3", "proc-1-root", "the root of another process through /proc", escape_by_root_link},
        {"F11", "P3", "proc-1-cwd", "the working directory of another process through /proc", escape_by_cwd_link},
        {"F12", "P3", "proc-1-fd", "the descriptors of another process through /proc", escape_by_fd_link},
        {"F13", "P2", "proc-1-exe-write", "overwriting the program that set the sandbox up: CVE-2019-5736",
                overwrite_init},
        {"F14", "P3", "open-by-handle", "opening a file by its inode number", open_by_handle},
        {"F15", "P4", "mount-tmpfs", "mounting over a directory", mount_tmpfs},
        {"F16", "P3", "mount-proc", "mounting a procfs without masks", mount_proc},
        {"F17", "P4", "remount-root", "making the root writable", remount_root},
        {"F18", "P3", "unmount-mask", "taking a mask away", unmount_mask},
        {"F19", "P4", "new-mount-calls", "mounts by descriptor: CVE-2022-0185, CVE-2021-4154", new_mount_calls},
        {"F20", "P2", "make-device", "a device node of a raw disk", make_device},
        {"F21", "P2", "make-whiteout", "a whiteout for whoever puts the job's files into an overlay", make_whiteout},
        {"F22", "P2", "open-devices", "devices of the host", open_devices},
        {"F23", "P2", "change-owner", "giving a file to root", change_owner},
        {"F24", "P2", "set-uid", "another id by executing", set_uid_file},
        {"F25", "P2", "sysctl-write", "settings of the kernel, core_pattern and sysrq among them", sysctl_write},
        {"F26", "P8", "cgroup-write", "control groups and their release_agent: CVE-2022-0492, CVE-2023-25809",
                cgroup_write},
};

const struct attempt_group attempts_files = {files_attempts, sizeof(files_attempts) / sizeof(files_attempts[0])};
