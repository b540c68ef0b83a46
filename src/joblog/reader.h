/* Reads one job's log from its beginning, while it grows and after. The reader has no thread and no wake-up of its own:
 * whoever follows calls joblog_reader_next whenever the index has changed.
 *
 * Both files are written by a process inside a job's sandbox, so nothing in them is trusted: an index that contradicts
 * itself is left aside from that entry on, and the bytes of the log are given as of stream JOBLOG_STREAM_UNKNOWN. Every
 * byte of the log is given exactly once, in order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct joblog_reader {
    int log_fd;           /* borrowed */
    int index_fd;         /* borrowed; -EBADF: no index */
    uint64_t offset;      /* of the next byte to give */
    uint64_t entry;       /* number of the index entry that holds it */
    uint64_t entry_start; /* where that entry has to begin */
    bool broken;          /* the index is not believed from here on */
};

/* Begins at the first byte. Borrows both. */
void joblog_reader_init(struct joblog_reader *reader, int log_fd, int index_fd);

/* Reads the next bytes of one stream into @buffer, at most @size (at least 1). @ended: nobody writes any more, so bytes
 * that no index entry names are given too.
 * 1 with @ret_size (at least 1) and @ret_stream (enum joblog_stream); 0 when there is nothing now (@ended: at all);
 * -errno. */
int joblog_reader_next(
        struct joblog_reader *reader, bool ended, void *buffer, size_t size, size_t *ret_size, uint32_t *ret_stream);
