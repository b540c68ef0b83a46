#include "init/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

/* One splice takes at most what the largest pipe holds. */
#define MOVE_MAX (1U << 20)
#define DRAIN_MAX (2U << 20)
/* Bytes of one stream that come within this time share an entry. */
#define ENTRY_SPAN_NS (100 * INT64_C(1000000))

void pump_init(struct pump *pump, int log_fd, int index_fd, int null_fd, uint64_t quota_bytes)
{
    *pump = (struct pump){
            .log_fd = log_fd,
            .index_fd = index_fd,
            .null_fd = null_fd,
            .quota_bytes = quota_bytes,
    };
}

/* The index is a help and can be rebuilt: the job goes on when it cannot be written. */
static void add_entry(struct pump *pump, uint64_t size, enum joblog_stream stream)
{
    int64_t now = text_now_unix_ns();
    struct joblog_entry *last = &pump->last;
    bool extends = pump->entry_count > 0 && last->stream == (uint32_t)stream &&
                   now - pump->last_started_ns < ENTRY_SPAN_NS && now >= pump->last_started_ns &&
                   size <= UINT32_MAX - last->size;
    if (extends) {
        last->size += (uint32_t)size;
        last->unix_ns = now;
    } else {
        *last = (struct joblog_entry){
                .offset = pump->log_bytes - size, .size = (uint32_t)size, .stream = (uint32_t)stream, .unix_ns = now};
        pump->last_started_ns = now;
        pump->entry_count++;
    }
    (void)fd_pwrite_all(pump->index_fd, last, sizeof(*last), (off_t)((pump->entry_count - 1) * sizeof(*last)));
}

static int64_t leave_out(struct pump *pump, int pipe_fd)
{
    ssize_t moved = splice(pipe_fd, NULL, pump->null_fd, NULL, MOVE_MAX, SPLICE_F_NONBLOCK);
    if (moved < 0)
        return -errno;
    pump->left_out_bytes += (uint64_t)moved;
    return moved;
}

int64_t pump_move(struct pump *pump, int pipe_fd, enum joblog_stream stream)
{
    /* A line of the service's own can lie beyond the quota. */
    uint64_t room = MOVE_MAX;
    if (pump->quota_bytes && pump->log_bytes >= pump->quota_bytes)
        room = 0;
    else if (pump->quota_bytes && pump->quota_bytes - pump->log_bytes < room)
        room = pump->quota_bytes - pump->log_bytes;
    if (room == 0 || pump->is_broken)
        return leave_out(pump, pipe_fd);

    off64_t offset = (off64_t)pump->log_bytes;
    ssize_t moved = splice(pipe_fd, NULL, pump->log_fd, &offset, room, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    if (moved < 0) {
        /* No space, or the file system failed: the job does not stand still for its log. */
        pump->is_broken = true;
        return leave_out(pump, pipe_fd);
    }
    if (moved > 0) {
        pump->log_bytes += (uint64_t)moved;
        add_entry(pump, (uint64_t)moved, stream);
    }
    return moved;
}

void pump_drain(struct pump *pump, int pipe_fd, enum joblog_stream stream)
{
    for (uint64_t drained = 0; drained < DRAIN_MAX;) {
        int64_t moved = pump_move(pump, pipe_fd, stream);
        if (moved <= 0)
            break;
        drained += (uint64_t)moved;
    }
}

void pump_add_line(struct pump *pump, const char *text)
{
    char line[256];
    int length = snprintf(line, sizeof(line), "joblet: %s\n", text);
    if (length < 0)
        return;
    size_t size = (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1;
    line[size - 1] = '\n';
    if (pump->is_broken || fd_pwrite_all(pump->log_fd, line, size, (off_t)pump->log_bytes) < 0)
        return;
    pump->log_bytes += size;
    add_entry(pump, size, JOBLOG_STREAM_SERVICE);
}
