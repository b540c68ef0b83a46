/* The log of one job on disk: two files that joblet-init alone writes.
 *
 *   log        the bytes as they came, standard output and standard error in the order of their arrival
 *   log.index  struct joblog_entry after struct joblog_entry: which bytes came from where, and when
 *
 * The bytes are written first, the entry after them: an entry never names bytes that are not there, and whoever waits
 * for changes of the index (inotify IN_MODIFY) finds the bytes. When a crash cut the index, the bytes beyond its last
 * entry are of stream JOBLOG_STREAM_UNKNOWN. The index can be lost or rebuilt without losing a byte of the log. */
#pragma once

#include <stdint.h>

enum joblog_stream {
    JOBLOG_STREAM_UNKNOWN = 0,
    JOBLOG_STREAM_STDOUT = 1,
    JOBLOG_STREAM_STDERR = 2,
    JOBLOG_STREAM_SERVICE = 3, /* a line of joblet's own: command not found, bytes left out */
};

/* Little-endian on disk, as the hosts we run on. 24 bytes, written with one pwrite at a multiple of 24. */
struct joblog_entry {
    uint64_t offset; /* of the first byte; entries follow each other without gap or overlap */
    uint32_t size;   /* bytes, at least 1 */
    uint32_t stream; /* enum joblog_stream */
    int64_t unix_ns; /* when the last of them arrived */
};
