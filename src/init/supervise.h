/* joblet-init while the command's process waits and then runs: moves the output, keeps the time limit, reaps, and finds
 * out how the job ended. It holds no right; ending is exiting, and the kernel then ends whatever the job still is. */
#pragma once

#include "plan/record.h"

struct sandbox;

/* From READY to the end. Fills @ret_record, which the caller writes. 0: the command ran, or was not found; -errno with
 * @error: nothing was executed. */
int supervise_run(struct sandbox *sandbox, struct record *ret_record, struct error *error);
