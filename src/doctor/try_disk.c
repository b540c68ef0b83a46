/* Where /work of a job lies: one disk is made as joblet-scratch makes them, and dropped. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "doctor/row.h"
#include "scratch/disk.h"

#define WORK_BYTES_DEFAULT (256ULL << 20)
#define INODES 1024U

/* A kernel module that is not loaded stays so. */
static bool is_loaded(void)
{
    _cleanup_free_ char *types = NULL;
    return access("/sys/module/loop", F_OK) == 0 &&
           fd_read_file_at(AT_FDCWD, "/proc/filesystems", 65536, &types, NULL) == 0 && strstr(types, "\text4\n");
}

static int make_disk(int directory_fd, uint64_t bytes, uint32_t owner, struct error *error)
{
    struct disk_place place;
    struct disk_template model;
    struct disk disk;
    int r = disk_place_open(directory_fd, &place, error);
    if (r < 0)
        return r;
    r = template_make(&place, bytes, INODES, owner, &model, error);
    if (r == 0) {
        r = disk_make(&place, &model, &disk, error);
        if (r == 0)
            disk_close(&place, &disk);
        template_done(&model);
    }
    disk_place_close(&place);
    return r;
}

void try_disk(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    struct error error = {0};
    struct statvfs space;
    uint64_t bytes = doctor->config ? doctor->config->work_bytes : WORK_BYTES_DEFAULT;
    _cleanup_close_ int fd = open(doctor->prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstatvfs(fd, &space) < 0) {
        finding_untested(finding, "there is no prefix");
        return;
    }
    if (!is_loaded()) {
        finding_untested(finding, "the modules 'loop' and 'ext4' are not loaded; the service will try");
        return;
    }
    if (!trial_unshare_mounts(finding))
        return;
    uint64_t free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    if (make_disk(fd, bytes, doctor->disk_start, &error) < 0)
        finding_fails(finding, "%s", error.text);
    else if (free_bytes < bytes)
        finding_fails(finding, "%llu MiB are wanted for a job and %llu are free: no job is started",
                (unsigned long long)bytes >> 20, (unsigned long long)free_bytes >> 20);
    else
        finding_holds(finding, "ext4 of %llu MiB over a loop device", (unsigned long long)bytes >> 20);
}
