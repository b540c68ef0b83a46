#include "scratch/disk_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/loop_device.h"
#include "kernel/mount.h"

#define SWEEP_THREADS 32U
#define SWEEP_MAX 4096U
#define END_PAUSE_NS 50000000L
#define END_QUIET_ROUNDS 5U
/* linux/ext4.h came later than the kernels that we support. */
#define EXT4_SHUTDOWN _IOR('X', 125, uint32_t)
#define EXT4_SHUTDOWN_NO_FLUSH 2U
#define ATTRIBUTES (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME)

int disk_place_open(int directory_fd, struct disk_place *ret_place, struct error *error)
{
    *ret_place = (struct disk_place){.directory_fd = directory_fd, .dev_fd = -EBADF, .control_fd = -EBADF};
    (void)pthread_mutex_init(&ret_place->lock, NULL);
    _cleanup_close_ int dev_fd = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int control_fd = dev_fd < 0 ? -EBADF : openat(dev_fd, "loop-control", O_RDWR | O_CLOEXEC);
    if (control_fd < 0)
        return error_errno(error, errno, "open /dev/loop-control");
    if (fchdir(dev_fd) < 0)
        return error_errno(error, errno, "change to /dev");
    ret_place->dev_fd = TAKE_FD(dev_fd);
    ret_place->control_fd = TAKE_FD(control_fd);
    return 0;
}

struct sweep {
    const struct disk_place *place;
    unsigned count;
    unsigned next;
    unsigned busy;
    unsigned numbers[SWEEP_MAX];
};

static void *sweep_some(void *user)
{
    struct sweep *sweep = user;
    for (;;) {
        unsigned at = __atomic_fetch_add(&sweep->next, 1, __ATOMIC_RELAXED);
        if (at >= sweep->count)
            return NULL;
        if (loop_device_remove(sweep->place->control_fd, sweep->numbers[at]) == -EBUSY)
            (void)__atomic_add_fetch(&sweep->busy, 1, __ATOMIC_RELAXED);
    }
}

/* Each takes the kernel tens of milliseconds in which it only waits. */
unsigned disk_place_sweep(const struct disk_place *place)
{
    struct sweep sweep = {.place = place};
    pthread_t threads[SWEEP_THREADS];
    unsigned made = 0;
    int count = loop_device_list(place->dev_fd, sweep.numbers, SWEEP_MAX);
    if (count <= 0)
        return 0;
    sweep.count = (unsigned)count;
    while (made < SWEEP_THREADS && made < sweep.count && pthread_create(&threads[made], NULL, sweep_some, &sweep) == 0)
        made++;
    (void)sweep_some(&sweep);
    while (made > 0)
        (void)pthread_join(threads[--made], NULL);
    return sweep.busy;
}

/* joblet lets go of its disks while we are ending, and the kernel unmounts them a moment later. What jobs use that go
 * on stays busy: after some rounds in which nothing has become free, that is all. */
static void sweep_at_the_end(const struct disk_place *place)
{
    const struct timespec pause = {.tv_nsec = END_PAUSE_NS};
    unsigned busy = disk_place_sweep(place);
    for (unsigned quiet = 0; busy > 0 && quiet < END_QUIET_ROUNDS; quiet++) {
        (void)nanosleep(&pause, NULL);
        unsigned now = disk_place_sweep(place);
        if (now < busy)
            quiet = 0;
        busy = now;
    }
}

void disk_place_close(struct disk_place *place)
{
    if (place->control_fd >= 0)
        sweep_at_the_end(place);
    place->dev_fd = fd_close(place->dev_fd);
    place->control_fd = fd_close(place->control_fd);
    (void)pthread_mutex_destroy(&place->lock);
}

static unsigned take_spare(struct disk_place *place)
{
    (void)pthread_mutex_lock(&place->lock);
    unsigned number = place->spare_count > 0 ? place->spares[--place->spare_count] : 0;
    (void)pthread_mutex_unlock(&place->lock);
    return number;
}

/* False: there are enough. */
static bool keep_spare(struct disk_place *place, unsigned number)
{
    (void)pthread_mutex_lock(&place->lock);
    bool is_kept = place->spare_count < DISK_SPARE_MAX;
    if (is_kept)
        place->spares[place->spare_count++] = number;
    (void)pthread_mutex_unlock(&place->lock);
    return is_kept;
}

int disk_new_image(const struct disk_place *place, uint64_t size, bool can_be_named, struct error *error)
{
    _cleanup_close_ int fd =
            openat(place->directory_fd, ".", O_TMPFILE | (can_be_named ? 0 : O_EXCL) | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(error, errno, "make a file without a name on the file system of the prefix");
    if (ftruncate(fd, (off_t)size) < 0)
        return error_errno(error, errno, "make a file of %llu bytes", (unsigned long long)size);
    return TAKE_FD(fd);
}

int disk_mount(struct disk_place *place, int image_fd, uint64_t attributes, struct disk *ret_disk, struct error *error)
{
    _cleanup_close_ int image = image_fd;
    char name[LOOP_DEVICE_NAME_MAX];
    unsigned number;
    struct stat status;
    _cleanup_close_ int device =
            loop_device_attach(place->dev_fd, place->control_fd, image, take_spare(place), &number);
    if (device < 0)
        return error_errno(error, -device, "attach a loop device");
    loop_device_name(number, name);
    const struct mount_option options[] = {{"source", name}, {"errors", "remount-ro"}, {"noinit_itable", NULL},
            {attributes & MOUNT_ATTR_RDONLY ? "ro" : NULL, NULL}, {NULL, NULL}};
    _cleanup_close_ int mount = mount_new("ext4", options, ATTRIBUTES | attributes);
    if (mount < 0)
        return error_errno(error, -mount, "mount ext4");
    if (fstat(image, &status) < 0)
        return error_errno(error, errno, "look at a disk's file");
    *ret_disk = (struct disk){
            .image_fd = TAKE_FD(image), .mount_fd = TAKE_FD(mount), .number = number, .blocks = status.st_blocks};
    return 0;
}

int disk_make(struct disk_place *place, const struct disk_template *model, struct disk *ret_disk, struct error *error)
{
    int fd = disk_new_image(place, model->image_bytes, model->can_be_named, error);
    if (fd < 0)
        return fd;
    for (unsigned i = 0; i < model->part_count; i++) {
        const struct template_part *part = &model->parts[i];
        int r = fd_pwrite_all(fd, part->bytes, part->size, (off_t)part->offset);
        if (r < 0) {
            (void)fd_close(fd);
            return error_errno(error, -r, "write a disk's file");
        }
    }
    return disk_mount(place, fd, 0, ret_disk, error);
}

int disk_open(struct disk_place *place, int image_fd, struct disk *ret_disk, struct error *error)
{
    return disk_mount(place, image_fd, MOUNT_ATTR_RDONLY, ret_disk, error);
}

int disk_clone(const struct disk *disk)
{
    return mount_clone(disk->mount_fd, DISK_DIRECTORY);
}

int disk_clone_whole(const struct disk *disk)
{
    return mount_clone(disk->mount_fd, "");
}

/* A file that had a name changed the directory. One that had none leaves only what was written of it, or that it is
 * still there. */
bool disk_is_untouched(const struct disk_template *model, const struct disk *disk)
{
    struct statx directory;
    struct statfs space;
    struct stat image;
    if (statx(disk->mount_fd, DISK_DIRECTORY, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &directory) < 0 ||
            fstatfs(disk->mount_fd, &space) < 0 || fstat(disk->image_fd, &image) < 0)
        return false;
    return directory.stx_ctime.tv_sec == model->changed_sec && directory.stx_ctime.tv_nsec == model->changed_nsec &&
           directory.stx_nlink == 2 && (uint64_t)space.f_bfree == model->free_blocks &&
           (uint64_t)space.f_ffree == model->free_inodes && image.st_blocks == disk->blocks;
}

uint64_t disk_used_bytes(const struct disk_template *model, const struct disk *disk)
{
    struct statfs space;
    if (fstatfs(disk->mount_fd, &space) < 0 || space.f_bfree > model->free_blocks)
        return UINT64_MAX;
    return (model->free_blocks - space.f_bfree) * (uint64_t)space.f_bsize;
}

void disk_shut(const struct disk *disk)
{
    uint32_t how = EXT4_SHUTDOWN_NO_FLUSH;
    _cleanup_close_ int fd = openat(disk->mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)ioctl(fd, EXT4_SHUTDOWN, &how);
}

void disk_close(struct disk_place *place, struct disk *disk)
{
    disk->mount_fd = fd_close(disk->mount_fd);
    disk->image_fd = fd_close(disk->image_fd);
    if (!keep_spare(place, disk->number))
        (void)loop_device_remove(place->control_fd, disk->number);
}
