/* Finding a sandbox's processes on the host without asking joblet. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "kernel/procstatus.h"
#include "verify/run.h"

#define ENVIRONMENT_MAX (256U << 10)

/* True when the environment of @pid has the text "NAME=VALUE". */
static bool has_variable(pid_t pid, const char *variable)
{
    char path[64];
    char *text = NULL;
    size_t size = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/environ", pid);
    if (fd_read_file_at(AT_FDCWD, path, ENVIRONMENT_MAX, &text, &size) < 0)
        return false;
    bool found = false;
    for (size_t i = 0; i < size && !found; i += strlen(text + i) + 1)
        found = strcmp(text + i, variable) == 0;
    free(text);
    return found;
}

static bool is_named(pid_t pid, const char *name)
{
    char path[64];
    char *text = NULL;
    size_t size = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    bool is = fd_read_file_at(AT_FDCWD, path, 64, &text, &size) == 0 && strncmp(text, name, strlen(name)) == 0 &&
              text[strlen(name)] == '\n';
    free(text);
    return is;
}

static pid_t parent_of(pid_t pid)
{
    struct procstatus status;
    struct error error;
    _cleanup_close_ int fd = procstatus_open(pid);
    return fd >= 0 && procstatus_read(fd, &status, &error) == 0 ? (pid_t)status.parent_pid : 0;
}

/* Calls @match for each process until it says yes. The pid or 0. */
static pid_t walk(bool (*match)(pid_t pid, const void *user), const void *user)
{
    DIR *directory = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *entry; directory && found == 0 && (entry = readdir(directory)) != NULL;) {
        uint64_t pid;
        if (isdigit((unsigned char)entry->d_name[0]) && text_parse_u64(entry->d_name, INT32_MAX, &pid) == 0 &&
                match((pid_t)pid, user))
            found = (pid_t)pid;
    }
    if (directory)
        (void)closedir(directory);
    return found;
}

static bool is_init_of(pid_t pid, const void *user)
{
    return is_named(pid, "joblet-init") && has_variable(pid, user);
}

static bool is_child_of(pid_t pid, const void *user)
{
    return parent_of(pid) == *(const pid_t *)user;
}

static bool belongs_to(pid_t pid, const void *user)
{
    return has_variable(pid, user);
}

static bool builds(pid_t pid, const void *user)
{
    return has_variable(pid, user) && is_named(parent_of(pid), "joblet-init");
}

int find_job(const char *job, struct seen_sandbox *ret_sandbox)
{
    char variable[64];
    (void)snprintf(variable, sizeof(variable), "JOB_ID=%s", job);
    *ret_sandbox = (struct seen_sandbox){.kind = SANDBOX_JOB};
    (void)snprintf(ret_sandbox->job, sizeof(ret_sandbox->job), "%s", job);
    ret_sandbox->init = walk(is_init_of, variable);
    if (ret_sandbox->init == 0)
        return -ENOENT;
    ret_sandbox->command = walk(is_child_of, &ret_sandbox->init);
    return ret_sandbox->command == 0 ? -ENOENT : 0;
}

/* The id of the process's sandbox. */
static int read_job_id(pid_t pid, char ret_job[RUN_JOB_MAX])
{
    char path[64];
    char *text = NULL;
    size_t size = 0;
    int r = -ENOENT;
    (void)snprintf(path, sizeof(path), "/proc/%d/environ", pid);
    if (fd_read_file_at(AT_FDCWD, path, ENVIRONMENT_MAX, &text, &size) < 0)
        return r;
    for (size_t i = 0; i < size && r < 0; i += strlen(text + i) + 1) {
        uint8_t id[16];
        if (strncmp(text + i, "JOB_ID=", 7) == 0 && text_parse_uuid(text + i + 7, id) == 0) {
            (void)snprintf(ret_job, RUN_JOB_MAX, "%.36s", text + i + 7);
            r = 0;
        }
    }
    free(text);
    return r;
}

int find_build(const struct run *run, const char *name, struct seen_sandbox *ret_sandbox)
{
    char variable[128];
    char path[PATH_MAX];
    (void)snprintf(variable, sizeof(variable), "RUNTIME_NAME=%s", name);
    *ret_sandbox = (struct seen_sandbox){.kind = SANDBOX_BUILD};
    ret_sandbox->command = walk(builds, variable);
    ret_sandbox->init = ret_sandbox->command ? parent_of(ret_sandbox->command) : 0;
    if (ret_sandbox->init == 0 || read_job_id(ret_sandbox->init, ret_sandbox->job) < 0)
        return -ENOENT;
    (void)snprintf(path, sizeof(path), "%s/state/jobs/%s", run->prefix, ret_sandbox->job);
    return access(path, F_OK) == 0 ? 0 : -ENOENT;
}

bool find_any_process(const char *job)
{
    char variable[64];
    (void)snprintf(variable, sizeof(variable), "JOB_ID=%s", job);
    return walk(belongs_to, variable) != 0;
}

/* nftw has no argument of its own; this program has one thread. */
static struct {
    const char *job;
    const char *file;
    char *path;
    unsigned count;
} groups;

static int meet_group(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    char file[PATH_MAX];
    (void)status;
    if (kind != FTW_D || !strstr(path + place->base, groups.job))
        return 0;
    groups.count++;
    if (groups.path && groups.file && snprintf(file, sizeof(file), "%s/%s", path, groups.file) < (int)sizeof(file) &&
            access(file, F_OK) == 0)
        (void)snprintf(groups.path, PATH_MAX, "%s", path);
    return 0;
}

unsigned find_groups(const char *job, const char *file, char ret_path[PATH_MAX])
{
    groups.job = job;
    groups.file = file;
    groups.path = ret_path;
    groups.count = 0;
    if (ret_path)
        ret_path[0] = '\0';
    (void)nftw("/sys/fs/cgroup", meet_group, 16, FTW_PHYS);
    return groups.count;
}
