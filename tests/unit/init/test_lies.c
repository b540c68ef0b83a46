/* Plans and descriptors that lie: each field of the plan and each descriptor that joblet-init is handed is made wrong,
 * one at a time. Each time nothing may be executed: joblet-init must never say that it is ready, and must say at which
 * stage it refused. The joblet-init is the plain one. Root only. test_lies INIT [-v]     -v: one line for each */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "driver.h"
#include "kernel/mount.h"

static char *const arguments[] = {
        (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "echo ran", NULL};

/* --- the plan --- */

/* One field has one other value. */
#define FIELD(field, wrong, at)                                                                                        \
    {                                                                                                                  \
#field " = " #wrong, offsetof(struct plan, field), sizeof(((struct plan *)NULL)->field), (uint64_t)(wrong), at \
    }

static const struct field_lie {
    const char *name;
    size_t offset;
    size_t size;
    uint64_t value;
    uint32_t stage;
} field_lies[] = {
        FIELD(magic, 0, PLAN_STAGE_START),
        FIELD(version, PLAN_VERSION + 1, PLAN_STAGE_START),
        FIELD(type, 0, PLAN_STAGE_START),
        FIELD(type, PLAN_TYPE_STANDARD + 1, PLAN_STAGE_START),
        FIELD(job_id[0], 0xff, PLAN_STAGE_START),
        FIELD(id_base, 0, PLAN_STAGE_START),
        FIELD(id_base, 30000U * PLAN_RANGE_SIZE + 1, PLAN_STAGE_START),
        FIELD(id_base, UINT32_MAX - PLAN_RANGE_SIZE + 1, PLAN_STAGE_START),
        FIELD(id_base, 30001U * PLAN_RANGE_SIZE, PLAN_STAGE_PROOF), /* another job's */
        FIELD(command_id, 0, PLAN_STAGE_START),
        FIELD(command_id, PLAN_SUPERVISOR_ID, PLAN_STAGE_START),
        FIELD(command_id, PLAN_RANGE_SIZE, PLAN_STAGE_START),
        FIELD(command_id, UINT32_MAX, PLAN_STAGE_START),
        FIELD(cgroup_tasks, PLAN_FD_CGROUP_MAX + 1, PLAN_STAGE_START),
        FIELD(cgroup_unshare, 2, PLAN_STAGE_START),
        FIELD(cgroup_oom_eventfd, 2, PLAN_STAGE_START),
        FIELD(cgroup_oom_eventfd, 1, PLAN_STAGE_PROOF), /* and there is none */
        FIELD(landlock_abi, 0, PLAN_STAGE_START),
        FIELD(landlock_abi, 1, PLAN_STAGE_LANDLOCK), /* less than the kernel can */
        FIELD(landlock_abi, 1000, PLAN_STAGE_LANDLOCK),
        FIELD(open_files, 0, PLAN_STAGE_START),
        FIELD(open_files, 1U << 30, PLAN_STAGE_RLIMITS), /* more than the kernel permits */
        FIELD(work_on_disk, 2, PLAN_STAGE_START),
        FIELD(work_on_disk, 1, PLAN_STAGE_START), /* and there is none */
        FIELD(work_bytes, 0, PLAN_STAGE_START),
        FIELD(work_bytes, UINT64_MAX, PLAN_STAGE_START), /* rounded up to whole pages it would be none */
        FIELD(work_inodes, 0, PLAN_STAGE_START),
        FIELD(tmp_bytes, 0, PLAN_STAGE_START),
        FIELD(tmp_bytes, UINT64_MAX, PLAN_STAGE_START),
        FIELD(tmp_inodes, 0, PLAN_STAGE_START),
        FIELD(shm_bytes, 0, PLAN_STAGE_START),
        FIELD(shm_bytes, UINT64_MAX, PLAN_STAGE_START),
        FIELD(processes, 0, PLAN_STAGE_START),
};

/* --- the descriptors --- */

static void put(int fds[], int number, int fd)
{
    (void)fd_close(fds[number]);
    fds[number] = fd;
}

static int open_path(const char *path, int flags)
{
    return open(path, flags | O_CLOEXEC);
}

/* A memory file with the content of @fd, without the seals @left_out. */
static int copy_unsealed(int fd, int left_out)
{
    char bytes[2 * sizeof(struct plan)];
    ssize_t size = pread(fd, bytes, sizeof(bytes), 0);
    int copy = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    if (size < 0 || copy < 0 || fd_write_all(copy, bytes, (size_t)size) < 0 ||
            fcntl(copy, F_ADD_SEALS, seals & ~left_out) < 0)
        abort();
    return copy;
}

static int new_sealed(const void *bytes, size_t size)
{
    int fd = fd_new_sealed("lie", bytes, size);
    if (fd < 0)
        abort();
    return fd;
}

static int new_root(const char *path, uint64_t attributes, int userns_fd)
{
    int fd = mount_clone(AT_FDCWD, path);
    if (fd < 0 || (attributes && mount_set_attributes(fd, attributes, userns_fd) < 0))
        abort();
    return fd;
}

#define ROOT_ATTRIBUTES (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_IDMAP)

/* One descriptor is another one. */
#define CHANGE(name) static void name(const struct driver *driver, struct driver_job *job, int fds[])

#define CHANGE_TO(name, number, expression)                                                                            \
    CHANGE(name)                                                                                                       \
    {                                                                                                                  \
        (void)driver;                                                                                                  \
        (void)job;                                                                                                     \
        put(fds, number, expression);                                                                                  \
    }

CHANGE_TO(plan_without_write_seal, PLAN_FD_PLAN, copy_unsealed(fds[PLAN_FD_PLAN], F_SEAL_WRITE))
CHANGE_TO(plan_without_grow_seal, PLAN_FD_PLAN, copy_unsealed(fds[PLAN_FD_PLAN], F_SEAL_GROW))
CHANGE_TO(plan_without_shrink_seal, PLAN_FD_PLAN, copy_unsealed(fds[PLAN_FD_PLAN], F_SEAL_SHRINK))
CHANGE_TO(plan_without_last_seal, PLAN_FD_PLAN, copy_unsealed(fds[PLAN_FD_PLAN], F_SEAL_SEAL))
CHANGE_TO(plan_too_short, PLAN_FD_PLAN, new_sealed(&job->plan, sizeof(job->plan) - 1))
CHANGE_TO(plan_is_spec, PLAN_FD_PLAN, fcntl(fds[PLAN_FD_SPEC], F_DUPFD_CLOEXEC, 0))
CHANGE_TO(plan_is_a_file, PLAN_FD_PLAN, open_path("/etc/passwd", O_RDONLY))
CHANGE_TO(plan_is_not_there, PLAN_FD_PLAN, -1)

CHANGE(plan_too_long)
{
    char bytes[sizeof(struct plan) + 1] = {0};
    (void)driver;
    memcpy(bytes, &job->plan, sizeof(struct plan));
    put(fds, PLAN_FD_PLAN, new_sealed(bytes, sizeof(bytes)));
}

CHANGE_TO(userns_of_the_host, PLAN_FD_USERNS, open_path("/proc/self/ns/user", O_RDONLY))
CHANGE_TO(userns_of_the_disk, PLAN_FD_USERNS, fcntl(driver->disk_userns_fd, F_DUPFD_CLOEXEC, 0))
CHANGE_TO(userns_is_another_kind, PLAN_FD_USERNS, open_path("/proc/self/ns/net", O_RDONLY))
CHANGE_TO(userns_is_a_file, PLAN_FD_USERNS, open_path("/etc/passwd", O_RDONLY))
CHANGE_TO(userns_is_not_there, PLAN_FD_USERNS, -1)
CHANGE_TO(
        userns_of_another_job, PLAN_FD_USERNS, driver_new_userns(0, driver->id_base + PLAN_RANGE_SIZE, PLAN_RANGE_SIZE))
CHANGE_TO(userns_with_more_ids, PLAN_FD_USERNS, driver_new_userns(0, driver->id_base, 2 * PLAN_RANGE_SIZE))

#define CHANGE_ROOT(name, left_out)                                                                                    \
    CHANGE_TO(name, PLAN_FD_ROOT,                                                                                      \
            new_root(driver->directory, ROOT_ATTRIBUTES & ~(uint64_t)(left_out), driver->disk_userns_fd))
CHANGE_ROOT(root_is_writable, MOUNT_ATTR_RDONLY)
CHANGE_ROOT(root_with_set_id, MOUNT_ATTR_NOSUID)
CHANGE_ROOT(root_with_devices, MOUNT_ATTR_NODEV)
CHANGE_ROOT(root_without_idmap, MOUNT_ATTR_IDMAP)
CHANGE_TO(root_is_a_directory_of_it, PLAN_FD_ROOT, open_path(driver->directory, O_RDONLY | O_DIRECTORY))
CHANGE_TO(root_of_the_host, PLAN_FD_ROOT, new_root("/", ROOT_ATTRIBUTES & ~(uint64_t)MOUNT_ATTR_IDMAP, -1))
CHANGE_TO(root_is_the_old_root, PLAN_FD_ROOT, open_path("/", O_PATH | O_DIRECTORY))
CHANGE_TO(root_is_another_directory, PLAN_FD_ROOT, new_root("/var", ROOT_ATTRIBUTES & ~(uint64_t)MOUNT_ATTR_IDMAP, -1))
CHANGE_TO(root_is_a_file, PLAN_FD_ROOT, open_path("/etc/passwd", O_RDONLY))
CHANGE_TO(root_is_not_there, PLAN_FD_ROOT, -1)

/* A part of the host comes along in the tree. */
CHANGE(root_with_another_mount)
{
    char path[96];
    (void)job;
    (void)snprintf(path, sizeof(path), "%s/etc/x", driver->directory);
    if (mount("/etc", path, NULL, MS_BIND, NULL) < 0)
        abort();
    int fd = open_tree(AT_FDCWD, driver->directory, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    /* Not a peer of the original, or the unmounting would reach it. */
    if (fd < 0 || mount_make_private_one(fd) < 0 || umount2(path, MNT_DETACH) < 0 ||
            mount_set_attributes(fd, ROOT_ATTRIBUTES, driver->disk_userns_fd) < 0)
        abort();
    put(fds, PLAN_FD_ROOT, fd);
}

CHANGE_TO(spec_without_seals, PLAN_FD_SPEC, copy_unsealed(fds[PLAN_FD_SPEC], F_SEAL_WRITE | F_SEAL_SEAL))
CHANGE_TO(spec_without_last_seal, PLAN_FD_SPEC, copy_unsealed(fds[PLAN_FD_SPEC], F_SEAL_SEAL))
CHANGE_TO(spec_is_plan, PLAN_FD_SPEC, fcntl(fds[PLAN_FD_PLAN], F_DUPFD_CLOEXEC, 0))
CHANGE_TO(spec_is_empty, PLAN_FD_SPEC, new_sealed("", 0))
CHANGE_TO(spec_is_a_file, PLAN_FD_SPEC, open_path("/etc/passwd", O_RDONLY))
CHANGE_TO(spec_is_not_there, PLAN_FD_SPEC, -1)

CHANGE_TO(log_is_a_directory, PLAN_FD_LOG, open_path("/", O_RDONLY | O_DIRECTORY))
CHANGE_TO(log_is_read_only, PLAN_FD_LOG, open_path("/etc/passwd", O_RDONLY))
CHANGE_TO(log_is_a_device, PLAN_FD_LOG, open_path("/dev/zero", O_RDWR))
CHANGE_TO(log_is_not_there, PLAN_FD_LOG, -1)
CHANGE_TO(index_is_a_directory, PLAN_FD_INDEX, open_path("/", O_RDONLY | O_DIRECTORY))
CHANGE_TO(index_is_read_only, PLAN_FD_INDEX, open_path("/etc/passwd", O_RDONLY))
CHANGE_TO(index_is_not_there, PLAN_FD_INDEX, -1)
CHANGE_TO(record_is_a_directory, PLAN_FD_RECORD, open_path("/", O_RDONLY | O_DIRECTORY))
CHANGE_TO(record_is_read_only, PLAN_FD_RECORD, open_path("/etc/passwd", O_RDONLY))
CHANGE_TO(record_is_not_there, PLAN_FD_RECORD, -1)
CHANGE_TO(control_is_not_there, PLAN_FD_CONTROL, -1)
CHANGE_TO(control_is_a_device, PLAN_FD_CONTROL, open_path("/dev/zero", O_RDWR))
CHANGE_TO(stdout_read_is_a_directory, PLAN_FD_STDOUT_READ, open_path("/", O_RDONLY | O_DIRECTORY))
CHANGE_TO(stdout_write_is_a_file, PLAN_FD_STDOUT_WRITE, open_path("/etc/passwd", O_RDONLY))
CHANGE_TO(stdout_write_is_not_there, PLAN_FD_STDOUT_WRITE, -1)
CHANGE_TO(stderr_read_is_a_directory, PLAN_FD_STDERR_READ, open_path("/", O_RDONLY | O_DIRECTORY))
CHANGE_TO(stderr_write_is_a_file, PLAN_FD_STDERR_WRITE, open_path("/etc/passwd", O_RDONLY))
CHANGE_TO(stderr_write_is_not_there, PLAN_FD_STDERR_WRITE, -1)

CHANGE(pipes_the_wrong_way_round)
{
    (void)driver;
    (void)job;
    int fd = fds[PLAN_FD_STDOUT_READ];
    fds[PLAN_FD_STDOUT_READ] = fds[PLAN_FD_STDOUT_WRITE];
    fds[PLAN_FD_STDOUT_WRITE] = fd;
}

CHANGE_TO(group_is_not_there, PLAN_FD_CGROUP_FIRST, -1)
CHANGE_TO(group_is_a_device, PLAN_FD_CGROUP_FIRST, open_path("/dev/null", O_WRONLY))
CHANGE_TO(group_of_another, PLAN_FD_CGROUP_FIRST, open_path("/sys/fs/cgroup/memory/tasks", O_WRONLY))

#define FDS(name, at)                                                                                                  \
    {                                                                                                                  \
#name, name, false, at                                                                                         \
    }
#define GROUP(name, at)                                                                                                \
    {                                                                                                                  \
#name, name, true, at                                                                                          \
    }

/* The stage; PLAN_STAGE_NONE: there is nobody to tell it to, the record says it. ANY_STAGE: the host's files decide. */
#define ANY_STAGE PLAN_STAGE_COUNT
static const struct fd_lie {
    const char *name;
    void (*change)(const struct driver *driver, struct driver_job *job, int fds[]);
    bool needs_v1;
    uint32_t stage;
} fd_lies[] = {
        FDS(plan_without_write_seal, PLAN_STAGE_START),
        FDS(plan_without_grow_seal, PLAN_STAGE_START),
        FDS(plan_without_shrink_seal, PLAN_STAGE_START),
        FDS(plan_without_last_seal, PLAN_STAGE_START),
        FDS(plan_too_short, PLAN_STAGE_START),
        FDS(plan_too_long, PLAN_STAGE_START),
        FDS(plan_is_spec, PLAN_STAGE_START),
        FDS(plan_is_a_file, PLAN_STAGE_START),
        FDS(plan_is_not_there, PLAN_STAGE_START),
        FDS(userns_of_the_host, PLAN_STAGE_START),
        FDS(userns_of_the_disk, PLAN_STAGE_IDS),
        FDS(userns_is_another_kind, PLAN_STAGE_USERNS),
        FDS(userns_is_a_file, PLAN_STAGE_USERNS),
        FDS(userns_is_not_there, PLAN_STAGE_USERNS),
        FDS(userns_of_another_job, PLAN_STAGE_PROOF),
        FDS(userns_with_more_ids, PLAN_STAGE_PROOF),
        FDS(root_is_writable, PLAN_STAGE_PROOF),
        FDS(root_with_set_id, PLAN_STAGE_PROOF),
        FDS(root_with_devices, PLAN_STAGE_PROOF),
        FDS(root_without_idmap, PLAN_STAGE_PROOF),
        FDS(root_with_another_mount, PLAN_STAGE_PROOF),
        FDS(root_is_a_directory_of_it, PLAN_STAGE_PROPAGATION),
        FDS(root_of_the_host, ANY_STAGE),
        FDS(root_is_the_old_root, PLAN_STAGE_PROPAGATION),
        FDS(root_is_another_directory, ANY_STAGE),
        FDS(root_is_a_file, PLAN_STAGE_PROPAGATION),
        FDS(root_is_not_there, PLAN_STAGE_START),
        FDS(spec_without_seals, PLAN_STAGE_SPEC),
        FDS(spec_without_last_seal, PLAN_STAGE_SPEC),
        FDS(spec_is_plan, PLAN_STAGE_SPEC),
        FDS(spec_is_empty, PLAN_STAGE_SPEC),
        FDS(spec_is_a_file, PLAN_STAGE_SPEC),
        FDS(spec_is_not_there, PLAN_STAGE_PROOF),
        FDS(log_is_a_directory, PLAN_STAGE_PROOF),
        FDS(log_is_read_only, PLAN_STAGE_PROOF),
        FDS(log_is_a_device, PLAN_STAGE_PROOF),
        FDS(log_is_not_there, PLAN_STAGE_PROOF),
        FDS(index_is_a_directory, PLAN_STAGE_PROOF),
        FDS(index_is_read_only, PLAN_STAGE_PROOF),
        FDS(index_is_not_there, PLAN_STAGE_PROOF),
        FDS(record_is_a_directory, PLAN_STAGE_PROOF),
        FDS(record_is_read_only, PLAN_STAGE_PROOF),
        FDS(record_is_not_there, PLAN_STAGE_PROOF),
        FDS(control_is_not_there, PLAN_STAGE_NONE),
        FDS(control_is_a_device, PLAN_STAGE_NONE),
        FDS(stdout_read_is_a_directory, PLAN_STAGE_PROOF),
        FDS(stdout_write_is_a_file, PLAN_STAGE_PROOF),
        FDS(stdout_write_is_not_there, PLAN_STAGE_PROOF),
        FDS(stderr_read_is_a_directory, PLAN_STAGE_PROOF),
        FDS(stderr_write_is_a_file, PLAN_STAGE_PROOF),
        FDS(stderr_write_is_not_there, PLAN_STAGE_PROOF),
        FDS(pipes_the_wrong_way_round, PLAN_STAGE_PROOF),
        GROUP(group_is_not_there, PLAN_STAGE_CGROUP_ATTACH),
        GROUP(group_is_a_device, PLAN_STAGE_CGROUP_NS),
        GROUP(group_of_another, PLAN_STAGE_CGROUP_NS),
};

/* --- the rest of what joblet hands over --- */

struct namespace_lie {
    const char *name;
    unsigned flag;
    uint32_t stage;
};
static const struct namespace_lie namespace_lies[] = {
        {"the mount namespace is joblet's", CLONE_NEWNS, PLAN_STAGE_START},
        {"the PID namespace is joblet's", CLONE_NEWPID, PLAN_STAGE_START},
        {"the UTS namespace is joblet's", CLONE_NEWUTS, PLAN_STAGE_START},
        {"the IPC namespace is joblet's", CLONE_NEWIPC, PLAN_STAGE_START},
        {"the network namespace is joblet's", CLONE_NEWNET, PLAN_STAGE_START},
        {"the cgroup namespace is joblet's", CLONE_NEWCGROUP, PLAN_STAGE_PROOF},
};

struct tally {
    const struct driver *driver;
    bool verbose;
    unsigned tried;
    unsigned refused;
};

/* Runs @job; true when it was refused at @stage, and nothing of it was executed. */
static bool is_refused(const struct driver *driver, struct driver_job *job, uint32_t stage)
{
    if (driver_run(driver, job) < 0 || job->was_ready || job->leaked_mounts != 0)
        return false;
    if (job->log && job->log_size > 0 && strncmp(job->log, "ran", 3) == 0)
        return false;
    bool has_record =
            job->has_record && job->record.reason == RECORD_REASON_SETUP_FAILURE && job->record.exit_code == -1;
    const struct error *error = job->failed ? &job->error : &job->record.error;
    if (stage == PLAN_STAGE_NONE)
        return !job->failed && has_record && error->text[0];
    return job->failed && (error->stage == stage || stage == ANY_STAGE) && error->code > 0 && error->text[0] &&
           job->wait_status == 1;
}

static void try_lie(struct tally *tally, struct driver_job *job, uint32_t stage, const char *name)
{
    bool is_good = is_refused(tally->driver, job, stage);
    const struct error *error = job->failed ? &job->error : &job->record.error;
    tally->tried++;
    tally->refused += is_good;
    if (tally->verbose || !is_good)
        (void)printf("%s%s: %s: %s\n", is_good ? "" : "NOT REFUSED AS IT MUST BE: ", name,
                job->was_ready ? "it was ready" : plan_stage_name(error->stage), error->text);
    driver_job_done(job);
}

static void new_job(const struct tally *tally, struct driver_job *job)
{
    driver_job_init(tally->driver, job, arguments);
    job->with_fresh_userns = true; /* a lie may leave its traces in it */
}

static void try_fields(struct tally *tally)
{
    for (size_t i = 0; i < ELEMENTS(field_lies); i++) {
        const struct field_lie *lie = &field_lies[i];
        struct driver_job job;
        char id[TEXT_UUID_MAX];
        new_job(tally, &job);
        text_format_uuid(job.plan.job_id, id);
        job.job_id_environment = id;
        uint64_t value = lie->value;
        memcpy((char *)&job.plan + lie->offset, &value, lie->size);
        try_lie(tally, &job, lie->stage, lie->name);
    }
}

static void try_fds(struct tally *tally)
{
    for (size_t i = 0; i < ELEMENTS(fd_lies); i++) {
        const struct fd_lie *lie = &fd_lies[i];
        struct driver_job job;
        if (lie->needs_v1 && !tally->driver->has_v1) {
            (void)printf("left out, no cgroup v1 here: %s\n", lie->name);
            continue;
        }
        new_job(tally, &job);
        job.with_cgroups = lie->needs_v1;
        job.change_fds = lie->change;
        try_lie(tally, &job, lie->stage, lie->name);
    }
}

static void try_others(struct tally *tally)
{
    struct driver_job job;
    for (size_t i = 0; i < ELEMENTS(namespace_lies); i++) {
        new_job(tally, &job);
        job.without_namespace = namespace_lies[i].flag;
        try_lie(tally, &job, namespace_lies[i].stage, namespace_lies[i].name);
    }
    new_job(tally, &job);
    job.job_id_environment = "00000000-0000-4000-8000-000000000000";
    try_lie(tally, &job, PLAN_STAGE_START, "the environment names another job");
    new_job(tally, &job);
    job.second_variable = "LD_PRELOAD=/x";
    try_lie(tally, &job, PLAN_STAGE_START, "the environment has a second variable");
    new_job(tally, &job);
    job.plan.cgroup_unshare = 1;
    try_lie(tally, &job, PLAN_STAGE_START, "a cgroup namespace to unshare, but no group to enter");
    new_job(tally, &job);
    job.plan.cgroup_tasks = 1;
    try_lie(tally, &job, PLAN_STAGE_START, "a group to enter, but no cgroup namespace to unshare");
    new_job(tally, &job);
    job.plan.cgroup_unshare = job.plan.cgroup_tasks = 1;
    try_lie(tally, &job, PLAN_STAGE_CGROUP_ATTACH, "a group to enter that was not handed over");
}

/* The same job without a lie runs, or the refusals would prove nothing. */
static bool run_straight(const struct tally *tally)
{
    struct driver_job job;
    new_job(tally, &job);
    job.with_cgroups = tally->driver->has_v1;
    bool is_good = driver_run(tally->driver, &job) == 0 && job.was_ready && job.log && strcmp(job.log, "ran\n") == 0;
    if (!is_good)
        (void)printf("no lie, but: %s: %s\n", plan_stage_name(job.error.stage), job.error.text);
    driver_job_done(&job);
    return is_good;
}

int main(int count, char **options)
{
    if (geteuid() != 0) {
        (void)printf("skipped: needs root\n");
        return 77;
    }
    struct driver driver;
    struct tally tally = {.driver = &driver, .verbose = count == 3 && strcmp(options[2], "-v") == 0};
    if (count < 2 || driver_open(&driver, options[1], /* has_hooks= */ false) < 0)
        return 1;
    bool is_good = run_straight(&tally);
    try_fields(&tally);
    try_fds(&tally);
    try_others(&tally);
    is_good = is_good && run_straight(&tally);
    driver_close(&driver);
    (void)printf("%u of %u lies refused before anything was executed\n", tally.refused, tally.tried);
    return is_good && tally.refused == tally.tried ? 0 : 1;
}
