/* Stands in for joblet: makes what a sandbox needs, clones and executes joblet-init, plays its side of the control
 * socket, and hands back how it ended. Root only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "plan/plan.h"
#include "plan/record.h"

/* Owner, on disk, of what belongs to the job's id 0. */
#define DRIVER_DISK_BASE 4000000000U
#define DRIVER_LOG_MAX (8U << 20)
#define DRIVER_DEFAULT_TIMEOUT_MS 60000

struct driver {
    int init_fd; /* O_PATH of joblet-init */
    bool has_hooks;
    char directory[64]; /* the throw-away root */
    int root_fd;
    int disk_userns_fd;
    int join_userns_fd;
    uint32_t id_base;
    int landlock_abi;
    bool has_v1; /* cgroup v1 memory and pids */
};

struct driver_job {
    /* in */
    char *const *arguments;
    char *const *environment;
    const char *work_dir;
    struct plan plan;            /* as filled by driver_job_init, and then changed by the test */
    uint64_t memory_limit_bytes; /* v1: the limit of the group; 0 = none */
    bool with_cgroups;
    bool with_fresh_userns;         /* an own user namespace instead of the driver's */
    const char *job_id_environment; /* instead of the right one */
    const char *second_variable;    /* in joblet-init's environment */
    bool with_extra_fd;             /* leaves one descriptor too many */
    /* Puts other descriptors than the right ones into @fds (by enum plan_fd, -1: none), which it then owns. */
    void (*change_fds)(const struct driver *driver, struct driver_job *job, int fds[]);
    unsigned without_namespace; /* a CLONE_NEW* flag to forget */
    unsigned stop_after_ms;     /* SIGTERM to joblet-init then; 0 = not */
    bool never_go;              /* close the control socket instead of GO */
    int work_fd;                /* PLAN_FD_WORK, for a plan with work_on_disk; -1: none */
    bool skip_log;              /* do not read the log back */
    unsigned wait_ms;           /* for its end; 0: DRIVER_DEFAULT_TIMEOUT_MS */

    /* out */
    bool was_ready;
    bool failed; /* a FAILED message came */
    struct error error;
    bool has_record;
    struct record record;
    int wait_status; /* of joblet-init: exit status, or -signal */
    char *log;       /* NUL-terminated; driver_job_done frees it */
    size_t log_size;
    char *index; /* bytes of the index */
    size_t index_size;
    unsigned leaked_mounts; /* mounts of the job that appeared outside its namespace */
    int64_t duration_ns;    /* clone3 to reaped */
};

/* Gives the calling process a mount namespace of its own, shared within as a host's usually is. 0 or -errno. */
int driver_isolate(void);

/* A user namespace whose @count ids from @inside on are the host's from @base on. A descriptor or -errno. */
int driver_new_userns(uint32_t inside, uint32_t base, uint32_t count);

/* Makes the root and the namespaces; prints and returns -1 when it cannot. */
int driver_open(struct driver *driver, const char *init_path, bool has_hooks);
void driver_close(struct driver *driver);

void driver_job_init(const struct driver *driver, struct driver_job *job, char *const arguments[]);
/* Runs it to the end. 0, or -errno when the driver itself failed. */
int driver_run(const struct driver *driver, struct driver_job *job);
void driver_job_done(struct driver_job *job);
