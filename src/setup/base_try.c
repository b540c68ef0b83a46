#include "setup/base_try.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "setup/base_list.h"

#define PARALLEL 4
#define ARGUMENTS_MAX 16
#define OUTPUT_SHOWN_MAX 100
#define SECONDS_MAX 10

/* One run that is under way. */
struct slot {
    pid_t pid; /* 0 = free */
    int output_fd;
    const char *name;
    const char *expected; /* NULL: any output, as long as it could start */
};

struct trier {
    uint32_t id;
    struct slot slots[PARALLEL];
    struct error *error;
};

static int make_node(const char *path, unsigned minor_number)
{
    if (mknod(path, S_IFCHR | 0666, makedev(1, minor_number)) < 0 || chmod(path, 0666) < 0)
        return -errno;
    return 0;
}

/* /dev, /proc, /tmp of the tried base, in the mount namespace of this process alone. The working directory is the root.
 */
static int mount_parts(void)
{
    if (mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") < 0 ||
            mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=1m") < 0 ||
            mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -errno;
    int r = make_node("dev/null", 3);
    if (r == 0)
        r = make_node("dev/zero", 5);
    if (r == 0)
        r = make_node("dev/urandom", 9);
    return r;
}

/* Makes the tree of @root_fd the root of this process, which is PID 1 of a new PID namespace. */
static int enter_root(int root_fd)
{
    /* The descriptor is in the mount namespace of before; here the directory is reached by its path, and again once the
     * mount lies over it. */
    char path[64];
    char real[4096];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", root_fd);
    ssize_t length = readlink(path, real, sizeof(real) - 1);
    if (length < 0)
        return -errno;
    real[length] = '\0';
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount(real, real, NULL, MS_BIND, NULL) < 0 ||
            chdir(real) < 0 ||
            mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        return -errno;
    int r = mount_parts();
    if (r < 0)
        return r;
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static int drop(uint32_t id)
{
    /* 1 and not 0: with 0 a core handler of the host would still be started. */
    const struct rlimit core = {1, 1};
    if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0 ||
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &core) < 0)
        return -errno;
    return geteuid() == id && getegid() == id ? 0 : -EPERM;
}

/* In the child: becomes the command. What goes wrong is its output and its status 127. */
static void become(const struct trier *trier, int output_fd, const char *path, char **arguments)
{
    char *const environment[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, (char[]){"HOME=/tmp"},
            (char[]){"LC_ALL=C.UTF-8"}, (char[]){"TERM=dumb"},
            /* Symbols that are missing show at the start, not when they are first used. */
            (char[]){"LD_BIND_NOW=1"}, NULL};
    _cleanup_close_ int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int r = drop(trier->id);
    (void)alarm(SECONDS_MAX);
    (void)setsid();
    if (r < 0 || null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(output_fd, 1) < 0 || dup2(output_fd, 2) < 0)
        _exit(127);
    (void)execve(path, arguments, environment);
    (void)dprintf(2, "%s", strerror(errno));
    _exit(127);
}

/* The first line of what a command printed. */
static void read_output(int fd, char ret_text[OUTPUT_SHOWN_MAX])
{
    ssize_t size = pread(fd, ret_text, OUTPUT_SHOWN_MAX - 1, 0);
    ret_text[size > 0 ? size : 0] = '\0';
}

static int judge(struct trier *trier, const struct slot *slot, int status)
{
    char output[OUTPUT_SHOWN_MAX];
    read_output(slot->output_fd, output);
    bool same =
            !slot->expected || (WIFEXITED(status) && WEXITSTATUS(status) == 0 && strcmp(output, slot->expected) == 0);
    bool started = WIFEXITED(status) && WEXITSTATUS(status) != 127 && WEXITSTATUS(status) != 126;
    if (same && started)
        return 0;
    output[strcspn(output, "\n")] = '\0';
    if (WIFSIGNALED(status))
        return error_text(
                trier->error, ENOEXEC, "'%.60s' in the new base died of signal %d", slot->name, WTERMSIG(status));
    return error_text(trier->error, ENOEXEC, "'%.60s' in the new base, exit status %d: %s", slot->name,
            WEXITSTATUS(status), output);
}

/* Waits for one run to end and frees its slot. 0 or -errno with the error. */
static int wait_one(struct trier *trier)
{
    for (;;) {
        int status;
        pid_t pid = wait(&status);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            return error_errno(trier->error, errno, "wait for a trial");
        for (size_t i = 0; i < PARALLEL; i++) {
            struct slot *slot = &trier->slots[i];
            if (slot->pid != pid)
                continue;
            slot->pid = 0;
            return judge(trier, slot, status);
        }
        /* An orphan of a trial that came to us as PID 1. */
    }
}

static bool any_running(const struct trier *trier)
{
    for (size_t i = 0; i < PARALLEL; i++) {
        if (trier->slots[i].pid != 0)
            return true;
    }
    return false;
}

static struct slot *free_slot(struct trier *trier)
{
    for (size_t i = 0; i < PARALLEL; i++) {
        if (trier->slots[i].pid == 0)
            return &trier->slots[i];
    }
    return NULL;
}

static int start(struct trier *trier, const char *name, const char *path, char **arguments, const char *expected)
{
    struct slot *slot = free_slot(trier);
    if (!slot) {
        int r = wait_one(trier);
        if (r < 0)
            return r;
        slot = free_slot(trier);
    }
    if (!slot || ftruncate(slot->output_fd, 0) < 0 || lseek(slot->output_fd, 0, SEEK_SET) < 0)
        return error_errno(trier->error, EIO, "start a trial");
    slot->name = name;
    slot->expected = expected;
    slot->pid = fork();
    if (slot->pid < 0) {
        slot->pid = 0;
        return error_errno(trier->error, errno, "fork");
    }
    if (slot->pid == 0)
        become(trier, slot->output_fd, path, arguments);
    return 0;
}

static int start_command(struct trier *trier, const struct base_try_command *command)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "%s", command->arguments);
    char path[256];
    (void)snprintf(path, sizeof(path), "%s", command->path);
    char *arguments[ARGUMENTS_MAX + 2] = {path};
    size_t count = 1;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word && count <= ARGUMENTS_MAX; word = strtok_r(NULL, " ", &rest))
        arguments[count++] = word;
    return start(trier, command->path, path, arguments, NULL);
}

static bool has_all(const char *names, bool (*has)(const void *context, const char *name), const void *context)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "%s", names);
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (!has(context, word))
            return false;
    }
    return true;
}

static int run_all(struct trier *trier, const struct base_try_command *commands, size_t count,
        bool (*has)(const void *context, const char *name), const void *context)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = start_command(trier, &commands[i]);
    for (const struct base_trial *trial = base_trials; r == 0 && trial->script; trial++) {
        char shell[] = "sh";
        char option[] = "-c";
        char script[256];
        (void)snprintf(script, sizeof(script), "%s", trial->script);
        char *arguments[] = {shell, option, script, NULL};
        if (has_all(trial->needs, has, context))
            r = start(trier, trial->script, "/bin/sh", arguments, trial->expected);
    }
    while (r == 0 && any_running(trier))
        r = wait_one(trier);
    /* PID 1 leaves, and the kernel ends what still runs. */
    return r;
}

/* In PID 1 of the new namespaces. */
static int try_inside(int root_fd, struct trier *trier, const struct base_try_command *commands, size_t count,
        bool (*has)(const void *context, const char *name), const void *context)
{
    for (size_t i = 0; i < PARALLEL; i++) {
        trier->slots[i].output_fd = memfd_create("trial", MFD_CLOEXEC);
        if (trier->slots[i].output_fd < 0)
            return error_errno(trier->error, errno, "memfd");
    }
    int r = enter_root(root_fd);
    if (r < 0)
        return error_errno(trier->error, -r, "enter the new base");
    return run_all(trier, commands, count, has, context);
}

/* Waits for @pid, a child of ours. True when it ended with status 0. */
static bool reap(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return false;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What the outer child found; the error travels through shared memory, which needs no reading and cannot block. */
struct outcome {
    int result;
    bool done;
    struct error error;
};

/* Ends this process with its parent, so that nothing is left of a setup that is killed. */
static void end_with(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (parent > 0 && getppid() != parent)
        _exit(1);
}

static void run_outer(struct outcome *outcome, int root_fd, uint32_t id, const struct base_try_command *commands,
        size_t count, bool (*has)(const void *context, const char *name), const void *context)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0) {
        outcome->result = error_errno(&outcome->error, errno, "new namespaces for trying the base");
        outcome->done = true;
        _exit(0);
    }
    pid_t pid = fork();
    if (pid == 0) {
        /* The parent is outside of this PID namespace and has no number here. */
        end_with(0);
        struct trier trier = {.id = id, .error = &outcome->error};
        outcome->result = try_inside(root_fd, &trier, commands, count, has, context);
        outcome->done = true;
        _exit(0);
    }
    _exit(pid > 0 && reap(pid) ? 0 : 1);
}

int base_try(int root_fd, uint32_t id, const struct base_try_command *commands, size_t count,
        bool (*has)(const void *context, const char *name), const void *context, struct error *error)
{
    struct outcome *outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (outcome == MAP_FAILED)
        return error_errno(error, errno, "memory for trying the base");
    (void)fflush(NULL);
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        end_with(self);
        run_outer(outcome, root_fd, id, commands, count, has, context);
    }
    bool ended = pid > 0 && reap(pid);
    int r = outcome->result;
    if (!ended || !outcome->done)
        r = error_text(error, EIO, "the process that tries the base died");
    else if (r < 0 && error)
        *error = outcome->error;
    (void)munmap(outcome, sizeof(*outcome));
    return r;
}
