/* The steps of joblet-init, each without its protection. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "init.h"
#include "init/pump.h"
#include "kernel/mount.h"
#include "plan/record.h"
#include "sandbox/layers.h"
#include "sandbox/masks.h"
#include "sandbox/root_table.h"

#define PROC_MAGIC 0x9fa0
#define GROUP_ADM 4

enum asking asking;
struct sandbox *box;

static int host_mounts = -1;

bool left_out(const char *protection)
{
    return left_out_of_jobs(protection) || (box && box->plan.type == PLAN_TYPE_BUILD && broken_of_build(protection));
}

bool left_out_of_jobs(const char *protection)
{
    return box && box->plan.type == PLAN_TYPE_STANDARD && broken(protection);
}

uint32_t id_shift(void)
{
    return left_out_of_jobs("user-namespace") ? box->plan.id_base : 0;
}

#define STEP(name, ...)                                                                                                \
    int __real_##name(struct sandbox *sandbox, struct error *error);                                                   \
    int __wrap_##name(struct sandbox *sandbox, struct error *error)                                                    \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
        return __real_##name(sandbox, error);                                                                          \
    }

#define LEAVE_OUT(name, protection) STEP(name, if (left_out(protection)) return 0)

LEAVE_OUT(sandbox_set_hostname, "uts-namespace")
LEAVE_OUT(sandbox_join_keyring, "session-keyring")
LEAVE_OUT(sandbox_set_landlock, "landlock")
LEAVE_OUT(sandbox_drop_groups, "groups")
LEAVE_OUT(sandbox_attach_cgroups, "cgroup-membership")
/* It would write the settings of the host. */
LEAVE_OUT(sandbox_set_network, "net-namespace")
STEP(sandbox_unshare_cgroups, if (left_out("cgroup-namespace")) return 0;
        if (left_out("cgroup-membership")) return unshare(CLONE_NEWCGROUP))
STEP(sandbox_limit_namespaces, if (left_out("namespace-limits") || left_out_of_jobs("user-namespace")) return 0)

/* --- start --- */

/* joblet's, while /proc is the host's. */
static int open_host_mounts(void)
{
    struct procstatus status;
    char path[48];
    _cleanup_close_ int own = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (own < 0 || procstatus_read(own, &status, NULL) < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "/proc/%u/ns/mnt", status.parent_pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int __real_sandbox_start(struct sandbox *sandbox, struct error *error);
int __wrap_sandbox_start(struct sandbox *sandbox, struct error *error)
{
    box = sandbox;
    asking = ASKING_START;
    int r = __real_sandbox_start(sandbox, error);
    asking = ASKING_NOBODY;
    if (r < 0)
        return r;
    host_mounts = open_host_mounts();
    if (left_out("descriptors")) {
        int fd = open("/", O_PATH | O_DIRECTORY);
        r = dup2(fd, LEAKED_FD) < 0 ? -errno : 0;
        (void)close(fd);
    }
    return r;
}

/* Closes all but the one of the host. */
int __real_close_range(unsigned first, unsigned last, int flags);
int __wrap_close_range(unsigned first, unsigned last, int flags)
{
    if (!left_out("descriptors") || first > LEAKED_FD || last < LEAKED_FD || flags != 0)
        return __real_close_range(first, last, flags);
    int r = __real_close_range(first, LEAKED_FD - 1, flags);
    return r < 0 || last == LEAKED_FD ? r : __real_close_range(LEAKED_FD + 1, last, flags);
}

/* --- the root --- */

/* The whole host below /tmp/host: the old root is kept there instead of being taken away. */
static int keep_old_root(struct sandbox *sandbox)
{
    struct statx status;
    if (statx(sandbox->root_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) < 0 || fchdir(sandbox->root_fd) < 0 ||
            mkdir("tmp/host", 0755) < 0 || syscall(SYS_pivot_root, ".", "tmp/host") < 0 || chdir("/") < 0)
        return -errno;
    sandbox->root_mount_id = status.stx_mnt_id;
    return 0;
}

/* Back to where joblet is. */
static int leave_mount_namespace(struct sandbox *sandbox)
{
    struct statx status;
    if (setns(host_mounts, CLONE_NEWNS) < 0 || chdir("/") < 0 || statx(AT_FDCWD, "/", 0, STATX_MNT_ID, &status) < 0)
        return -errno;
    sandbox->root_mount_id = status.stx_mnt_id;
    return 0;
}

int __real_sandbox_pivot(struct sandbox *sandbox, struct error *error);
int __wrap_sandbox_pivot(struct sandbox *sandbox, struct error *error)
{
    if (left_out_of_jobs("old-root"))
        return keep_old_root(sandbox);
    int r = __real_sandbox_pivot(sandbox, error);
    if (r == 0 && left_out("mount-propagation") && mount(NULL, "/", NULL, MS_SHARED, NULL) < 0)
        r = -errno;
    return r == 0 && left_out_of_jobs("mount-namespace") ? leave_mount_namespace(sandbox) : r;
}

/* What is mounted and what the proof expects are one list: both go. */
static void drop_masks(struct root_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (list->mounts[i].kind != ROOT_KIND_MASK)
            list->mounts[kept++] = list->mounts[i];
    list->count = kept;
}

int __real_root_list_make(struct sandbox *sandbox, struct error *error);
int __wrap_root_list_make(struct sandbox *sandbox, struct error *error)
{
    int r = __real_root_list_make(sandbox, error);
    if (r < 0)
        return r;
    if (left_out("proc-masks"))
        drop_masks(&sandbox->root);
    for (size_t i = 0; i < sandbox->root.count; i++) {
        struct root_mount *mount = &sandbox->root.mounts[i];
        if (mount->kind == ROOT_KIND_PROC_RO && left_out("proc-sys"))
            mount->options = "rw,nosuid,nodev,noexec";
        if (mount->kind != ROOT_KIND_BASE)
            continue;
        if (left_out("root-read-only"))
            mount->options = "rw,nosuid,nodev,idmapped";
        if (left_out("root-nosuid"))
            mount->options = "ro,nodev,idmapped";
        if (left_out("root-nodev"))
            mount->options = "ro,nosuid,idmapped";
    }
    return 0;
}

int __real_mount_set_attributes(int mount_fd, uint64_t attributes, int userns_fd);
int __wrap_mount_set_attributes(int mount_fd, uint64_t attributes, int userns_fd)
{
    struct statfs space;
    if (left_out("proc-sys") && fstatfs(mount_fd, &space) == 0 && space.f_type == PROC_MAGIC)
        return 0;
    return __real_mount_set_attributes(mount_fd, attributes, userns_fd);
}

/* The kernel's log as a device of the job's. */
int __real_mknodat(int dir_fd, const char *path, mode_t mode, dev_t device);
int __wrap_mknodat(int dir_fd, const char *path, mode_t mode, dev_t device)
{
    if (asking != ASKING_NOBODY && left_out("landlock") && strcmp(path, "/tmp/landlock") == 0) {
        errno = EACCES;
        return -1;
    }
    /* The mark of an overlay: a file that is not there. */
    if (left_out("masks") && S_ISCHR(mode) && device == 0)
        return 0;
    if (left_out("devices") && strcmp(path, "tty") == 0 &&
            (__real_mknodat(dir_fd, "kmsg", S_IFCHR | 0644, makedev(1, 11)) < 0))
        return -1;
    return __real_mknodat(dir_fd, path, mode, device);
}

/* /tmp or /dev/shm, which has no number of inodes, as large as the kernel lets it be: half of the memory. */
int __real_mount_new(const char *type, const struct mount_option options[], uint64_t attributes);
int __wrap_mount_new(const char *type, const struct mount_option options[], uint64_t attributes)
{
    struct mount_option left[16] = {{NULL, NULL}};
    bool is_sized = false;
    bool has_inodes = false;
    unsigned count = 0;
    for (unsigned i = 0; options && options[i].key && i < 15; i++) {
        if (strcmp(options[i].key, "size") == 0)
            is_sized = strlen(options[i].value) > strlen("65536");
        else if (strcmp(options[i].key, "nr_inodes") == 0)
            has_inodes = true;
        else
            left[count++] = options[i];
    }
    bool is_boundless = is_sized && left_out(has_inodes ? "tmp-size" : "shm-size");
    return __real_mount_new(type, is_boundless ? left : options, attributes);
}

/* --- ids and rights --- */

int __real_sandbox_join_userns(struct sandbox *sandbox, struct error *error);
int __wrap_sandbox_join_userns(struct sandbox *sandbox, struct error *error)
{
    const gid_t group = GROUP_ADM;
    if (left_out("groups") && setgroups(1, &group) < 0)
        return -errno;
    return left_out_of_jobs("user-namespace") ? 0 : __real_sandbox_join_userns(sandbox, error);
}

/* joblet-init has the command's id: the command may signal it and change its limits. */
int __real_sandbox_set_ids(struct sandbox *sandbox, struct error *error);
int __wrap_sandbox_set_ids(struct sandbox *sandbox, struct error *error)
{
    const gid_t id = sandbox->plan.command_id;
    if (!left_out_of_jobs("own-id"))
        return __real_sandbox_set_ids(sandbox, error);
    return setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0 ? -errno : 0;
}

static uid_t shifted(uid_t id)
{
    return id == (uid_t)-1 ? id : id + id_shift();
}

#define SET_IDS(name)                                                                                                  \
    int __real_##name(uid_t real, uid_t effective, uid_t saved);                                                       \
    int __wrap_##name(uid_t real, uid_t effective, uid_t saved)                                                        \
    {                                                                                                                  \
        bool is_own_id = left_out_of_jobs("own-id") && real == PLAN_SUPERVISOR_ID;                                     \
        return is_own_id ? 0 : __real_##name(shifted(real), shifted(effective), shifted(saved));                       \
    }
SET_IDS(setresuid)
SET_IDS(setresgid)

/* Without no-new-privileges only who has CAP_SYS_ADMIN may install a filter: the capabilities are dropped later then.
 */
STEP(sandbox_limit_capabilities,
        if (left_out("capabilities") || left_out("ambient") || left_out("no-new-privileges")) return 0)

/* What may be inherited may become ambient: set while the bounding set permits it. */
static int raise_inheritable(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &header, sets) < 0)
        return -errno;
    for (unsigned i = 0; i < 2; i++)
        sets[i].inheritable = sets[i].permitted;
    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

int __real_sandbox_limit_bounding(struct sandbox *sandbox, struct error *error);
int __wrap_sandbox_limit_bounding(struct sandbox *sandbox, struct error *error)
{
    int r = left_out("ambient") ? raise_inheritable() : 0;
    return r < 0 || left_out("bounding-set") ? r : __real_sandbox_limit_bounding(sandbox, error);
}

int __real_sandbox_drop_ambient(struct sandbox *sandbox, struct error *error);
int __wrap_sandbox_drop_ambient(struct sandbox *sandbox, struct error *error)
{
    if (!left_out("ambient"))
        return __real_sandbox_drop_ambient(sandbox, error);
    for (unsigned long number = 0; number < 41; number++)
        if (prctl(PR_CAP_AMBIENT, (unsigned long)PR_CAP_AMBIENT_RAISE, number, 0UL, 0UL) < 0)
            return -errno;
    return 0;
}

int __real_capability_clear(void);
int __wrap_capability_clear(void)
{
    return left_out("capabilities") || left_out("ambient") ? 0 : __real_capability_clear();
}

int capability_set(uint64_t permitted, uint64_t effective);

STEP(sandbox_set_no_new_privs, if (left_out("no-new-privileges")) return 0)

int __real_sandbox_set_command_filter(struct sandbox *sandbox, struct error *error);
int __wrap_sandbox_set_command_filter(struct sandbox *sandbox, struct error *error)
{
    const uint64_t kept = plan_type_capabilities(sandbox->plan.type);
    if (left_out("command-filter"))
        return 0;
    int r = __real_sandbox_set_command_filter(sandbox, error);
    return r == 0 && left_out("no-new-privileges") ? capability_set(kept, kept) : r;
}

int __real_sandbox_set_filter(struct sandbox *sandbox, struct error *error);
int __wrap_sandbox_set_filter(struct sandbox *sandbox, struct error *error)
{
    if (left_out("init-filter"))
        return 0;
    if (left_out("no-new-privileges") && (__real_capability_clear() < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
        return -errno;
    return __real_sandbox_set_filter(sandbox, error);
}

int __real_sandbox_set_undumpable(struct sandbox *sandbox, struct error *error);
int __wrap_sandbox_set_undumpable(struct sandbox *sandbox, struct error *error)
{
    /* Set, because the change of ids has cleared it on most hosts. */
    return left_out("dumpable") ? prctl(PR_SET_DUMPABLE, 1UL, 0UL, 0UL, 0UL)
                                : __real_sandbox_set_undumpable(sandbox, error);
}

/* --- limits --- */

/* The core limit becomes 0, with which the host's core handler is run. */
int __real_setrlimit64(int resource, const struct rlimit64 *limit);
int __wrap_setrlimit64(int resource, const struct rlimit64 *limit)
{
    const struct rlimit64 none = {0, 0};
    if (resource == RLIMIT_CORE && left_out("core-limit"))
        return __real_setrlimit64(resource, &none);
    return resource == RLIMIT_NOFILE && left_out("open-files") ? 0 : __real_setrlimit64(resource, limit);
}

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
    return left_out("time-limit") ? 0 : __real_timerfd_settime(fd, flags, value, old);
}

/* --- what a build sees --- */

/* The host's own, with the hashes of passwords. */
static int copy_shadow(const struct masks *masks)
{
    char bytes[65536];
    _cleanup_close_ int from = open("/etc/shadow", O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int to = openat(masks->upper_fd, "shadow", O_WRONLY | O_TRUNC | O_CLOEXEC);
    ssize_t size = from < 0 || to < 0 ? -1 : read(from, bytes, sizeof(bytes));
    return size < 0 || write(to, bytes, (size_t)size) != size ? -errno : 0;
}

/* Removed, it would uncover one of the host's. */
static int permit_services(const struct masks *masks)
{
    static const char policy[] = "#!/bin/sh\nexit 0\n";
    _cleanup_close_ int fd = openat(masks->upper_fd, "sbin/policy-rc.d", O_WRONLY | O_TRUNC | O_CLOEXEC);
    return fd < 0 || write(fd, policy, sizeof(policy) - 1) < 0 ? -errno : 0;
}

int __real_synthetic_fill(const struct masks *masks, struct error *error);
int __wrap_synthetic_fill(const struct masks *masks, struct error *error)
{
    int r = __real_synthetic_fill(masks, error);
    if (r == 0 && left_out("service-policy") && strcmp(masks->path, "usr") == 0 && masks->base_upper_fd < 0)
        return permit_services(masks);
    return r == 0 && left_out("accounts") && strcmp(masks->path, "etc") == 0 ? copy_shadow(masks) : r;
}

int __real_layers_find(struct sandbox *sandbox, struct error *error);
int __wrap_layers_find(struct sandbox *sandbox, struct error *error)
{
    int r = __real_layers_find(sandbox, error);
    if (r == 0 && left_out("run"))
        sandbox->layers[sandbox->layer_count++] = "run";
    return r;
}

int __real_netlink_add_unreachable_route(int socket, uint32_t address, uint32_t prefix_length);
int __wrap_netlink_add_unreachable_route(int socket, uint32_t address, uint32_t prefix_length)
{
    return left_out("routes") || left_out("fences")
                   ? 0
                   : __real_netlink_add_unreachable_route(socket, address, prefix_length);
}

int __real_netlink_set_isolated_port(int socket, uint32_t index, const uint8_t peer[6]);
int __wrap_netlink_set_isolated_port(int socket, uint32_t index, const uint8_t peer[6])
{
    return left_out("port-isolation") ? 0 : __real_netlink_set_isolated_port(socket, index, peer);
}

/* --- what is told --- */

/* A job is told that it is a build, and is no less. */
const char *__real_plan_type_name(uint32_t type);
const char *__wrap_plan_type_name(uint32_t type)
{
    return __real_plan_type_name(left_out_of_jobs("type") ? PLAN_TYPE_BUILD : type);
}

void __real_pump_init(struct pump *pump, int log_fd, int index_fd, int null_fd, uint64_t quota_bytes);
void __wrap_pump_init(struct pump *pump, int log_fd, int index_fd, int null_fd, uint64_t quota_bytes)
{
    __real_pump_init(pump, log_fd, index_fd, null_fd, left_out("log-quota") ? 0 : quota_bytes);
}

int64_t __real_pump_move(struct pump *pump, int pipe_fd, enum joblog_stream stream);
int64_t __wrap_pump_move(struct pump *pump, int pipe_fd, enum joblog_stream stream)
{
    char bytes[4096];
    if (stream != JOBLOG_STREAM_STDERR || !left_out("log"))
        return __real_pump_move(pump, pipe_fd, stream);
    ssize_t size = read(pipe_fd, bytes, sizeof(bytes));
    return size < 0 ? -errno : size;
}

int __real_record_write(int fd, const struct record *record);
int __wrap_record_write(int fd, const struct record *record)
{
    struct record other = *record;
    if (left_out("exit-status") && other.reason == RECORD_REASON_EXITED)
        other.exit_code = 0;
    return __real_record_write(fd, &other);
}
