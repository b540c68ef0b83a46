#include "audit/verify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "audit/damage.h"
#include "audit/head.h"
#include "audit/scan.h"
#include "base/fd.h"

/* A service that writes has a new head within a moment. */
#define HEAD_TRIES 50
#define HEAD_PAUSE_NS 100000000L

struct verifier {
    int dir_fd;
    struct audit_key *key;
    struct audit_head head; /* as it was before the files were read */
    struct audit_position position;
    bool covers;                         /* the record of the head was there */
    const struct audit_position *expect; /* may be NULL */
    bool is_expected;                    /* it was there */
    struct audit_verdict *verdict;
};

__attribute__((format(printf, 4, 5))) static void tell(
        struct audit_verdict *verdict, const char *file, uint64_t line, const char *format, ...)
{
    if (verdict->count++ >= AUDIT_PROBLEMS_MAX)
        return;
    struct audit_problem *problem = &verdict->problems[verdict->count - 1];
    va_list arguments;
    (void)snprintf(problem->file, sizeof(problem->file), "%s", file);
    problem->line = line;
    va_start(arguments, format);
    (void)vsnprintf(problem->text, sizeof(problem->text), format, arguments);
    va_end(arguments);
}

static void count_record(struct verifier *verifier)
{
    struct audit_verdict *verdict = verifier->verdict;
    const struct audit_head *head = &verifier->head;
    verdict->records++;
    verdict->first = verdict->first ? verdict->first : verifier->position.sequence;
    verdict->last = verifier->position.sequence;
    if (verifier->position.sequence == head->last.sequence)
        verifier->covers = memcmp(verifier->position.hash, head->last.hash, AUDIT_HASH_SIZE) == 0;
    if (verifier->expect && verifier->position.sequence == verifier->expect->sequence)
        verifier->is_expected = memcmp(verifier->position.hash, verifier->expect->hash, AUDIT_HASH_SIZE) == 0;
}

/* What is wrong with the next line is told; the chain then goes on from what that line says of itself, so that each
 * problem is told once. */
static void pass_over(struct verifier *verifier, struct audit_scan *scan, const char *name, const struct error *error)
{
    struct audit_record record;
    const char *line = NULL;
    size_t size = 0;
    if (!audit_scan_next(scan, &line, &size))
        return;
    tell(verifier->verdict, name, scan->line, "%s", error->text);
    if (audit_record_read(line, size, &record, NULL) < 0) {
        verifier->position.sequence++;
        return;
    }
    verifier->position.sequence = record.sequence;
    memcpy(verifier->position.hash, record.hash, sizeof(record.hash));
    if (record.hash_fits)
        count_record(verifier);
}

static int verify_file(struct verifier *verifier, uint64_t first, struct error *error)
{
    char name[AUDIT_NAME_MAX];
    struct audit_scan scan;
    struct error problem = {0};
    audit_format_name(first, name);
    int r = audit_scan_open(verifier->dir_fd, name, &scan, error);
    if (r < 0)
        return r;
    verifier->verdict->files++;
    if (first != verifier->position.sequence + 1) {
        tell(verifier->verdict, name, 0, "records %" PRIu64 " to %" PRIu64 " are missing before it",
                verifier->position.sequence + 1, first - 1);
        verifier->position.sequence = first - 1;
    }
    while ((r = audit_scan_follow(&scan, &verifier->position, NULL, &problem)) != -ENODATA) {
        if (r == 0)
            count_record(verifier);
        else
            pass_over(verifier, &scan, name, &problem);
    }
    if (audit_scan_rest(&scan) > 0)
        tell(verifier->verdict, name, scan.line + 1, "the last line has no end");
    audit_scan_done(&scan);
    return 0;
}

/* ---- the head ---- */

/* False: there is none, or it is not right; that is told when @tells. */
static bool read_head(const struct verifier *verifier, bool tells, struct audit_head *ret_head)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    struct error problem = {0};
    int r = fd_read_file_at(verifier->dir_fd, AUDIT_HEAD_FILE, AUDIT_HEAD_MAX, &text, &size);
    if (r < 0)
        (void)error_errno(&problem, -r, "read the head");
    else
        r = audit_head_parse(verifier->key, text, size, ret_head, &problem);
    if (r < 0 && tells)
        tell(verifier->verdict, AUDIT_HEAD_FILE, 0, "%s", problem.text);
    return r == 0;
}

/* Whoever writes holds the lock; it is taken for a moment only, and a start waits for it longer. */
static bool is_written(int dir_fd)
{
    _cleanup_close_ int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* Records that came after the head was read are covered by a later one, if somebody writes. */
static void check_end(struct verifier *verifier)
{
    struct audit_verdict *verdict = verifier->verdict;
    struct audit_head head = verifier->head;
    const struct timespec pause = {.tv_nsec = HEAD_PAUSE_NS};
    if (!verifier->covers)
        tell(verdict, "", 0,
                "record %" PRIu64
                ", the last one that the head covers, is not there or is another: the log was cut or changed",
                head.last.sequence);
    for (int i = 0; i < HEAD_TRIES && head.last.sequence < verdict->last && (i > 0 || is_written(verifier->dir_fd));
            i++) {
        (void)nanosleep(&pause, NULL);
        if (!read_head(verifier, /* tells= */ false, &head))
            break;
    }
    verdict->sealed = head.last.sequence;
    if (head.last.sequence < verdict->last)
        tell(verdict, "", 0,
                "records %" PRIu64 " to %" PRIu64
                " are not covered by the head: forged, or joblet was killed and has not been started since",
                head.last.sequence + 1, verdict->last);
}

/* ---- files that do not belong ---- */

static void look_for_damaged(struct verifier *verifier)
{
    int fd = openat(verifier->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    if (!directory) {
        (void)fd_close(fd);
        return;
    }
    while ((entry = readdir(directory)))
        if (strstr(entry->d_name, AUDIT_DAMAGED))
            tell(verifier->verdict, entry->d_name, 0, "joblet found the log damaged at its start and put this aside");
    (void)closedir(directory);
    if (faccessat(verifier->dir_fd, AUDIT_DAMAGE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        tell(verifier->verdict, AUDIT_DAMAGE_FILE, 0, "joblet found the log damaged and has not recorded it yet");
}

static int verify_all(struct verifier *verifier, struct error *error)
{
    _cleanup_free_ uint64_t *firsts = NULL;
    bool has_head = read_head(verifier, /* tells= */ true, &verifier->head);
    int count = audit_list_files(verifier->dir_fd, &firsts);
    if (count < 0)
        return error_errno(error, -count, "list the audit log");
    verifier->position.sequence = has_head ? verifier->head.first - 1 : 0;
    memcpy(verifier->position.hash, verifier->head.first_prev, AUDIT_HASH_SIZE);
    verifier->covers = !has_head || verifier->head.last.sequence == 0;
    for (int i = 0; i < count; i++) {
        /* Given up already: its removal is on its way. */
        if (has_head && i + 1 < count && firsts[i + 1] <= verifier->head.first)
            continue;
        int r = verify_file(verifier, firsts[i], error);
        if (r < 0)
            return r;
    }
    if (has_head)
        check_end(verifier);
    if (verifier->expect && !verifier->is_expected)
        tell(verifier->verdict, "", 0,
                "record %" PRIu64 " with the hash that is expected is not there: given up with an old file, or all of "
                "the log was put back or written anew",
                verifier->expect->sequence);
    look_for_damaged(verifier);
    return 0;
}

int audit_verify(int dir_fd, const char *public_key, const struct audit_position *expect,
        struct audit_verdict *ret_verdict, struct error *error)
{
    struct verifier verifier = {.dir_fd = dir_fd, .expect = expect, .verdict = ret_verdict};
    memset(ret_verdict, 0, sizeof(*ret_verdict));
    int r = audit_key_parse_public(public_key, &verifier.key, error);
    if (r < 0)
        return r;
    r = verify_all(&verifier, error);
    audit_key_free(verifier.key);
    return r;
}
