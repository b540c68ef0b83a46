#include "audit/end.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "audit/files.h"
#include "audit/scan.h"

/* What is behind the last record has no line break, or begins with blocks that never reached the disk: zeros. Only
 * what no head covers can be so; and whoever changes that, changes what nobody was told is recorded. */
static bool is_half(const struct audit_scan *scan)
{
    const char *begin = scan->text + scan->offset;
    const char *end = memchr(begin, '\n', audit_scan_rest(scan));
    return !end || memchr(begin, '\0', (size_t)(end - begin));
}

/* Follows the chain through one file, up to what is no record or does not follow. */
static void follow_file(int dir_fd, uint64_t first, const struct audit_head *head, struct audit_end *end)
{
    char name[AUDIT_NAME_MAX];
    struct audit_scan scan;
    audit_format_name(first, name);
    if (audit_scan_open(dir_fd, name, &scan, &end->error) < 0)
        return;
    while (audit_scan_follow(&scan, &end->last, NULL, &end->error) == 0)
        if (end->last.sequence == head->last.sequence)
            end->covers = memcmp(end->last.hash, head->last.hash, AUDIT_HASH_SIZE) == 0;
    end->file_first = first;
    end->offset = scan.offset;
    end->rest = audit_scan_rest(&scan);
    end->half = end->rest > 0 && is_half(&scan);
    if (end->error.code != 0)
        (void)error_prefix(&end->error, "'%s', line %" PRIu64, name, scan.line + 1);
    else if (end->rest > 0)
        (void)error_text(&end->error, EBADMSG, "'%s', line %" PRIu64 ": the line has no end", name, scan.line + 1);
    audit_scan_done(&scan);
}

int audit_end_before(int dir_fd, uint64_t first, struct audit_position *ret_position, struct error *error)
{
    char name[AUDIT_NAME_MAX];
    struct audit_scan scan;
    struct audit_record record;
    const char *line;
    size_t size;
    audit_format_name(first, name);
    int r = audit_scan_open(dir_fd, name, &scan, error);
    if (r < 0)
        return r;
    *ret_position = (struct audit_position){.sequence = first - 1};
    if (!audit_scan_next(&scan, &line, &size)) {
        r = -ENODATA;
    } else {
        r = audit_record_read(line, size, &record, error);
        if (r == 0)
            memcpy(ret_position->hash, record.prev, AUDIT_HASH_SIZE);
    }
    audit_scan_done(&scan);
    return r;
}

void audit_end_find(
        int dir_fd, const uint64_t *firsts, int count, const struct audit_head *head, struct audit_end *ret_end)
{
    int at = count - 1;
    while (at > 0 && firsts[at] > head->last.sequence)
        at--;
    *ret_end = (struct audit_end){.covers = head->last.sequence == 0};
    /* A file without a record can only be the newest, made after the head was. */
    if (head->last.sequence > 0 && audit_end_before(dir_fd, firsts[at], &ret_end->last, &ret_end->error) < 0)
        return;
    for (; at < count && ret_end->error.code == 0; at++) {
        if (firsts[at] == ret_end->last.sequence + 1)
            follow_file(dir_fd, firsts[at], head, ret_end);
        else
            (void)error_text(
                    &ret_end->error, EBADMSG, "a file of the audit log is missing before record %" PRIu64, firsts[at]);
        /* What is on its way is at the end of the newest file. */
        ret_end->half = ret_end->half && at + 1 == count;
    }
}
