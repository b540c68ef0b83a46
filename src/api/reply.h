/* From a job to the messages that clients get. Secrets are not in a job, so none can get out; their names are shown
 * with
 * "***". */
#pragma once

#include "grpc/server.h"
#include "joblet.pb-c.h"
#include "state/state.h"

/* Clients refuse messages above 4 MiB. */
#define REPLY_SIZE_MAX ((4U << 20) - 65536U)

/* Packs @message, sends it and finishes @call with OK; INTERNAL when there is no memory. The call is dead afterwards.
 */
void reply_message(struct grpc_call *call, const ProtobufCMessage *message);

/* GetJobStatusResponse of @job, with @view (a packed KernelView, or NULL) as its field kernel. */
void reply_status(struct grpc_call *call, const struct state_job *job, const void *view, size_t view_size);
/* Jobs: the newest first, as many as fit below REPLY_SIZE_MAX; truncated says when some did not. */
void reply_list(struct grpc_call *call, const struct state *state);
/* StopJobResponse. */
void reply_stopped(struct grpc_call *call, const struct state_job *job);
