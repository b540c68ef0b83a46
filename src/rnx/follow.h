/* Following a job: its output as it comes, and its end. */
#pragma once

#include <stdbool.h>

#include "rnx/rpc.h"

enum follow_streams {
    FOLLOW_ONE,  /* all output to standard output, as it stands in the log */
    FOLLOW_BOTH, /* the job's standard error, and joblet's own lines, to standard error */
    FOLLOW_JSON, /* one JSON object for each chunk */
};

/* Copies the log of @uuid from its start to its end. @just_started: the job was started over this connection, and the
 * caller stays for its end, so that when the connection breaks the copy goes on, once the server is back, with the
 * first byte that was not copied. Returns 0 at the end of the log; -EINTR when a signal came (the caller says so);
 * another -errno after the error was said. */
int follow_log(struct rpc *rpc, const char *uuid, enum follow_streams streams, bool just_started);

/* Waits for the end of the job and returns its exit status as that of rnx: its own (128 + signal, 124 after the time
 * limit), or RNX_EXIT_FAILED when it never started. What is not an exit of its own is said on standard error. -EINTR
 * when a signal came; another -errno after the error was said. */
int follow_wait(struct rpc *rpc, const char *uuid);
