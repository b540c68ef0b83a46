/* The life of a job as joblet-api sees it: stored before it is started, started by joblet, followed, stopped, ended,
 * and released. One owner: every change of a job's status goes through here.
 *
 * What a client was told is on disk: an end is shown, and its streams end, only after it was stored. A change that
 * could not be stored is tried again; joblet keeps the job until it is released, and tells its end again after our
 * restart. */
#pragma once

#include "api/api.h"
#include "api/request.h"

/* Takes what @request holds, stores, starts and answers @call with RunJobResponse. */
void jobs_run(struct api *api, struct request *request, struct grpc_call *call);
/* Stores the intent, sends TERM, after the grace period KILL; answers @call with StopJobResponse when the job ended. */
void jobs_stop(struct api *api, struct state_job *job, struct grpc_call *call);
/* Answers @call with the job's log. */
void jobs_follow(struct api *api, struct state_job *job, struct grpc_call *call);

/* The events of the channel. */
void jobs_on_view(struct api *api, const struct channel_job_view *view);
void jobs_on_ended(struct api *api, const struct channel_job_ended *ended);
/* Stops all running jobs, as a client would; @done is called when none is left. */
void jobs_stop_all(struct api *api, void (*done)(struct api *api));
