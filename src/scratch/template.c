/* The template: made by mke2fs once at the start, kept in memory as the few hundred kilobytes that are not zero. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/capability.h"
#include "scratch/disk_private.h"

#define BLOCK_SIZE 4096U
#define GRANULE 4096U
/* The first guess at what mke2fs needs for itself, beside the inodes' 256 bytes each. */
#define OVERHEAD_BYTES (64U * 4096U)
#define SIZE_TRIES 6U
#define PARTS_MAX 65536U
#define TEMPLATE_BYTES_MAX (256ULL << 20)

static const char *const programs[] = {"/usr/sbin/mke2fs", "/sbin/mke2fs"};

/* No journal: nothing of a disk is wanted after a crash. Features are named one by one, so that the host's mke2fs.conf
 * does not choose. */
static char features[] =
        "none,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,large_file,metadata_csum,sparse_super";
static char extended[] = "lazy_itable_init=1,nodiscard,root_owner=0:0";

__attribute__((noreturn)) static void run_mke2fs(int image_fd, uint64_t size, uint64_t inodes)
{
    char path[32];
    char blocks[24];
    char count[24];
    char number[] = "4096";
    char inode_size[] = "256";
    char none[] = "0";
    char name[] = "mke2fs";
    char options[7][4] = {"-q", "-F", "-b", "-I", "-N", "-m", "-T"};
    char usage[] = "default";
    char feature_option[] = "-O";
    char extended_option[] = "-E";
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", STDIN_FILENO);
    (void)snprintf(blocks, sizeof(blocks), "%llu", (unsigned long long)(size / BLOCK_SIZE));
    (void)snprintf(count, sizeof(count), "%llu", (unsigned long long)inodes);
    char *const arguments[] = {name, options[0], options[1], options[2], number, options[3], inode_size, options[4],
            count, options[5], none, options[6], usage, feature_option, features, extended_option, extended, path,
            blocks, NULL};
    char configuration[] = "MKE2FS_CONFIG=/dev/null";
    char *const environment[] = {configuration, NULL};
    if (dup2(image_fd, STDIN_FILENO) < 0 || capability_drop_bounding() < 0 || capability_clear() < 0 ||
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        _exit(126);
    for (size_t i = 0; i < ELEMENTS(programs); i++)
        (void)execve(programs[i], arguments, environment);
    _exit(127);
}

static int format(int image_fd, uint64_t size, uint64_t inodes, struct error *error)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        run_mke2fs(image_fd, size, inodes);
    if (pid < 0)
        return error_errno(error, errno, "start mke2fs");
    if (waitpid(pid, &status, 0) != pid)
        return error_errno(error, errno, "wait for mke2fs");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return error_text(error, ENOENT, "there is no mke2fs (package e2fsprogs)");
    if (status != 0)
        return error_text(error, EIO, "mke2fs fails for %llu bytes with %llu inodes: status %d",
                (unsigned long long)size, (unsigned long long)inodes, status);
    return 0;
}

static int read_part(int fd, uint64_t offset, struct disk_template *model, struct error *error)
{
    static const uint8_t zero[GRANULE];
    uint8_t bytes[GRANULE];
    ssize_t got = pread(fd, bytes, sizeof(bytes), (off_t)offset);
    if (got <= 0)
        return error_errno(error, got < 0 ? errno : EIO, "read the template of a disk");
    if (memcmp(bytes, zero, (size_t)got) == 0)
        return 0;
    struct template_part *last = model->part_count ? &model->parts[model->part_count - 1] : NULL;
    if (!last || last->offset + last->size != offset) {
        if (model->part_count % 64 == 0) {
            void *grown = model->part_count < PARTS_MAX
                                  ? realloc(model->parts, (model->part_count + 64) * sizeof(*model->parts))
                                  : NULL;
            if (!grown)
                return error_text(error, ENOMEM, "no memory for the template of a disk");
            model->parts = grown;
        }
        last = &model->parts[model->part_count++];
        *last = (struct template_part){.offset = offset};
    }
    uint8_t *grown = realloc(last->bytes, last->size + (size_t)got);
    if (!grown)
        return error_text(error, ENOMEM, "no memory for the template of a disk");
    memcpy(grown + last->size, bytes, (size_t)got);
    last->bytes = grown;
    last->size += (size_t)got;
    return 0;
}

/* Takes everything that is not zero into memory. */
static int load(int fd, struct disk_template *model, struct error *error)
{
    uint64_t total = 0;
    off_t at = 0;
    while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(fd, at, SEEK_HOLE);
        for (at -= at % (off_t)GRANULE; at < end; at += GRANULE) {
            int r = read_part(fd, (uint64_t)at, model, error);
            if (r < 0)
                return r;
            total += GRANULE;
            if (total > TEMPLATE_BYTES_MAX)
                return error_text(error, EFBIG, "a disk of this size has too much of a beginning");
        }
    }
    return errno == ENXIO ? 0 : error_errno(error, errno, "read the template of a disk");
}

void template_done(struct disk_template *model)
{
    for (unsigned i = 0; i < model->part_count; i++)
        free(model->parts[i].bytes);
    free(model->parts);
    *model = (struct disk_template){0};
}

static int add_directory(const struct disk *disk, uint32_t owner, struct disk_template *model)
{
    struct statx status;
    if (mkdirat(disk->mount_fd, DISK_DIRECTORY, 0755) < 0 ||
            fchownat(disk->mount_fd, DISK_DIRECTORY, owner, owner, AT_SYMLINK_NOFOLLOW) < 0 ||
            statx(disk->mount_fd, DISK_DIRECTORY, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status) < 0)
        return -errno;
    model->changed_sec = status.stx_ctime.tv_sec;
    model->changed_nsec = status.stx_ctime.tv_nsec;
    return 0;
}

/* The file system as mke2fs left it: puts our directory in place of lost+found. */
static int furnish(const struct disk *disk, uint32_t owner, struct disk_template *model, struct error *error)
{
    struct statfs space;
    int r = unlinkat(disk->mount_fd, "lost+found", AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
    if (r == 0 && owner != DISK_NO_OWNER)
        r = add_directory(disk, owner, model);
    if (r == 0 && fstatfs(disk->mount_fd, &space) < 0)
        r = -errno;
    if (r < 0)
        return error_errno(error, -r, "put a directory into the template of a disk");
    model->bytes = (uint64_t)space.f_blocks * (uint64_t)space.f_bsize;
    model->usable_bytes = (uint64_t)space.f_bavail * (uint64_t)space.f_bsize;
    model->inodes = (uint64_t)space.f_files;
    model->free_blocks = (uint64_t)space.f_bfree;
    model->free_inodes = (uint64_t)space.f_ffree;
    return 0;
}

/* A change that comes after the template is told by its time: so the clock has to go on first. */
static void pass_tick(const struct disk_template *model)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct timespec now;
    for (unsigned i = 0; i < 100; i++) {
        (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
        if (now.tv_sec > model->changed_sec ||
                (now.tv_sec == model->changed_sec && now.tv_nsec > (long)model->changed_nsec))
            return;
        (void)nanosleep(&pause, NULL);
    }
}

/* Formats an image of @size and fills in what it holds. */
static int try_size(struct disk_place *place, uint64_t size, uint64_t inodes, uint32_t owner,
        struct disk_template *model, struct error *error)
{
    struct disk disk;
    _cleanup_close_ int fd = disk_new_image(place, size, /* can_be_named= */ false, error);
    int r = fd < 0 ? fd : format(fd, size, inodes, error);
    if (r < 0)
        return r;
    int image_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (image_fd < 0)
        return error_errno(error, errno, "keep the template of a disk");
    r = disk_mount(place, image_fd, 0, &disk, error);
    if (r < 0)
        return r;
    r = furnish(&disk, owner, model, error);
    model->image_bytes = size;
    model->can_be_named = owner == DISK_NO_OWNER;
    disk_close(place, &disk); /* writes it all to the file */
    return r == 0 ? load(fd, model, error) : r;
}

int template_make(struct disk_place *place, uint64_t bytes, uint64_t inodes, uint32_t owner,
        struct disk_template *ret_model, struct error *error)
{
    uint64_t size = bytes + inodes * 256 + OVERHEAD_BYTES;
    size -= size % BLOCK_SIZE;
    *ret_model = (struct disk_template){0};
    for (unsigned i = 0; i < SIZE_TRIES; i++) {
        int r = try_size(place, size, inodes, owner, ret_model, error);
        if (r < 0 || ret_model->usable_bytes == bytes || i + 1 == SIZE_TRIES) {
            if (r < 0)
                template_done(ret_model);
            else
                pass_tick(ret_model);
            return r;
        }
        size = size + bytes - ret_model->usable_bytes;
        template_done(ret_model);
    }
    return -EINVAL; /* not reached */
}
