/* The log pump: moves the job's output from its two pipes into the log file without copying it through this process,
 * and says in the index what came from where, and when (joblog/format.h).
 *
 * Splice at an explicit offset, then one write of the index: when this process is killed between the two, no byte is
 * lost or doubled; the bytes are there and the index ends a little earlier (E5). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "joblog/format.h"

struct pump {
    int log_fd;
    int index_fd;
    int null_fd;          /* takes what goes beyond the quota */
    uint64_t quota_bytes; /* 0 = none */
    uint64_t log_bytes;
    uint64_t left_out_bytes;
    uint64_t entry_count;     /* entries in the index, the last included */
    struct joblog_entry last; /* extended while the same stream goes on within a short time */
    int64_t last_started_ns;  /* when the last entry began */
    bool is_broken;           /* the log could not be written (disk full): what comes is counted and left out */
};

/* What the descriptors are for; all are borrowed. */
void pump_init(struct pump *pump, int log_fd, int index_fd, int null_fd, uint64_t quota_bytes);

/* Moves once what @pipe_fd holds, as @stream. The number of bytes taken from the pipe; 0: at its end; -EAGAIN: nothing
 * there now; -errno. */
int64_t pump_move(struct pump *pump, int pipe_fd, enum joblog_stream stream);

/* Moves all that is in @pipe_fd now, but not forever: a process that goes on writing cannot keep the job from ending.
 */
void pump_drain(struct pump *pump, int pipe_fd, enum joblog_stream stream);

/* Adds a line of the service's own ("joblet: TEXT\n"); the quota does not hold it back. */
void pump_add_line(struct pump *pump, const char *text);
