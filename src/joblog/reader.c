#include "joblog/reader.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "joblog/format.h"

/* Index entries read at a time: a job that writes line by line makes many small ones. */
#define ENTRIES_MAX 128

void joblog_reader_init(struct joblog_reader *reader, int log_fd, int index_fd)
{
    *reader = (struct joblog_reader){.log_fd = log_fd, .index_fd = index_fd, .broken = index_fd < 0};
}

/* As many bytes as there are, at most @size. The number or -errno. */
static ssize_t read_at(int fd, void *buffer, size_t size, uint64_t offset)
{
    if (offset > (uint64_t)INT64_MAX - size)
        return 0;
    size_t used = 0;
    while (used < size) {
        ssize_t got = pread(fd, (char *)buffer + used, size - used, (off_t)(offset + used));
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return used ? (ssize_t)used : -errno;
        }
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

/* Entries follow each other without gap or overlap; only the last one may still grow. */
static bool entry_is_valid(const struct joblog_entry *entry, uint64_t start)
{
    return entry->offset == start && entry->size > 0 && entry->stream <= JOBLOG_STREAM_SERVICE &&
           entry->offset <= (uint64_t)INT64_MAX - entry->size;
}

/* Bytes from reader->offset on that belong to one stream: up to @end; 0 = none known. */
struct run {
    uint64_t end;
    uint32_t stream;
};

/* Moves on to the entry that holds reader->offset and finds the run there. 0; -EBADMSG when an entry contradicts the
 * ones before and no run was found yet. */
static int scan_entries(
        struct joblog_reader *reader, const struct joblog_entry *entries, size_t count, struct run *ret_run)
{
    uint64_t start = reader->entry_start;
    for (size_t i = 0; i < count; i++) {
        if (!entry_is_valid(&entries[i], start))
            return ret_run->end ? 0 : -EBADMSG;
        start = entries[i].offset + entries[i].size;
        if (start <= reader->offset) {
            /* Given already. The last one stays: it may grow. */
            if (i + 1 < count && entries[i + 1].offset == start) {
                reader->entry++;
                reader->entry_start = start;
            }
            continue;
        }
        if (ret_run->end && entries[i].stream != ret_run->stream)
            return 0;
        *ret_run = (struct run){.end = start, .stream = entries[i].stream};
    }
    return 0;
}

/* 0 with @ret_run, -errno. */
static int indexed_run(struct joblog_reader *reader, struct run *ret_run)
{
    /* Entry i may grow, and i + 1 be written, between our copies of the two: what looks like a contradiction is read
     * again before it is believed. */
    unsigned contradictions = 0;
    for (;;) {
        struct joblog_entry entries[ENTRIES_MAX];
        ssize_t got = read_at(reader->index_fd, entries, sizeof(entries), reader->entry * sizeof(entries[0]));
        if (got < 0)
            return (int)got;
        size_t count = (size_t)got / sizeof(entries[0]);
        uint64_t before = reader->entry;
        if (scan_entries(reader, entries, count, ret_run) < 0) {
            if (++contradictions < 3)
                continue;
            reader->broken = true;
            return 0;
        }
        /* A full batch of entries that were given already: there may be more behind it. */
        if (ret_run->end || count < ENTRIES_MAX || reader->entry == before)
            return 0;
    }
}

int joblog_reader_next(
        struct joblog_reader *reader, bool ended, void *buffer, size_t size, size_t *ret_size, uint32_t *ret_stream)
{
    assert(size > 0);
    struct run run = {0};
    int r = reader->broken ? 0 : indexed_run(reader, &run);
    if (r < 0)
        return r;
    if (run.end == 0) {
        /* While the job runs, bytes beyond the index are about to be named by it. */
        if (!ended && !reader->broken)
            return 0;
        run = (struct run){.end = reader->offset + size, .stream = JOBLOG_STREAM_UNKNOWN};
    }
    uint64_t wanted = run.end - reader->offset;
    ssize_t got = read_at(reader->log_fd, buffer, wanted < size ? (size_t)wanted : size, reader->offset);
    if (got <= 0)
        return (int)got;
    reader->offset += (uint64_t)got;
    *ret_size = (size_t)got;
    *ret_stream = run.stream;
    return 1;
}
