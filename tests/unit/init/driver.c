#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "kernel/landlock.h"
#include "kernel/mount.h"
#include "plan/spec.h"

#define JOB_BASE (30000U * 65536U)

static const char *const v1_controllers[] = {"memory", "pids"};

/* A short-lived child holds it until it is opened. */
int driver_new_userns(uint32_t inside, uint32_t base, uint32_t count)
{
    int pidfd = -1;
    struct clone_args arguments = {
            .flags = CLONE_NEWUSER | CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid == 0)
        for (;;)
            pause();
    if (pid < 0)
        return -errno;
    char path[64];
    char map[64];
    int r = 0;
    (void)snprintf(map, sizeof(map), "%u %u %u\n", inside, base, count);
    static const char *const names[] = {"uid_map", "gid_map"};
    for (unsigned i = 0; r == 0 && i < 2; i++) {
        (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, names[i]);
        r = fd_write_file_at(AT_FDCWD, path, map);
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
    int fd = r < 0 ? r : open(path, O_RDONLY | O_CLOEXEC);
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    (void)waitpid(pid, NULL, 0);
    (void)close(pidfd);
    return fd;
}

static int copy_file(const char *from, const char *to)
{
    _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    struct stat status;
    if (in < 0 || out < 0 || fstat(in, &status) < 0)
        return -errno;
    for (off_t left = status.st_size; left > 0;) {
        ssize_t copied = copy_file_range(in, NULL, out, NULL, (size_t)left, 0);
        if (copied <= 0)
            return -EIO;
        left -= copied;
    }
    return fchmod(out, 0755) < 0 ? -errno : 0;
}

static const char *const applets[] = {"sh", "true", "false", "cat", "echo", "sleep", "dd", "kill", "id", "head", "ls",
        "env", "yes", "printf", "mkdir", "touch", "wc", "tr", "seq", "test", "grep", "pwd"};

/* The throw-away root: busybox and mount points, owned on disk by a range of ids like a real one. */
static int make_root(struct driver *driver)
{
    static const char *const directories[] = {
            "bin", "dev", "proc", "sys", "work", "tmp", "run", "volumes", "etc", "etc/x"};
    static const char *const files[] = {"etc/hosts", "etc/hostname", "etc/resolv.conf", "bin/noexec"};
    char path[128];
    (void)snprintf(driver->directory, sizeof(driver->directory), "/var/tmp/joblet-test-XXXXXX");
    if (!mkdtemp(driver->directory) || chmod(driver->directory, 0755) < 0)
        return -errno;
    driver->root_fd = open(driver->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (driver->root_fd < 0)
        return -errno;
    for (size_t i = 0; i < ELEMENTS(directories); i++)
        if (mkdirat(driver->root_fd, directories[i], 0755) < 0)
            return -errno;
    for (size_t i = 0; i < ELEMENTS(files); i++)
        (void)close(openat(driver->root_fd, files[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    (void)snprintf(path, sizeof(path), "%s/bin/busybox", driver->directory);
    int r = copy_file("/bin/busybox", path);
    for (size_t i = 0; r == 0 && i < ELEMENTS(applets); i++) {
        (void)snprintf(path, sizeof(path), "bin/%s", applets[i]);
        if (symlinkat("busybox", driver->root_fd, path) < 0)
            r = -errno;
    }
    if (r < 0)
        return r;
    static const char script[] = "#!/nowhere/interpreter\n";
    _cleanup_close_ int fd = openat(driver->root_fd, "bin/orphan", O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
    r = fd_write_all(fd, script, sizeof(script) - 1);
    (void)snprintf(path, sizeof(path), "chown -hR %u:%u %s", DRIVER_DISK_BASE, DRIVER_DISK_BASE, driver->directory);
    return r < 0 ? r : (system(path) == 0 ? 0 : -EIO);
}

int driver_isolate(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
        return -errno;
    return 0;
}

int driver_open(struct driver *driver, const char *init_path, bool has_hooks)
{
    *driver = (struct driver){.has_hooks = has_hooks, .id_base = JOB_BASE, .root_fd = -EBADF};
    driver->init_fd = open(init_path, O_PATH | O_CLOEXEC);
    if (driver->init_fd < 0) {
        perror(init_path);
        return -1;
    }
    /* A mount namespace of our own, and shared within: a step that forgets to make its tree private must show, but
     * never on the host. A group that is not the job's, for the same reason. */
    static const gid_t groups[] = {4242, 4243};
    if (driver_isolate() < 0 || setgroups(2, groups) < 0) {
        perror("driver: namespace");
        return -1;
    }
    int r = make_root(driver);
    driver->join_userns_fd = driver_new_userns(0, JOB_BASE, PLAN_RANGE_SIZE);
    driver->disk_userns_fd = driver_new_userns(DRIVER_DISK_BASE, JOB_BASE, PLAN_RANGE_SIZE);
    driver->landlock_abi = landlock_get_abi();
    driver->has_v1 = access("/sys/fs/cgroup/memory/tasks", W_OK) == 0 && access("/sys/fs/cgroup/pids/tasks", W_OK) == 0;
    if (r < 0 || driver->join_userns_fd < 0 || driver->disk_userns_fd < 0 || driver->landlock_abi < 1) {
        (void)fprintf(stderr, "driver: root %d, user namespaces %d %d, Landlock %d\n", r, driver->join_userns_fd,
                driver->disk_userns_fd, driver->landlock_abi);
        driver_close(driver);
        return -1;
    }
    return 0;
}

/* The number of mounts in this namespace: more afterwards than before is what a job let out. */
static unsigned count_mounts(void)
{
    unsigned lines = 0;
    char *text = NULL;
    if (fd_read_file_at(AT_FDCWD, "/proc/self/mountinfo", 1U << 20, &text, NULL) < 0)
        return 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    free(text);
    return lines;
}

void driver_close(struct driver *driver)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf --one-file-system %s", driver->directory);
    if (driver->root_fd >= 0 && system(command) != 0)
        (void)fprintf(stderr, "driver: '%s' failed\n", command);
    (void)fd_close(driver->root_fd);
    (void)fd_close(driver->join_userns_fd);
    (void)fd_close(driver->disk_userns_fd);
    (void)fd_close(driver->init_fd);
}

static char *const no_environment[] = {NULL};

void driver_job_init(const struct driver *driver, struct driver_job *job, char *const arguments[])
{
    *job = (struct driver_job){
            .arguments = arguments,
            .environment = no_environment,
            .work_dir = "/work",
            .work_fd = -1,
            .plan =
                    {
                            .magic = PLAN_MAGIC,
                            .version = PLAN_VERSION,
                            .type = PLAN_TYPE_STANDARD,
                            .id_base = driver->id_base,
                            .command_id = PLAN_COMMAND_ID_DEFAULT,
                            .landlock_abi = (uint32_t)driver->landlock_abi,
                            .open_files = 256,
                            .work_bytes = 16U << 20,
                            .work_inodes = 1000,
                            .tmp_bytes = 8U << 20,
                            .tmp_inodes = 500,
                            .shm_bytes = 4U << 20,
                            .memory_bytes = 64U << 20,
                            .cpu_percent = 150,
                            .processes = 100,
                    },
    };
    (void)text_new_uuid(job->plan.job_id);
}

/* The descriptors of one run, by their number in joblet-init; -1: none. */
struct run {
    int fds[PLAN_FD_CGROUP_FIRST + PLAN_FD_CGROUP_MAX];
    int control;
    int pidfd;
    pid_t pid;
    char groups[2][128];
};

static int open_groups(struct run *run, struct driver_job *job, const char *name)
{
    for (unsigned i = 0; i < ELEMENTS(v1_controllers); i++) {
        char path[192];
        (void)snprintf(
                run->groups[i], sizeof(run->groups[i]), "/sys/fs/cgroup/%s/joblet-test-%s", v1_controllers[i], name);
        if (mkdir(run->groups[i], 0755) < 0)
            return -errno;
        (void)snprintf(path, sizeof(path), "%s/tasks", run->groups[i]);
        run->fds[PLAN_FD_CGROUP_FIRST + i] = open(path, O_WRONLY | O_CLOEXEC);
    }
    job->plan.cgroup_tasks = ELEMENTS(v1_controllers);
    job->plan.cgroup_unshare = 1;
    if (job->memory_limit_bytes == 0)
        return 0;
    char value[64];
    _cleanup_close_ int group = open(run->groups[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void)snprintf(value, sizeof(value), "%llu", (unsigned long long)job->memory_limit_bytes);
    int r = fd_write_file_at(group, "memory.limit_in_bytes", value);
    _cleanup_close_ int control = openat(group, "memory.oom_control", O_RDONLY | O_CLOEXEC);
    run->fds[PLAN_FD_OOM] = eventfd(0, EFD_CLOEXEC);
    (void)snprintf(value, sizeof(value), "%d %d", run->fds[PLAN_FD_OOM], control);
    if (r == 0)
        r = fd_write_file_at(group, "cgroup.event_control", value);
    job->plan.cgroup_oom_eventfd = 1;
    return r;
}

static int new_plan(const struct driver *driver, const struct driver_job *job)
{
    size_t size = sizeof(struct plan);
#ifdef JOBLET_TEST_HOOKS
    if (!driver->has_hooks)
        size = offsetof(struct plan, swap_first);
#endif
    (void)driver;
    return fd_new_sealed("plan", &job->plan, size);
}

static int prepare(const struct driver *driver, struct driver_job *job, struct run *run)
{
    int pair[2];
    int out[2];
    int err[2];
    for (size_t i = 0; i < ELEMENTS(run->fds); i++)
        run->fds[i] = -1;
    char id[TEXT_UUID_MAX];
    text_format_uuid(job->plan.job_id, id);
    if (job->with_cgroups) {
        int r = open_groups(run, job, id);
        if (r < 0)
            return r;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 || pipe2(out, O_CLOEXEC) < 0 ||
            pipe2(err, O_CLOEXEC) < 0)
        return -errno;
    run->control = pair[0];
    (void)setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int));
    run->fds[PLAN_FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
    run->fds[PLAN_FD_PLAN] = new_plan(driver, job);
    run->fds[PLAN_FD_CONTROL] = pair[1];
    run->fds[PLAN_FD_USERNS] = job->with_fresh_userns ? driver_new_userns(0, driver->id_base, PLAN_RANGE_SIZE)
                                                      : fcntl(driver->join_userns_fd, F_DUPFD_CLOEXEC, 0);
    run->fds[PLAN_FD_ROOT] = mount_clone(AT_FDCWD, driver->directory);
    int r = mount_set_attributes(run->fds[PLAN_FD_ROOT],
            MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_IDMAP, driver->disk_userns_fd);
    if (run->fds[PLAN_FD_USERNS] < 0)
        return run->fds[PLAN_FD_USERNS];
    if (r == 0)
        r = spec_encode(job->work_dir, job->arguments, job->environment, &run->fds[PLAN_FD_SPEC], NULL);
    if (r < 0)
        return r;
    char path[64];
    static const struct {
        int number;
        const char *name;
    } files[] = {{PLAN_FD_LOG, "log"}, {PLAN_FD_INDEX, "index"}, {PLAN_FD_RECORD, "record"}};
    for (size_t i = 0; i < ELEMENTS(files); i++) {
        (void)snprintf(path, sizeof(path), "/tmp/joblet-test-%d-%s", getpid(), files[i].name);
        (void)unlink(path);
        run->fds[files[i].number] = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        (void)unlink(path);
    }
    if (job->work_fd >= 0)
        run->fds[PLAN_FD_WORK] = fcntl(job->work_fd, F_DUPFD_CLOEXEC, 0);
    run->fds[PLAN_FD_STDOUT_READ] = out[0];
    run->fds[PLAN_FD_STDOUT_WRITE] = out[1];
    run->fds[PLAN_FD_STDERR_READ] = err[0];
    run->fds[PLAN_FD_STDERR_WRITE] = err[1];
    if (job->change_fds)
        job->change_fds(driver, job, run->fds);
    return 0;
}

__attribute__((noreturn)) static void become_init(
        const struct driver *driver, const struct driver_job *job, struct run *run, char *id_text)
{
    char *const arguments[] = {(char[]){"joblet-init"}, NULL};
    char *const environment[] = {id_text, (char *)(uintptr_t)job->second_variable, NULL};
    unsigned last = PLAN_FD_CGROUP_FIRST + PLAN_FD_CGROUP_MAX;
    int init_fd = fcntl(driver->init_fd, F_DUPFD_CLOEXEC, 128);
    for (unsigned i = 0; i < last; i++)
        if (run->fds[i] >= 0)
            run->fds[i] = fcntl(run->fds[i], F_DUPFD_CLOEXEC, 64);
    for (unsigned i = 3; i < last; i++)
        (void)close((int)i);
    for (unsigned i = 0; i < last; i++)
        if (run->fds[i] >= 0)
            (void)dup2(run->fds[i], (int)i);
    (void)dup2(0, 1);
    (void)dup2(0, 2);
    if (job->with_extra_fd)
        (void)dup2(0, 40);
    (void)execveat(init_fd, "", arguments, environment, AT_EMPTY_PATH);
    _exit(99);
}

static int clone_init(const struct driver *driver, const struct driver_job *job, struct run *run)
{
    char id[TEXT_UUID_MAX];
    char text[64];
    text_format_uuid(job->plan.job_id, id);
    (void)snprintf(text, sizeof(text), "JOB_ID=%s", job->job_id_environment ? job->job_id_environment : id);
    unsigned flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
    if (!job->with_cgroups)
        flags |= CLONE_NEWCGROUP;
    struct clone_args arguments = {
            .flags = (flags & ~job->without_namespace) | CLONE_PIDFD,
            .pidfd = (uintptr_t)&run->pidfd,
            .exit_signal = SIGCHLD,
    };
    run->pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (run->pid == 0)
        become_init(driver, job, run, text);
    if (run->pid < 0)
        return -errno;
    /* As joblet: the other end must be joblet-init's alone, or its death would not be seen here. */
    (void)close(run->fds[PLAN_FD_CONTROL]);
    run->fds[PLAN_FD_CONTROL] = -1;
    return 0;
}

/* Plays joblet's part until the command runs, or until joblet-init has nothing more to say. */
static void talk(struct driver_job *job, struct run *run)
{
    bool init_ready = false;
    bool command_ready = false;
    for (;;) {
        struct pollfd entry = {.fd = run->control, .events = POLLIN};
        if (poll(&entry, 1, DRIVER_DEFAULT_TIMEOUT_MS) != 1)
            break;
        struct plan_message message;
        ssize_t size = recv(run->control, &message, sizeof(message), 0);
        if (size != sizeof(message))
            break;
        if (message.type == PLAN_MESSAGE_FAILED) {
            job->failed = true;
            job->error = message.error;
            break;
        }
        init_ready |= message.type == PLAN_MESSAGE_READY;
        command_ready |= message.type == PLAN_MESSAGE_COMMAND_READY;
        if (message.type == PLAN_MESSAGE_STARTED || message.type == PLAN_MESSAGE_NOT_STARTED)
            break;
        if (!init_ready || !command_ready || job->was_ready)
            continue;
        job->was_ready = true;
        if (job->never_go)
            break;
        message = (struct plan_message){.magic = PLAN_MESSAGE_MAGIC, .type = PLAN_MESSAGE_GO};
        (void)send(run->control, &message, sizeof(message), MSG_NOSIGNAL);
    }
    (void)close(run->control);
}

static int wait_end(struct driver_job *job, struct run *run, int64_t started_ns)
{
    struct pollfd entry = {.fd = run->pidfd, .events = POLLIN};
    if (job->stop_after_ms) {
        (void)poll(&entry, 1, (int)job->stop_after_ms);
        (void)syscall(SYS_pidfd_send_signal, run->pidfd, SIGTERM, NULL, 0);
    }
    int r = 0;
    if (poll(&entry, 1, job->wait_ms ? (int)job->wait_ms : DRIVER_DEFAULT_TIMEOUT_MS) != 1) {
        (void)fprintf(stderr, "driver: joblet-init hangs, killed\n");
        (void)syscall(SYS_pidfd_send_signal, run->pidfd, SIGKILL, NULL, 0);
        r = -ETIME;
    }
    int status = 0;
    (void)waitpid(run->pid, &status, 0);
    job->duration_ns = text_now_monotonic_ns() - started_ns;
    job->wait_status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return r;
}

static char *read_back(int fd, size_t *ret_size)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || status.st_size > DRIVER_LOG_MAX)
        return NULL;
    char *bytes = malloc((size_t)status.st_size + 1);
    ssize_t size = pread(fd, bytes, (size_t)status.st_size, 0);
    *ret_size = size < 0 ? 0 : (size_t)size;
    bytes[*ret_size] = '\0';
    return bytes;
}

int driver_run(const struct driver *driver, struct driver_job *job)
{
    struct run run = {.control = -1, .pidfd = -1};
    unsigned mounts_before = count_mounts();
    int r = prepare(driver, job, &run);
    if (r == 0) {
        int64_t started_ns = text_now_monotonic_ns();
        r = clone_init(driver, job, &run);
        if (r == 0) {
            talk(job, &run);
            r = wait_end(job, &run, started_ns);
            (void)close(run.pidfd);
        }
    }
    if (r == 0) {
        job->has_record = record_read(run.fds[PLAN_FD_RECORD], &job->record) == 0;
        if (!job->skip_log) {
            job->log = read_back(run.fds[PLAN_FD_LOG], &job->log_size);
            job->index = read_back(run.fds[PLAN_FD_INDEX], &job->index_size);
        }
    }
    for (size_t i = 0; i < ELEMENTS(run.fds); i++)
        (void)fd_close(run.fds[i]);
    job->leaked_mounts = count_mounts() - mounts_before;
    for (size_t i = 0; i < ELEMENTS(run.groups); i++)
        if (run.groups[i][0] && rmdir(run.groups[i]) < 0)
            (void)fprintf(stderr, "driver: rmdir %s: %s\n", run.groups[i], strerror(errno));
    return r;
}

void driver_job_done(struct driver_job *job)
{
    free(job->log);
    free(job->index);
    job->log = NULL;
    job->index = NULL;
}
