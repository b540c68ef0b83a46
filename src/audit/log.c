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

#include "audit/damage.h"
#include "audit/end.h"
#include "audit/files.h"
#include "audit/head.h"
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
    struct audit_head head; /* the one that was made last */
    uint64_t settled;       /* the last record that is on the disk and has a head */
    uint64_t kept_first;    /* of the head on the disk: files before it are gone */
    bool is_broken;         /* half a record stands behind the last one: the file is to be cut first */
    struct error damage;    /* found and not recorded yet */
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
    bool made = mkdirat(prefix_fd, AUDIT_DIRECTORY, 0750) == 0;
    if (!made && errno != EEXIST)
        return error_errno(error, errno, "make '%s' (run 'joblet setup')", AUDIT_DIRECTORY);
    /* On the disk before there is a key: a key without a log is one whose log was taken away. */
    _cleanup_close_ int state_fd = made ? openat(prefix_fd, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;
    if (made && (state_fd < 0 || fsync(state_fd) < 0))
        return error_errno(error, errno, "put '%s' on the disk", AUDIT_DIRECTORY);
    log->dir_fd = openat(prefix_fd, AUDIT_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (log->dir_fd < 0)
        return error_errno(error, errno, "open '%s'", AUDIT_DIRECTORY);
    if (flock(log->dir_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? error_text(error, EBUSY, "another process writes the audit log")
                                    : error_errno(error, errno, "lock the audit log");
    int r = own(log, log->dir_fd, 0750);
    return r < 0 ? error_errno(error, -r, "set the owner of '%s'", AUDIT_DIRECTORY) : 0;
}

/* ---- going on ---- */

/* Comes before anything is put aside. */
static int note(struct audit_log *log, const struct error *damage, struct error *error)
{
    return audit_damage_note(log->dir_fd, log->options.owner, log->options.readers, damage, &log->damage, error);
}

static void name_aside(const char *name, char ret_aside[AUDIT_NAME_MAX + 32])
{
    (void)snprintf(ret_aside, AUDIT_NAME_MAX + 32, "%s" AUDIT_DAMAGED "%" PRId64, name, text_now_unix_ns());
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
        name_aside(name, aside);
        if (renameat(log->dir_fd, name, log->dir_fd, aside) < 0)
            return error_errno(error, errno, "put '%s' aside", name);
    }
    return 0;
}

/* The bytes of the newest file from @offset on, under another name. */
static int copy_aside(struct audit_log *log, uint64_t offset, struct error *error)
{
    char name[AUDIT_NAME_MAX];
    char aside[AUDIT_NAME_MAX + 32];
    char piece[16384];
    ssize_t got = 1;
    audit_format_name(log->file_first, name);
    name_aside(name, aside);
    _cleanup_close_ int from = openat(log->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_close_ int to =
            from < 0 ? -EBADF : openat(log->dir_fd, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = to < 0 ? -errno : own(log, to, 0640);
    for (; r == 0 && got > 0; offset += got > 0 ? (uint64_t)got : 0) {
        got = pread(from, piece, sizeof(piece), (off_t)offset);
        r = got < 0 ? -errno : fd_write_all(to, piece, (size_t)got);
    }
    if (r == 0 && fsync(to) < 0)
        r = -errno;
    return r < 0 ? error_errno(error, -r, "put the rest of '%s' aside", name) : 0;
}

/* The chain goes on behind its last record, in the same file. */
static int resume(struct audit_log *log, const struct audit_end *end, const uint64_t *firsts, int count,
        struct audit_opened *opened, struct error *error)
{
    bool is_damage = end->error.code != 0 && !end->half;
    log->last = end->last;
    int r = open_newest(log, end->file_first, /* is_new= */ false, error);
    if (r == 0 && is_damage) {
        r = note(log, &end->error, error);
        if (r == 0)
            r = put_aside(log, firsts, count, error);
        if (r == 0 && end->rest > 0)
            r = copy_aside(log, end->offset, error);
    }
    if (r < 0 || end->rest == 0)
        return r;
    if (ftruncate(log->fd, (off_t)end->offset) < 0)
        return error_errno(error, errno, "cut what is no record from the audit log");
    log->size = end->offset;
    opened->cut_bytes = is_damage ? 0 : end->rest;
    return 0;
}

/* Behind the signed head, in a new file: what is before it is not what the head says. */
static int start_again(
        struct audit_log *log, const uint64_t *firsts, int count, const struct error *damage, struct error *error)
{
    int r = damage->code != 0 ? note(log, damage, error) : 0;
    if (r == 0)
        r = put_aside(log, firsts, count, error);
    return r < 0 ? r : open_newest(log, log->last.sequence + 1, /* is_new= */ true, error);
}

static int find_end(struct audit_log *log, const struct audit_head *head, const struct error *head_damage,
        struct audit_opened *opened, struct error *error)
{
    struct error damage = *head_damage;
    _cleanup_free_ uint64_t *firsts = NULL;
    struct audit_end end;
    int count = audit_list_files(log->dir_fd, &firsts);
    if (count < 0)
        return error_errno(error, -count, "list '%s'", AUDIT_DIRECTORY);
    log->head = *head;
    log->last = head->last;
    log->settled = head->last.sequence;
    log->first = head->first;
    memcpy(log->first_prev, head->first_prev, sizeof(log->first_prev));
    if (damage.code != 0 || count == 0) {
        if (head->last.sequence > 0)
            (void)error_text(&damage, EBADMSG, "all records up to %" PRIu64 " are gone", head->last.sequence);
        return start_again(log, firsts, count, &damage, error);
    }
    audit_end_find(log->dir_fd, firsts, count, head, &end);
    if (end.covers && end.file_first > 0) {
        opened->uncovered = end.last.sequence - head->last.sequence;
        return resume(log, &end, firsts, count, opened, error);
    }
    damage = end.error;
    if (damage.code == 0)
        (void)error_text(&damage, EBADMSG, "record %" PRIu64 ", the last one of the signed head, is not there",
                head->last.sequence);
    return start_again(log, firsts, count, &damage, error);
}

/* ---- opening ---- */

static int write_head(int dir_fd, const char *head, size_t size, gid_t readers)
{
    static const char temporary[] = ".head";
    _cleanup_close_ int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, head, size);
    /* Whole on the disk before it has the name; the name is not waited for: an older head covers less, and that is
     * all. */
    if (r == 0 && (fchown(fd, (uid_t)-1, readers) < 0 || fchmod(fd, 0640) < 0 || fsync(fd) < 0))
        r = -errno;
    if (r == 0 && renameat(dir_fd, temporary, dir_fd, AUDIT_HEAD_FILE) < 0)
        r = -errno;
    return r;
}

/* A key, and before it is written the head of no record that is signed with it: so a kill or a power loss in between
 * cannot be taken for a log that was removed, nor the other way round. */
static int make_first(struct audit_log *log, int prefix_fd, struct audit_head *ret_head, struct error *error)
{
    char text[AUDIT_HEAD_MAX];
    *ret_head = (struct audit_head){.first = 1};
    int r = audit_key_new(&log->key, error);
    if (r < 0)
        return r;
    int size = audit_head_format(log->key, ret_head, text_now_unix_ns(), text);
    r = size < 0 ? size : write_head(log->dir_fd, text, (size_t)size, log->options.readers);
    if (r == 0 && fsync(log->dir_fd) < 0)
        r = -errno;
    return r < 0 ? error_errno(error, -r, "write the first head of the audit log")
                 : audit_key_write(log->key, prefix_fd, error);
}

/* A head that is not right is evidence; where there is none, an empty file says so. */
static int put_head_aside(struct audit_log *log, struct error *error)
{
    char aside[AUDIT_NAME_MAX + 32];
    name_aside(AUDIT_HEAD_FILE, aside);
    if (renameat(log->dir_fd, AUDIT_HEAD_FILE, log->dir_fd, aside) == 0)
        return 0;
    _cleanup_close_ int fd = openat(log->dir_fd, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : own(log, fd, 0640);
    return r < 0 ? error_errno(error, -r, "put the head of the audit log aside") : 0;
}

static int judge_head(struct audit_log *log, const char *text, size_t size, struct audit_head *ret_head,
        struct error *ret_damage, struct error *error)
{
    int r = text ? audit_head_parse(log->key, text, size, ret_head, ret_damage)
                 : error_text(ret_damage, EBADMSG, "the head of the audit log is gone");
    if (r == 0)
        return 0;
    *ret_head = (struct audit_head){.first = 1};
    r = note(log, ret_damage, error);
    return r < 0 ? r : put_head_aside(log, error);
}

static bool exists(int dir_fd, const char *name)
{
    struct stat status;
    return fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* Nothing was ever recorded here: no record, no key, and at most the first head of a start that was killed. */
static bool is_fresh(const struct audit_log *log, int prefix_fd, const char *head)
{
    _cleanup_free_ uint64_t *firsts = NULL;
    bool no_head = !head && !exists(log->dir_fd, AUDIT_HEAD_FILE) && !exists(prefix_fd, AUDIT_PUBLIC_FILE);
    return (no_head || (head && audit_head_is_first(head))) && audit_list_files(log->dir_fd, &firsts) == 0;
}

static int open_all(struct audit_log *log, int prefix_fd, struct audit_opened *opened, struct error *error)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    struct audit_head head;
    struct error head_damage = {0};
    int r = open_directory(log, prefix_fd, error);
    if (r == 0)
        r = audit_damage_read(log->dir_fd, &log->damage, error);
    if (r < 0)
        return r;
    r = fd_read_file_at(log->dir_fd, AUDIT_HEAD_FILE, AUDIT_HEAD_MAX, &text, &size);
    if (r < 0 && r != -ENOENT && r != -EFBIG)
        return error_errno(error, -r, "read the head of the audit log");
    if (exists(prefix_fd, AUDIT_KEY_FILE)) {
        r = audit_key_load(prefix_fd, &log->key, error);
        if (r == 0)
            r = judge_head(log, text, size, &head, &head_damage, error);
    } else if (is_fresh(log, prefix_fd, text)) {
        r = make_first(log, prefix_fd, &head, error);
    } else {
        r = error_text(error, ENOKEY,
                "'" AUDIT_KEY_FILE
                "' is gone, but there is an audit log: put it back from a copy, or move '" AUDIT_DIRECTORY
                "' and '" AUDIT_PUBLIC_FILE "' away for a new log");
    }
    if (r == 0)
        r = find_end(log, &head, &head_damage, opened, error);
    opened->damage = log->damage;
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

/* Half a line must not stay before the next one. */
static int take_back(struct audit_log *log, struct error *error)
{
    if (ftruncate(log->fd, (off_t)log->size) < 0)
        return error_errno(error, errno, "take back half a record of the audit log");
    log->is_broken = false;
    return 0;
}

static int write_line(struct audit_log *log, const char *line, size_t size, struct error *error)
{
    int r = log->is_broken ? take_back(log, error) : 0;
    if (r < 0)
        return r;
    r = fd_write_all(log->fd, line, size);
    if (r == 0) {
        log->size += size;
        return 0;
    }
    log->is_broken = true;
    return take_back(log, error) < 0 ? -EIO : error_errno(error, -r, "write the audit log");
}

static int append(struct audit_log *log, const char *source, const char *facts, size_t size, struct error *error)
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
    if (log->options.on_record)
        log->options.on_record(log->options.context, line);
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
    int r = keep <= log->first ? 0 : audit_end_before(log->dir_fd, keep, &before, error);
    if (r < 0 || keep <= log->first)
        return r == -ENODATA ? 0 : r;
    char facts[256];
    int size = snprintf(facts, sizeof(facts),
            "action%caudit.remove%cresult%cok%cfirst_record%c%" PRIu64 "%clast_record%c%" PRIu64 "%c", 0, 0, 0, 0, 0,
            log->first, 0, 0, keep - 1, 0);
    r = append(log, "joblet", facts, (size_t)size, error);
    if (r < 0)
        return r;
    log->first = keep;
    memcpy(log->first_prev, before.hash, sizeof(before.hash));
    return 0;
}

/* A new file begins when all of the old one has a head on the disk: so only the newest file can end in what is on its
 * way. A log that never comes to rest waits for the disk once in twice the size. */
static int rotate(struct audit_log *log, struct error *error)
{
    int r = log->is_broken ? take_back(log, error) : 0;
    if (r < 0)
        return r;
    if (log->settled < log->last.sequence) {
        if (log->size / 2 < log->options.file_bytes)
            return 0;
        if (fdatasync(log->fd) < 0)
            return error_errno(error, errno, "put the audit log on the disk");
    }
    return open_newest(log, log->last.sequence + 1, /* is_new= */ true, error);
}

int audit_log_append(struct audit_log *log, const char *source, const char *facts, size_t size, struct error *error)
{
    int r = audit_facts_check(facts, size, error);
    uint64_t file_first = log->file_first;
    if (r == 0 && log->size >= log->options.file_bytes && log->last.sequence >= log->file_first)
        r = rotate(log, error);
    if (r == 0)
        r = append(log, source, facts, size, error);
    /* Nobody's record fails for it: it is tried again with the next file. */
    if (r == 0 && log->file_first != file_first)
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
    log->head = head;
    int r = audit_head_format(log->key, &head, text_now_unix_ns(), ret_text);
    return r < 0 ? error_errno(error, -r, "sign the head of the audit log") : r;
}

int audit_log_settle(int dir_fd, int fd, const char *head, size_t size, gid_t readers)
{
    /* The file whose name is on the disk. */
    static dev_t device;
    static ino_t inode;
    struct stat status;
    if (fdatasync(fd) < 0 || fstat(fd, &status) < 0)
        return -errno;
    if ((status.st_ino != inode || status.st_dev != device) && fsync(dir_fd) < 0)
        return -errno;
    inode = status.st_ino;
    device = status.st_dev;
    return write_head(dir_fd, head, size, readers);
}

void audit_log_settled(struct audit_log *log)
{
    _cleanup_free_ uint64_t *firsts = NULL;
    char name[AUDIT_NAME_MAX];
    log->settled = log->head.last.sequence;
    if (log->head.first == log->kept_first)
        return;
    log->kept_first = log->head.first;
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

/* ---- what was found ---- */

int audit_log_tell(struct audit_log *log, const char *source, const struct audit_opened *opened, struct error *error)
{
    char facts[ERROR_TEXT_MAX + 128];
    int size;
    if (opened->damage.code != 0)
        size = snprintf(facts, sizeof(facts), "action%caudit.tampered%cresult%cfailed%cerror%c%s%c", 0, 0, 0, 0, 0,
                opened->damage.text, 0);
    else if (opened->uncovered > 0 || opened->cut_bytes > 0)
        size = snprintf(facts, sizeof(facts),
                "action%caudit.recovered%cresult%cok%crecords_without_head%c%" PRIu64 "%cbytes_cut%c%" PRIu64 "%c", 0,
                0, 0, 0, 0, opened->uncovered, 0, 0, opened->cut_bytes, 0);
    else
        return 0;
    int r = audit_log_append(log, source, facts, (size_t)size, error);
    if (r < 0 || opened->damage.code == 0)
        return r;
    r = audit_log_flush(log, error);
    return r < 0 ? r : audit_damage_drop(log->dir_fd, error);
}
