/* One run of `joblet verify`: what all its parts share. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "verify/client.h"
#include "verify/report.h"

#define RUN_JOB_MAX 40U

/* What our job is given: numbers that no configuration presets. */
#define RUN_MEMORY_MIB 96
#define RUN_PROCESSES 61
#define RUN_CPU_PERCENT 90
#define RUN_OPEN_FILES 317
/* The promise is a second for what goes; a host in use may be late. */
#define RUN_PATIENCE_MS 10000
/* What the suite is followed by; until then nobody looks from outside. */
#define RUN_HELD "joblet-verify: held"

struct run {
    const char *prefix;
    char config[PATH_MAX]; /* the admin's client configuration */
    char rnx[PATH_MAX];
    char suite[PATH_MAX];       /* test_host_protection.sh */
    char escapes[PATH_MAX];     /* the program of attempts, packed */
    char runtime[64];           /* the name of the runtime that is not built */
    int64_t deadline_ns;        /* of what is tried */
    int64_t end_ns;             /* of all, later: for removing and for waiting until something is gone */
    unsigned left_count;        /* jobs of ours that could not be deleted */
    char left[RUN_JOB_MAX];     /* the first of them */
    char recorded[RUN_JOB_MAX]; /* a job of ours that has ended, or "" */
    int cpu;                    /* one that jobs may run on, or -1 */
    uint64_t log_bytes;         /* what the service says that it keeps of a job's output; 0: it says nothing */
    struct report report;
};

enum sandbox_kind { SANDBOX_JOB, SANDBOX_BUILD };

/* A sandbox that runs, as /proc of the host shows it. */
struct seen_sandbox {
    enum sandbox_kind kind;
    char job[RUN_JOB_MAX];
    pid_t init;
    pid_t command;
    char disk[64];          /* "/sys/dev/block/7:10000" of its disk, or "" */
    char link[16];          /* the host's end of a build's link, or "" */
    char backing[PATH_MAX]; /* what look_read_backing said; "": it has no disk */
};

/* find.c: finds a job's processes by JOB_ID in the environment of a joblet-init of the host, and its command, the
 * child. 0; -ENOENT; -errno. */
int find_job(const char *job, struct seen_sandbox *ret_sandbox);
/* Finds the build of the runtime @name of this prefix. 0 or -ENOENT. */
int find_build(const struct run *run, const char *name, struct seen_sandbox *ret_sandbox);
/* True while a process of the host says in its environment that it belongs to @job. */
bool find_any_process(const char *job);
/* Counts the directories of control groups of @job; the first is stored when @ret_path is not NULL and has @file in it.
 */
unsigned find_groups(const char *job, const char *file, char ret_path[PATH_MAX]);

/* look.c: rows of what the host's kernel says of a sandbox's processes. */
void look_at_sandbox(struct run *run, const struct seen_sandbox *sandbox);
/* look_mounts.c: and of its mounts. Finds its disk. */
void look_at_mounts(struct run *run, struct seen_sandbox *sandbox);
/* look_build.c: what a build must not see of the host. */
void look_at_build(struct run *run, struct seen_sandbox *sandbox);
/* look_network.c: the fences of a build's network. Finds its link. */
void look_at_network(struct run *run, struct seen_sandbox *sandbox);
/* look_limits.c: and of the limits that it was given. Finds a processor of jobs. */
void look_at_limits(struct run *run, const struct seen_sandbox *sandbox);
/* The same of a build, whose limits are the configuration's. */
void look_at_build_limits(struct run *run, const struct seen_sandbox *sandbox);
/* The text of @file in the group of @job that has it, without its line break. False when none has. */
bool look_read_group(const char *job, const char *file, char ret_text[64]);
/* look_sizes.c: the file systems that a job writes to, held against what the service told of it; @status: of rnx job
 * status --json. Finds the bound of its log. */
void look_at_sizes(struct run *run, const struct seen_sandbox *sandbox, const char *status);
/* The same of a build's disk, which is to have @bytes at most. */
void look_at_build_disk(struct run *run, const struct seen_sandbox *sandbox, uint64_t bytes);
/* look_keys.c: the session keyrings that root sees, before a job starts. The caller's, or NULL. */
char *look_take_keyrings(void);
/* And whether there is a new one since, for a sandbox of @kind. */
void look_at_keyrings(struct run *run, enum sandbox_kind kind, const char *before);
/* look_view.c: whether joblet tells clients what we see. @status: of rnx job status --json. */
void look_at_view(struct run *run, const struct seen_sandbox *sandbox, const char *status);
/* left.c: the file of the loop device @disk and which one in order it is there; "" without one. */
void look_read_backing(const char *disk, char ret_text[PATH_MAX]);
/* And what is left of a sandbox that has ended. */
void look_at_leftovers(struct run *run, const struct seen_sandbox *sandbox);

/* host.c: the host before and after. */
struct host;
struct host *host_take(void);
void host_compare(struct run *run, const struct host *before);
void host_free(struct host *host);

/* job.c, build.c, trials.c, escapes.c, service.c: what is tried. */
void verify_job(struct run *run);
void verify_build(struct run *run);
/* Instead of it: says of each promise that it was not tried in a build. */
void verify_no_build(struct run *run);
void verify_limits(struct run *run);
void verify_escapes(struct run *run);
void verify_records(struct run *run);
void verify_doctor(struct run *run);
void verify_audit(struct run *run);
/* Runs rnx with @words (ended by NULL) behind the configuration. The exit status as client_run; @client in any case. */
int run_rnx(const struct run *run, const char *const words[], struct client *client, struct error *error);
int run_start_rnx(const struct run *run, const char *const words[], struct client *client, struct error *error);
/* True when the time for trying is over: what was not seen by now says nothing about a promise. */
bool run_is_over(const struct run *run);
/* When at the latest something ends that may take @within_ms from now: all that comes after the deadline shares what is
 * left until the end. */
int64_t run_end_ns(const struct run *run, int within_ms);
/* As report_fact; what does not hold when the time is over could not be tried. */
#define run_fact(run, promise, source, holds, tried, ...)                                                              \
    report_add(&(run)->report, promise, source,                                                                        \
            (holds)              ? REPORT_KEPT                                                                         \
            : run_is_over((run)) ? REPORT_UNABLE                                                                       \
                                 : REPORT_BROKEN,                                                                      \
            tried, __VA_ARGS__)
/* Deletes a job of ours, ended or not. False when the service refuses or does not answer in time; then the job is
 * noted. */
bool run_delete_job(struct run *run, const char *job);
/* A row for the jobs that were noted, if there are any. */
void run_report_left(struct run *run);
/* Takes the id of "ID: UUID" out of rnx's answer. False when there is none. */
bool run_find_id(const char *output, char ret_job[RUN_JOB_MAX]);
/* Calls @check until it is true, at most @within_ms: kept or broken; unable when the run's end came first. */
enum report_verdict run_until(
        const struct run *run, bool (*check)(void *user), void *user, int within_ms, long *ret_ms);
