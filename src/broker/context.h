/* What the parts of the broker share: one per process. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/api.h"
#include "broker/bases.h"
#include "broker/disks.h"
#include "broker/host_watch.h"
#include "broker/leftover.h"
#include "broker/loop.h"
#include "broker/slots.h"
#include "broker/store.h"
#include "broker/sweep.h"
#include "broker/trail.h"
#include "config/config.h"
#include "kernel/cgroup.h"
#include "kernel/procstatus.h"

struct job;
struct build;
struct network;
struct sync;

/* Hosts of adopted jobs that an earlier joblet, started in another group, put elsewhere. */
struct foreign_host {
    struct foreign_host *next;
    struct cgroup_host host;
};

struct broker {
    const struct config *config;
    const char *prefix; /* absolute */
    struct loop *loop;
    struct slots *slots;
    struct cgroup_host cgroups;
    struct foreign_host *foreign;
    struct procstatus_namespaces own_namespaces;
    uint8_t boot_id[16];
    uint32_t landlock_abi;
    uint32_t default_open_files; /* of a process of a job: as configured, and never more than we may have ourselves */
    uint32_t max_open_files;
    dev_t disk;       /* whole block device of the jobs' files; 0 = not known */
    bool oom_lowered; /* our oom_score_adj is below 0, children set theirs back */
    int prefix_fd;
    int jobs_fd;               /* PREFIX/state/jobs */
    int run_fd;                /* the directory of pid, lock and address */
    int init_fd;               /* O_PATH of joblet-init */
    int builder_fd;            /* O_PATH of joblet-builder; -EBADF: it is not installed, and nothing is built */
    int cache_fd;              /* PREFIX/cache/apt, downloads for builds; -EBADF: there is none */
    uint64_t build_disk_bytes; /* as configured, or less where there is not so much */

    struct trail trail;
    struct api api;
    struct disks disks;
    struct bases bases;
    struct host_watch host_watch;

    struct network *network;    /* of builds; NULL: there can be none */
    struct error network_error; /* why */
    struct loop_timer network_timer;
    struct loop_source network_watch; /* of the rules */

    struct store store;
    struct store_id absent[2]; /* directories that no build sees: the prefix, and /opt/joblet when that is another */
    struct sweep sweep;
    struct leftover_place place; /* where the start looks for what an earlier joblet left */
    struct leftover_list leftovers;
    struct build *first_build;
    struct sync *first_sync;

    struct job *first_job; /* in the order of their serials */
    struct job *last_job;
    uint32_t next_serial;

    bool shutting_down;
    struct loop_source signals;
    struct loop_timer shutdown_timer;
    int exit_status;
};

/* A job ended: a shutdown that waits for the last one goes on. */
void broker_job_ended(struct broker *broker);
/* joblet-api ended, and is not started again because of the shutdown. */
void broker_api_ended(struct broker *broker);
