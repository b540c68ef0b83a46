#include "plan/record.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#define RECORD_MAGIC 0x4345524aU /* "JREC" */
#define RECORD_VERSION 1U

static const char *const reason_names[RECORD_REASON_COUNT] = {
        [RECORD_REASON_NONE] = "",
        [RECORD_REASON_EXITED] = "exited",
        [RECORD_REASON_SIGNAL] = "signal",
        [RECORD_REASON_TIMEOUT] = "timeout",
        [RECORD_REASON_OUT_OF_MEMORY] = "out of memory",
        [RECORD_REASON_STOPPED] = "stopped",
        [RECORD_REASON_CANCELLED] = "cancelled",
        [RECORD_REASON_LIMIT] = "limit",
        [RECORD_REASON_SETUP_FAILURE] = "setup failure",
};

const char *record_reason_name(uint32_t reason)
{
    return reason < RECORD_REASON_COUNT ? reason_names[reason] : "";
}

enum record_reason record_reason_from_name(const char *name)
{
    for (unsigned i = RECORD_REASON_NONE + 1; i < RECORD_REASON_COUNT; i++)
        if (strcmp(name, reason_names[i]) == 0)
            return (enum record_reason)i;
    return RECORD_REASON_NONE;
}

/* CRC-32 as of zlib, bit by bit: some hundred bytes once in a job's life. It finds torn files, not forgers. */
static uint32_t crc32_of(const uint8_t *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320U : 0);
    }
    return ~crc;
}

int record_write(int fd, const struct record *record)
{
    const uint32_t head[2] = {RECORD_MAGIC, RECORD_VERSION};
    uint8_t file[RECORD_FILE_SIZE];
    memcpy(file, head, sizeof(head));
    memcpy(file + sizeof(head), record, sizeof(*record));
    uint32_t crc = crc32_of(file, sizeof(file) - sizeof(crc));
    memcpy(file + sizeof(file) - sizeof(crc), &crc, sizeof(crc));
    return fd_pwrite_all(fd, file, sizeof(file), 0);
}

int record_read(int fd, struct record *ret_record)
{
    uint8_t file[RECORD_FILE_SIZE + 1]; /* one more: a longer file is foreign */
    size_t used = 0;
    while (used < sizeof(file)) {
        ssize_t got = pread(fd, file + used, sizeof(file) - used, (off_t)used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return record_read_bytes(file, used, ret_record);
}

int record_read_bytes(const void *bytes, uint64_t size, struct record *ret_record)
{
    uint32_t head[2];
    uint32_t crc;
    if (size < RECORD_FILE_SIZE)
        return -ENODATA;
    if (size > RECORD_FILE_SIZE)
        return -EBADMSG;
    const uint8_t *file = bytes;
    memcpy(head, file, sizeof(head));
    memcpy(&crc, file + RECORD_FILE_SIZE - sizeof(crc), sizeof(crc));
    if (head[0] != RECORD_MAGIC || head[1] != RECORD_VERSION || crc != crc32_of(file, RECORD_FILE_SIZE - sizeof(crc)))
        return -EBADMSG;
    struct record record;
    memcpy(&record, file + sizeof(head), sizeof(record));
    /* A checksum does not make a number a reason, nor bytes a text. */
    if (record.reason == RECORD_REASON_NONE || record.reason >= RECORD_REASON_COUNT)
        return -EBADMSG;
    record.error.text[sizeof(record.error.text) - 1] = '\0';
    *ret_record = record;
    return 0;
}
