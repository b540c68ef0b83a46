/* The end of a job: what is known of it becomes its record, and what hangs on it goes on. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "broker/job_private.h"
#include "joblog/format.h"
#include "plan/plan.h"

#define EXIT_KILLED (128 + SIGKILL)

/* What is known of an end that joblet-init could not record. */
static void make_record(struct job *job, const struct cgroup_usage *usage, struct record *record)
{
    *record = (struct record){.reason = RECORD_REASON_SIGNAL,
            .exit_code = EXIT_KILLED,
            .signal = SIGKILL,
            .started_unix_ns = job->note.started_unix_ns ? job->note.started_unix_ns : job->note.go_unix_ns,
            .ended_unix_ns = text_now_unix_ns()};
    memcpy(record->job_id, job->note.job_id, sizeof(record->job_id));
    if (usage->oom_kills > 0) {
        record->reason = RECORD_REASON_OUT_OF_MEMORY;
        (void)error_text(&record->error, ENOMEM, "the job reached its memory limit and was ended");
    } else if (job->note.stop_wanted) {
        record->reason = RECORD_REASON_STOPPED;
    } else {
        (void)error_text(&record->error, EINTR, "joblet-init was killed from outside");
    }
}

static void save_record(struct job *job, const struct files *files, struct record *record)
{
    struct stat status;
    uint64_t left_out = 0;
    const int pipes[] = {job->stdout_read, job->stderr_read};
    const uint32_t streams[] = {JOBLOG_STREAM_STDOUT, JOBLOG_STREAM_STDERR};
    for (unsigned i = 0; i < ELEMENTS(pipes); i++)
        if (pipes[i] >= 0 && files_drain(files, pipes[i], streams[i], job->note.log_quota_bytes, &left_out) < 0)
            log_event(LOG_LEVEL_ERROR, "the last output of a job is lost", "job", job->uuid, NULL);
    if (fstat(files->log_fd, &status) == 0)
        record->log_bytes = (uint64_t)status.st_size;
    record->log_left_out_bytes = left_out;
    int r = record_write(files->record_fd, record);
    if (r < 0)
        log_event(LOG_LEVEL_ERROR, "the record of a job cannot be written", "job", job->uuid, "error", strerror(-r),
                NULL);
}

/* v1 tells joblet-init of a full group by an event that can come a moment after the kill. The counter is exact. */
static bool correct_record(const struct cgroup_usage *usage, struct record *record)
{
    bool killed = record->reason == RECORD_REASON_SIGNAL && record->signal == SIGKILL;
    bool child_killed = record->reason == RECORD_REASON_EXITED && record->exit_code == EXIT_KILLED;
    if (usage->oom_kills == 0 || !(killed || child_killed))
        return false;
    record->reason = RECORD_REASON_OUT_OF_MEMORY;
    record->exit_code = EXIT_KILLED;
    record->signal = SIGKILL;
    return true;
}

/* Those with names, or our own. */
static int open_files(struct job *job, struct files *ret_files)
{
    if (!job->is_internal)
        return files_open(job->broker->jobs_fd, job->uuid, ret_files);
    *ret_files = job->own_files;
    job->own_files = (struct files){-EBADF, -EBADF, -EBADF};
    return ret_files->record_fd < 0 ? -ENOENT : 0;
}

static void read_record(struct job *job, const struct cgroup_usage *usage, struct record *ret_record)
{
    struct files files;
    int r = open_files(job, &files);
    if (r < 0) {
        make_record(job, usage, ret_record);
        (void)error_errno(&ret_record->error, -r, "the job's files are gone");
        return;
    }
    r = record_read(files.record_fd, ret_record);
    if (r == 0 && memcmp(ret_record->job_id, job->note.job_id, sizeof(job->note.job_id)) == 0) {
        if (correct_record(usage, ret_record))
            (void)record_write(files.record_fd, ret_record);
    } else {
        make_record(job, usage, ret_record);
        save_record(job, &files, ret_record);
    }
    files_close(&files);
}

static void end(struct job *job, const struct record *record, const struct cgroup_usage *usage)
{
    struct broker *broker = job->broker;
    job->phase = CHANNEL_JOB_ENDED;
    job->ended.record = *record;
    job->ended.cpu_ns = usage->cpu_ns;
    job->ended.memory_peak_bytes = usage->memory_peak_bytes;
    job->stdout_read = fd_close(job->stdout_read);
    job->stderr_read = fd_close(job->stderr_read);
    log_event(LOG_LEVEL_INFO, "job ended", "job", job->uuid, "reason", record_reason_name(record->reason), "exit_code",
            LOG_NUMBER(record->exit_code), NULL);
    trail_job_ended(job);
    if (broker->api.listed && !job->is_internal)
        job_send_end(job);
    job_type_over(job, record->reason == RECORD_REASON_EXITED && record->exit_code == 0);
    broker_job_ended(broker);
    if (job->is_internal)
        job_release(job);
    sweep_next(&broker->sweep);
}

/* True when it is known why nothing was executed: joblet-init told, or left it in the record, which it writes first. */
bool job_find_failure(struct job *job)
{
    struct files files;
    struct record record;
    if (job->failure.code == 0 && files_open(job->broker->jobs_fd, job->uuid, &files) == 0) {
        if (record_read(files.record_fd, &record) == 0 && record.reason == RECORD_REASON_SETUP_FAILURE)
            job->failure = record.error;
        files_close(&files);
    }
    return job->failure.code != 0;
}

/* Nothing of the client's ran: says why, in the order of what knows best. */
static void explain_failure(struct job *job, const struct cgroup_usage *usage)
{
    if (job_find_failure(job))
        return;
    if (usage->oom_kills > 0)
        (void)error_text(&job->failure, ENOMEM, "the memory limit of %llu bytes is too small to start anything",
                (unsigned long long)job->limits.memory_bytes);
    else
        (void)error_text(&job->failure, ECHILD, "joblet-init ended before the command ran");
    job->failure.stage = PLAN_STAGE_START;
}

void job_finish(struct job *job)
{
    struct cgroup_usage usage;
    loop_disarm(job->broker->loop, &job->timer);
    job_close_source(job, &job->init);
    job_close_source(job, &job->control);
    cgroup_read_usage(job->cgroups, job->note.group, &usage);
    if (job->phase == CHANNEL_JOB_STARTING) {
        explain_failure(job, &usage);
        job_fail_start(job);
        return;
    }
    disks_give_back(&job->broker->disks, &job->work);
    struct record record;
    read_record(job, &usage, &record);
    end(job, &record, &usage);
}
