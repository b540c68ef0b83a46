#include "broker/host_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/context.h"
#include "kernel/fanotify.h"
#include "kernel/mount.h"
#include "plan/suspects.h"

#define KEPT_NS (15LL * 60 * 1000000000)
#define DRAIN_NS 1000000000ULL
/* When events are left: soon, and not at once, so that what clients want comes first. */
#define DRAIN_AGAIN_NS 50000000ULL
/* At the timer, and for a build: some 10 and 50 ms at the most. */
#define DRAIN_EVENTS 2048U
#define DRAIN_ALL_EVENTS 10000U
#define BUFFER_SIZE 65536U

/* --- the layers --- */

struct place {
    uint64_t device;
    uint64_t inode; /* 0: there is none */
    uint64_t mount_id;
};

static int find_place(int dir_fd, const char *path, int flags, struct place *ret_place)
{
    struct statx status;
    *ret_place = (struct place){0};
    if (statx(dir_fd, path, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO | STATX_MNT_ID,
                &status) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    if (!S_ISDIR(status.stx_mode))
        return 0;
    if (!(status.stx_mask & STATX_MNT_ID))
        return -EOPNOTSUPP;
    *ret_place = (struct place){.device = makedev(status.stx_dev_major, status.stx_dev_minor),
            .inode = status.stx_ino,
            .mount_id = status.stx_mnt_id};
    return 0;
}

static void name_layer(size_t number, char ret_path[64])
{
    (void)snprintf(ret_path, 64, "/%s", host_layers[number]);
}

static struct host_disk *find_disk(struct host_events *events, uint64_t device)
{
    for (unsigned i = 0; i < events->disk_count; i++)
        if (events->disks[i].device == device)
            return &events->disks[i];
    return NULL;
}

/* Is all as it was when the watch began? */
static bool is_unchanged(const struct host_watch *watch)
{
    for (size_t i = 0; i < host_layers_count; i++) {
        char path[64];
        struct place place;
        name_layer(i, path);
        if (host_layers_is_cache(host_layers[i]))
            continue;
        if (find_place(AT_FDCWD, path, 0, &place) < 0 || place.inode != watch->layer_inode[i] ||
                (place.inode != 0 && place.device != watch->layer_device[i]))
            return false;
        const struct host_disk *disk = place.inode == 0 ? NULL : find_disk(watch->events, place.device);
        if (place.inode != 0 && (!disk || disk->mount_id != place.mount_id))
            return false;
    }
    return true;
}

/* --- the list --- */

static void forget(struct host_watch *watch, const char *why)
{
    if (watch->list)
        log_event(LOG_LEVEL_INFO, "masks are to be found anew", "reason", why, NULL);
    free(TAKE_PTR(watch->list));
    watch->generation++;
    host_paths_clear(&watch->events->paths);
}

static void end(struct host_watch *watch, const char *why)
{
    if (!watch->events)
        return;
    forget(watch, why);
    loop_disarm(watch->broker->loop, &watch->timer);
    watch->group_fd = fd_close(watch->group_fd);
    for (unsigned i = 0; i < watch->events->disk_count; i++)
        (void)fd_close(watch->events->disks[i].pin_fd);
    free(watch->events);
    watch->events = NULL;
}

/* --- events --- */

static void close_mounts(struct host_events *events)
{
    for (unsigned i = 0; i < events->disk_count; i++)
        events->disks[i].mount_fd = fd_close(events->disks[i].mount_fd);
}

static int open_mounts(struct host_events *events)
{
    for (unsigned i = 0; i < events->disk_count; i++) {
        char path[64];
        struct place place;
        struct host_disk *disk = &events->disks[i];
        (void)snprintf(path, sizeof(path), "/%s", disk->layer);
        disk->mount_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (disk->mount_fd < 0 || find_place(disk->mount_fd, "", AT_EMPTY_PATH, &place) < 0 ||
                place.device != disk->device || place.mount_id != disk->mount_id)
            return -ESTALE;
    }
    return 0;
}

static int take(struct host_watch *watch, const char *buffer, size_t size, unsigned *taken, const char **ret_why)
{
    for (size_t at = 0; at < size;) {
        struct fanotify_event event;
        *ret_why = "an event of the host's file systems cannot be read";
        int r = fanotify_parse(buffer, size, at, &event, &at);
        if (r == 0)
            r = host_events_take(watch->events, &event, ret_why);
        if (r < 0)
            return r;
        ++*taken;
    }
    return 0;
}

/* At most about @max events. 0: no more are there; 1: there may be; -errno with @ret_why: the list is of no use. */
static int read_events(struct host_watch *watch, unsigned max, const char **ret_why)
{
    static char buffer[BUFFER_SIZE] __attribute__((aligned(8)));
    for (unsigned taken = 0; taken < max;) {
        *ret_why = "the host's file systems tell nothing any more";
        ssize_t size = read(watch->group_fd, buffer, sizeof(buffer));
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return size < 0 && errno == EAGAIN ? 0 : -EIO;
        int r = take(watch, buffer, (size_t)size, &taken, ret_why);
        if (r < 0)
            return r;
    }
    return 1;
}

static int drain(struct host_watch *watch, unsigned max, const char **ret_why)
{
    int r = open_mounts(watch->events);
    bool has_mounts = r == 0;
    if (has_mounts)
        r = read_events(watch, max, ret_why);
    close_mounts(watch->events);
    /* A watch of other directories would never be of use again. */
    if (!has_mounts || !is_unchanged(watch)) {
        *ret_why = "the host has other directories or mounts";
        end(watch, *ret_why);
        return -ESTALE;
    }
    if (r < 0)
        forget(watch, *ret_why);
    return r;
}

static void on_timer(struct loop_timer *timer)
{
    struct host_watch *watch = LOOP_OWNER(timer, struct host_watch, timer);
    const char *why;
    if (text_now_monotonic_ns() - watch->used_ns > KEPT_NS) {
        end(watch, "no build for some minutes");
        return;
    }
    int r = drain(watch, DRAIN_EVENTS, &why);
    if (watch->events)
        loop_arm(watch->broker->loop, &watch->timer, r == 0 ? DRAIN_NS : DRAIN_AGAIN_NS, on_timer);
}

/* --- the watch --- */

/* Of a kind that was tried, whose every change is one that this kernel makes: others are walked. */
static bool is_known(int fd)
{
    struct statfs space;
    return fstatfs(fd, &space) == 0 && space.f_type == EXT4_SUPER_MAGIC;
}

static int add_disk(struct host_watch *watch, int fd, const struct place *place, const char *layer)
{
    struct host_events *events = watch->events;
    if (events->disk_count == HOST_DISKS_MAX || !is_known(fd))
        return -EOPNOTSUPP;
    struct host_disk *disk = &events->disks[events->disk_count];
    *disk = (struct host_disk){
            .device = place->device, .mount_id = place->mount_id, .layer = layer, .pin_fd = -EBADF, .mount_fd = -EBADF};
    int r = fanotify_add(watch->group_fd, fd, disk->fsid);
    if (r < 0)
        return r;
    disk->pin_fd = mount_clone(fd, "");
    if (disk->pin_fd < 0)
        return disk->pin_fd;
    events->disk_count++;
    return 0;
}

/* Its path in the kernel's words is its path: no link or other root leads here. */
static bool has_own_path(int fd, const char *path)
{
    char link[32];
    char found[64];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, found, sizeof(found));
    return length == (ssize_t)strlen(path) && memcmp(found, path, (size_t)length) == 0;
}

static int add_layer(struct host_watch *watch, size_t number)
{
    char path[64];
    struct place place;
    name_layer(number, path);
    watch->layer_inode[number] = 0;
    if (host_layers_is_cache(host_layers[number]))
        return 0;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
    int r = find_place(fd, "", AT_EMPTY_PATH, &place);
    if (r < 0)
        return r;
    watch->layer_device[number] = place.device;
    watch->layer_inode[number] = place.inode;
    const struct host_disk *disk = find_disk(watch->events, place.device);
    if (!has_own_path(fd, path) || (disk && disk->mount_id != place.mount_id))
        return -EOPNOTSUPP;
    return disk ? 0 : add_disk(watch, fd, &place, host_layers[number]);
}

static int begin(struct host_watch *watch)
{
    watch->events = calloc(1, sizeof(*watch->events));
    if (!watch->events)
        return -ENOMEM;
    watch->group_fd = fanotify_new();
    int r = watch->group_fd < 0 ? watch->group_fd : 0;
    for (size_t i = 0; r == 0 && i < host_layers_count; i++)
        r = add_layer(watch, i);
    if (r < 0) {
        log_event(LOG_LEVEL_DEBUG, "the host's directories cannot be watched", "error", strerror(-r), NULL);
        end(watch, "");
        return r;
    }
    loop_arm(watch->broker->loop, &watch->timer, DRAIN_NS, on_timer);
    return 0;
}

/* With what happened since it was made; what happened since the watch began and before that does no harm. Sealed: a
 * build that got hold of it could not change it. A descriptor or -errno. */
static int complete_list(const struct host_watch *watch)
{
    const struct host_paths *paths = &watch->events->paths;
    if (paths->used > SUSPECTS_SIZE_MAX - watch->list_size)
        return -EFBIG;
    _cleanup_free_ char *whole = malloc(watch->list_size + paths->used);
    if (!whole)
        return -ENOMEM;
    memcpy(whole, watch->list, watch->list_size);
    memcpy(whole + watch->list_size, paths->text, paths->used);
    return fd_new_sealed("suspects", whole, watch->list_size + paths->used);
}

void host_watch_begin(struct host_watch *watch, struct host_watch_start *ret_start)
{
    const char *why;
    *ret_start = (struct host_watch_start){.list_fd = -EBADF, .new_list_fd = -EBADF};
    watch->used_ns = text_now_monotonic_ns();
    if (watch->events && drain(watch, DRAIN_ALL_EVENTS, &why) > 0)
        forget(watch, "more happens on the host's file systems than can be followed");
    if (!watch->events && begin(watch) < 0)
        return;
    ret_start->generation = watch->generation;
    ret_start->new_list_fd = memfd_create("suspects", MFD_CLOEXEC);
    if (!watch->list || ret_start->new_list_fd < 0)
        return;
    int fd = complete_list(watch);
    if (fd >= 0) {
        ret_start->list_fd = fd;
        return;
    }
    forget(watch, strerror(-fd));
    ret_start->generation = watch->generation;
}

/* A list of another host than the one that is watched would be none. */
static bool is_of_layers(const struct host_watch *watch, const struct suspects_head *head)
{
    for (size_t i = 0; i < HOST_LAYERS_MAX; i++)
        if (head->layer_inode[i] != 0 &&
                (head->layer_inode[i] != watch->layer_inode[i] || head->layer_device[i] != watch->layer_device[i]))
            return false;
    return true;
}

void host_watch_take(struct host_watch *watch, int new_list_fd, uint64_t generation, const char *job)
{
    struct suspects_head head;
    int r = new_list_fd < 0 ? -EBADF : suspects_read_head(new_list_fd, &head);
    log_event(LOG_LEVEL_INFO, "masks found", "job", job, "by",
            r < 0                          ? "walking, no list"
            : head.kind == SUSPECTS_LOOKED ? "looking at the list"
                                           : "walking",
            "looked_at", LOG_NUMBER(r < 0 ? 0 : head.looked_at), "of", LOG_NUMBER(r < 0 ? 0 : head.walked), NULL);
    if (r < 0 || !watch->events || generation != watch->generation)
        return;
    if (head.kind == SUSPECTS_NONE || (head.kind == SUSPECTS_WALKED && !is_of_layers(watch, &head)))
        forget(watch, "what the last build saw of the host does not make a list");
    if (head.kind != SUSPECTS_WALKED || generation != watch->generation)
        return;
    /* A copy: who still had the file could not change it. */
    _cleanup_free_ char *list = malloc(head.used);
    if (!list || pread(new_list_fd, list, head.used, 0) != (ssize_t)head.used)
        return;
    free(watch->list);
    watch->list = TAKE_PTR(list);
    watch->list_size = head.used;
}

void host_watch_done(struct host_watch *watch)
{
    end(watch, "the service ends");
}
