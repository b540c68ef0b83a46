/* GetJobStatus, with what the kernel says of the job: joblet is asked for a running job, the job table for an ended
 * one. What cannot be had is left out; the status itself never fails for it. */
#pragma once

#include "api/api.h"

/* At the same time; beyond it the status shows what was seen before the command ran. Each costs joblet a look into
 * /proc, and whoever may read may ask as often as it likes. */
#define LOOK_MAX 32U

/* Answers @call with GetJobStatusResponse of @job. */
void look_status(struct api *api, struct state_job *job, struct grpc_call *call);
