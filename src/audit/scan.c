#include "audit/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

int audit_scan_open(int dir_fd, const char *name, struct audit_scan *ret_scan, struct error *error)
{
    struct stat status;
    *ret_scan = (struct audit_scan){0};
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_errno(error, errno, "open '%s'", name);
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size > AUDIT_FILE_MAX)
        return error_text(error, EINVAL, "'%s' is no file of an audit log", name);
    if (status.st_size == 0)
        return 0;
    /* A copy: a mapping of a file that is cut just now would be a SIGBUS. */
    char *text = malloc((size_t)status.st_size);
    if (!text)
        return error_errno(error, ENOMEM, "read '%s'", name);
    ssize_t got = 1;
    size_t size = 0;
    while (got > 0 && size < (size_t)status.st_size) {
        got = pread(fd, text + size, (size_t)status.st_size - size, (off_t)size);
        size += got > 0 ? (size_t)got : 0;
    }
    if (got < 0) {
        free(text);
        return error_errno(error, errno, "read '%s'", name);
    }
    ret_scan->text = text;
    ret_scan->size = size;
    return 0;
}

void audit_scan_done(struct audit_scan *scan)
{
    free(scan->text);
    *scan = (struct audit_scan){0};
}

bool audit_scan_next(struct audit_scan *scan, const char **ret_line, size_t *ret_size)
{
    const char *begin = scan->text ? scan->text + scan->offset : NULL;
    const char *end = begin ? memchr(begin, '\n', scan->size - scan->offset) : NULL;
    if (!end)
        return false;
    *ret_line = begin;
    *ret_size = (size_t)(end - begin);
    scan->offset += *ret_size + 1;
    scan->line++;
    return true;
}

size_t audit_scan_rest(const struct audit_scan *scan)
{
    return scan->size - scan->offset;
}

static int check(const struct audit_position *position, const struct audit_record *record, struct error *error)
{
    if (!record->hash_fits)
        return error_text(
                error, EBADMSG, "record %" PRIu64 " was changed: its bytes do not have its hash", record->sequence);
    if (record->sequence != position->sequence + 1)
        return error_text(error, EBADMSG, "record %" PRIu64 " stands where record %" PRIu64 " belongs",
                record->sequence, position->sequence + 1);
    if (memcmp(record->prev, position->hash, sizeof(position->hash)) != 0)
        return error_text(error, EBADMSG, "record %" PRIu64 " does not follow the record before it", record->sequence);
    return 0;
}

int audit_scan_follow(
        struct audit_scan *scan, struct audit_position *position, struct audit_record *ret_record, struct error *error)
{
    struct audit_scan before = *scan;
    struct audit_record record;
    const char *line;
    size_t size;
    if (!audit_scan_next(scan, &line, &size))
        return -ENODATA;
    int r = audit_record_read(line, size, &record, error);
    if (r == 0)
        r = check(position, &record, error);
    if (r < 0) {
        *scan = before;
        return -EBADMSG;
    }
    position->sequence = record.sequence;
    memcpy(position->hash, record.hash, sizeof(position->hash));
    if (ret_record)
        *ret_record = record;
    return 0;
}
