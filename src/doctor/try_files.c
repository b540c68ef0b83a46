/* Who owns the files that others must not change or read. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "doctor/row.h"

#define UNIT "joblet.service"

bool status_is_kept(const struct stat *status, const char *what, mode_t forbidden, struct finding *finding)
{
    if (status->st_uid == 0 && !(status->st_mode & forbidden))
        return true;
    finding_fails(finding, "'%.100s' has owner %u, mode %04o", what, status->st_uid, (unsigned)status->st_mode & 07777);
    return false;
}

/* The same of @name below @dir_fd. */
static bool is_kept(int dir_fd, const char *name, const char *what, mode_t forbidden, struct finding *finding)
{
    struct stat status;
    if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return status_is_kept(&status, what, forbidden, finding);
    finding_errno(finding, errno, "'%.100s'", what);
    return false;
}

/* Keys of the authority and of clients; the authority's certificate alone may be read by others. */
void try_key_files(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    char path[4096];
    unsigned count = 0;
    (void)snprintf(path, sizeof(path), "%s/config", doctor->prefix);
    DIR *directory = opendir(path);
    if (!directory) {
        finding_errno(finding, errno, "'%.100s'", path);
        return;
    }
    const struct dirent *entry;
    bool is_well = true;
    while (is_well && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        bool is_public = strcmp(entry->d_name, "ca.crt") == 0 || strcmp(entry->d_name, "audit-public.pem") == 0;
        is_well = is_kept(dirfd(directory), entry->d_name, entry->d_name, is_public ? 0022 : 0077, finding);
        count++;
    }
    (void)closedir(directory);
    if (is_well && count == 0)
        finding_fails(finding, "there are none");
    else if (is_well)
        finding_holds(finding, "%u files, root's alone", count);
}

void try_state_modes(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    static const struct {
        const char *name;
        mode_t forbidden;
        bool is_api; /* owned by joblet-api's user */
    } parts[] = {
            {"state", 0066, false}, {"state/jobs", 0027, false}, {"state/db", 0077, true}, {"runtimes", 0027, false}};
    _cleanup_close_ int fd = open(doctor->prefix, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || !doctor->config) {
        finding_untested(finding, "there is no configuration");
        return;
    }
    for (size_t i = 0; i < ELEMENTS(parts); i++) {
        struct stat status;
        if (fstatat(fd, parts[i].name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
            finding_errno(finding, errno, "'%s'", parts[i].name);
            return;
        }
        uid_t owner = parts[i].is_api ? doctor->config->api_uid : 0;
        if (status.st_uid != owner || status.st_mode & parts[i].forbidden) {
            finding_fails(finding, "'%s' has owner %u, mode %04o", parts[i].name, status.st_uid,
                    (unsigned)status.st_mode & 07777);
            return;
        }
    }
    finding_holds(finding, "logs, records and the job table are closed to the host's users");
}

void try_unit(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    static const char *const directories[] = {
            "/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"};
    unsigned count = 0;
    for (size_t i = 0; i < ELEMENTS(directories); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/" UNIT, directories[i]);
        if (access(path, F_OK) < 0)
            continue;
        if (!is_kept(AT_FDCWD, path, path, 0022, finding))
            return;
        count++;
    }
    if (count == 0)
        finding_untested(finding, "no unit of this name is installed");
    else
        finding_holds(finding, "root's alone to write");
}

/* This program, those beside it, and every directory above them. */
void try_programs(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    static const char *const names[] = {"joblet", "joblet-api", "joblet-init", "joblet-scratch", "joblet-builder"};
    char own[4096];
    ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (size < 0) {
        finding_errno(finding, errno, "find this program");
        return;
    }
    own[size] = '\0';
    *strrchr(own, '/') = '\0';
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char path[4200];
        (void)snprintf(path, sizeof(path), "%s/%s", own, names[i]);
        if (access(path, F_OK) == 0 && !is_kept(AT_FDCWD, path, path, 0022, finding))
            return;
    }
    while (own[0]) {
        struct stat status;
        /* In a directory with the sticky bit nobody renames what is not his. */
        if (stat(own, &status) < 0 || status.st_uid != 0 || ((status.st_mode & 0022) && !(status.st_mode & S_ISVTX))) {
            finding_fails(finding, "others than root may write to '%.100s'", own);
            return;
        }
        *strrchr(own, '/') = '\0';
    }
    finding_holds(finding, "root's alone to write, as are the directories above");
}
