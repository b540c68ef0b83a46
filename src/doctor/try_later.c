/* What only builds need. A kernel module that is not loaded stays so: loading one is
 * a change of the host. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "doctor/row.h"
#include "kernel/mount.h"
#include "kernel/userns.h"

#define RANGE_SIZE 65536U
/* True when the file system is there without a module being loaded for it. */
static bool is_listed(const char *type)
{
    char wanted[64];
    _cleanup_free_ char *text = NULL;
    (void)snprintf(wanted, sizeof(wanted), "\t%s\n", type);
    return fd_read_file_at(AT_FDCWD, "/proc/filesystems", 65536, &text, NULL) == 0 && strstr(text, wanted);
}

/* An attached, idmapped clone of /usr at @target. 0 or -errno with @finding. */
static int attach_lower(const struct doctor *doctor, int target, struct finding *finding)
{
    struct error error = {0};
    const struct userns_map map = {0, doctor->range_start, RANGE_SIZE};
    _cleanup_close_ int userns = userns_new(&map, &error);
    if (userns < 0) {
        finding_fails(finding, "%s", error.text);
        return userns;
    }
    _cleanup_close_ int lower = mount_clone(AT_FDCWD, "/usr");
    int r = lower < 0 ? lower : mount_set_attributes(lower, MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY, userns);
    if (r == 0)
        r = mount_attach(lower, target); /* kernel 6.1 takes only an attached one (A7) */
    if (r < 0)
        finding_errno(finding, -r, "an idmapped clone of /usr");
    return r;
}

static int make_directories(int root)
{
    static const char *const names[] = {"lower", "upper", "work"};
    for (size_t i = 0; i < ELEMENTS(names); i++)
        if (mkdirat(root, names[i], 0755) < 0)
            return -errno;
    return fchdir(root) < 0 ? -errno : 0;
}

static void mount_overlay(const struct doctor *doctor, struct finding *finding)
{
    const struct mount_option options[] = {{"lowerdir", "lower"}, {"upperdir", "upper"}, {"workdir", "work"},
            {"index", "off"}, {"metacopy", "off"}, {"redirect_dir", "off"}, {NULL, NULL}};
    _cleanup_close_ int overlay = mount_new("overlay", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    struct stat status;
    if (overlay < 0)
        finding_errno(finding, -overlay, "overlay over an idmapped mount");
    else if (fstatat(overlay, "bin", &status, 0) < 0)
        finding_errno(finding, errno, "look into the overlay");
    else if (status.st_uid != doctor->range_start)
        finding_fails(finding, "in the overlay a file of root belongs to %u", status.st_uid);
    else if (mkdirat(overlay, "joblet-doctor", 0755) < 0)
        finding_errno(finding, errno, "write to the overlay");
    else
        finding_holds(finding, "of /usr, writable in its upper directory");
}

void try_overlay(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    if (!is_listed("overlay")) {
        finding_untested(finding, "the module 'overlay' is not loaded");
        return;
    }
    if (!trial_unshare_mounts(finding))
        return;
    _cleanup_close_ int scratch = mount_new("tmpfs", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    _cleanup_close_ int target = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = scratch < 0 ? scratch : target < 0 ? -errno : mount_attach(scratch, target);
    if (r == 0)
        r = make_directories(scratch);
    _cleanup_close_ int lower = r < 0 ? r : openat(scratch, "lower", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (lower < 0)
        finding_errno(finding, r < 0 ? -r : errno, "a place for the try");
    else if (attach_lower(doctor, lower, finding) == 0)
        mount_overlay(doctor, finding);
}

void try_loop(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    /* Nothing is asked of it: a number that is given out makes a device node. */
    _cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        finding_errno(finding, errno, "/dev/loop-control");
    else if (access("/sbin/mkfs.ext4", X_OK) < 0)
        finding_errno(finding, errno, "/sbin/mkfs.ext4");
    else
        finding_holds(finding, "the control device opens, mkfs.ext4 is there");
}
