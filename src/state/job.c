#include "state/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

static const struct {
    const char *name;
    bool final;
} statuses[STATE_STATUS_COUNT] = {
        [STATE_STATUS_INITIALIZING] = {"INITIALIZING", false},
        [STATE_STATUS_SCHEDULED] = {"SCHEDULED", false},
        [STATE_STATUS_RUNNING] = {"RUNNING", false},
        [STATE_STATUS_COMPLETED] = {"COMPLETED", true},
        [STATE_STATUS_FAILED] = {"FAILED", true},
        [STATE_STATUS_STOPPED] = {"STOPPED", true},
        [STATE_STATUS_CANCELED] = {"CANCELED", true},
        [STATE_STATUS_TIMEOUT] = {"TIMEOUT", true},
};

const char *state_status_name(enum state_status status)
{
    return status < STATE_STATUS_COUNT ? statuses[status].name : "UNKNOWN";
}

enum state_status state_status_from_name(const char *name)
{
    unsigned status = 0;
    while (status < STATE_STATUS_COUNT && strcmp(statuses[status].name, name) != 0)
        status++;
    return (enum state_status)status;
}

bool state_status_is_final(enum state_status status)
{
    return status < STATE_STATUS_COUNT && statuses[status].final;
}

static int texts_reserve(struct state_texts *texts, size_t more)
{
    if (texts->room - texts->size >= more)
        return 0;
    /* The first piece is exact: most lists hold one or two short texts, and all jobs stay in memory. */
    size_t room = texts->room ? (texts->size + more) * 2 : more;
    char *bytes = realloc(texts->bytes, room);
    if (!bytes)
        return -ENOMEM;
    texts->bytes = bytes;
    texts->room = room;
    return 0;
}

int state_texts_add(struct state_texts *texts, const char *text)
{
    size_t size = strlen(text) + 1;
    if (texts_reserve(texts, size) < 0)
        return -ENOMEM;
    memcpy(texts->bytes + texts->size, text, size);
    texts->size += size;
    texts->count++;
    return 0;
}

int state_texts_add_pair(struct state_texts *texts, const char *name, const char *value)
{
    size_t name_size = strlen(name);
    size_t value_size = strlen(value) + 1;
    if (texts_reserve(texts, name_size + 1 + value_size) < 0)
        return -ENOMEM;
    char *next = texts->bytes + texts->size;
    memcpy(next, name, name_size);
    next[name_size] = '=';
    memcpy(next + name_size + 1, value, value_size);
    texts->size += name_size + 1 + value_size;
    texts->count++;
    return 0;
}

const char *state_texts_next(const struct state_texts *texts, const char *previous)
{
    if (texts->size == 0)
        return NULL;
    const char *next = previous ? previous + strlen(previous) + 1 : texts->bytes;
    return next < texts->bytes + texts->size ? next : NULL;
}

int state_texts_parse(struct state_texts *texts, const void *bytes, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = bytes;
    if (text[size - 1] != '\0')
        return -EINVAL;
    texts->bytes = malloc(size);
    if (!texts->bytes)
        return -ENOMEM;
    memcpy(texts->bytes, bytes, size);
    texts->size = texts->room = size;
    texts->count = 0;
    for (size_t i = 0; i < size; i++)
        texts->count += text[i] == '\0';
    return 0;
}

void state_texts_done(struct state_texts *texts)
{
    free(texts->bytes);
    memset(texts, 0, sizeof(*texts));
}

int state_job_new(struct state_job **ret_job)
{
    _cleanup_(state_job_freep) struct state_job *job = calloc(1, sizeof(*job));
    if (!job)
        return -ENOMEM;
    int r = text_new_uuid(job->id);
    if (r < 0)
        return r;
    text_format_uuid(job->id, job->uuid);
    *ret_job = TAKE_PTR(job);
    return 0;
}

void state_job_free(struct state_job *job)
{
    if (!job)
        return;
    state_texts_done(&job->arguments);
    state_texts_done(&job->environment);
    state_texts_done(&job->secret_names);
    free(job->work_dir);
    free(job->network);
    free(job->runtime);
    free(job->timeout_text);
    free(job->node_id);
    free(job->owner);
    free(job->role);
    free(job->queued);
    free(job);
}

void state_job_freep(struct state_job **job)
{
    state_job_free(*job);
    *job = NULL;
}

size_t state_job_memory(const struct state_job *job)
{
    const char *texts[] = {
            job->work_dir, job->network, job->runtime, job->timeout_text, job->node_id, job->owner, job->role};
    size_t size = sizeof(*job) + job->arguments.room + job->environment.room + job->secret_names.room;
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        size += texts[i] ? strlen(texts[i]) + 1 : 0;
    return size;
}

const struct state_progress *state_job_latest(const struct state_job *job)
{
    return job->queued ? job->queued : &job->now;
}
