#include "api/look.h"

#include <stdlib.h>
#include <string.h>

#include "api/live.h"
#include "api/reply.h"
#include "api/view.h"
#include "base/fd.h"

/* One GetJobStatus that waits. */
struct look {
    struct api *api;
    struct grpc_call *call; /* NULL when the client went */
    uint8_t job_id[16];
};

static void look_on_cancel(struct grpc_call *call)
{
    struct look *look = grpc_call_user(call);
    look->call = NULL;
}

static struct look *look_new(struct api *api, const struct state_job *job, struct grpc_call *call)
{
    struct look *look = malloc(sizeof(*look));
    if (!look)
        return NULL;
    *look = (struct look){.api = api, .call = call};
    memcpy(look->job_id, job->id, sizeof(look->job_id));
    grpc_call_set_user(call, look);
    grpc_call_on_cancel(call, look_on_cancel);
    return look;
}

/* Gives the call back, NULL when it is gone, and frees @look. */
static struct grpc_call *look_end(struct look *look)
{
    struct grpc_call *call = look->call;
    if (call) {
        grpc_call_on_cancel(call, NULL);
        grpc_call_set_user(call, NULL);
    }
    free(look);
    return call;
}

static void reply_recorded(struct grpc_call *call, const struct state_job *job)
{
    const struct live *live = job->user;
    reply_status(call, job, live ? live->view : NULL, live ? live->view_size : 0);
}

static void on_looked(const struct channel_received *received, void *user)
{
    struct look *look = user;
    struct api *api = look->api;
    const struct channel_look_reply *reply = (const void *)received->bytes;
    const struct state_job *job = state_find(api->state, look->job_id);
    struct grpc_call *call = look_end(look);
    api->looks--;
    if (!call)
        return;
    if (!job) {
        grpc_call_finish(call, GRPC_NOT_FOUND, "job not found");
        return;
    }
    _cleanup_free_ uint8_t *view = NULL;
    size_t size;
    if (reply->error.code == 0 && view_pack(&reply->view, &view, &size) == 0)
        reply_status(call, job, view, size);
    else
        reply_recorded(call, job); /* it has just ended, or joblet is too busy */
}

static void on_read(const void *view, size_t size, struct state_job *job, void *user)
{
    struct grpc_call *call = look_end(user);
    if (call)
        reply_status(call, job, view, size);
}

void look_status(struct api *api, struct state_job *job, struct grpc_call *call)
{
    const struct live *live = job->user;
    bool running = live && live->started && !live->ending && api->looks < LOOK_MAX;
    bool ended = !live && job->now.started_unix_ns != 0;
    struct look *look = running || ended ? look_new(api, job, call) : NULL;
    if (look && running && link_job_id(api->link, CHANNEL_JOB_LOOK, job->id, on_looked, look) == 0) {
        api->looks++;
        return;
    }
    if (look && ended && state_read_view(api->state, job, on_read, look) == 0)
        return;
    if (look)
        (void)look_end(look);
    reply_recorded(call, job);
}
