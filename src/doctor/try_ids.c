/* Host ids: that nobody else has them, that they can be mapped, and that a process in the mapped range gets rid of
 * every right, in the order that joblet-init uses. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "doctor/row.h"
#include "kernel/capability.h"
#include "kernel/procstatus.h"
#include "kernel/userns.h"
#include "setup/ids.h"

#define RANGE_SIZE 65536U
#define SUBID_FILE_MAX (16U << 20)

static bool is_given_out(const char *path, const struct doctor *doctor, struct finding *finding)
{
    _cleanup_free_ char *text = NULL;
    uint64_t jobs = (uint64_t)doctor->range_count * RANGE_SIZE;
    int r = fd_read_file_at(AT_FDCWD, path, SUBID_FILE_MAX, &text, NULL);
    if (r == -ENOENT)
        return false;
    if (r < 0) {
        finding_errno(finding, -r, "%s", path);
        return true;
    }
    if (!ids_overlap_subids(text, doctor->range_start, jobs) &&
            !ids_overlap_subids(text, doctor->disk_start, RANGE_SIZE))
        return false;
    finding_fails(finding, "%s gives ids of ours to somebody else", path);
    return true;
}

void try_id_ranges(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    uint64_t end = (uint64_t)doctor->range_start + (uint64_t)doctor->range_count * RANGE_SIZE;
    if (!doctor->config) {
        finding_untested(finding, "no configuration says which");
        return;
    }
    if (is_given_out("/etc/subuid", doctor, finding) || is_given_out("/etc/subgid", doctor, finding))
        return;
    if (ids_overlap_accounts(doctor->range_start, end - doctor->range_start) ||
            ids_overlap_accounts(doctor->disk_start, RANGE_SIZE))
        finding_fails(finding, "a user or group of this host has an id of ours");
    else if (doctor->disk_start < end && (uint64_t)doctor->disk_start + RANGE_SIZE > doctor->range_start)
        finding_fails(finding, "the range for files lies in those for jobs");
    else
        finding_holds(finding, "%u ranges from %u, files from %u: nobody else has them", doctor->range_count,
                doctor->range_start, doctor->disk_start);
}

/* The first and the last range, and the idmap of what lies on disk. A descriptor of the first, or -errno. */
static int make_namespaces(const struct doctor *doctor, struct finding *finding)
{
    struct error error = {0};
    uint32_t last = doctor->range_start + (doctor->range_count - 1) * RANGE_SIZE;
    const struct userns_map maps[] = {
            {0, doctor->range_start, RANGE_SIZE},
            {0, last, RANGE_SIZE},
            {doctor->disk_start, doctor->range_start, RANGE_SIZE},
    };
    int first = -EBADF;
    for (size_t i = 0; i < ELEMENTS(maps); i++) {
        int fd = userns_new(&maps[i], &error);
        if (fd < 0) {
            finding_fails(finding, "%s", error.text);
            (void)fd_close(first);
            return fd;
        }
        if (i == 0)
            first = fd;
        else
            (void)fd_close(fd);
    }
    return first;
}

void try_user_range(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    _cleanup_close_ int fd = make_namespaces(doctor, finding);
    if (fd >= 0)
        finding_holds(finding, "mapped from %u on%s", doctor->range_start,
                doctor->config ? "" : " (not configured yet: an example)");
}

static bool join(const struct doctor *doctor, struct finding *finding)
{
    _cleanup_close_ int fd = make_namespaces(doctor, finding);
    if (fd < 0)
        return false;
    if (setns(fd, CLONE_NEWUSER) == 0)
        return true;
    finding_errno(finding, errno, "join a user namespace");
    return false;
}

/* 0 or -errno, with what failed in @ret_what. */
static int drop_everything(const char **ret_what)
{
    const gid_t id = RANGE_SIZE - 1;
    int r = capability_drop_bounding();
    *ret_what = "empty the bounding set";
    if (r == 0) {
        *ret_what = "take another id";
        r = setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0 ? -errno : 0;
    }
    if (r == 0) {
        *ret_what = "empty the capability sets";
        r = capability_clear();
    }
    if (r == 0)
        r = capability_clear_ambient();
    if (r == 0) {
        *ret_what = "no new privileges";
        r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
    }
    return r;
}

void try_rights_dropped(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    struct procstatus status;
    struct error error = {0};
    const char *what = NULL;
    if (!join(doctor, finding))
        return;
    int r = drop_everything(&what);
    if (r < 0) {
        finding_errno(finding, -r, "%s", what);
        return;
    }
    _cleanup_close_ int proc_fd = procstatus_open(getpid());
    if (proc_fd < 0 || procstatus_read(proc_fd, &status, &error) < 0) {
        finding_fails(finding, "read back from /proc: %s", error.text);
        return;
    }
    if (status.cap_inheritable || status.cap_permitted || status.cap_effective || status.cap_bounding ||
            status.cap_ambient)
        finding_fails(finding, "a capability is left after the drop");
    else if (status.uid[0] != RANGE_SIZE - 1 || status.uid[2] != RANGE_SIZE - 1 || status.group_count != 0)
        finding_fails(finding, "an id is left after the drop");
    else if (status.no_new_privs != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        finding_fails(finding, "no-new-privileges or the dumpable flag did not stay");
    else
        finding_holds(finding, "five empty capability sets, no groups, another id, no new privileges");
}

void try_nested_namespaces(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    static const char file[] = "/proc/sys/user/max_user_namespaces";
    if (!join(doctor, finding))
        return;
    int r = fd_write_file_at(AT_FDCWD, file, "0");
    if (r < 0)
        finding_errno(finding, -r, "%s in a joined user namespace", file);
    else if (unshare(CLONE_NEWUSER) == 0)
        finding_fails(finding, "a job could make a user namespace in spite of the limit 0");
    else if (errno != ENOSPC)
        finding_errno(finding, errno, "make a user namespace beyond the limit: not what was expected");
    else
        finding_holds(finding, "with the limit 0 a job can make none");
}
