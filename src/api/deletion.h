/* DeleteJob and DeleteAllJobs: of jobs that have ended, first the files (by joblet), then the row. A job that is being
 * deleted is hidden from all lookups. */
#pragma once

#include "api/api.h"

struct deleting;

/* Answers @call with DeleteJobResponse. */
void deletion_one(struct api *api, struct state_job *job, struct grpc_call *call);
/* All that have ended; answers @call with DeleteAllJobsResponse. */
void deletion_all(struct api *api, struct grpc_call *call);

/* For live.c: the job of @deleting has been released, its files can go. */
void deletion_go_on(struct deleting *deleting);
