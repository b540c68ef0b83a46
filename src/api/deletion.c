#include "api/deletion.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/audit.h"
#include "api/live.h"
#include "api/reply.h"
#include "base/log.h"

/* One DeleteJob or DeleteAllJobs. */
struct deletion {
    struct api *api;
    struct grpc_call *call; /* NULL when the client went */
    bool all;
    uint8_t job_id[16]; /* of the one */
    uint32_t pending;
    uint32_t deleted;
    uint32_t skipped;
    uint32_t failed;
    char uuid[TEXT_UUID_MAX];
    struct error error;
};

/* One job of a deletion. */
struct deleting {
    struct deletion *deletion;
    struct state_job *job;
};

static void deletion_on_cancel(struct grpc_call *call)
{
    struct deletion *deletion = grpc_call_user(call);
    deletion->call = NULL;
}

static void deletion_reply(const struct deletion *deletion)
{
    char message[320];
    if (deletion->all) {
        Joblet__DeleteAllJobsResponse response;
        joblet__delete_all_jobs_response__init(&response);
        (void)snprintf(message, sizeof(message), "deleted %u jobs, skipped %u", deletion->deleted, deletion->skipped);
        if (deletion->failed)
            (void)snprintf(message, sizeof(message), "deleted %u jobs, skipped %u, %u could not be deleted: %s",
                    deletion->deleted, deletion->skipped, deletion->failed, deletion->error.text);
        response.success = deletion->failed == 0;
        response.message = message;
        response.deleted_count = (int32_t)deletion->deleted;
        response.skipped_count = (int32_t)(deletion->skipped + deletion->failed);
        audit_add(deletion->call, "message", message);
        if (deletion->failed)
            audit_fail(deletion->call, message);
        reply_message(deletion->call, &response.base);
        return;
    }
    if (deletion->failed) {
        grpc_call_finish(
                deletion->call, GRPC_INTERNAL, "job %s could not be deleted: %s", deletion->uuid, deletion->error.text);
        return;
    }
    Joblet__DeleteJobResponse response;
    joblet__delete_job_response__init(&response);
    char uuid[TEXT_UUID_MAX];
    memcpy(uuid, deletion->uuid, sizeof(uuid));
    (void)snprintf(message, sizeof(message), "job %s deleted", uuid);
    response.uuid = uuid;
    response.success = true;
    response.message = message;
    reply_message(deletion->call, &response.base);
}

static void deletion_unref(struct deletion *deletion)
{
    if (--deletion->pending > 0)
        return;
    if (deletion->call)
        deletion_reply(deletion);
    /* The history of thousands of jobs lies between what stays: what is free is given back. */
    if (deletion->all)
        (void)malloc_trim(0);
    free(deletion);
}

static void deleting_done(struct deleting *deleting, const struct error *error)
{
    struct deletion *deletion = deleting->deletion;
    if (error) {
        deletion->failed++;
        deletion->error = *error;
        deleting->job->deleting = false;
    } else {
        deletion->deleted++;
    }
    free(deleting);
    deletion_unref(deletion);
}

static void on_row_deleted(const struct error *error, struct state_job *job, void *user)
{
    if (!error)
        log_event(LOG_LEVEL_INFO, "job deleted", "job", job->uuid, NULL);
    deleting_done(user, error);
}

/* Files first: a row without a log is harmless, a log without a row would stay for ever. */
static void on_files_removed(const struct channel_received *reply, void *user)
{
    struct deleting *deleting = user;
    const struct error *error = link_reply_error(reply);
    if (error->code && error->code != ENOENT) {
        deleting_done(deleting, error);
        return;
    }
    struct error failure;
    int r = state_delete(deleting->deletion->api->state, deleting->job, on_row_deleted, deleting);
    if (r < 0) {
        (void)error_errno(&failure, -r, "delete");
        deleting_done(deleting, &failure);
    }
}

void deletion_go_on(struct deleting *deleting)
{
    struct error failure;
    if (link_job_id(deleting->deletion->api->link, CHANNEL_JOB_REMOVE, deleting->job->id, on_files_removed, deleting) ==
            0)
        return;
    (void)error_errno(&failure, EPIPE, "remove the files");
    deleting_done(deleting, &failure);
}

/* @job has ended. Until joblet has released it, its files stay. */
static void deletion_add(struct deletion *deletion, struct state_job *job)
{
    struct deleting *deleting = malloc(sizeof(*deleting));
    if (!deleting) {
        deletion->failed++;
        (void)error_text(&deletion->error, ENOMEM, "no memory");
        return;
    }
    *deleting = (struct deleting){deletion, job};
    job->deleting = true;
    deletion->pending++;
    struct live *live = job->user;
    if (live)
        live->deleting = deleting;
    else
        deletion_go_on(deleting);
}

/* With one reference, the caller's. NULL: the call was answered. */
static struct deletion *deletion_new(struct api *api, struct grpc_call *call, bool all)
{
    struct deletion *deletion = calloc(1, sizeof(*deletion));
    if (!deletion) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return NULL;
    }
    *deletion = (struct deletion){.api = api, .call = call, .all = all, .pending = 1};
    grpc_call_set_user(call, deletion);
    grpc_call_on_cancel(call, deletion_on_cancel);
    return deletion;
}

static void add_all(struct deletion *deletion)
{
    struct state_job *older;
    for (struct state_job *job = state_newest(deletion->api->state); job; job = older) {
        older = job->older;
        if (job->deleting)
            continue;
        if (state_status_is_final(job->now.status))
            deletion_add(deletion, job);
        else
            deletion->skipped++;
    }
}

/* Somebody else's deletion may have been faster. */
static void add_one(struct deletion *deletion)
{
    struct state_job *job = state_find(deletion->api->state, deletion->job_id);
    if (job && !job->deleting) {
        deletion_add(deletion, job);
    } else if (deletion->call) {
        grpc_call_finish(deletion->call, GRPC_NOT_FOUND, "job not found: %s", deletion->uuid);
        deletion->call = NULL;
    }
}

/* Without its client it goes on. */
static void on_intended(const struct error *error, void *user)
{
    struct deletion *deletion = user;
    if (error && deletion->call)
        grpc_call_finish(deletion->call, GRPC_UNAVAILABLE, AUDIT_UNAVAILABLE "%s", error->text);
    if (error)
        deletion->call = NULL;
    else if (deletion->all)
        add_all(deletion);
    else
        add_one(deletion);
    deletion_unref(deletion);
}

static void intend(struct deletion *deletion)
{
    struct error error = {0};
    if (audit_intend_apart(deletion->call, on_intended, deletion, &error) < 0)
        on_intended(&error, deletion);
}

void deletion_one(struct api *api, struct state_job *job, struct grpc_call *call)
{
    if (!state_status_is_final(job->now.status)) {
        grpc_call_finish(call, GRPC_FAILED_PRECONDITION, "job is still running: %s (status: %s), stop it first",
                job->uuid, state_status_name(job->now.status));
        return;
    }
    struct deletion *deletion = deletion_new(api, call, /* all= */ false);
    if (!deletion)
        return;
    memcpy(deletion->uuid, job->uuid, sizeof(deletion->uuid));
    memcpy(deletion->job_id, job->id, sizeof(deletion->job_id));
    intend(deletion);
}

void deletion_all(struct api *api, struct grpc_call *call)
{
    struct deletion *deletion = deletion_new(api, call, /* all= */ true);
    if (deletion)
        intend(deletion);
}
