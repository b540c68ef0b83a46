/* Between job.c (the life of a job), job_start.c (how one is made), job_type.c (of what), job_end.c and job_adopt.c
 * (how one is found again). */
#pragma once

#include "broker/context.h"
#include "broker/job.h"
#include "broker/launch.h"
#include "broker/slots.h"

/* A new job in the broker's list, or NULL without memory. */
struct job *job_new(struct broker *broker, uint32_t type, const uint8_t id[16]);
/* Closes all descriptors and takes the job off the list. Its slot and groups must be given back, or be meant to stay.
 */
void job_free(struct job *job);

/* What a start holds only until joblet-init has it. */
struct making {
    struct launch launch;
    struct files files;
    struct slot slot;
    int null_fd;
    int plan_fd;
    int control[2];
    int out[2];
    int err[2];
    int root_fd;
    int work_fd;
    int stage_fd;
    int cache_fd;
    int base_fd;
    int link_fd;
    int list_fd;
    int new_list_fd;
    struct plan_network network;
    int oom_fd;
    int cgroup_fd;
    int tasks[CGROUP_HIERARCHIES_MAX];
    int task_count;
};

/* What differs between the types of sandboxes (job_type.c). */
/* 0; 1: it waits for a disk, and is counted in; -errno with @error. */
int job_type_take_disk(struct job *job, struct error *error);
/* The detached mounts and other descriptors that it is made of, and what the look from outside must find. 0 or -errno
 * with @error. */
int job_type_make(struct job *job, struct making *making, struct error *error);
/* Those fields of the plan that are not the same for all. */
void job_type_fill_plan(const struct job *job, const struct making *making, struct plan *plan);
/* It ended, with 0 or otherwise, or could not start. */
void job_type_over(struct job *job, bool well);

/* The same of a job that there was no memory for. */
void job_type_lost(struct broker *broker, const struct job_order *order);

/* Makes slot, groups, files and plan, and clones joblet-init. 0 or -errno with @error, its stage set. */
int job_launch(struct job *job, int spec_fd, struct error *error);

/* Watches joblet-init (takes @pidfd) and, when it is one, the control socket (taken). 0 or -errno. */
int job_watch(struct job *job, int pidfd, int control_fd);
/* Writes down where the groups of @host are. */
void job_note_groups(const struct cgroup_host *host, struct run_groups *ret_groups);
void job_close_source(struct job *job, struct loop_source *source);
/* Leaves the failure as the record of a job that did not start, unless joblet-init wrote it, answers the request and
 * forgets the job. */
void job_fail_start(struct job *job);
/* True when it is known why nothing was executed. */
bool job_find_failure(struct job *job);
/* joblet-init is gone: reads or makes the record and goes on to ENDED, or fails the start. */
void job_finish(struct job *job);
