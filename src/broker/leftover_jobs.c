/* Leftovers of jobs: directories, notes, control groups. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "broker/leftover_private.h"
#include "kernel/procstatus.h"
#include "plan/record.h"

#define GROUP_PREFIX "job-"
/* Processes that were just killed, until their group is empty. */
#define TRIES 200U
#define PAUSE_NS 10000000L

/* --- shared with the adoption of jobs --- */

void leftover_read_host(const struct run_groups *groups, struct cgroup_host *ret_host)
{
    *ret_host = (struct cgroup_host){.count = groups->count, .swap = true};
    for (unsigned i = 0; i < groups->count; i++) {
        struct cgroup_hierarchy *to = &ret_host->hierarchies[i];
        to->parent_fd = -EBADF;
        to->v2 = groups->hierarchies[i].v2 != 0;
        to->controllers = groups->hierarchies[i].controllers;
        memcpy(to->directory, groups->hierarchies[i].directory, sizeof(to->directory));
        memcpy(to->shown, groups->hierarchies[i].shown, sizeof(to->shown));
        memcpy(to->list, groups->hierarchies[i].list, sizeof(to->list));
    }
}

int leftover_open_init(const struct run_note *note, const uint8_t boot_id[16], const struct cgroup_host *host)
{
    uint64_t start_ticks;
    if (memcmp(note->boot_id, boot_id, sizeof(note->boot_id)) != 0)
        return -ESRCH;
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, note->pid, 0);
    _cleanup_close_ int proc_fd = procstatus_open(note->pid);
    if (pidfd < 0 || proc_fd < 0 || procstatus_read_start_time(proc_fd, &start_ticks) < 0 ||
            start_ticks != note->start_ticks || cgroup_check_member(host, note->group, proc_fd) != 1)
        return -ESRCH;
    return TAKE_FD(pidfd);
}

/* --- directories --- */

static bool lives(const struct leftover_place *place, const struct run_note *note)
{
    for (unsigned i = 0; i < place->host_count; i++) {
        _cleanup_close_ int pidfd = leftover_open_init(note, place->boot_id, place->hosts[i]);
        if (pidfd >= 0)
            return true;
    }
    return false;
}

static struct leftover *add_of_job(struct leftover_list *list, enum leftover_kind kind, const char *name,
        const char *uuid, const struct stat *status)
{
    struct leftover *item = leftover_add(list, kind, "state/jobs/%s", name);
    if (!item)
        return NULL;
    (void)snprintf(item->owner, sizeof(item->owner), "job %.*s", TEXT_UUID_MAX - 1, uuid);
    (void)snprintf(item->at, sizeof(item->at), "%.100s", name);
    item->since_unix = status->st_ctim.tv_sec;
    return item;
}

/* True when joblet-init or an earlier joblet wrote down how it ended. */
static int has_record(int jobs_fd, const char *uuid)
{
    char path[64];
    struct record record;
    (void)snprintf(path, sizeof(path), "%.*s/record", TEXT_UUID_MAX - 1, uuid);
    _cleanup_close_ int fd = openat(jobs_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return record_read(fd, &record) == 0;
}

static void look_at_note(const struct leftover_place *place, struct leftover_list *list, const char *uuid,
        const uint8_t id[16], bool *ret_has_note)
{
    char name[64];
    struct stat status;
    struct run_note note;
    int r = files_read_run(place->jobs_fd, uuid, &note);
    *ret_has_note = r == 0 && memcmp(note.job_id, id, sizeof(note.job_id)) == 0;
    const char *const files[] = {"run", "run.new"};
    for (unsigned i = 0; i < ELEMENTS(files); i++) {
        /* A whole note is no leftover; one that never got its name is, but for one of a moment ago. */
        bool is_torn = i == 0 ? r != -ENOENT && !*ret_has_note : true;
        (void)snprintf(name, sizeof(name), "%s/%s", uuid, files[i]);
        if (!is_torn || fstatat(place->jobs_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
                leftover_is_younger(place, &status))
            continue;
        struct leftover *item = add_of_job(list, LEFTOVER_NOTE, name, uuid, &status);
        if (!item)
            return;
        item->why = i == 0 ? "a note that cannot be read" : "a note that was not written to its end";
        if (!S_ISREG(status.st_mode) || status.st_uid != geteuid()) {
            item->verdict = LEFTOVER_NOT_OURS;
            item->stays = "no file of the service's user";
        }
    }
    if (!*ret_has_note || place->is_start || place->served_since_ns != 0 || lives(place, &note) ||
            fstatat(place->jobs_fd, uuid, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    struct leftover *item = add_of_job(list, LEFTOVER_ENDED_JOB, uuid, uuid, &status);
    if (!item)
        return;
    item->verdict = LEFTOVER_WAITS;
    item->why = "it ended while no service ran";
    item->stays = "the service's next start records its end";
}

static void look_at_job(const struct leftover_place *place, struct leftover_list *list, const char *uuid,
        const uint8_t id[16], const struct stat *status)
{
    bool has_note;
    look_at_note(place, list, uuid, id, &has_note);
    if (has_note || leftover_is_younger(place, status))
        return;
    int r = has_record(place->jobs_fd, uuid);
    if (r == 1)
        return; /* a job of the past, which has its log */
    struct leftover *item = add_of_job(list, LEFTOVER_JOB, uuid, uuid, status);
    if (!item)
        return;
    item->why = "the service ended while the job was being started";
    if (r < 0) {
        item->verdict = LEFTOVER_NOT_OURS;
        item->stays = "it has no place for a record, as every job has";
    }
}

/* The id in "UUID.new" and "UUID.old". */
static bool is_making(const char *name, char ret_uuid[TEXT_UUID_MAX])
{
    uint8_t id[16];
    size_t length = strlen(name);
    if (length < 4 || length - 4 >= TEXT_UUID_MAX ||
            (strcmp(name + length - 4, ".new") != 0 && strcmp(name + length - 4, ".old") != 0))
        return false;
    memcpy(ret_uuid, name, length - 4);
    ret_uuid[length - 4] = '\0';
    return text_parse_uuid(ret_uuid, id) == 0;
}

static void look_at_entry(const struct leftover_place *place, struct leftover_list *list, const char *name)
{
    uint8_t id[16];
    char uuid[TEXT_UUID_MAX];
    struct stat status;
    if (fstatat(place->jobs_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    bool is_dir = S_ISDIR(status.st_mode) && status.st_uid == geteuid();
    if (text_parse_uuid(name, id) == 0 && is_dir) {
        look_at_job(place, list, name, id, &status);
        return;
    }
    bool is_ours = is_making(name, uuid) && is_dir;
    if (is_ours && leftover_is_younger(place, &status))
        return;
    struct leftover *item = add_of_job(list, LEFTOVER_JOB_FILES, name, is_ours ? uuid : "none", &status);
    if (!item)
        return;
    item->why = "a job's directory that was not made or removed to its end";
    if (!is_ours) {
        item->verdict = LEFTOVER_NOT_OURS;
        item->owner[0] = '\0';
        item->why = "it lies where jobs' files are";
        item->stays = "no directory of the service's user with the name of one";
    }
}

int leftover_find_jobs(struct leftover_place *place, struct leftover_list *list, struct error *error)
{
    int fd = openat(place->jobs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        int code = errno;
        (void)fd_close(fd);
        return error_errno(error, code, "read the jobs' directory");
    }
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            look_at_entry(place, list, entry->d_name);
    (void)closedir(directory);
    return 0;
}

/* Nothing was executed, or the note would be there: so its record says. joblet-api reads it at its next start. */
int leftover_remove_job(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    struct files files;
    struct record record = {
            .reason = RECORD_REASON_SETUP_FAILURE, .exit_code = -1, .ended_unix_ns = text_now_unix_ns()};
    if (text_parse_uuid(item->at, record.job_id) < 0)
        return error_text(error, EINVAL, "'%s' is no job", item->at);
    int r = files_open(place->jobs_fd, item->at, &files);
    if (r == 0) {
        (void)error_text(&record.error, EINTR, "joblet ended while the job was being started");
        r = record_write(files.record_fd, &record);
        files_close(&files);
    }
    return r < 0 ? error_errno(error, -r, "record the job as a setup failure") : 0;
}

int leftover_remove_job_files(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    struct stat status;
    files_tidy(place->jobs_fd, item->at);
    if (fstatat(place->jobs_fd, item->at, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return error_text(error, ENOTEMPTY, "it holds what is no file of a job");
    return 0;
}

int leftover_remove_note(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    if (unlinkat(place->jobs_fd, item->at, 0) < 0 && errno != ENOENT)
        return error_errno(error, errno, "remove the note");
    return 0;
}

/* --- control groups --- */

struct grouping {
    const struct leftover_place *place;
    struct leftover_list *list;
    unsigned host;
    unsigned first; /* of this host, in the list */
    unsigned seen;
    unsigned kept;
};

static bool is_known(const struct grouping *grouping, const char *name)
{
    for (unsigned i = grouping->first; i < grouping->list->count; i++)
        if (strcmp(grouping->list->items[i].at, name) == 0)
            return true;
    return false;
}

/* True when the job of the group has a note, which names the group. */
static bool has_note(const struct leftover_place *place, const char *group)
{
    struct run_note note;
    return files_read_run(place->jobs_fd, group + strlen(GROUP_PREFIX), &note) == 0 && strcmp(note.group, group) == 0;
}

/* Its first directory: the number of the hierarchy that it is in, or -ENOENT. */
static int find_place(const struct cgroup_host *host, const char *name, struct stat *ret_status)
{
    for (unsigned i = 0; i < host->count; i++)
        if (fstatat(host->hierarchies[i].parent_fd, name, ret_status, AT_SYMLINK_NOFOLLOW) == 0)
            return (int)i;
    return -ENOENT;
}

static void look_at_group(const char *name, void *user)
{
    struct grouping *grouping = user;
    const struct leftover_place *place = grouping->place;
    const struct cgroup_host *host = place->hosts[grouping->host];
    uint8_t id[16];
    struct stat status;
    bool is_ours = text_parse_uuid(name + strlen(GROUP_PREFIX), id) == 0;
    int number = is_known(grouping, name) ? -EEXIST : find_place(host, name, &status);
    if (number < 0)
        return;
    if (is_ours && (has_note(place, name) || leftover_is_younger(place, &status))) {
        grouping->kept++;
        return;
    }
    struct leftover *item =
            leftover_add(grouping->list, LEFTOVER_GROUP, "%s/%s", host->hierarchies[number].directory, name);
    if (!item)
        return;
    (void)snprintf(item->at, sizeof(item->at), "%s", name);
    item->host = grouping->host;
    item->since_unix = status.st_ctim.tv_sec;
    item->why = "no job has it";
    if (is_ours) {
        (void)snprintf(item->owner, sizeof(item->owner), "job %s", name + strlen(GROUP_PREFIX));
    } else {
        item->verdict = LEFTOVER_NOT_OURS;
        item->stays = "its name is not that of a job";
        grouping->kept++;
    }
}

/* True when each of our parents in @host is called as the prefix says. */
static bool is_of_prefix(const struct leftover_place *place, const struct cgroup_host *host)
{
    for (unsigned i = 0; i < host->count; i++) {
        const char *slash = strrchr(host->hierarchies[i].directory, '/');
        if (!slash || strcmp(slash + 1, place->parent) != 0)
            return false;
    }
    return host->count > 0;
}

static void look_at_parent(const struct grouping *grouping)
{
    const struct leftover_place *place = grouping->place;
    const struct cgroup_host *host = place->hosts[grouping->host];
    struct stat status;
    if (grouping->kept > 0 || host == place->own_host || place->served_since_ns != 0 ||
            fstat(host->hierarchies[0].parent_fd, &status) < 0)
        return;
    struct leftover *item = leftover_add(grouping->list, LEFTOVER_PARENT, "%s", host->hierarchies[0].directory);
    if (!item)
        return;
    item->host = grouping->host;
    item->since_unix = status.st_ctim.tv_sec;
    item->why = "the service that made it is dead, and no job is in it";
}

int leftover_find_groups(struct leftover_place *place, struct leftover_list *list, struct error *error)
{
    int result = 0;
    for (unsigned i = 0; i < place->host_count; i++) {
        struct grouping grouping = {.place = place, .list = list, .host = i, .first = list->count};
        if (!is_of_prefix(place, place->hosts[i]))
            continue;
        int r = cgroup_walk(place->hosts[i], look_at_group, &grouping);
        if (r < 0)
            result = error_errno(error, -r, "read the groups of jobs");
        else
            look_at_parent(&grouping);
    }
    return result;
}

int leftover_remove_group(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    const struct cgroup_host *host = place->hosts[item->host];
    int r = -EBUSY;
    for (unsigned i = 0; i < TRIES; i++) {
        (void)cgroup_kill(host, item->at);
        r = cgroup_remove(host, item->at);
        if (r == 0)
            return 0;
        (void)nanosleep(&pause, NULL);
    }
    return error_errno(error, -r, "remove the group");
}

int leftover_remove_parent(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    const struct cgroup_host *host = place->hosts[item->host];
    cgroup_host_prune(host, /* leave= */ false);
    for (unsigned i = 0; i < host->count; i++)
        if (access(host->hierarchies[i].directory, F_OK) == 0)
            return error_text(error, EBUSY, "'%.150s' still holds something", host->hierarchies[i].directory);
    return 0;
}
