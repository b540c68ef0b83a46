/* A log and an index of anybody's making (both are written from within a sandbox): each byte of the log comes exactly
 * once, in order, and nothing else comes. Input: one byte of entry count, the index, the rest is the log. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "joblog/format.h"
#include "joblog/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file_with(const void *bytes, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || (size && fd_pwrite_all(fd, bytes, size, 0) < 0))
        abort();
    return fd;
}

/* Returns how many bytes came. */
static size_t read_all(struct joblog_reader *reader, bool is_ended, const uint8_t *log, size_t log_size, size_t done)
{
    uint8_t buffer[7];
    size_t got;
    uint32_t stream;
    int r;
    while ((r = joblog_reader_next(reader, is_ended, buffer, sizeof(buffer), &got, &stream)) == 1) {
        if (got == 0 || got > sizeof(buffer) || got > log_size - done || stream > JOBLOG_STREAM_SERVICE ||
                memcmp(buffer, log + done, got) != 0)
            abort();
        done += got;
    }
    if (r != 0)
        abort();
    return done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t index_size = (size_t)data[0] * 8; /* also not a multiple of an entry */
    if (index_size > size - 1)
        index_size = size - 1;
    const uint8_t *log = data + 1 + index_size;
    size_t log_size = size - 1 - index_size;
    _cleanup_close_ int index_fd = file_with(data + 1, index_size);
    _cleanup_close_ int log_fd = file_with(log, log_size);
    struct joblog_reader reader;
    joblog_reader_init(&reader, log_fd, index_fd);
    size_t done = read_all(&reader, false, log, log_size, 0);
    if (read_all(&reader, true, log, log_size, done) != log_size)
        abort();
    return 0;
}
