#include "audit/damage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define TEMPORARY "." AUDIT_DAMAGE_FILE

int audit_damage_read(int dir_fd, struct error *ret_damage, struct error *error)
{
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(dir_fd, AUDIT_DAMAGE_FILE, ERROR_TEXT_MAX - 1, &text, NULL);
    *ret_damage = (struct error){0};
    if (r == -ENOENT)
        return 0;
    if (r < 0 && r != -EFBIG)
        return error_errno(error, -r, "read '%s' of the audit log", AUDIT_DAMAGE_FILE);
    (void)error_text(ret_damage, EBADMSG, "%s", text && *text ? text : "an earlier start found the audit log damaged");
    return 0;
}

int audit_damage_note(
        int dir_fd, uid_t owner, gid_t readers, const struct error *more, struct error *damage, struct error *error)
{
    struct error both = *more;
    if (damage->code != 0 && strstr(damage->text, more->text))
        return 0;
    if (damage->code != 0)
        (void)error_text(&both, EBADMSG, "%s; %s", damage->text, more->text);
    _cleanup_close_ int fd = openat(dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : fd_write_all(fd, both.text, strlen(both.text));
    if (r == 0 && (fchown(fd, owner, readers) < 0 || fchmod(fd, 0640) < 0 || fsync(fd) < 0))
        r = -errno;
    if (r == 0 && (renameat(dir_fd, TEMPORARY, dir_fd, AUDIT_DAMAGE_FILE) < 0 || fsync(dir_fd) < 0))
        r = -errno;
    if (r < 0)
        return error_errno(error, -r, "note that the audit log is damaged (%s)", both.text);
    *damage = both;
    return 0;
}

int audit_damage_drop(int dir_fd, struct error *error)
{
    if (unlinkat(dir_fd, AUDIT_DAMAGE_FILE, 0) < 0 && errno != ENOENT)
        return error_errno(error, errno, "remove '%s' of the audit log", AUDIT_DAMAGE_FILE);
    return 0;
}
