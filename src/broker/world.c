#include "broker/world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/context.h"
#include "broker/launch.h"
#include "kernel/disk.h"

#define PID_FILE "joblet.pid"
#define LOCK_FILE "lock"
#define ADDRESS_FILE "address"
#define RUN_DEFAULT "/run/joblet"
#define OOM_SCORE "-900"
#define JOB_OPEN_FILES_MAX 1048576U
#define LISTEN_BACKLOG 1024
#define BUILD_DISK_MIN (64ULL << 20)
/* A joblet-api of a joblet that was killed may hold the port until it has noticed. */
#define BIND_TRIES 250
#define BIND_PAUSE_NS 20000000L

/* What neither joblet nor joblet-init ever does: a mistake in either must not be able to. */
static const int needless_capabilities[] = {CAP_LINUX_IMMUTABLE, CAP_NET_BROADCAST, CAP_NET_RAW, CAP_IPC_LOCK,
        CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_PACCT, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_SYS_TTY_CONFIG, CAP_LEASE,
        CAP_AUDIT_WRITE, CAP_AUDIT_CONTROL, CAP_MAC_OVERRIDE, CAP_MAC_ADMIN, CAP_SYSLOG, CAP_WAKE_ALARM,
        CAP_BLOCK_SUSPEND, CAP_AUDIT_READ, CAP_PERFMON, CAP_BPF, CAP_CHECKPOINT_RESTORE};

static int open_directory(int dir_fd, const char *path, struct error *error)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_errno(error, errno, "open '%s' (run 'joblet setup')", path) : fd;
}

int world_open_run(const char *prefix, int prefix_fd, bool make, struct error *error)
{
    bool is_default = strcmp(prefix, CONFIG_PREFIX_DEFAULT) == 0;
    int dir_fd = is_default ? AT_FDCWD : prefix_fd;
    const char *path = is_default ? RUN_DEFAULT : "run";
    if (make && mkdirat(dir_fd, path, 0755) < 0 && errno != EEXIST)
        return error_errno(error, errno, "make '%s'", path);
    return open_directory(dir_fd, path, error);
}

int world_take_lock(int run_fd, const char *prefix, struct error *error)
{
    _cleanup_close_ int fd = openat(run_fd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(error, errno, "open the lock");
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return TAKE_FD(fd);
    if (errno == EWOULDBLOCK)
        return error_text(error, EBUSY, "another joblet serves the prefix '%s', or 'joblet gc' works on it", prefix);
    return error_errno(error, errno, "take the lock");
}

int world_read_boot_id(uint8_t ret_id[16], struct error *error)
{
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, NULL);
    if (r == 0) {
        text[strcspn(text, "\n")] = '\0';
        r = text_parse_uuid(text, ret_id);
    }
    return r < 0 ? error_errno(error, -r, "read the host's boot id") : 0;
}

void world_name_groups(const char *prefix, char ret_name[CGROUP_NAME_MAX])
{
    uint32_t hash = 2166136261U;
    for (const char *at = prefix; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 16777619U;
    (void)snprintf(ret_name, CGROUP_NAME_MAX, "joblet-%08x", hash);
}

/* ext4 takes no inode that was freed in the last minutes, and passes by each of them when it makes a file. The files of
 * jobs that come and go lie in one group of blocks, so after some thousand jobs that was most of a start. Marked so,
 * each directory in this one gets another group. Other file systems refuse, and need it not. */
static void spread_jobs(int jobs_fd)
{
    int flags = 0;
    if (ioctl(jobs_fd, FS_IOC_GETFLAGS, &flags) < 0 || (flags & FS_TOPDIR_FL))
        return;
    flags |= FS_TOPDIR_FL;
    (void)ioctl(jobs_fd, FS_IOC_SETFLAGS, &flags);
}

int world_open(struct broker *broker, struct error *error)
{
    broker->prefix_fd = open_directory(AT_FDCWD, broker->prefix, error);
    if (broker->prefix_fd < 0)
        return broker->prefix_fd;
    broker->run_fd = world_open_run(broker->prefix, broker->prefix_fd, /* make= */ true, error);
    if (broker->run_fd < 0)
        return broker->run_fd;
    /* Held, through a descriptor that is never closed, as long as we live. */
    int r = world_take_lock(broker->run_fd, broker->prefix, error);
    if (r < 0)
        return r;
    broker->jobs_fd = open_directory(broker->prefix_fd, "state/jobs", error);
    if (broker->jobs_fd < 0)
        return broker->jobs_fd;
    spread_jobs(broker->jobs_fd);
    if (disk_find_whole(broker->jobs_fd, &broker->disk) < 0)
        broker->disk = 0; /* an I/O limit is refused then */
    char text[24];
    int size = snprintf(text, sizeof(text), "%d\n", getpid());
    r = fd_replace_file_at(broker->run_fd, PID_FILE, text, (size_t)size, 0644);
    return r < 0 ? error_errno(error, -r, "write the pid file") : 0;
}

/* The downloads of builds belong to the ids on disk: only sandboxes read and write them. */
static int open_cache(struct broker *broker, struct error *error)
{
    uint32_t owner = broker->config->disk_id_start;
    if (broker->config->cache_bytes == 0)
        return 0;
    if ((mkdirat(broker->prefix_fd, "cache", 0755) < 0 && errno != EEXIST) ||
            (mkdirat(broker->prefix_fd, "cache/apt", 0755) < 0 && errno != EEXIST))
        return error_errno(error, errno, "make '%s/cache/apt'", broker->prefix);
    _cleanup_close_ int cache_fd = openat(broker->prefix_fd, "cache", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_close_ int fd =
            cache_fd < 0 ? -EBADF : openat(cache_fd, "apt", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_errno(error, errno, "open '%s/cache/apt'", broker->prefix);
    if ((status.st_uid != owner || status.st_gid != owner) && fchown(fd, owner, owner) < 0)
        return error_errno(error, errno, "set the owner of '%s/cache/apt'", broker->prefix);
    broker->cache_fd = TAKE_FD(fd);
    return 0;
}

static void find_absent(struct broker *broker)
{
    struct stat status;
    if (fstat(broker->prefix_fd, &status) == 0)
        broker->absent[0] = (struct store_id){.device = status.st_dev, .inode = status.st_ino};
    if (stat(CONFIG_PREFIX_DEFAULT, &status) == 0 && S_ISDIR(status.st_mode))
        broker->absent[1] = (struct store_id){.device = status.st_dev, .inode = status.st_ino};
    if (store_id_equal(&broker->absent[0], &broker->absent[1]))
        broker->absent[1] = (struct store_id){0};
}

/* A limit that the host cannot keep is none: the disk of a build is never larger than what is free now, but for a
 * quarter that is left to others. */
static void size_build_disk(struct broker *broker)
{
    struct statvfs space;
    uint64_t bytes = broker->config->build_disk_bytes;
    if (fstatvfs(broker->prefix_fd, &space) == 0) {
        uint64_t most = (uint64_t)space.f_bavail * space.f_frsize / 4 * 3;
        most -= most % (1U << 20);
        if (most < bytes && most >= BUILD_DISK_MIN) {
            log_event(LOG_LEVEL_WARN, "the disk of a build is smaller than configured, for lack of space", "MiB",
                    LOG_NUMBER(most >> 20), NULL);
            bytes = most;
        }
    }
    broker->build_disk_bytes = bytes;
}

int world_open_store(struct broker *broker, struct error *error)
{
    int r = store_open(
            &broker->store, broker->prefix_fd, broker->config->disk_id_start, broker->config->api_gid, error);
    if (r == 0)
        r = open_cache(broker, error);
    if (r == 0)
        r = bases_open(&broker->bases, broker, error);
    if (r < 0)
        return r;
    find_absent(broker);
    size_build_disk(broker);
    return 0;
}

void world_close(struct broker *broker)
{
    (void)unlinkat(broker->run_fd, PID_FILE, 0);
}

int world_find_program(const char *name, char ret_path[WORLD_PATH_MAX], struct error *error)
{
    char own[WORLD_PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (size < 0)
        return error_errno(error, errno, "find our own program");
    own[size] = '\0';
    *strrchr(own, '/') = '\0';
    const char *const directories[] = {own, JOBLET_LIBEXECDIR};
    for (unsigned i = 0; i < ELEMENTS(directories); i++) {
        int length = snprintf(ret_path, WORLD_PATH_MAX, "%s/%s", directories[i], name);
        if (length > 0 && (size_t)length < WORLD_PATH_MAX && access(ret_path, X_OK) == 0)
            return 0;
    }
    return error_text(error, ENOENT, "'%s' is neither in '%s' nor in '%s'", name, own, JOBLET_LIBEXECDIR);
}

/* --- ourselves --- */

/* Children start with what we have. A parent of ours may have ignored signals (systemd ignores SIGPIPE). */
static void reset_signals(void)
{
    sigset_t blocked;
    for (int number = 1; number < SIGRTMIN; number++)
        (void)signal(number, SIG_DFL);
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGPIPE);
    (void)sigaddset(&blocked, SIGHUP);
    (void)sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static int drop_capabilities(struct error *error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return error_errno(error, errno, "read our capabilities");
    for (unsigned i = 0; i < ELEMENTS(needless_capabilities); i++) {
        int number = needless_capabilities[i];
        struct __user_cap_data_struct *part = &data[number / 32];
        uint32_t bit = 1U << number % 32;
        part->effective &= ~bit;
        part->permitted &= ~bit;
        part->inheritable &= ~bit;
        if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0 && errno != EINVAL) /* EINVAL: an older kernel has none */
            return error_errno(error, errno, "drop capability %d", number);
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return error_errno(error, errno, "drop capabilities");
    return 0;
}

static void set_open_files(struct broker *broker, uint32_t most)
{
    const struct config *config = broker->config;
    broker->max_open_files = config->max_open_files && config->max_open_files < most ? config->max_open_files : most;
    broker->default_open_files =
            config->default_open_files < broker->max_open_files ? config->default_open_files : broker->max_open_files;
}

int world_limit_self(struct broker *broker, struct error *error)
{
    struct rlimit files;
    if (geteuid() != 0)
        return error_text(error, EPERM, "joblet needs to be started as root");
    reset_signals();
    (void)umask(022);
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return error_errno(error, errno, "read the limit of open files");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        return error_errno(error, errno, "raise the limit of open files");
    set_open_files(broker, files.rlim_max < JOB_OPEN_FILES_MAX ? (uint32_t)files.rlim_max : JOB_OPEN_FILES_MAX);
    broker->oom_lowered = fd_write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", OOM_SCORE) == 0;
    return drop_capabilities(error);
}

/* --- the listening socket --- */

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } socket;
    socklen_t size;
};

static int parse_address(const char *text, uint16_t port, struct address *ret_address)
{
    struct address address = {0};
    if (inet_pton(AF_INET, text, &address.socket.v4.sin_addr) == 1) {
        address.socket.v4.sin_family = AF_INET;
        address.socket.v4.sin_port = htons(port);
        address.size = sizeof(address.socket.v4);
    } else if (inet_pton(AF_INET6, text, &address.socket.v6.sin6_addr) == 1) {
        address.socket.v6.sin6_family = AF_INET6;
        address.socket.v6.sin6_port = htons(port);
        address.size = sizeof(address.socket.v6);
    } else {
        return -EINVAL;
    }
    *ret_address = address;
    return 0;
}

/* The port that an earlier joblet chose, when any will do: clients of its time find us again. 0: none. */
static uint16_t read_last_port(const struct broker *broker)
{
    _cleanup_free_ char *text = NULL;
    uint64_t port;
    if (fd_read_file_at(broker->run_fd, ADDRESS_FILE, 256, &text, NULL) < 0)
        return 0;
    text[strcspn(text, "\n")] = '\0';
    const char *colon = strrchr(text, ':');
    return colon && text_parse_u64(colon + 1, UINT16_MAX, &port) == 0 ? (uint16_t)port : 0;
}

static int bind_patiently(int fd, const struct address *address)
{
    const struct timespec pause = {.tv_nsec = BIND_PAUSE_NS};
    for (unsigned i = 0; bind(fd, &address->socket.any, address->size) < 0; i++) {
        if (errno != EADDRINUSE || i == BIND_TRIES)
            return -errno;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int write_address(const struct broker *broker, int fd, struct error *error)
{
    struct address bound = {.size = sizeof(bound.socket)};
    if (getsockname(fd, &bound.socket.any, &bound.size) < 0)
        return error_errno(error, errno, "read our own address");
    bool v6 = bound.socket.any.sa_family == AF_INET6;
    char host[INET6_ADDRSTRLEN];
    const void *source = v6 ? (const void *)&bound.socket.v6.sin6_addr : (const void *)&bound.socket.v4.sin_addr;
    (void)inet_ntop(v6 ? AF_INET6 : AF_INET, source, host, sizeof(host));
    char text[INET6_ADDRSTRLEN + 16];
    int size = snprintf(text, sizeof(text), v6 ? "[%s]:%u\n" : "%s:%u\n", host, ntohs(bound.socket.v4.sin_port));
    int r = fd_replace_file_at(broker->run_fd, ADDRESS_FILE, text, (size_t)size, 0644);
    return r < 0 ? error_errno(error, -r, "write our address") : 0;
}

int world_listen(struct broker *broker, struct error *error)
{
    const struct config *config = broker->config;
    const int on = 1;
    struct address address;
    uint16_t port = config->port ? config->port : read_last_port(broker);
    if (parse_address(config->address, port, &address) < 0)
        return error_text(error, EINVAL, "server.address '%s' is no IP address", config->address);
    _cleanup_close_ int fd = socket(address.socket.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return error_errno(error, errno, "make the listening socket");
    int r = bind_patiently(fd, &address);
    if (r == -EADDRINUSE && config->port == 0) {
        (void)parse_address(config->address, 0, &address);
        r = bind(fd, &address.socket.any, address.size) < 0 ? -errno : 0;
    }
    if (r < 0)
        return error_errno(error, -r, "bind %s port %u", config->address, port);
    if (listen(fd, LISTEN_BACKLOG) < 0)
        return error_errno(error, errno, "listen on %s port %u", config->address, port);
    r = write_address(broker, fd, error);
    return r < 0 ? r : TAKE_FD(fd);
}
