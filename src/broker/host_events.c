#include "broker/host_events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "plan/plan.h"

#define PATH_SIZE_MAX 4096U
#define NAME_TRIES 5U

/* --- paths --- */

int host_paths_add(struct host_paths *paths, const char *path, const char *name)
{
    char text[PATH_SIZE_MAX];
    int length = snprintf(text, sizeof(text), "%s%s%s", path + 1, name ? "/" : "", name ? name : "");
    if (length < 0 || (size_t)length >= sizeof(text))
        return -ENAMETOOLONG;
    size_t size = (size_t)length + 1;
    size_t at = hash_add(HASH_BEGIN, text, size) % ELEMENTS(paths->slots);
    for (; paths->slots[at] != 0; at = (at + 1) % ELEMENTS(paths->slots))
        if (strcmp(paths->text + paths->slots[at] - 1, text) == 0)
            return 0;
    if (paths->count == HOST_PATHS_MAX || size > sizeof(paths->text) - paths->used)
        return -ENOSPC;
    memcpy(paths->text + paths->used, text, size);
    paths->slots[at] = (uint32_t)paths->used + 1;
    paths->used += size;
    paths->count++;
    return 0;
}

void host_paths_clear(struct host_paths *paths)
{
    paths->used = 0;
    paths->count = 0;
    memset(paths->slots, 0, sizeof(paths->slots));
}

bool host_path_is_in_layers(const char *path)
{
    for (size_t i = 0; i < host_layers_count; i++) {
        size_t length = strlen(host_layers[i]);
        if (path[0] == '/' && strncmp(path + 1, host_layers[i], length) == 0 &&
                (path[length + 1] == '\0' || path[length + 1] == '/'))
            return true;
    }
    return false;
}

/* --- directories --- */

static struct host_passed *passed_slot(struct host_events *events, const struct fanotify_handle *handle)
{
    uint64_t sum = hash_add(HASH_BEGIN, handle->fsid, sizeof(handle->fsid));
    return &events->passed[hash_add(sum, handle->bytes, handle->size) % HOST_PASSED_MAX];
}

static bool is_passed(struct host_events *events, const struct fanotify_handle *handle)
{
    const struct host_passed *slot = passed_slot(events, handle);
    return slot->size == handle->size && slot->fsid[0] == handle->fsid[0] && slot->fsid[1] == handle->fsid[1] &&
           memcmp(slot->bytes, handle->bytes, handle->size) == 0;
}

static void pass(struct host_events *events, const struct fanotify_handle *handle)
{
    struct host_passed *slot = passed_slot(events, handle);
    if (handle->size > sizeof(slot->bytes))
        return;
    memcpy(slot->fsid, handle->fsid, sizeof(slot->fsid));
    memcpy(slot->bytes, handle->bytes, handle->size);
    slot->size = (uint32_t)handle->size;
}

static int read_path(int fd, char ret_path[PATH_SIZE_MAX])
{
    char link[32];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, ret_path, PATH_SIZE_MAX);
    if (length < 0 || length == (ssize_t)PATH_SIZE_MAX)
        return length < 0 ? -errno : -ENAMETOOLONG;
    ret_path[length] = '\0';
    return 0;
}

/* 1: the directory is in a layer, @ret_path is its path; 0: it is not, or it is gone; -errno. */
static int find_directory(struct host_events *events, const struct host_disk *disk,
        const struct fanotify_handle *handle, char ret_path[PATH_SIZE_MAX])
{
    if (is_passed(events, handle))
        return 0;
    _cleanup_close_ int fd = fanotify_open(disk->mount_fd, handle);
    if (fd < 0)
        return fd == -ESTALE ? 0 : fd;
    int r = read_path(fd, ret_path);
    if (r < 0)
        return r;
    if (host_path_is_in_layers(ret_path))
        return 1;
    pass(events, handle);
    return 0;
}

/* --- files --- */

static bool is_same(const struct stat *left, const struct stat *right)
{
    return left->st_ino == right->st_ino && left->st_dev == right->st_dev;
}

/* No rule for files masks it or refuses it, but for a rule that names it. */
static bool is_plain(const struct stat *status)
{
    return (S_ISLNK(status->st_mode) || (S_ISREG(status->st_mode) && (status->st_mode & S_IROTH))) &&
           status->st_uid < PLAN_RANGE_SIZE && status->st_gid < PLAN_RANGE_SIZE;
}

static bool leads_to(const struct host_disk *disk, const struct fanotify_event *event, const struct stat *status)
{
    struct stat found;
    _cleanup_close_ int fd = event->name ? fanotify_open(disk->mount_fd, &event->parent) : -EBADF;
    return fd >= 0 && fstatat(fd, event->name, &found, AT_SYMLINK_NOFOLLOW) == 0 && is_same(&found, status);
}

/* By the name under which the kernel has it, which is its only one; it may be renamed or removed meanwhile. */
static int add_own_name(struct host_events *events, int fd, const struct stat *status)
{
    char path[PATH_SIZE_MAX];
    for (unsigned i = 0; i < NAME_TRIES; i++) {
        struct stat now;
        struct stat found;
        int r = read_path(fd, path);
        if (r < 0)
            return r;
        if (lstat(path, &found) == 0 && is_same(&found, status))
            return host_path_is_in_layers(path) ? host_paths_add(&events->paths, path, NULL) : 0;
        if (fstat(fd, &now) == 0 && now.st_nlink == 0)
            return 0;
    }
    return -ENOENT;
}

static int take_file(struct host_events *events, const struct host_disk *disk, const struct fanotify_event *event,
        const char **ret_why)
{
    char path[PATH_SIZE_MAX];
    struct stat status;
    if (!event->object.bytes)
        return -EBADMSG;
    _cleanup_close_ int fd = fanotify_open(disk->mount_fd, &event->object);
    if (fd < 0)
        return fd == -ESTALE ? 0 : fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    bool plain = is_plain(&status);
    if (status.st_nlink == 0 || (plain && status.st_nlink == 1))
        return 0;
    int r = event->name ? find_directory(events, disk, &event->parent, path) : 0;
    if (r > 0)
        r = host_paths_add(&events->paths, path, event->name);
    if (r < 0 || plain)
        return r;
    if (status.st_nlink > 1) {
        *ret_why = "a file with several names may not be read by others";
        return -EMLINK;
    }
    if (leads_to(disk, event, &status))
        return 0;
    *ret_why = "the name of a file that others may not read cannot be found";
    return add_own_name(events, fd, &status);
}

static int take_directory(struct host_events *events, const struct host_disk *disk, const struct fanotify_event *event)
{
    char path[PATH_SIZE_MAX];
    if (!event->name)
        return -EBADMSG;
    int r = find_directory(events, disk, &event->parent, path);
    return r <= 0 ? r : host_paths_add(&events->paths, path, strcmp(event->name, ".") == 0 ? NULL : event->name);
}

int host_events_take(struct host_events *events, const struct fanotify_event *event, const char **ret_why)
{
    *ret_why = "an event of the host's file systems cannot be followed";
    if (event->is_overflow) {
        *ret_why = "too much happened on the host's file systems";
        return -EOVERFLOW;
    }
    /* What was in it may be in a layer now. */
    if (event->is_directory && event->is_moved)
        memset(events->passed, 0, sizeof(events->passed));
    const uint32_t *fsid = event->parent.bytes ? event->parent.fsid : event->object.fsid;
    const struct host_disk *disk = events->disks;
    const struct host_disk *end = disk + events->disk_count;
    while (disk < end && memcmp(disk->fsid, fsid, sizeof(disk->fsid)) != 0)
        disk++;
    if (disk == end)
        return -ENODEV;
    int r = event->is_directory ? take_directory(events, disk, event) : take_file(events, disk, event, ret_why);
    if (r == -ENOSPC)
        *ret_why = "too many of the host's files have changed";
    return r;
}
