/* The audit log: who may change it, and whether the end of it is as it was written. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/end.h"
#include "audit/files.h"
#include "audit/head.h"
#include "audit/key.h"
#include "audit/log.h"
#include "base/fd.h"
#include "doctor/row.h"

/* False with @finding: a file that others may change or read, one that a start has put aside, or none at all. */
static bool are_files_kept(int dir_fd, unsigned *ret_count, struct finding *finding)
{
    int own_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = own_fd < 0 ? NULL : fdopendir(own_fd);
    const struct dirent *entry;
    bool is_well = true;
    *ret_count = 0;
    if (!directory) {
        finding_errno(finding, errno, "list the audit log");
        (void)fd_close(own_fd);
        return false;
    }
    while (is_well && (entry = readdir(directory))) {
        struct stat status;
        /* The service may just rename its next head. */
        if (fstatat(own_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(status.st_mode))
            continue;
        if (strstr(entry->d_name, AUDIT_DAMAGED)) {
            finding_fails(finding, "'%.100s': a start found the log damaged and put this aside", entry->d_name);
            is_well = false;
        } else {
            is_well = status_is_kept(&status, entry->d_name, 0027, finding);
        }
        *ret_count += status.st_size > 0;
    }
    (void)closedir(directory);
    if (is_well && *ret_count == 0)
        finding_fails(finding, "nothing was ever written to it");
    return is_well && *ret_count > 0;
}

/* 0 or -errno with @error. */
static int read_head(int prefix_fd, int dir_fd, struct audit_head *ret_head, struct error *error)
{
    struct audit_key *key = NULL;
    _cleanup_free_ char *pem = NULL;
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    int r = fd_read_file_at(prefix_fd, AUDIT_PUBLIC_FILE, AUDIT_PEM_MAX, &pem, NULL);
    if (r < 0)
        return error_errno(error, -r, "read the public key '%s'", AUDIT_PUBLIC_FILE);
    r = fd_read_file_at(dir_fd, AUDIT_HEAD_FILE, AUDIT_HEAD_MAX, &text, &size);
    if (r < 0)
        return error_errno(error, -r, "read the head");
    r = audit_key_parse_public(pem, &key, error);
    if (r == 0)
        r = audit_head_parse(key, text, size, ret_head, error);
    audit_key_free(key);
    return r;
}

/* The chain of the head's file and of later ones, as each start of the service looks at it: a try has not the time for
 * a log of many large files. Records behind the head, and half a line, are what a kill leaves or what is written now.
 */
static void judge_end(int prefix_fd, int dir_fd, unsigned count, struct finding *finding)
{
    struct error error = {0};
    struct audit_head head;
    struct audit_end end;
    _cleanup_free_ uint64_t *firsts = NULL;
    if (read_head(prefix_fd, dir_fd, &head, &error) < 0) {
        finding_fails(finding, "%s", error.text);
        return;
    }
    int files = audit_list_files(dir_fd, &firsts);
    if (files <= 0) {
        finding_fails(finding, files < 0 ? "its files cannot be listed" : "there is no file of records");
        return;
    }
    audit_end_find(dir_fd, firsts, files, &head, &end);
    if (end.error.code != 0 && !end.half)
        finding_fails(finding, "%s", end.error.text);
    else if (!end.covers)
        finding_fails(finding, "record %" PRIu64 ", which the head is signed for, is not there", head.last.sequence);
    else
        finding_holds(finding, "%u files, root's alone to write; the newest is whole up to record %" PRIu64, count,
                end.last.sequence);
}

void try_audit_log(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    unsigned count;
    _cleanup_close_ int prefix_fd = open(doctor->prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int dir_fd =
            prefix_fd < 0 ? -EBADF : openat(prefix_fd, AUDIT_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        finding_fails(finding, "there is none");
    else if (are_files_kept(dir_fd, &count, finding))
        judge_end(prefix_fd, dir_fd, count, finding);
}
