/* The start's part in leftover.h: what an earlier joblet left is found, told to the log and removed, before anything is
 * served. */
#pragma once

struct broker;

/* Before disks_start and the adoption of jobs. */
void reconcile_begin(struct broker *broker);
/* After them. */
void reconcile_finish(struct broker *broker);
