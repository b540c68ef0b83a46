/* What let programs out of other container runtimes and sandboxes, by mechanism. Each asks for the state that the hole
 * needs and says that it is not so. The mechanisms that have nothing to stand on here are in docs/ESCAPES.md. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "attempt.h"

/* runc's own program was written through a descriptor that had been opened before it ended. Here: ours, which lies in
 * the base root as any program does. */
static int overwrite_own_program(char seen[ATTEMPT_SEEN_MAX])
{
    int fd = open("/proc/self/exe", O_WRONLY);
    if (fd >= 0 || (errno != EROFS && errno != EACCES && errno != ETXTBSY))
        return attempt_fact(0, seen, "directly: %s", strerrorname_np(errno));
    fd = open("/proc/self/exe", O_PATH);
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return ATTEMPT_REFUSED(open(path, O_RDWR), seen, EROFS, EACCES, ETXTBSY);
}

/* A working directory that was the host's: by a descriptor that was open when the command began. */
static int directory_by_descriptor(char seen[ATTEMPT_SEEN_MAX])
{
    char path[PATH_MAX];
    if (!getcwd(path, sizeof(path)) || path[0] != '/')
        return attempt_fact(0, seen, "the working directory is outside of the root: %s", path);
    for (int fd = 0; fd < 256; fd++) {
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/../../../..", fd);
        if (chdir(path) != -1 || (errno != ENOENT && errno != ENOTDIR))
            return attempt_fact(0, seen, "%s: %s", path, strerrorname_np(errno));
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (chdir(path) != -1 || (errno != ENOENT && errno != ENOTDIR))
            return attempt_fact(0, seen, "%s: %s", path, strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "no descriptor is a directory");
}

static const char *const masked[] = {"kcore", "keys", "key-users", "timer_list", "sched_debug", "kallsyms",
        "sysrq-trigger", "scsi", "acpi", "bus", "fs", "irq", "tty/driver", "asound"};

/* runc covered files with /dev/null, which a job's image could replace by a link. Here masks are files and directories
 * of a file system of their own: empty, read-only, no device. */
static int masks_are_empty(char seen[ATTEMPT_SEEN_MAX])
{
    unsigned count = 0;
    for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++) {
        char path[64];
        struct stat status;
        (void)snprintf(path, sizeof(path), "/proc/%s", masked[i]);
        if (lstat(path, &status) < 0 && errno == ENOENT)
            continue;
        struct statfs system;
        if (statfs(path, &system) < 0 || system.f_type != TMPFS_MAGIC)
            return attempt_fact(0, seen, "%s is not covered", path);
        if (open(path, S_ISDIR(status.st_mode) ? O_WRONLY | O_TMPFILE : O_WRONLY, 0600) != -1 ||
                (errno != EROFS && errno != EACCES))
            return attempt_fact(0, seen, "%s for writing: %s", path, strerrorname_np(errno));
        if (S_ISDIR(status.st_mode) ? status.st_nlink != 2 : !S_ISREG(status.st_mode) || status.st_size != 0)
            return attempt_fact(0, seen, "%s is not empty", path);
        count++;
    }
    return attempt_fact(count >= 8, seen, "%u masks, empty and read-only", count);
}

/* The places of the mounts were links in an image, so that the mounts went elsewhere. */
static int mounts_are_in_place(char seen[ATTEMPT_SEEN_MAX])
{
    static const struct {
        const char *path;
        long type;
    } places[] = {{"/proc", PROC_SUPER_MAGIC}, {"/proc/sys", PROC_SUPER_MAGIC}, {"/dev", TMPFS_MAGIC},
            {"/dev/pts", 0x1cd1}, {"/dev/shm", TMPFS_MAGIC}, {"/dev/mqueue", 0x19800202}, {"/tmp", TMPFS_MAGIC},
            {"/work", 0}};
    struct stat root;
    struct stat status;
    (void)stat("/", &root);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct statfs system;
        if (lstat(places[i].path, &status) < 0 || statfs(places[i].path, &system) < 0)
            return attempt_fact(0, seen, "%s: %s", places[i].path, strerrorname_np(errno));
        if (!S_ISDIR(status.st_mode) || status.st_dev == root.st_dev ||
                (places[i].type && system.f_type != places[i].type))
            return attempt_fact(0, seen, "%s is not the mount that it should be", places[i].path);
    }
    return attempt_fact(1, seen, "each is a directory and its own mount");
}

static int is_known_device(const char *name, dev_t number)
{
    static const struct {
        const char *name;
        unsigned major;
        unsigned minor;
    } known[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].name, name) == 0)
            return number == makedev(known[i].major, known[i].minor);
    return 0;
}

/* /dev/console was bound over a link; devices were bound from the host. Here /dev is ours alone. */
static int devices_are_private(char seen[ATTEMPT_SEEN_MAX])
{
    DIR *directory = opendir("/dev");
    struct dirent *entry;
    unsigned count = 0;
    while (directory && (entry = readdir(directory))) {
        struct stat status;
        if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            return attempt_fact(0, seen, "%s: %s", entry->d_name, strerrorname_np(errno));
        if (S_ISDIR(status.st_mode) || S_ISLNK(status.st_mode))
            continue;
        if (!S_ISCHR(status.st_mode) || !is_known_device(entry->d_name, status.st_rdev))
            return attempt_fact(0, seen, "/dev/%s does not belong there", entry->d_name);
        count++;
    }
    if (symlink("/proc/sys/kernel/core_pattern", "/dev/console") != -1 || (errno != EROFS && errno != EACCES))
        return attempt_fact(0, seen, "a link in /dev: %s", strerrorname_np(errno));
    if (unlink("/dev/null") != -1 || (errno != EROFS && errno != EACCES && errno != EPERM))
        return attempt_fact(0, seen, "/dev/null can be removed: %s", strerrorname_np(errno));
    return attempt_fact(count == 6, seen, "%u devices, none of the host", count);
}

static int inherited_capabilities(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const files[] = {"/proc/self/status", "/proc/1/status"};
    static const char *const sets[] = {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"};
    for (size_t f = 0; f < 2; f++)
        for (size_t i = 0; i < 5; i++) {
            char text[128];
            if (strcmp(attempt_field(files[f], sets[i], text), "0000000000000000") != 0)
                return attempt_fact(0, seen, "%s of %s is '%s'", sets[i], files[f], text);
        }
    return attempt_fact(1, seen, "five empty sets, of process 1 too");
}

/* A group of the service that stays gives what files of that group give; one that is missing gives what negative
 * permissions keep from it. */
static int inherited_groups(char seen[ATTEMPT_SEEN_MAX])
{
    gid_t groups[64];
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++)
        if (groups[i] != getgid())
            return attempt_fact(0, seen, "group %u", groups[i]);
    char text[128];
    (void)attempt_field("/proc/1/status", "Groups:", text);
    if (strtoul(text, NULL, 10) != 0 && strtoul(text, NULL, 10) != 65535)
        return attempt_fact(0, seen, "process 1 has the groups '%s'", text);
    return attempt_fact(count >= 0 && getgid() != 0, seen, "%d beside our own", count);
}

/* An id above 31 or 16 bits became root. There is no field for an id in a request; here by system call. */
static int id_overflow(char seen[ATTEMPT_SEEN_MAX])
{
    static const unsigned ids[] = {0, 1, 65535, 65536, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (syscall(SYS_setuid, ids[i]) != -1 || (errno != EPERM && errno != EINVAL))
            return attempt_fact(0, seen, "setuid %u: %s", ids[i], strerrorname_np(errno));
        if (syscall(SYS_setgid, ids[i]) != -1 || (errno != EPERM && errno != EINVAL))
            return attempt_fact(0, seen, "setgid %u: %s", ids[i], strerrorname_np(errno));
        (void)syscall(SYS_setfsuid, ids[i]);
        (void)syscall(SYS_setfsgid, ids[i]);
        if (syscall(SYS_setfsuid, -1) != getuid() || syscall(SYS_setfsgid, -1) != getgid())
            return attempt_fact(0, seen, "setfsuid or setfsgid %u", ids[i]);
    }
    return attempt_fact(getuid() == 65534 && getgid() == 65534, seen, "user %u, group %u", getuid(), getgid());
}

/* What was written to /proc was redirected elsewhere: then the value is not where it should be. */
static int settings_arrived(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const kinds[] = {"user", "mnt", "pid", "net", "uts", "ipc", "cgroup", "time"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char path[64];
        char text[128];
        (void)snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", kinds[i]);
        if (strcmp(attempt_field(path, "", text), "0") != 0)
            return attempt_fact(0, seen, "%s is '%s'", path, text);
        if (open(path, O_WRONLY) != -1 || (errno != EROFS && errno != EACCES))
            return attempt_fact(0, seen, "%s for writing: %s", path, strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "no kind of namespace has any left");
}

/* release_agent is run by the kernel as root: it needs a cgroup file system, which is nowhere, and a namespace. */
static int control_groups_hidden(char seen[ATTEMPT_SEEN_MAX])
{
    FILE *file = fopen("/proc/self/mountinfo", "r");
    char line[1024];
    while (file && fgets(line, sizeof(line), file))
        if (strstr(line, " - cgroup") || strstr(line, " - sysfs") || strstr(line, "debugfs"))
            return attempt_fact(0, seen, "%s", line);
    file = freopen("/proc/self/cgroup", "r", file);
    while (file && fgets(line, sizeof(line), file)) {
        char *path = strchr(line, ':') ? strchr(strchr(line, ':') + 1, ':') : NULL;
        if (!path || (strcmp(path, ":/\n") != 0 && strncmp(path, ":/../", 5) != 0))
            return attempt_fact(0, seen, "a path of the host: %s", line);
    }
    return attempt_fact(access("/sys/fs/cgroup", F_OK) < 0, seen, "no cgroup file system, no path of the host");
}

/* The kernel's own: a page of a file in a pipe could be written. */
static int dirty_pipe(char seen[ATTEMPT_SEEN_MAX])
{
    char before[64];
    char after[64];
    int ends[2];
    int file = open("/etc/passwd", O_RDONLY);
    if (file < 0 || pread(file, before, sizeof(before), 0) != sizeof(before) || pipe(ends) < 0)
        return attempt_fact(0, seen, "cannot begin: %s", strerrorname_np(errno));
    static char page[4096];
    for (int i = 0; i < 16; i++)
        if (write(ends[1], page, sizeof(page)) != sizeof(page))
            return attempt_fact(0, seen, "write: %s", strerrorname_np(errno));
    for (int i = 0; i < 16; i++)
        (void)!read(ends[0], page, sizeof(page));
    loff_t offset = 3;
    if (splice(file, &offset, ends[1], NULL, 1, 0) != 1 || write(ends[1], "HOSTILE", 7) != 7)
        return attempt_fact(0, seen, "splice: %s", strerrorname_np(errno));
    (void)!pread(file, after, sizeof(after), 0);
    return attempt_fact(memcmp(before, after, sizeof(before)) == 0, seen, "the file is as before");
}

/* Whoever has the terminal of the one who started it may type there. */
static int controlling_terminal(char seen[ATTEMPT_SEEN_MAX])
{
    if (getsid(0) <= 1)
        return attempt_fact(0, seen, "a session that began outside: %d", getsid(0));
    char text[128];
    FILE *file = fopen("/proc/self/stat", "r");
    int terminal = -1;
    if (!file || fscanf(file, "%*d %*[^)]) %*c %*d %*d %*d %d", &terminal) != 1 || terminal != 0)
        return attempt_fact(0, seen, "terminal %d", terminal);
    return ATTEMPT_REFUSED(open("/dev/tty", O_RDWR), seen, ENXIO);
}

/* A shared mount lets one side mount on the other. */
static int mount_propagation(char seen[ATTEMPT_SEEN_MAX])
{
    FILE *file = fopen("/proc/self/mountinfo", "r");
    char line[1024];
    unsigned count = 0;
    while (file && fgets(line, sizeof(line), file)) {
        count++;
        if (strstr(line, " shared:") || strstr(line, " master:") || strstr(line, " propagate_from:"))
            return attempt_fact(0, seen, "%s", line);
    }
    return attempt_fact(count >= 10, seen, "%u mounts, all private", count);
}

static char found_set_id[128];
static int look_for_set_id(const char *path, const struct stat *status, int type, struct FTW *where)
{
    if (type == FTW_F && status->st_mode & (S_ISUID | S_ISGID))
        (void)snprintf(found_set_id, sizeof(found_set_id), "%s", path);
    else if (type == FTW_F && getxattr(path, "security.capability", NULL, 0) > 0)
        (void)snprintf(found_set_id, sizeof(found_set_id), "%s has capabilities", path);
    return 0;
}

/* Helpers that are set-uid were the way out of snap-confine and firejail. */
static int set_id_helpers(char seen[ATTEMPT_SEEN_MAX])
{
    (void)nftw("/", look_for_set_id, 32, FTW_PHYS | FTW_MOUNT);
    return attempt_fact(!found_set_id[0], seen, "%s", found_set_id[0] ? found_set_id : "none in the root");
}

/* Whose namespaces these are, and the one above, by ioctl on their descriptors. */
static int namespace_relatives(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const kinds[] = {"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
        int fd = open(path, O_RDONLY);
        if (fd < 0)
            continue;
        static const unsigned long requests[] = {0xb701 /* NS_GET_USERNS */, 0xb702 /* NS_GET_PARENT */};
        for (size_t j = 0; j < 2; j++)
            if (ioctl(fd, requests[j]) != -1 || (errno != EPERM && errno != EINVAL && errno != EACCES))
                return attempt_fact(0, seen, "%s, request %zu: %s", kinds[i], j, strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "none is told");
}

/* Paths with links of /proc in them: through ourselves there is only our own root. */
static int own_root_link(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const paths[] = {"/proc/self/root", "/proc/self/root/..", "/proc/self/root/../../..",
            "/proc/thread-self/root/..", "/proc/self/task/../root/..", "/proc/self/cwd/../../../.."};
    struct stat root;
    (void)stat("/", &root);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct stat status;
        if (stat(paths[i], &status) < 0 || status.st_dev != root.st_dev || status.st_ino != root.st_ino)
            return attempt_fact(0, seen, "%s leads elsewhere", paths[i]);
    }
    return attempt_fact(1, seen, "all of them are /");
}

static const struct attempt runtimes_attempts[] = {
        {"R01", "P2", "overwrite-own-program", "/proc/self/exe for writing: CVE-2019-5736", overwrite_own_program},
        {"R02", "P3", "directory-by-descriptor",
                "a working directory through /proc/self/fd: CVE-2024-21626, CVE-2019-11503", directory_by_descriptor},
        {"R03", "P3", "masks-are-empty", "masks made of a device that was swapped: CVE-2025-31133", masks_are_empty},
        {"R04", "P3", "mounts-are-in-place",
                "mount points that are links: CVE-2019-16884, CVE-2019-18837, CVE-2023-28642", mounts_are_in_place},
        {"R05", "P2", "devices-are-private", "devices and /dev/console swapped for links: CVE-2025-52565",
                devices_are_private},
        {"R06", "P5", "inherited-capabilities", "inheritable capabilities: CVE-2022-29162, CVE-2022-27650",
                inherited_capabilities},
        {"R07", "P5", "inherited-groups", "supplementary groups: CVE-2022-2989, CVE-2022-36109", inherited_groups},
        {"R08", "P5", "id-overflow", "ids beyond their type: CVE-2024-40635", id_overflow},
        {"R09", "P5", "settings-arrived", "writes to /proc that go elsewhere: CVE-2025-52881, CVE-2019-19921",
                settings_arrived},
        {"R10", "P2", "control-groups-hidden", "a cgroup file system to write to: CVE-2022-0492, CVE-2023-25809",
                control_groups_hidden},
        {"R11", "P2", "dirty-pipe", "pages of files in pipes: CVE-2022-0847", dirty_pipe},
        {"R12", "P2", "controlling-terminal", "the terminal of the one who started it: CVE-2017-5226",
                controlling_terminal},
        {"R13", "P2", "mount-propagation", "mounts that reach the host", mount_propagation},
        {"R14", "P2", "set-id-helpers", "set-uid helpers in reach: CVE-2021-44731, CVE-2022-31214", set_id_helpers},
        {"R15", "P3", "namespace-relatives", "the host's namespaces by ioctl", namespace_relatives},
        {"R16", "P3", "own-root-link", "climbing through links of /proc: CVE-2022-23648", own_root_link},
};

const struct attempt_group attempts_runtimes = {
        runtimes_attempts, sizeof(runtimes_attempts) / sizeof(runtimes_attempts[0])};
