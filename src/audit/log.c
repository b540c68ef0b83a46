#include "audit/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/files.h"
#include "audit/head.h"
#include "audit/scan.h"
#include "base/fd.h"
#include "base/text.h"

struct audit_log {
    struct audit_options options;
    int dir_fd; /* holds the lock */
    int fd;     /* the newest file */
    uint64_t size;
    uint64_t file_first;
    struct audit_position last;
    uint64_t first; /* as in struct audit_head */
    uint8_t first_prev[AUDIT_HASH_SIZE];
    uint64_t head_first; /* of the head that was made last */
    uint64_t kept_first; /* of the head on the disk: files before it are gone */
    struct audit_key *key;
};

/* ---- files ---- */

static int own(struct audit_log *log, int fd, mode_t mode)
{
    return fchown(fd, log->options.owner, log->options.readers) < 0 || fchmod(fd, mode) < 0 ? -errno : 0;
}

static int open_newest(struct audit_log *log, uint64_t first, bool is_new, struct error *error)
{
    char name[AUDIT_NAME_MAX];
    struct stat status;
    audit_format_name(first, name);
    int fd = openat(
            log->dir_fd, name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | (is_new ? O_CREAT | O_EXCL : 0), 0600);
    if (fd < 0)
        return error_errno(error, errno, "open '%s' of the audit log", name);
    int r = own(log, fd, 0640);
    if (r == 0 && fstat(fd, &status) < 0)
        r = -errno;
    if (r == 0 && is_new && fsync(log->dir_fd) < 0)
        r = -errno;
    if (r < 0) {
        (void)fd_close(fd);
        if (is_new)
            (void)unlinkat(log->dir_fd, name, 0);
        return error_errno(error, -r, "make '%s' of the audit log", name);
    }
    (void)fd_close(log->fd);
    log->fd = fd;
    log->size = (uint64_t)status.st_size;
    log->file_first = first;
    return 0;
}

static int open_directory(struct audit_log *log, int prefix_fd, struct error *error)
{
    if (mkdirat(prefix_fd, AUDIT_DIRECTORY, 0750) < 0 && errno != EEXIST)
        return error_errno(error, errno, "make '%s' (run 'joblet setup')", AUDIT_DIRECTORY);
    log->dir_fd = openat(prefix_fd, AUDIT_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (log->dir_fd < 0)
        return error_errno(error, errno, "open '%s'", AUDIT_DIRECTORY);
    if (flock(log->dir_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? error_text(error, EBUSY, "another process writes the audit log")
                                    : error_errno(error, errno, "lock the audit log");
    int r = own(log, log->dir_fd, 0750);
    return r < 0 ? error_errno(error, -r, "set the owner of '%s'", AUDIT_DIRECTORY) : 0;
}

/* ---- finding the end ---- */

/* What the scan of the files from the one of the head on has found. */
struct found {
    struct audit_position last;
    uint64_t file_first;
    uint64_t offset; /* behind the last record, in that file */
    uint64_t rest;   /* bytes behind it, in that file */
    bool covers;     /* the record of the head was there */
    struct error error;
};

/* Follows the chain through one file. 0; -EBADMSG: what comes after the last record is none. */
static int follow_file(int dir_fd, uint64_t first, const struct audit_head *head, struct found *found)
{
    char name[AUDIT_NAME_MAX];
    struct audit_scan scan;
    audit_format_name(first, name);
    int r = audit_scan_open(dir_fd, name, &scan, &found->error);
    if (r < 0)
        return r;
    while ((r = audit_scan_follow(&scan, &found->last, NULL, &found->error)) == 0)
        if (found->last.sequence == head->last.sequence)
            found->covers = memcmp(found->last.hash, head->last.hash, AUDIT_HASH_SIZE) == 0;
    found->file_first = first;
    found->offset = scan.offset;
    found->rest = audit_scan_rest(&scan);
    if (r == -ENODATA && found->rest > 0)
        r = error_text(&found->error, EBADMSG, "the last line of '%s' has no end", name);
    audit_scan_done(&scan);
    return r == -ENODATA ? 0 : r;
}

/* The record before the first of the file @first. 0 or -errno. */
static int read_before(int dir_fd, uint64_t first, struct audit_position *ret_position, struct error *error)
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

/* The chain from the file of the head's record on. What is wrong is in found->error. */
static void follow(int dir_fd, const uint64_t *firsts, int count, const struct audit_head *head, struct found *found)
{
    int at = count - 1;
    while (at > 0 && firsts[at] > head->last.sequence)
        at--;
    *found = (struct found){.covers = head->last.sequence == 0};
    if (head->last.sequence > 0 && read_before(dir_fd, firsts[at], &found->last, &found->error) < 0)
        return;
    for (; at < count; at++) {
        if (firsts[at] != found->last.sequence + 1) {
            (void)error_text(
                    &found->error, EBADMSG, "a file of the audit log is missing before record %" PRIu64, firsts[at]);
            return;
        }
        /* Nothing comes after what is no record. */
        if (follow_file(dir_fd, firsts[at], head, found) < 0 && (found->rest == 0 || at + 1 < count))
            found->covers = false;
        if (found->error.code != 0)
            return;
    }
}

/* Files that cannot be gone on with keep their bytes under another name. */
static int put_aside(struct audit_log *log, const uint64_t *firsts, int count, struct error *error)
{
    char name[AUDIT_NAME_MAX];
    char aside[AUDIT_NAME_MAX + 32];
    for (int i = 0; i < count; i++) {
        if (firsts[i] <= log->last.sequence)
            continue;
        audit_format_name(firsts[i], name);
        (void)snprintf(aside, sizeof(aside), "%s.damaged-%" PRId64, name, text_now_unix_ns());
        if (renameat(log->dir_fd, name, log->dir_fd, aside) < 0)
            return error_errno(error, errno, "put '%s' aside", name);
    }
    return open_newest(log, log->last.sequence + 1, /* is_new= */ true, error);
}

/* Opens the file in which the chain goes on. */
static int resume(struct audit_log *log, const struct found *found, struct audit_opened *opened, struct error *error)
{
    int r = open_newest(log, found->file_first, /* is_new= */ false, error);
    if (r < 0)
        return r;
    log->last = found->last;
    if (found->rest == 0)
        return 0;
    if (ftruncate(log->fd, (off_t)found->offset) < 0)
        return error_errno(error, errno, "cut what is no record from the audit log");
    log->size = found->offset;
    opened->cut_bytes = found->rest;
    return 0;
}

static int find_end(
        struct audit_log *log, const struct audit_head *head, struct audit_opened *opened, struct error *error)
{
    _cleanup_free_ uint64_t *firsts = NULL;
    struct found found;
    int count = audit_list_files(log->dir_fd, &firsts);
    if (count < 0)
        return error_errno(error, -count, "list '%s'", AUDIT_DIRECTORY);
    log->last = head->last;
    log->first = log->head_first = head->first ? head->first : 1;
    memcpy(log->first_prev, head->first_prev, sizeof(log->first_prev));
    if (count == 0 && head->last.sequence == 0)
        return open_newest(log, 1, /* is_new= */ true, error);
    if (count == 0) {
        (void)error_text(&opened->damage, EBADMSG, "all records up to %" PRIu64 " are gone", head->last.sequence);
        return put_aside(log, firsts, count, error);
    }
    follow(log->dir_fd, firsts, count, head, &found);
    if (found.covers && found.last.sequence >= head->last.sequence) {
        opened->uncovered = found.last.sequence - head->last.sequence;
        return resume(log, &found, opened, error);
    }
    opened->damage = found.error;
    if (opened->damage.code == 0)
        (void)error_text(&opened->damage, EBADMSG, "record %" PRIu64 ", the last one of the signed head, is not there",
                head->last.sequence);
    return put_aside(log, firsts, count, error);
}

/* ---- opening ---- */

static int read_head(struct audit_log *log, struct audit_head *head, struct audit_opened *opened, struct error *error)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    *head = (struct audit_head){0};
    int r = fd_read_file_at(log->dir_fd, AUDIT_HEAD_FILE, AUDIT_HEAD_MAX, &text, &size);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return error_errno(error, -r, "read the head of the audit log");
    if (audit_head_parse(log->key, text, size, head, &opened->damage) < 0)
        *head = (struct audit_head){0};
    return 0;
}

static int open_all(struct audit_log *log, int prefix_fd, struct audit_opened *opened, struct error *error)
{
    struct audit_head head;
    struct error head_damage;
    struct stat status;
    int r = open_directory(log, prefix_fd, error);
    if (r < 0)
        return r;
    bool may_make = fstatat(log->dir_fd, AUDIT_HEAD_FILE, &status, AT_SYMLINK_NOFOLLOW) < 0;
    r = audit_key_load(prefix_fd, may_make, &log->key, error);
    if (r < 0)
        return r;
    r = read_head(log, &head, opened, error);
    head_damage = opened->damage;
    if (r == 0)
        r = find_end(log, &head, opened, error);
    if (head_damage.code != 0)
        opened->damage = head_damage;
    return r;
}

int audit_log_open(int prefix_fd, const struct audit_options *options, struct audit_log **ret_log,
        struct audit_opened *ret_opened, struct error *error)
{
    *ret_opened = (struct audit_opened){0};
    struct audit_log *log = calloc(1, sizeof(*log));
    if (!log)
        return error_errno(error, ENOMEM, "open the audit log");
    log->options = *options;
    log->dir_fd = log->fd = -EBADF;
    int r = open_all(log, prefix_fd, ret_opened, error);
    if (r < 0) {
        audit_log_close(log);
        return r;
    }
    *ret_log = log;
    return 0;
}

void audit_log_close(struct audit_log *log)
{
    if (!log)
        return;
    (void)fd_close(log->fd);
    (void)fd_close(log->dir_fd);
    audit_key_free(log->key);
    free(log);
}

/* ---- appending ---- */

static int write_line(struct audit_log *log, const char *line, size_t size, struct error *error)
{
    int r = fd_write_all(log->fd, line, size);
    if (r == 0) {
        log->size += size;
        return 0;
    }
    /* Half a line must not stay before the next one. */
    if (ftruncate(log->fd, (off_t)log->size) < 0)
        return error_errno(error, errno, "take back half a record of the audit log");
    return error_errno(error, -r, "write the audit log");
}

static int append(
        struct audit_log *log, const char *source, const char *facts, size_t size, char **ret_line, struct error *error)
{
    _cleanup_free_ char *line = NULL;
    size_t line_size;
    struct audit_position next;
    int r = audit_record_format(&log->last, text_now_unix_ns(), source, facts, size, &line, &line_size, &next);
    if (r < 0)
        return error_errno(error, -r, "make a record");
    r = write_line(log, line, line_size, error);
    if (r < 0)
        return r;
    log->last = next;
    if (ret_line)
        *ret_line = TAKE_PTR(line);
    return 0;
}

/* The oldest files beyond those to keep are given up; the record of it comes first, and they go when it is on the disk.
 */
static int give_up_oldest(struct audit_log *log, struct error *error)
{
    _cleanup_free_ uint64_t *firsts = NULL;
    struct audit_position before;
    int count = audit_list_files(log->dir_fd, &firsts);
    if (count < 0)
        return error_errno(error, -count, "list '%s'", AUDIT_DIRECTORY);
    if (count <= (int)log->options.keep_files)
        return 0;
    uint64_t keep = firsts[count - (int)log->options.keep_files];
    int r = keep <= log->first ? 0 : read_before(log->dir_fd, keep, &before, error);
    if (r < 0 || keep <= log->first)
        return r == -ENODATA ? 0 : r;
    char facts[256];
    int size = snprintf(facts, sizeof(facts),
            "action%caudit.remove%cresult%cok%cfirst_record%c%" PRIu64 "%clast_record%c%" PRIu64 "%c", 0, 0, 0, 0, 0,
            log->first, 0, 0, keep - 1, 0);
    r = append(log, "joblet", facts, (size_t)size, NULL, error);
    if (r < 0)
        return r;
    log->first = keep;
    memcpy(log->first_prev, before.hash, sizeof(before.hash));
    return 0;
}

static int rotate(struct audit_log *log, struct error *error)
{
    if (fdatasync(log->fd) < 0)
        return error_errno(error, errno, "put the audit log on the disk");
    return open_newest(log, log->last.sequence + 1, /* is_new= */ true, error);
}

int audit_log_append(
        struct audit_log *log, const char *source, const char *facts, size_t size, char **ret_line, struct error *error)
{
    int r = audit_facts_check(facts, size, error);
    bool is_full = log->size >= log->options.file_bytes && log->last.sequence >= log->file_first;
    if (r == 0 && is_full)
        r = rotate(log, error);
    if (r == 0)
        r = append(log, source, facts, size, ret_line, error);
    /* Nobody's record fails for it: it is tried again with the next file. */
    if (r == 0 && is_full)
        (void)give_up_oldest(log, NULL);
    return r;
}

int audit_log_file(const struct audit_log *log)
{
    return log->fd;
}

int audit_log_directory(const struct audit_log *log)
{
    return log->dir_fd;
}

uint64_t audit_log_last(const struct audit_log *log)
{
    return log->last.sequence;
}

/* ---- the head ---- */

int audit_log_make_head(struct audit_log *log, char ret_text[AUDIT_HEAD_MAX], struct error *error)
{
    struct audit_head head = {.last = log->last, .first = log->first};
    memcpy(head.first_prev, log->first_prev, sizeof(head.first_prev));
    log->head_first = log->first;
    int r = audit_head_format(log->key, &head, text_now_unix_ns(), ret_text);
    return r < 0 ? error_errno(error, -r, "sign the head of the audit log") : r;
}

int audit_log_settle(int dir_fd, int fd, const char *head, size_t size, gid_t readers)
{
    static const char temporary[] = ".head";
    if (fdatasync(fd) < 0)
        return -errno;
    _cleanup_close_ int head_fd =
            openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (head_fd < 0)
        return -errno;
    int r = fd_write_all(head_fd, head, size);
    if (r == 0 && (fchown(head_fd, (uid_t)-1, readers) < 0 || fchmod(head_fd, 0640) < 0))
        r = -errno;
    /* Not waited for: an older head covers less, and nothing else. */
    if (r == 0 && renameat(dir_fd, temporary, dir_fd, AUDIT_HEAD_FILE) < 0)
        r = -errno;
    return r;
}

void audit_log_settled(struct audit_log *log)
{
    _cleanup_free_ uint64_t *firsts = NULL;
    char name[AUDIT_NAME_MAX];
    if (log->head_first == log->kept_first)
        return;
    log->kept_first = log->head_first;
    int count = audit_list_files(log->dir_fd, &firsts);
    for (int i = 0; i < count && firsts[i] < log->kept_first; i++) {
        audit_format_name(firsts[i], name);
        (void)unlinkat(log->dir_fd, name, 0);
    }
}

int audit_log_flush(struct audit_log *log, struct error *error)
{
    char head[AUDIT_HEAD_MAX];
    int size = audit_log_make_head(log, head, error);
    if (size < 0)
        return size;
    int r = audit_log_settle(log->dir_fd, log->fd, head, (size_t)size, log->options.readers);
    if (r < 0)
        return error_errno(error, -r, "put the audit log on the disk");
    audit_log_settled(log);
    return 0;
}
