/* What the host's kernel says of the processes of a sandbox: /proc of the host, which no sandbox can write. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/mountinfo.h"
#include "kernel/procstatus.h"
#include "verify/run.h"

#define BUILD_CAPABILITIES 0x800400fbULL
#define RANGE 65536U
#define MOUNTINFO_MAX (1U << 20)

struct process {
    const char *name;
    int fd;
    struct procstatus status;
    struct procstatus_id_map uid_map;
    struct procstatus_id_map gid_map;
    struct procstatus_namespaces namespaces;
};

struct look {
    struct run *run;
    const struct seen_sandbox *sandbox;
    struct process init;
    struct process command;
    struct procstatus_namespaces own;
};

#define WHAT(look, text) ((look)->sandbox->kind == SANDBOX_JOB ? "a job: " text : "a build: " text)

static int read_process(pid_t pid, const char *name, struct process *ret_process, struct error *error)
{
    ret_process->name = name;
    ret_process->fd = procstatus_open(pid);
    if (ret_process->fd < 0)
        return error_errno(error, -ret_process->fd, "open '/proc/%d'", pid);
    int r = procstatus_read(ret_process->fd, &ret_process->status, error);
    if (r < 0)
        return r;
    if (procstatus_read_id_map(ret_process->fd, "uid_map", &ret_process->uid_map) < 0 ||
            procstatus_read_id_map(ret_process->fd, "gid_map", &ret_process->gid_map) < 0)
        return error_text(error, EBADMSG, "the id maps of %s cannot be read", name);
    return procstatus_read_namespaces(ret_process->fd, &ret_process->namespaces, error);
}

/* Names those of @kinds that are the host's. */
static void check_namespaces(struct look *look, unsigned promise, unsigned kinds, const char *tried)
{
    char shared[128] = "";
    for (unsigned i = 0; i < PROCSTATUS_NS_COUNT; i++) {
        bool is_host = look->init.namespaces.inode[i] == look->own.inode[i] ||
                       look->command.namespaces.inode[i] == look->own.inode[i];
        if (kinds & 1U << i && is_host) {
            size_t used = strlen(shared);
            (void)snprintf(shared + used, sizeof(shared) - used, " %s", procstatus_ns_name(i));
        }
    }
    report_fact(&look->run->report, promise, REPORT_OUTSIDE, !shared[0], tried, "%s%s",
            shared[0] ? "shared with the host:" : "each is its own", shared);
}

static bool is_range(const struct procstatus_id_map *map)
{
    return map->lines == 1 && map->inside == 0 && map->outside >= RANGE && map->count == RANGE;
}

static bool is_within(const struct process *process)
{
    for (unsigned i = 0; i < 4; i++)
        if (process->status.uid[i] - process->uid_map.outside >= RANGE ||
                process->status.gid[i] - process->gid_map.outside >= RANGE)
            return false;
    return true;
}

static void check_ids(struct look *look)
{
    struct report *report = &look->run->report;
    const struct process *command = &look->command;
    bool holds = is_range(&command->uid_map) && is_range(&command->gid_map) && is_range(&look->init.uid_map) &&
                 is_within(command) && is_within(&look->init);
    report_fact(report, 2, REPORT_OUTSIDE, holds, WHAT(look, "its ids are a range that nobody else has"),
            "%u to %u are %u to %u on the host; the command is %u", command->uid_map.inside,
            command->uid_map.inside + command->uid_map.count - 1, command->uid_map.outside,
            command->uid_map.outside + command->uid_map.count - 1, command->status.uid[0]);
    uint32_t groups = command->status.group_count + look->init.status.group_count;
    report_fact(report, 3, REPORT_OUTSIDE, groups == 0, WHAT(look, "no supplementary group"), "%u", groups);
    report_fact(report, 3, REPORT_OUTSIDE, look->init.status.uid[0] != command->status.uid[0],
            WHAT(look, "joblet-init has another id than the command"), "%u and %u", look->init.status.uid[0],
            command->status.uid[0]);
}

static void check_rights(struct look *look)
{
    struct report *report = &look->run->report;
    const struct procstatus *command = &look->command.status;
    const struct procstatus *init = &look->init.status;
    uint64_t promised = look->sandbox->kind == SANDBOX_JOB ? 0 : BUILD_CAPABILITIES;
    report_fact(report, 2, REPORT_OUTSIDE,
            command->cap_permitted == promised && command->cap_effective == promised &&
                    command->cap_bounding == promised && (command->cap_inheritable | command->cap_ambient) == 0,
            WHAT(look, "the command's capabilities"), "permitted %#llx, bounded by %#llx, to hand down %#llx",
            (unsigned long long)(command->cap_permitted | command->cap_effective),
            (unsigned long long)command->cap_bounding,
            (unsigned long long)(command->cap_inheritable | command->cap_ambient));
    report_fact(report, 2, REPORT_OUTSIDE,
            (init->cap_permitted | init->cap_effective | init->cap_inheritable | init->cap_ambient) == 0 &&
                    init->cap_bounding == promised,
            WHAT(look, "joblet-init's capabilities"), "permitted %#llx, bounded by %#llx, to hand down %#llx",
            (unsigned long long)(init->cap_permitted | init->cap_effective), (unsigned long long)init->cap_bounding,
            (unsigned long long)(init->cap_inheritable | init->cap_ambient));
    report_fact(report, 2, REPORT_OUTSIDE, command->no_new_privs == 1 && init->no_new_privs == 1,
            WHAT(look, "no new privileges"), "command %u, joblet-init %u", command->no_new_privs, init->no_new_privs);
    report_fact(report, 2, REPORT_OUTSIDE, command->seccomp == 2 && init->seccomp == 2,
            WHAT(look, "system calls are filtered"), "mode of the command %u, of joblet-init %u", command->seccomp,
            init->seccomp);
}

/* The files of a process that is not dumpable belong to the host's root. */
static void check_dumpable(struct look *look)
{
    struct stat status;
    if (fstatat(look->init.fd, "environ", &status, 0) < 0)
        report_add(&look->run->report, 3, REPORT_OUTSIDE, REPORT_UNABLE, WHAT(look, "joblet-init is not dumpable"),
                "%s", strerror(errno));
    else
        report_fact(&look->run->report, 3, REPORT_OUTSIDE, status.st_uid == 0,
                WHAT(look, "joblet-init is not dumpable"), "its files in /proc belong to %u", status.st_uid);
}

static bool has_mount(const char *mounts, unsigned long long id)
{
    struct mountinfo line;
    while (mountinfo_next(&mounts, &line) == 1)
        if (line.id == id)
            return true;
    return false;
}

/* True for a file or directory of a mount that is not among @mounts. Pipes, sockets and memory lie nowhere. */
static bool is_foreign(int proc_fd, const char *name, const char *mounts)
{
    char path[64];
    char target[16];
    unsigned long long id;
    _cleanup_free_ char *text = NULL;
    (void)snprintf(path, sizeof(path), "fd/%.16s", name);
    ssize_t size = readlinkat(proc_fd, path, target, sizeof(target));
    if (size < 1 || target[0] != '/' || (size > 7 && memcmp(target, "/memfd:", 7) == 0))
        return false;
    (void)snprintf(path, sizeof(path), "fdinfo/%.16s", name);
    if (fd_read_file_at(proc_fd, path, 4096, &text, NULL) < 0)
        return false;
    const char *value = strstr(text, "mnt_id:");
    return value && sscanf(value, "mnt_id: %llu", &id) == 1 && !has_mount(mounts, id);
}

/* A job's command has the three that it was given. A build's is a program of ours with files open, all of the build's
 * own mounts. */
static void check_descriptors(struct look *look)
{
    char path[64];
    char found[128] = "";
    unsigned count = 0;
    bool is_job = look->sandbox->kind == SANDBOX_JOB;
    _cleanup_free_ char *mounts = NULL;
    if (!is_job && fd_read_file_at(look->command.fd, "mountinfo", MOUNTINFO_MAX, &mounts, NULL) < 0)
        return report_add(
                &look->run->report, 3, REPORT_OUTSIDE, REPORT_UNABLE, "a build: its descriptors", "no mountinfo");
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", look->sandbox->command);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.' && (is_job || is_foreign(look->command.fd, entry->d_name, mounts))) {
            size_t used = strlen(found);
            (void)snprintf(found + used, sizeof(found) - used, " %.8s", entry->d_name);
            count++;
        }
    report_fact(&look->run->report, 3, REPORT_OUTSIDE, directory && count == (is_job ? 3 : 0),
            is_job ? "a job: no descriptor but the first three" : "a build: no descriptor of a mount of the host",
            "open:%s", found[0] ? found : " none");
    if (directory)
        (void)closedir(directory);
}

static void check_all(struct look *look)
{
    static const unsigned of_p2 = 1U << PROCSTATUS_NS_UTS | 1U << PROCSTATUS_NS_USER;
    check_namespaces(look, 3, ~of_p2, WHAT(look, "namespaces pid, mnt, ipc, net, cgroup"));
    check_namespaces(look, 2, of_p2, WHAT(look, "namespaces uts, user"));
    check_ids(look);
    check_rights(look);
    check_dumpable(look);
    check_descriptors(look);
}

void look_at_sandbox(struct run *run, const struct seen_sandbox *sandbox)
{
    struct look look = {.run = run, .sandbox = sandbox, .init.fd = -EBADF, .command.fd = -EBADF};
    struct error error = {0};
    _cleanup_close_ int own = procstatus_open(getpid());
    int r = own < 0 ? error_errno(&error, -own, "open our own process")
                    : procstatus_read_namespaces(own, &look.own, &error);
    if (r == 0)
        r = read_process(sandbox->init, "joblet-init", &look.init, &error);
    if (r == 0)
        r = read_process(sandbox->command, "the command", &look.command, &error);
    if (r == 0)
        check_all(&look);
    else
        for (unsigned promise = 2; promise <= 3; promise++)
            report_add(&run->report, promise, REPORT_OUTSIDE, REPORT_UNABLE, WHAT(&look, "its processes"), "%s",
                    error.text);
    (void)fd_close(look.init.fd);
    (void)fd_close(look.command.fd);
}
