/* From joblet to joblet-init: clone3 into the job's namespaces, descriptors at their fixed numbers, execveat. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "plan/plan.h"

#define LAUNCH_FDS (PLAN_FD_CGROUP_FIRST + PLAN_FD_CGROUP_MAX)

struct launch {
    int exec_fd;          /* O_PATH of the program, above LAUNCH_FDS, close-on-exec */
    const char *name;     /* its argv[0] */
    const char *variable; /* its whole environment: "JOB_ID=..." */
    int cgroup_fd;        /* v2 group to be born in, or -EBADF */
    bool new_cgroup_namespace;
    bool reset_oom_score;
    int fds[LAUNCH_FDS]; /* what stands at each number; -EBADF: nothing */
};

/* Starts joblet-init in new PID, mount, UTS, IPC and network namespaces. The descriptors stay the caller's. What fails
 * in the child before the exec comes as PLAN_MESSAGE_FAILED over PLAN_FD_CONTROL. 0 or -errno with @error.
 * Single-threaded process. */
int launch_init(const struct launch *launch, pid_t *ret_pid, int *ret_pidfd, struct error *error);

/* For any child of joblet between clone and exec: an own session, no signal blocked or ignored. 0, or -errno when
 * joblet's lower score for the host's out-of-memory killer could not be given up. */
int launch_reset_process(bool reset_oom_score);
/* Puts fds[i] at number i for each i below @count, without close-on-exec. 0 or -errno; only in a child. */
int launch_place_fds(const int fds[], unsigned count);
