/* What differs between the types of sandboxes: which disks and directories they are made of, and what comes of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "broker/build.h"
#include "broker/job_private.h"
#include "kernel/mount.h"
#include "kernel/userns.h"
#include "network/network.h"
#include "plan/plan.h"

#define TREE_ATTRIBUTES (MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

static void add_place(struct job *job, const char *path, dev_t device, ino_t inode)
{
    job->places[job->place_count++] = (struct outside_place){.path = path, .device = device, .inode = inode};
}

static int add_place_of(struct job *job, const char *path, int fd, struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_errno(error, errno, "look at what becomes '/%s'", path);
    add_place(job, path, status.st_dev, status.st_ino);
    return 0;
}

/* --- mounts --- */

/* The directory @fd as a mount of its own, with the job's ids for the owners on disk. */
static int clone_tree(const struct making *making, int fd, uint64_t attributes, const char *what, struct error *error)
{
    _cleanup_close_ int mount = mount_clone(fd, "");
    if (mount < 0)
        return error_errno(error, -mount, "clone %s", what);
    int r = mount_set_attributes(mount, TREE_ATTRIBUTES | attributes, making->slot.disk_fd);
    return r < 0 ? error_errno(error, -r, "map the owners of %s", what) : TAKE_FD(mount);
}

static int open_base(const struct job *job, struct error *error)
{
    const struct broker *broker = job->broker;
    struct stat status;
    _cleanup_close_ int fd = openat(broker->prefix_fd, "base", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR)
        return error_text(error, ENOTDIR, "the base root '%s/base' is not a directory", broker->prefix);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_errno(error, errno, "open the base root '%s/base' (run 'joblet setup')", broker->prefix);
    if (status.st_uid != broker->config->disk_id_start)
        return error_text(error, EPERM, "the base root belongs to id %u, not to diskIdStart %u", status.st_uid,
                broker->config->disk_id_start);
    return TAKE_FD(fd);
}

static int open_root(struct job *job, struct error *error)
{
    struct store_id id;
    if (job->runtime.name[0] == '\0')
        return open_base(job, error);
    int fd = store_open_root(&job->broker->store, &job->runtime, &id, error);
    if (fd >= 0) {
        job->note.runtime_device = id.device;
        job->note.runtime_inode = id.inode;
    }
    return fd;
}

static int make_root(struct job *job, struct making *making, struct error *error)
{
    _cleanup_close_ int fd = open_root(job, error);
    if (fd < 0)
        return fd;
    making->root_fd =
            clone_tree(making, fd, MOUNT_ATTR_RDONLY, job->runtime.name[0] ? "the runtime" : "the base root", error);
    return making->root_fd < 0 ? making->root_fd : add_place_of(job, ".", making->root_fd, error);
}

/* For a collect: what the runtime is put beside. */
static int make_base(struct job *job, struct making *making, struct error *error)
{
    _cleanup_close_ int fd = open_base(job, error);
    if (fd < 0)
        return fd;
    making->root_fd = clone_tree(making, fd, MOUNT_ATTR_RDONLY, "the base root", error);
    return making->root_fd < 0 ? making->root_fd : add_place_of(job, "base", making->root_fd, error);
}

/* The disk for /work as this job sees it: with its ids for the owners. */
static int make_work(struct job *job, struct making *making, struct error *error)
{
    struct stat status;
    if (!job->work.on_disk)
        return 0;
    making->work_fd = TAKE_FD(job->work.fd);
    int r = mount_set_attributes(making->work_fd, TREE_ATTRIBUTES, making->slot.disk_fd);
    if (r < 0)
        return error_errno(error, -r, "map the owners of the disk for /work");
    if (fstat(making->work_fd, &status) < 0)
        return error_errno(error, errno, "look at the disk for /work");
    job->disk_device = status.st_dev;
    add_place(job, "work", status.st_dev, status.st_ino);
    return 0;
}

static int take_build_disk(struct job *job, struct making *making, int *fd, uint64_t attributes, struct error *error)
{
    struct stat status;
    making->work_fd = TAKE_FD(*fd);
    if (making->work_fd < 0)
        return error_text(error, ENODEV, "the build's disk is gone");
    int r = mount_set_attributes(making->work_fd, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | attributes, -EBADF);
    if (r < 0)
        return error_errno(error, -r, "prepare the build's disk");
    if (fstat(making->work_fd, &status) < 0)
        return error_errno(error, errno, "look at the build's disk");
    job->disk_device = status.st_dev;
    return 0;
}

/* The disk of the base, if there is one, with the job's ids for those that it was made with. */
static int use_base(const struct job *job, struct making *making, int *fd, struct error *error)
{
    const struct build *build = job->build;
    if (build->base_use != CHANNEL_BASE_USE)
        return 0;
    const struct userns_map map = {
            .inside = build->base_id_base, .outside = making->slot.base, .count = PLAN_RANGE_SIZE};
    making->base_fd = TAKE_FD(*fd);
    if (making->base_fd < 0)
        return error_text(error, ENODEV, "the disk of the build's base is gone");
    _cleanup_close_ int owners = userns_new(&map, error);
    if (owners < 0)
        return owners;
    int r = mount_set_attributes(making->base_fd, TREE_ATTRIBUTES | MOUNT_ATTR_RDONLY, owners);
    return r < 0 ? error_errno(error, -r, "map the owners of the build's base") : 0;
}

/* Its root is a directory that joblet-init makes on it, or an overlay over the base's. */
static int make_build_disk(struct job *job, struct making *making, struct error *error)
{
    int r = take_build_disk(job, making, &job->build->disk.fd, 0, error);
    if (r == 0)
        r = use_base(job, making, &job->build->base_disk.fd, error);
    if (r == 0 && making->base_fd < 0)
        add_place(job, ".", job->disk_device, 0);
    return r;
}

static int make_collect_disk(struct job *job, struct making *making, struct error *error)
{
    int r = take_build_disk(job, making, &job->build->disk.again_fd, MOUNT_ATTR_RDONLY, error);
    return r == 0 ? use_base(job, making, &job->build->base_disk.again_fd, error) : r;
}

static int use_stage(struct job *job, struct making *making, int fd, uint64_t attributes, struct error *error)
{
    making->stage_fd = clone_tree(making, fd, attributes, "a directory of the store", error);
    return making->stage_fd < 0 ? making->stage_fd : add_place_of(job, "stage", making->stage_fd, error);
}

static int make_new_stage(struct job *job, struct making *making, struct error *error)
{
    struct store_id id;
    _cleanup_close_ int fd = build_make_stage(job->build, &id, error);
    return fd < 0 ? fd : use_stage(job, making, fd, 0, error);
}

static int make_verified(struct job *job, struct making *making, struct error *error)
{
    struct store_id id;
    _cleanup_close_ int fd = store_find(&job->broker->store, &job->runtime, &id, error);
    if (fd < 0)
        return fd;
    job->note.runtime_device = id.device;
    job->note.runtime_inode = id.inode;
    return use_stage(job, making, fd, MOUNT_ATTR_RDONLY, error);
}

static int make_swept(struct job *job, struct making *making, struct error *error)
{
    _cleanup_close_ int fd = store_open_owned(&job->broker->store, job->swept, error);
    return fd < 0 ? fd : use_stage(job, making, fd, 0, error);
}

static int use_cache(struct job *job, struct making *making, uint64_t attributes, struct error *error)
{
    if (!build_take_cache(job))
        return 0;
    making->cache_fd = clone_tree(making, job->broker->cache_fd, attributes, "the cache of downloads", error);
    return making->cache_fd < 0 ? making->cache_fd : 0;
}

static int make_cache(struct job *job, struct making *making, struct error *error)
{
    return use_cache(job, making, MOUNT_ATTR_RDONLY, error);
}

static int make_writable_cache(struct job *job, struct making *making, struct error *error)
{
    return use_cache(job, making, 0, error);
}

/* --- the network --- */

static int make_network(struct job *job, struct making *making, struct error *error)
{
    struct broker *broker = job->broker;
    if (!broker->network)
        return error_text(error, ENETDOWN, "builds have no network: %s", broker->network_error.text);
    int r = network_take(broker->network, &job->note.network_port, &making->network, &making->link_fd, error);
    if (r == 0)
        loop_disarm(broker->loop, &broker->network_timer);
    return r;
}

static void on_network_idle(struct loop_timer *timer)
{
    struct broker *broker = LOOP_OWNER(timer, struct broker, network_timer);
    struct error error = {0};
    if (network_idle(broker->network, &error) < 0)
        log_event(LOG_LEVEL_ERROR, "the network of builds cannot be removed", "error", error.text, NULL);
}

static void give_network(struct job *job)
{
    struct broker *broker = job->broker;
    if (job->note.network_port == NETWORK_PORT_NONE)
        return;
    if (network_give(broker->network, job->note.network_port))
        loop_arm(broker->loop, &broker->network_timer, NETWORK_IDLE_NS, on_network_idle);
    job->note.network_port = NETWORK_PORT_NONE;
}

/* --- the list of suspects --- */

/* The last step: what is done to the host's files until now is seen. Without a list joblet-init walks. */
static int make_list(struct job *job, struct making *making, struct error *error)
{
    struct host_watch_start start;
    (void)error;
    host_watch_begin(&job->broker->host_watch, &start);
    making->list_fd = start.list_fd;
    making->new_list_fd = start.new_list_fd;
    job->suspects_generation = start.generation;
    job->suspects_fd = fcntl(making->new_list_fd, F_DUPFD_CLOEXEC, 0);
    return 0;
}

/* --- one row a type --- */

typedef int (*make_function)(struct job *job, struct making *making, struct error *error);

static const make_function steps[][4] = {
        [PLAN_TYPE_STANDARD] = {make_root, make_work},
        [PLAN_TYPE_BUILD] = {make_build_disk, make_cache, make_network, make_list},
        [PLAN_TYPE_COLLECT] = {make_collect_disk, make_base, make_new_stage, make_writable_cache},
        [PLAN_TYPE_VERIFY] = {make_verified},
        [PLAN_TYPE_SWEEP] = {make_swept},
};

int job_type_make(struct job *job, struct making *making, struct error *error)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < ELEMENTS(steps[0]) && steps[job->note.type][i]; i++)
        r = steps[job->note.type][i](job, making, error);
    return r;
}

int job_type_take_disk(struct job *job, struct error *error)
{
    struct disks *disks = &job->broker->disks;
    switch (job->note.type) {
    case PLAN_TYPE_STANDARD:
        return disks_take(disks, &job->work, error);
    case PLAN_TYPE_BUILD:
        return build_take_disks(job->build, error);
    default:
        return 0;
    }
}

/* --- the plan --- */

static void copy_paths(const char *lines, char paths[PLAN_PATHS_MAX][PLAN_PATH_MAX])
{
    for (unsigned i = 0; i < PLAN_PATHS_MAX && *lines; i++) {
        size_t length = strcspn(lines, "\n");
        (void)snprintf(paths[i], PLAN_PATH_MAX, "%.*s", (int)length, lines);
        lines += length + (lines[length] == '\n');
    }
}

_Static_assert(CONFIG_PATHS_MAX == PLAN_PATHS_MAX, "as many paths are configured as fit the plan");
_Static_assert(CONFIG_PATH_MAX == PLAN_PATH_MAX, "as long paths are configured as fit the plan");

static void fill_build(const struct job *job, struct plan_build *build)
{
    const struct broker *broker = job->broker;
    const struct config *config = broker->config;
    memcpy(build->name, job->build->runtime.name, sizeof(build->name));
    memcpy(build->version, job->build->runtime.version, sizeof(build->version));
    memcpy(build->language, job->build->language, sizeof(build->language));
    copy_paths(config->build_hidden, build->hidden);
    copy_paths(config->build_shown, build->shown);
    for (unsigned i = 0; i < ELEMENTS(broker->absent); i++) {
        build->absent_device[i] = broker->absent[i].device;
        build->absent_inode[i] = broker->absent[i].inode;
    }
}

void job_type_fill_plan(const struct job *job, const struct making *making, struct plan *plan)
{
    uint32_t type = job->note.type;
    const struct disk_grant *disk = job->build ? &job->build->disk : &job->work;
    plan->command_id = type == PLAN_TYPE_STANDARD ? job->broker->config->command_id : 0;
    plan->has_cache = making->cache_fd >= 0;
    plan->has_base = making->base_fd >= 0;
    plan->has_list = making->list_fd >= 0;
    plan->wants_list = making->new_list_fd >= 0;
    plan->work_on_disk = making->work_fd >= 0;
    if (type == PLAN_TYPE_STANDARD || job->build) {
        plan->work_bytes = disk->bytes;
        plan->work_inodes = disk->inodes;
    } else { /* they have no use for one */
        plan->work_bytes = plan->tmp_bytes;
        plan->work_inodes = plan->tmp_inodes;
    }
    plan->network = making->network;
    if (job->build)
        fill_build(job, &plan->build);
}

/* --- the end --- */

static void on_verified(const struct job *job, bool well)
{
    char text[STORE_TEXT_MAX];
    const struct store_id id = {.device = job->note.runtime_device, .inode = job->note.runtime_inode};
    store_describe(&job->runtime, text);
    if (well)
        (void)store_set_verified(&job->broker->store, &id);
    trail_runtime(job->broker, well ? "runtime.verified" : "runtime.damaged", text, job->note.job_id);
    log_event(well ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, well ? "runtime verified" : "runtime not verified", "runtime",
            text, NULL);
}

void job_type_over(struct job *job, bool well)
{
    switch (job->note.type) {
    case PLAN_TYPE_BUILD:
        give_network(job);
        build_job_over(job, well);
        return;
    case PLAN_TYPE_COLLECT:
        build_job_over(job, well);
        return;
    case PLAN_TYPE_VERIFY:
        if (job->note.runtime_inode != 0)
            on_verified(job, well);
        return;
    case PLAN_TYPE_SWEEP:
        sweep_over(&job->broker->sweep, well);
        return;
    default:
        return;
    }
}

void job_type_lost(struct broker *broker, const struct job_order *order)
{
    if (order->type == PLAN_TYPE_SWEEP)
        sweep_over(&broker->sweep, /* well= */ false);
    else if (order->type == PLAN_TYPE_COLLECT)
        order->build->state = BUILD_ENDED;
}
