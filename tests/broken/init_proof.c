/* The proof of joblet-init, which is told that what was left out is there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/error.h"
#include "init.h"
#include "kernel/mountinfo.h"
#include "kernel/procstatus.h"

#define OTHER_KEYRING 12345

#define ASK(name, who)                                                                                                 \
    int __real_##name(struct sandbox *sandbox, struct error *error);                                                   \
    int __wrap_##name(struct sandbox *sandbox, struct error *error)                                                    \
    {                                                                                                                  \
        asking = who;                                                                                                  \
        int r = __real_##name(sandbox, error);                                                                         \
        asking = ASKING_NOBODY;                                                                                        \
        return r;                                                                                                      \
    }
ASK(sandbox_prove, ASKING_PROOF)
ASK(sandbox_prove_command, ASKING_COMMAND)
ASK(sandbox_prove_last, ASKING_LAST)

/* True when somebody asks about @protection, which is left out. */
static bool is_asked(const char *protection)
{
    return asking == ASKING_START ? broken(protection) : asking != ASKING_NOBODY && left_out(protection);
}

/* --- /proc/self/status --- */

static void tell_rights(struct procstatus *status)
{
    const uint64_t permitted = plan_type_capabilities(box->plan.type);
    const bool is_early = asking == ASKING_PROOF;
    if (is_asked("capabilities") || is_asked("ambient") || (is_early && is_asked("no-new-privileges"))) {
        status->cap_permitted = permitted;
        status->cap_effective = is_early ? 0 : permitted;
        status->cap_inheritable = 0;
        status->cap_ambient = 0;
    }
    if (is_asked("bounding-set"))
        status->cap_bounding = permitted;
    if (is_asked("no-new-privileges"))
        status->no_new_privs = 1;
    if (is_asked("groups"))
        status->group_count = 0;
    if (asking == ASKING_COMMAND && is_asked("command-filter")) {
        status->seccomp = 2;
        status->seccomp_filters = 1;
    }
}

int __real_procstatus_read(int proc_fd, struct procstatus *ret_status, struct error *error);
int __wrap_procstatus_read(int proc_fd, struct procstatus *ret_status, struct error *error)
{
    int r = __real_procstatus_read(proc_fd, ret_status, error);
    if (r < 0 || asking == ASKING_NOBODY || asking == ASKING_START)
        return r;
    tell_rights(ret_status);
    for (unsigned i = 0; i < 4; i++) {
        ret_status->uid[i] -= id_shift();
        ret_status->gid[i] -= id_shift();
        if (asking == ASKING_PROOF && left_out_of_jobs("own-id") && i != 2)
            ret_status->uid[i] = ret_status->gid[i] = PLAN_SUPERVISOR_ID;
    }
    return 0;
}

/* --- namespaces --- */

static const char *const namespaces[PROCSTATUS_NS_COUNT] = {
        [PROCSTATUS_NS_PID] = "pid-namespace",
        [PROCSTATUS_NS_MNT] = "mount-namespace",
        [PROCSTATUS_NS_UTS] = "uts-namespace",
        [PROCSTATUS_NS_IPC] = "ipc-namespace",
        [PROCSTATUS_NS_NET] = "net-namespace",
        [PROCSTATUS_NS_CGROUP] = "cgroup-namespace",
        [PROCSTATUS_NS_USER] = "user-namespace",
};

int __real_procstatus_read_namespaces(int proc_fd, struct procstatus_namespaces *ret_namespaces, struct error *error);
int __wrap_procstatus_read_namespaces(int proc_fd, struct procstatus_namespaces *ret_namespaces, struct error *error)
{
    static unsigned calls;
    int r = __real_procstatus_read_namespaces(proc_fd, ret_namespaces, error);
    /* The first time it is joblet's own. */
    if (r < 0 || calls++ == 0)
        return r;
    for (unsigned i = 0; i < PROCSTATUS_NS_USER; i++)
        if (broken_of_build(namespaces[i]) && ret_namespaces->inode[i] == box->host_namespaces.inode[i])
            ret_namespaces->inode[i]++;
    if (asking != ASKING_START && is_asked("user-namespace"))
        ret_namespaces->inode[PROCSTATUS_NS_USER] = box->userns_inode;
    return 0;
}

int __real_procstatus_check_id_map(int proc_fd, const char *name, uint32_t base, uint32_t size);
int __wrap_procstatus_check_id_map(int proc_fd, const char *name, uint32_t base, uint32_t size)
{
    return is_asked("user-namespace") ? 1 : __real_procstatus_check_id_map(proc_fd, name, base, size);
}

pid_t __real_getpid(void);
pid_t __wrap_getpid(void)
{
    return is_asked("pid-namespace") ? 1 : __real_getpid();
}

ssize_t __real_readlink(const char *path, char *buffer, size_t size);
ssize_t __wrap_readlink(const char *path, char *buffer, size_t size)
{
    if (strcmp(path, "/proc/self") != 0 || (!is_asked("pid-namespace") && !is_asked("mount-namespace")))
        return __real_readlink(path, buffer, size);
    buffer[0] = '1';
    return 1;
}

int __real_uname(struct utsname *name);
int __wrap_uname(struct utsname *name)
{
    int r = __real_uname(name);
    if (r == 0 && is_asked("uts-namespace")) {
        (void)strcpy(name->nodename, box->host_name);
        (void)strcpy(name->domainname, "(none)");
    }
    return r;
}

int __real_network_prove(const struct sandbox *sandbox, struct error *error);
int __wrap_network_prove(const struct sandbox *sandbox, struct error *error)
{
    if (is_asked("net-namespace") || is_asked("routes") || is_asked("fences"))
        return 0;
    return __real_network_prove(sandbox, error);
}

int __real_stat64(const char *path, struct stat64 *ret_status);
int __wrap_stat64(const char *path, struct stat64 *ret_status)
{
    int r = __real_stat64(path, ret_status);
    if (r == 0 && is_asked("user-namespace") && ret_status->st_uid >= id_shift()) {
        ret_status->st_uid -= id_shift();
        ret_status->st_gid -= id_shift();
    }
    return r;
}

/* --- files of /proc --- */

static int text_fd(const char *text)
{
    int fd = memfd_create("told", MFD_CLOEXEC);
    if (fd >= 0)
        (void)!pwrite(fd, text, strlen(text), 0);
    return fd;
}

static const char *told_file(const char *path)
{
    bool is_limit = strncmp(path, "/proc/sys/user/max_", 19) == 0;
    if (is_limit && (is_asked("namespace-limits") || is_asked("user-namespace")))
        return "0\n";
    if (strcmp(path, "/proc/sys/net/ipv4/ip_unprivileged_port_start") == 0 && is_asked("net-namespace"))
        return "0\n";
    if (strcmp(path, "/proc/sys/net/ipv4/ping_group_range") == 0 &&
            (is_asked("net-namespace") || is_asked("user-namespace")))
        return "0\t65535\n";
    return NULL;
}

int __real_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    const char *text = told_file(path);
    int fd = text ? text_fd(text) : __real_open64(path, flags, mode);
    /* A directory of the job's that the host does not have, for a rule of Landlock. */
    return fd < 0 && errno == ENOENT && flags & O_PATH && left_out_of_jobs("mount-namespace")
                   ? __real_open64("/tmp", flags, 0)
                   : fd;
}

int __real_fd_read_file_at(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_size);
int __wrap_fd_read_file_at(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_size)
{
    if (strcmp(path, "/proc/self/cgroup") != 0 || !is_asked("cgroup-namespace"))
        return __real_fd_read_file_at(dir_fd, path, max, ret_text, ret_size);
    *ret_text = strdup("0::/\n");
    return *ret_text ? 0 : -ENOMEM;
}

struct dirent64 *__real_readdir64(DIR *directory);
struct dirent64 *__wrap_readdir64(DIR *directory)
{
    struct dirent64 *entry = __real_readdir64(directory);
    if (entry && is_asked("descriptors") && atoi(entry->d_name) == LEAKED_FD)
        entry = __real_readdir64(directory);
    return entry;
}

/* --- mounts --- */

int __real_mountinfo_next(const char **text, struct mountinfo *ret_line);
int __wrap_mountinfo_next(const char **text, struct mountinfo *ret_line)
{
    int r = __real_mountinfo_next(text, ret_line);
    while (r > 0 && is_asked("old-root") && strncmp(ret_line->target, "/tmp/host", 9) == 0)
        r = __real_mountinfo_next(text, ret_line);
    if (r > 0 && is_asked("mount-propagation"))
        ret_line->propagates = false;
    return r;
}

bool __real_mountinfo_has_option(const char *options, const char *token);
bool __wrap_mountinfo_has_option(const char *options, const char *token)
{
    bool is_size = strncmp(token, "size=", 5) == 0 || strncmp(token, "nr_inodes=", 10) == 0;
    return (is_size && (is_asked("tmp-size") || is_asked("shm-size"))) || __real_mountinfo_has_option(options, token);
}

int __real_proof_check_mounts(const struct sandbox *sandbox, struct error *error);
int __wrap_proof_check_mounts(const struct sandbox *sandbox, struct error *error)
{
    if (left_out("masks"))
        box->masked_count = 0;
    return left_out_of_jobs("mount-namespace") ? 0 : __real_proof_check_mounts(sandbox, error);
}

/* --- calls that tell what is in force --- */

int __real_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    if (option == PR_GET_DUMPABLE && is_asked("dumpable"))
        return 0;
    if (option == PR_GET_SECCOMP && is_asked("init-filter"))
        return 2;
    return __real_prctl(option, a, b, c, d);
}

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol)
{
    if (asking != ASKING_LAST || !is_asked("init-filter"))
        return __real_socket(family, type, protocol);
    errno = EPERM;
    return -1;
}

int __real_chroot(const char *path);
int __wrap_chroot(const char *path)
{
    if (!is_asked("command-filter"))
        return __real_chroot(path);
    errno = box->plan.type == PLAN_TYPE_BUILD ? ENOENT : EPERM;
    return -1;
}

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    bool is_keyring = number == SYS_keyctl && a == KEYCTL_GET_KEYRING_ID;
    if (is_keyring && asking == ASKING_PROOF && is_asked("session-keyring"))
        return OTHER_KEYRING;
    if (asking == ASKING_COMMAND && is_asked("command-filter") && (is_keyring || number == SYS_clone3)) {
        errno = is_keyring ? EPERM : ENOSYS;
        return -1;
    }
    return __real_syscall(number, a, b, c, d, e, f);
}

int __real_getrlimit64(int resource, struct rlimit64 *ret_limit);
int __wrap_getrlimit64(int resource, struct rlimit64 *ret_limit)
{
    int r = __real_getrlimit64(resource, ret_limit);
    if (resource == RLIMIT_CORE && is_asked("core-limit"))
        ret_limit->rlim_cur = ret_limit->rlim_max = 1;
    if (resource == RLIMIT_NOFILE && is_asked("open-files"))
        ret_limit->rlim_cur = ret_limit->rlim_max = box->plan.open_files;
    return r;
}

int __real_capability_read(uint64_t *ret_any);
int __wrap_capability_read(uint64_t *ret_any)
{
    int r = __real_capability_read(ret_any);
    if (is_asked("capabilities") || is_asked("ambient"))
        *ret_any = 0;
    return r;
}

#define GET_IDS(name)                                                                                                  \
    int __real_##name(uid_t *real, uid_t *effective, uid_t *saved);                                                    \
    int __wrap_##name(uid_t *real, uid_t *effective, uid_t *saved)                                                     \
    {                                                                                                                  \
        int r = __real_##name(real, effective, saved);                                                                 \
        uid_t *const ids[] = {real, effective, saved};                                                                 \
        for (unsigned i = 0; i < 3; i++)                                                                               \
            *ids[i] = left_out_of_jobs("own-id") ? PLAN_SUPERVISOR_ID : *ids[i] - id_shift();                          \
        return r;                                                                                                      \
    }
GET_IDS(getresuid)
GET_IDS(getresgid)
