/* What a job has on disk: PREFIX/state/jobs/ID/ with "log", "log.index", "record" (written by joblet-init, readable by
 * joblet-api) and "run", joblet's own note of a job that it has not released yet, from which the next joblet adopts it.
 * joblet knows these four names and nothing else in there; it never walks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "channel/view.h"
#include "kernel/cgroup.h"
#include "plan/record.h"

struct files {
    int log_fd;
    int index_fd;
    int record_fd;
};

void files_close(struct files *files);

/* Makes the directory @id below @jobs_fd and its three files, owned by root and the group @gid. 0; -EEXIST with @error
 * when there is one; -errno with @error, and then nothing is left. */
int files_make(int jobs_fd, const char *id, gid_t gid, struct files *ret_files, struct error *error);
/* The same without a directory and without names, in memory: for what joblet starts for itself. 0 or -errno with
 * @error.
 */
int files_make_nameless(struct files *ret_files, struct error *error);
/* Opens them again, for reading and writing. 0 or -errno. */
int files_open(int jobs_fd, const char *id, struct files *ret_files);
/* Removes the files and the directory. 0 also when it is not there; -errno. */
int files_remove(int jobs_fd, const char *id);
/* Removes @name below @jobs_fd when it is what a joblet that was killed left of making or removing a job. */
void files_tidy(int jobs_fd, const char *name);

/* Where our groups are: the next joblet may be started in another group, and has to find them. */
struct run_groups {
    uint32_t count;
    uint32_t reserved;
    struct {
        uint32_t v2;
        uint32_t controllers;
        char directory[CGROUP_PATH_MAX];
        char shown[CGROUP_PATH_MAX];
        char list[64];
    } hierarchies[CGROUP_HIERARCHIES_MAX];
};

/* The note of a running job. The text of a pid alone names nothing: with boot and start time it does. */
struct run_note {
    uint8_t job_id[16];
    uint8_t boot_id[16];
    int32_t pid; /* of joblet-init */
    uint32_t id_base;
    uint64_t start_ticks;
    int64_t go_unix_ns;      /* when joblet said go */
    int64_t started_unix_ns; /* when the command ran; 0: not known yet */
    uint64_t log_quota_bytes;
    uint64_t runtime_device; /* of the runtime's directory that is its root */
    uint64_t runtime_inode;  /* 0: it has none */
    uint32_t type;           /* enum plan_type */
    uint32_t network_port;   /* of a build; NETWORK_PORT_NONE */
    uint32_t timeout_set;
    uint32_t stop_wanted; /* a KILL was asked for */
    char group[CGROUP_NAME_MAX];
    struct channel_kernel_view view; /* what joblet saw before it said go */
    struct run_groups groups;
};

/* Writes the note, or leaves the one that is there. 0 or -errno. */
int files_write_run(int jobs_fd, const char *id, const struct run_note *note);
/* 0; -ENOENT: the job is released, or never got so far; -EBADMSG: torn; -errno. */
int files_read_run(int jobs_fd, const char *id, struct run_note *ret_note);
int files_remove_run(int jobs_fd, const char *id);

/* The same for all jobs: "groups" in @run_fd, PREFIX/run. A start that was cut short has no note of its own. */
int files_write_groups(int run_fd, const struct run_groups *groups);
int files_read_groups(int run_fd, struct run_groups *ret_groups);

/* Moves what @pipe_fd still holds to the end of the log and tells the index: for a joblet-init that was killed. Bytes
 * that it had written and not told yet are told first, as of an unknown stream. @stream: enum joblog_stream. At most up
 * to @quota_bytes (0: none); what is beyond is counted in *@left_out_bytes. No writer of the pipe may be alive. 0 or
 * -errno. */
int files_drain(
        const struct files *files, int pipe_fd, uint32_t stream, uint64_t quota_bytes, uint64_t *left_out_bytes);
