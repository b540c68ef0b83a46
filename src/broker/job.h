/* One job as joblet sees it: from the start request until joblet-api has stored the end and releases it. Everything is
 * driven by events; a start never waits for another.
 *
 *     STARTING  it waits for a disk for its /work when none is ready; then joblet-init builds the sandbox; nothing of
 *               the client's has run
 *     RUNNING   the command was executed (or could not be: then the end follows at once)
 *     ENDED     joblet-init is gone, the record is on disk, the event is sent until JOB_RELEASE
 *
 * A start that fails never becomes RUNNING: the request is answered with the error, everything is undone and the job is
 * forgotten; its record stays on disk. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/text.h"
#include "broker/disks.h"
#include "broker/files.h"
#include "broker/loop.h"
#include "broker/outside.h"
#include "broker/store.h"
#include "channel/message.h"
#include "plan/plan.h"

struct broker;
struct build;

struct job {
    struct job *previous;
    struct job *next;
    struct broker *broker;
    uint32_t serial;
    uint32_t phase; /* enum channel_job_phase */
    char uuid[TEXT_UUID_MAX];
    bool is_internal;               /* of our own: joblet-api neither sees it nor hears of it */
    struct channel_runtime runtime; /* standard: its root, or empty; verify */
    struct build *build;            /* build, collect: counted; NULL when an earlier joblet began it */
    char swept[STORE_NAME_MAX];     /* sweep: below the store */

    struct channel_limits limits;
    bool has_slot;
    uint32_t slot_index;
    const struct cgroup_host *cgroups;
    bool has_groups;
    bool has_files;
    struct files own_files; /* internal */
    struct run_note note;   /* id, type, group, pid, start time ... */

    struct loop_source init; /* pidfd of joblet-init */
    bool init_is_child;
    struct loop_source control;
    pid_t command_pid;
    bool init_ready;
    bool go_sent;
    int stdout_read;
    int stderr_read;
    struct loop_timer timer; /* start limit, then the patience of a kill, then a busy group */
    unsigned remove_tries;

    bool waits_for_disk;
    int spec_fd;            /* only while it waits */
    struct disk_grant work; /* standard; that of a build is the build's */

    struct outside_place places[OUTSIDE_PLACES_MAX];
    unsigned place_count;
    dev_t disk_device; /* of its own disk, or 0 */
    int suspects_fd;   /* build: what its joblet-init finds, for host_watch_take; -EBADF */
    uint64_t suspects_generation;

    bool reply_wanted; /* the start request is not answered yet */
    uint16_t reply_operation;
    uint32_t reply_sequence;
    uint32_t reply_generation; /* of the joblet-api that asked */
    struct error failure;
    bool kill_wanted;
    bool gone; /* released, or its start failed: only its groups are on their way out */
    struct channel_job_ended ended;
};

/* What is to be started. */
struct job_order {
    uint32_t type;      /* enum plan_type */
    uint16_t operation; /* the request that is answered; 0: nobody's, the job is internal */
    uint32_t sequence;
    uint8_t id[16];
    struct channel_limits limits;   /* settled */
    struct channel_runtime runtime; /* standard, verify */
    struct build *build;            /* build, collect */
    const char *swept;              /* sweep: the name of a directory of the store */
};

/* What every start has to keep to: a new id, and a request in a sealed file. 0 or -errno with @error. */
int job_check_start(struct broker *broker, const uint8_t id[16], int spec_fd, struct error *error);
/* Starts a job; the spec's descriptor is borrowed. The reply comes by itself, also for an error. */
void job_start(struct broker *broker, const struct job_order *order, int spec_fd);

/* The first job of @type that waits for a disk goes on: it takes one, or fails with @error when that is not NULL. False
 * when none waits. */
bool job_resume(struct broker *broker, uint32_t type, const struct error *error);

/* True when a job that has not ended has this runtime as its root, or looks at it. */
bool job_uses_runtime(const struct broker *broker, const struct store_id *id);

/* These two pass over what is internal. NULL when there is none. */
struct job *job_find(struct broker *broker, const uint8_t id[16]);
/* Those that have not ended; others are kept until they are released. */
unsigned job_count_running(const struct broker *broker);
/* The first job with a serial of at least @serial, or NULL. */
struct job *job_from(struct broker *broker, uint32_t serial);

/* SIGTERM to every process of the job but joblet-init. 0 or -errno with @error. */
int job_terminate(struct job *job, struct error *error);
/* Ends the job as a whole; the event tells when it is done. */
void job_kill(struct job *job);
/* Forgets an ended job, frees its slot and groups. */
void job_release(struct job *job);
/* Sends what was seen of @job before its command ran; nothing when it was not looked at. */
void job_send_view(struct job *job);
/* What the kernel says of the running @job, now. 0 or -errno with @error. */
int job_look(const struct job *job, struct channel_kernel_view *ret_view, struct error *error);
/* Sends the end of @job to joblet-api. */
void job_send_end(struct job *job);

/* Takes over the jobs that an earlier joblet left: before anything is served. 0 or -errno with @error. */
int job_adopt_all(struct broker *broker, struct error *error);
/* Lets go of all jobs without touching those that run; the groups of those that have ended go. */
void job_forget_all(struct broker *broker);
