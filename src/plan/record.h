/* The exit record: how one job ended. Written once, by joblet-init just before it exits, or by joblet when
 * joblet-init could not (it was killed, or the kernel killed the group for lack of memory). A file of fixed size with a
 * checksum: a torn or foreign file is told apart from a whole one. Times are CLOCK_REALTIME in nanoseconds. */
#pragma once

#include <stdint.h>

#include "base/error.h"

enum record_reason {
    RECORD_REASON_NONE = 0,
    RECORD_REASON_EXITED,
    RECORD_REASON_SIGNAL,
    RECORD_REASON_TIMEOUT,
    RECORD_REASON_OUT_OF_MEMORY,
    RECORD_REASON_STOPPED,
    RECORD_REASON_CANCELLED,
    RECORD_REASON_LIMIT,
    RECORD_REASON_SETUP_FAILURE,
    RECORD_REASON_COUNT,
};

/* "exited", "signal", "timeout", "out of memory", "stopped", "cancelled", "limit", "setup failure"; "" for others. */
const char *record_reason_name(uint32_t reason);
/* The other way round; RECORD_REASON_NONE when @name is none of them. */
enum record_reason record_reason_from_name(const char *name);

struct record {
    uint8_t job_id[16];
    uint32_t reason;   /* enum record_reason */
    int32_t exit_code; /* 0-255; 128 + signal for a death by signal; 124 timeout; 137 out of memory */
    int32_t signal;    /* the signal that ended the command, or 0 */
    uint32_t reserved;
    int64_t started_unix_ns; /* when the command was executed; 0 = never */
    int64_t ended_unix_ns;
    uint64_t log_bytes;          /* bytes in the log */
    uint64_t log_left_out_bytes; /* written by the job beyond the log's quota */
    struct error error;          /* setup failure, command not found: the text for people */
};

/* The file's size: magic, version, struct record, CRC-32 of all before. */
#define RECORD_FILE_SIZE (8 + sizeof(struct record) + 4)

/* Writes the record at the start of @fd in one pwrite. 0 or -errno. After clone. */
int record_write(int fd, const struct record *record);
/* Reads it. 0; -ENODATA when the file is empty or shorter (not ended yet); -EBADMSG when torn or foreign; -errno. */
int record_read(int fd, struct record *ret_record);
int record_read_bytes(const void *bytes, uint64_t size, struct record *ret_record);
