/* After a start: brings the job table in line with what joblet knows. Jobs that ended while nobody looked get their
 * true end from their exit record; a job that nobody knows any more was lost, and says so. */
#pragma once

#include "api/api.h"

/* Sends CHANNEL_HELLO and CHANNEL_LIST_JOBS. @ready is called once, then calls may be served; when joblet does not fit
 * to us the loop is stopped instead. */
void reconcile(struct api *api, void (*ready)(struct api *api));
