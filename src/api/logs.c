#include "api/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/wire.h"
#include "base/fd.h"
#include "joblog/format.h"
#include "joblog/reader.h"

/* A DataChunk is put together by hand, around the bytes where they were read to: tag and length before, stream after.
 */
#define CHUNK_HEAD_MAX 11
#define CHUNK_TAIL_MAX 8
#define TAG_PAYLOAD 0x0a             /* field 1, bytes */
#define TAG_STREAM ((1000 << 3) | 0) /* field 1000, varint */

/* Chunks read in one turn of the loop for one follower: others want their turn too. */
#define CHUNKS_PER_TURN 2

struct logs_follower {
    struct logs *logs;
    struct logs_followed *followed; /* NULL: the job has ended */
    struct logs_follower *next;
    struct grpc_call *call;
    int log_fd;
    int index_fd;
    bool open;
    struct joblog_reader reader;
};

struct logs {
    uv_poll_t poll;
    int inotify_fd;
    int jobs_fd;
    uint32_t chunk_bytes;
    struct logs_followed *watched;
    uint8_t *buffer; /* while there are followers */
    unsigned followers;
};

static void follower_unlink(struct logs_follower *follower)
{
    if (!follower->followed)
        return;
    struct logs_follower **at = &follower->followed->followers;
    while (*at && *at != follower)
        at = &(*at)->next;
    if (*at)
        *at = follower->next;
    follower->next = NULL;
}

void logs_unwatch(struct logs *logs, struct logs_followed *followed)
{
    if (!followed->watched)
        return;
    struct logs_followed **at = &logs->watched;
    while (*at && *at != followed)
        at = &(*at)->next;
    if (*at)
        *at = followed->next;
    followed->watched = false;
    /* The file may be gone already: ignoring. */
    (void)inotify_rm_watch(logs->inotify_fd, followed->watch);
}

static void follower_free(struct logs_follower *follower)
{
    struct logs *logs = follower->logs;
    follower_unlink(follower);
    if (follower->followed && !follower->followed->followers)
        logs_unwatch(logs, follower->followed);
    (void)fd_close(follower->log_fd);
    (void)fd_close(follower->index_fd);
    free(follower);
    if (--logs->followers == 0) {
        free(logs->buffer);
        logs->buffer = NULL;
    }
}

static void follower_finish(struct logs_follower *follower, enum grpc_status status, const char *text)
{
    struct grpc_call *call = follower->call;
    follower_free(follower);
    if (text)
        grpc_call_finish(call, status, "%s", text);
    else
        grpc_call_finish(call, status, NULL);
}

static void follower_on_cancel(struct grpc_call *call)
{
    follower_free(grpc_call_user(call));
}

int logs_open(const struct logs *logs, const char *uuid, const char *name)
{
    char path[TEXT_UUID_MAX + 16];
    (void)snprintf(path, sizeof(path), "%s/%s", uuid, name);
    _cleanup_close_ int fd = openat(logs->jobs_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    return S_ISREG(status.st_mode) ? TAKE_FD(fd) : -EBADF;
}

/* 0, also when there is no log: then there is nothing to read. */
static int follower_open(struct logs_follower *follower, const char *uuid)
{
    follower->log_fd = logs_open(follower->logs, uuid, "log");
    if (follower->log_fd < 0)
        return follower->log_fd == -ENOENT ? 0 : follower->log_fd;
    follower->index_fd = logs_open(follower->logs, uuid, "log.index");
    if (follower->index_fd < 0 && follower->index_fd != -ENOENT)
        return follower->index_fd;
    joblog_reader_init(&follower->reader, follower->log_fd, follower->index_fd);
    follower->open = true;
    return 0;
}

/* What the client is told: joblet's own lines are about errors, so they go where errors go. */
static uint32_t wire_stream(uint32_t stream)
{
    return stream == JOBLOG_STREAM_SERVICE ? JOBLOG_STREAM_STDERR : stream;
}

/* @payload stands in the buffer with room before and after it. */
static int send_chunk(struct grpc_call *call, uint8_t *payload, size_t size, uint32_t stream)
{
    uint8_t head[CHUNK_HEAD_MAX];
    head[0] = TAG_PAYLOAD;
    size_t head_size = 1 + wire_put_varint(head + 1, size);
    uint8_t *start = payload - head_size;
    memcpy(start, head, head_size);
    uint8_t *end = payload + size;
    if (stream != JOBLOG_STREAM_UNKNOWN) {
        end += wire_put_varint(end, TAG_STREAM);
        end += wire_put_varint(end, stream);
    }
    return grpc_call_send(call, start, (size_t)(end - start));
}

/* Reads on as long as the connection takes it. May finish (and free) the follower. */
static void follower_pump(struct logs_follower *follower)
{
    struct logs *logs = follower->logs;
    bool ended = !follower->followed;
    uint8_t *payload = logs->buffer + CHUNK_HEAD_MAX;
    for (unsigned i = 0; i < CHUNKS_PER_TURN; i++) {
        if (grpc_call_queued(follower->call) >= logs->chunk_bytes)
            return; /* on_drained goes on */
        size_t size = 0;
        uint32_t stream = JOBLOG_STREAM_UNKNOWN;
        int r = follower->open
                        ? joblog_reader_next(&follower->reader, ended, payload, logs->chunk_bytes, &size, &stream)
                        : 0;
        if (r == 1)
            r = send_chunk(follower->call, payload, size, wire_stream(stream)) < 0 ? -EIO : 1;
        if (r < 0) {
            follower_finish(follower, GRPC_INTERNAL, "the job's log cannot be read");
            return;
        }
        if (r == 0) {
            if (ended)
                follower_finish(follower, GRPC_OK, NULL);
            return;
        }
    }
}

static void follower_on_drained(struct grpc_call *call)
{
    follower_pump(grpc_call_user(call));
}

/* Followers may go while they are pumped. */
static void pump_all(struct logs_followed *followed)
{
    struct logs_follower *next;
    for (struct logs_follower *follower = followed->followers; follower; follower = next) {
        next = follower->next;
        /* With something queued the call's on_drained follows. */
        if (grpc_call_queued(follower->call) == 0)
            follower_pump(follower);
    }
}

static void logs_on_event(uv_poll_t *poll, int status, int events)
{
    struct logs *logs = poll->data;
    (void)status;
    (void)events;
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t got;
    while ((got = read(logs->inotify_fd, buffer, sizeof(buffer))) > 0) {
        const struct inotify_event *event;
        for (char *at = buffer; at < buffer + got; at += sizeof(*event) + event->len) {
            event = (const struct inotify_event *)(const void *)at;
            /* An overflow names no watch: everybody looks. */
            struct logs_followed *next;
            for (struct logs_followed *one = logs->watched; one; one = next) {
                next = one->next;
                if (one->watch != event->wd && !(event->mask & IN_Q_OVERFLOW))
                    continue;
                if (one->changed)
                    one->changed(one);
                else
                    pump_all(one);
            }
        }
    }
}

int logs_watch(struct logs *logs, struct logs_followed *followed)
{
    if (followed->watched)
        return 0;
    char path[TEXT_UUID_MAX + 16];
    (void)snprintf(path, sizeof(path), "%s/log.index", followed->uuid);
    int number = inotify_add_watch(logs->inotify_fd, path, IN_MODIFY);
    if (number < 0)
        return -errno;
    followed->watch = number;
    followed->watched = true;
    followed->next = logs->watched;
    logs->watched = followed;
    return 0;
}

int logs_new(uv_loop_t *loop, int jobs_fd, uint32_t chunk_bytes, struct logs **ret_logs, struct error *error)
{
    struct logs *logs = calloc(1, sizeof(*logs));
    if (!logs)
        return error_text(error, ENOMEM, "logs: no memory");
    *logs = (struct logs){.jobs_fd = jobs_fd, .chunk_bytes = chunk_bytes};
    logs->poll.data = logs;
    logs->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    int r = logs->inotify_fd < 0 ? -errno : uv_poll_init(loop, &logs->poll, logs->inotify_fd);
    if (r < 0) {
        (void)fd_close(logs->inotify_fd);
        free(logs);
        return error_errno(error, -r, "logs: inotify");
    }
    (void)uv_poll_start(&logs->poll, UV_READABLE, logs_on_event);
    *ret_logs = logs;
    return 0;
}

static void logs_on_closed(uv_handle_t *handle)
{
    struct logs *logs = handle->data;
    (void)fd_close(logs->inotify_fd);
    free(logs->buffer);
    free(logs);
}

void logs_close(struct logs *logs)
{
    if (logs)
        uv_close((uv_handle_t *)&logs->poll, logs_on_closed);
}

/* Opens the files and watches before the first read, so that nothing written in between is missed. */
static int follower_begin(struct logs_follower *follower, const char *uuid)
{
    int r = follower_open(follower, uuid);
    if (r == 0 && follower->followed && follower->open)
        r = logs_watch(follower->logs, follower->followed);
    return r;
}

void logs_follow(struct logs *logs, const struct state_job *job, struct logs_followed *followed, struct grpc_call *call)
{
    struct logs_follower *follower = calloc(1, sizeof(*follower));
    if (follower && !logs->buffer)
        logs->buffer = malloc(CHUNK_HEAD_MAX + (size_t)logs->chunk_bytes + CHUNK_TAIL_MAX);
    if (!follower || !logs->buffer) {
        free(follower);
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    *follower = (struct logs_follower){
            .logs = logs, .followed = followed, .call = call, .log_fd = -EBADF, .index_fd = -EBADF};
    logs->followers++;
    if (followed) {
        follower->next = followed->followers;
        followed->followers = follower;
    }
    grpc_call_set_user(call, follower);
    grpc_call_on_cancel(call, follower_on_cancel);
    grpc_call_on_drained(call, follower_on_drained);
    int r = !followed || followed->started ? follower_begin(follower, job->uuid) : 0;
    if (r < 0) {
        follower_finish(follower,
                r == -EMFILE || r == -ENFILE || r == -ENOSPC ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL,
                "the job's log cannot be opened");
        return;
    }
    follower_pump(follower);
}

void logs_started(struct logs *logs, struct logs_followed *followed)
{
    (void)logs;
    followed->started = true;
    struct logs_follower *next;
    for (struct logs_follower *follower = followed->followers; follower; follower = next) {
        next = follower->next;
        if (follower_begin(follower, followed->uuid) < 0)
            follower_finish(follower, GRPC_INTERNAL, "the job's log cannot be opened");
        else
            follower_pump(follower);
    }
}

void logs_ended(struct logs *logs, struct logs_followed *followed)
{
    logs_unwatch(logs, followed);
    while (followed->followers) {
        struct logs_follower *follower = followed->followers;
        followed->followers = follower->next;
        follower->next = NULL;
        follower->followed = NULL;
        /* A start that failed may have left a log all the same. */
        if (!follower->open && follower_open(follower, followed->uuid) < 0) {
            follower_finish(follower, GRPC_INTERNAL, "the job's log cannot be opened");
            continue;
        }
        if (grpc_call_queued(follower->call) == 0)
            follower_pump(follower);
    }
}
