/* Between job.c (the life of a job), job_start.c (how one is made) and job_adopt.c (how one is found again). */
#pragma once

#include "broker/context.h"
#include "broker/job.h"

/* A new job in the broker's list, or NULL without memory. */
struct job *job_new(struct broker *broker, const uint8_t id[16]);
/* Closes all descriptors and takes the job off the list. Its slot and groups must be given back, or be meant to stay.
 */
void job_free(struct job *job);

/* Makes slot, groups, files and plan, and clones joblet-init. 0 or -errno with @error, its stage set. */
int job_launch(struct job *job, int spec_fd, struct error *error);

/* Watches joblet-init (takes @pidfd) and, when it is one, the control socket (taken). 0 or -errno. */
int job_watch(struct job *job, int pidfd, int control_fd);
/* Writes down where the groups of @host are. */
void job_note_groups(const struct cgroup_host *host, struct run_groups *ret_groups);
/* joblet-init is gone: reads or makes the record and goes on to ENDED, or fails the start. */
void job_finish(struct job *job);
