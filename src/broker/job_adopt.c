#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "broker/job_private.h"
#include "broker/leftover.h"
#include "network/network.h"
#include "plan/plan.h"

/* --- one job --- */

/* The control groups as they were noted: ours, or where an earlier joblet put its own; ours too when those are gone,
 * and with them whatever was in them. */
static const struct cgroup_host *find_host(struct broker *broker, const struct run_groups *groups)
{
    struct cgroup_host noted;
    leftover_read_host(groups, &noted);
    if (cgroup_host_equal(&noted, &broker->cgroups))
        return &broker->cgroups;
    for (struct foreign_host *at = broker->foreign; at; at = at->next)
        if (cgroup_host_equal(&noted, &at->host))
            return &at->host;
    struct foreign_host *foreign = malloc(sizeof(*foreign));
    if (!foreign || cgroup_host_reopen(&noted) < 0) {
        free(foreign);
        return &broker->cgroups;
    }
    *foreign = (struct foreign_host){.next = broker->foreign, .host = noted};
    broker->foreign = foreign;
    return &foreign->host;
}

/* A pipe of joblet-init's, so that its last bytes are ours when it is killed. */
static int take_pipe(int pidfd, int number)
{
    struct stat status;
    _cleanup_close_ int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISFIFO(status.st_mode))
        return -EBADF;
    return TAKE_FD(fd);
}

static void adopt_slot(struct job *job)
{
    int r = slots_adopt(job->broker->slots, job->note.id_base, &job->slot_index);
    job->has_slot = r == 0;
    /* Other ranges are configured now: nobody else gets these ids. */
    if (r < 0)
        log_event(LOG_LEVEL_WARN, "a job runs with ids outside the configured ranges", "job", job->uuid, NULL);
}

static void adopt(struct broker *broker, const char *uuid, const struct run_note *note)
{
    struct job *job = job_new(broker, note->type, note->job_id);
    if (!job)
        return;
    job->note = *note;
    job->cgroups = find_host(broker, &note->groups);
    job->has_groups = job->has_files = true;
    job->phase = CHANNEL_JOB_RUNNING;
    int pidfd = leftover_open_init(&job->note, broker->boot_id, job->cgroups);
    if (pidfd < 0) {
        job->note.network_port = NETWORK_PORT_NONE; /* it went with the namespace */
        log_event(LOG_LEVEL_INFO, "a job ended while joblet was away", "job", uuid, NULL);
        /* Whatever is left of it (a killed process 1 takes the rest along) ends before its groups are read. */
        (void)cgroup_kill(job->cgroups, job->note.group);
        job_finish(job);
        return;
    }
    adopt_slot(job);
    if (job->note.network_port != NETWORK_PORT_NONE &&
            (!broker->network || network_adopt(broker->network, job->note.network_port) < 0))
        job->note.network_port = NETWORK_PORT_NONE;
    job->stdout_read = take_pipe(pidfd, PLAN_FD_STDOUT_READ);
    job->stderr_read = take_pipe(pidfd, PLAN_FD_STDERR_READ);
    int r = job_watch(job, pidfd, -EBADF);
    log_event(r < 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "job adopted", "job", uuid, "pid", LOG_NUMBER(note->pid), NULL);
    /* A build is nothing without what its joblet knew of it. */
    if (note->stop_wanted || note->type != PLAN_TYPE_STANDARD) {
        job->note.stop_wanted = 0;
        job_kill(job);
    }
}

/* What is no job, or none that got so far, is a leftover (leftover.h). */
static void look_at(struct broker *broker, const char *uuid)
{
    uint8_t id[16];
    struct run_note note;
    if (text_parse_uuid(uuid, id) == 0 && files_read_run(broker->jobs_fd, uuid, &note) == 0 &&
            memcmp(note.job_id, id, sizeof(id)) == 0)
        adopt(broker, uuid, &note);
}

/* The earlier joblet's groups are looked at even when no job of it is known; then ours are noted for the next. */
static int note_own_groups(struct broker *broker, struct error *error)
{
    struct run_groups groups;
    if (files_read_groups(broker->run_fd, &groups) == 0)
        (void)find_host(broker, &groups);
    job_note_groups(&broker->cgroups, &groups);
    int r = files_write_groups(broker->run_fd, &groups);
    return r < 0 ? error_errno(error, -r, "note our control groups") : 0;
}

int job_adopt_all(struct broker *broker, struct error *error)
{
    int r = note_own_groups(broker, error);
    if (r < 0)
        return r;
    int fd = openat(broker->jobs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        int code = errno;
        (void)fd_close(fd);
        return error_errno(error, code, "read the jobs' directory");
    }
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        look_at(broker, entry->d_name);
    (void)closedir(directory);
    return 0;
}
