/* The prefix as "joblet gc" sees it. With the lock in hand no service is there; without it, one is, and what came to be
 * since it wrote its pid file is its own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "broker/leftover.h"
#include "broker/world.h"
#include "network/network.h"

struct leftover_outside {
    struct leftover_place place;
    struct cgroup_host hosts[LEFTOVER_HOSTS_MAX];
    int lock_fd;
};

static int open_below(int dir_fd, const char *name)
{
    return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int find_service(struct leftover_outside *outside, const char *prefix, bool lock, struct error *error)
{
    struct leftover_place *place = &outside->place;
    struct stat status;
    if (place->run_fd < 0)
        return 0; /* no service since the host has started */
    int fd = world_take_lock(place->run_fd, prefix, error);
    if (fd >= 0 && lock)
        outside->lock_fd = fd;
    else if (fd >= 0)
        (void)fd_close(fd);
    else if (fd != -EBUSY)
        return fd;
    if (fd >= 0)
        return 0;
    /* It writes the file right after it took the lock: an older one makes us leave more, not less. */
    place->served_since_ns = 1;
    if (fstatat(place->run_fd, "joblet.pid", &status, AT_SYMLINK_NOFOLLOW) == 0)
        place->served_since_ns = (int64_t)status.st_ctim.tv_sec * 1000000000 + status.st_ctim.tv_nsec;
    return 0;
}

static void add_host(struct leftover_outside *outside, const struct run_groups *groups)
{
    struct leftover_place *place = &outside->place;
    struct cgroup_host host;
    leftover_read_host(groups, &host);
    for (unsigned i = 0; i < place->host_count; i++)
        if (cgroup_host_equal(&host, place->hosts[i]))
            return;
    if (place->host_count == LEFTOVER_HOSTS_MAX || cgroup_host_reopen(&host) < 0)
        return;
    outside->hosts[place->host_count] = host;
    place->hosts[place->host_count] = &outside->hosts[place->host_count];
    place->host_count++;
}

/* The groups that the last service noted, and those of jobs that earlier ones left. A build that lives has a place in
 * the network. */
static void read_notes(struct leftover_outside *outside)
{
    struct leftover_place *place = &outside->place;
    struct run_groups groups;
    struct run_note note;
    if (place->run_fd >= 0 && files_read_groups(place->run_fd, &groups) == 0)
        add_host(outside, &groups);
    int fd = open_below(place->jobs_fd, ".");
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        (void)fd_close(fd);
        return;
    }
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        uint8_t id[16];
        if (text_parse_uuid(entry->d_name, id) < 0 || files_read_run(place->jobs_fd, entry->d_name, &note) < 0)
            continue;
        add_host(outside, &note.groups);
        for (unsigned i = 0; place->network && i < place->host_count; i++) {
            _cleanup_close_ int pidfd = leftover_open_init(&note, place->boot_id, place->hosts[i]);
            if (pidfd >= 0 && note.network_port != NETWORK_PORT_NONE)
                (void)network_adopt(place->network, note.network_port); /* EBUSY: it is known already */
        }
    }
    (void)closedir(directory);
}

/* The network of a prefix that is served is that service's. */
static void open_network(struct leftover_place *place)
{
    struct error error = {0};
    const struct network_options options = {
            .prefix_fd = place->prefix_fd, .run_fd = place->run_fd, .cidr = place->config->build_cidr};
    if (place->served_since_ns != 0)
        return;
    if (network_open(&options, &place->network, &error) < 0)
        place->network = NULL; /* a host that cannot have it has nothing of it */
}

static int open_all(struct leftover_outside *outside, const char *prefix, const struct config *config, bool lock,
        struct error *error)
{
    struct leftover_place *place = &outside->place;
    struct error missing = {0};
    place->config = config;
    place->prefix_fd = open(prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->prefix_fd < 0)
        return error_errno(error, errno, "open '%s'", prefix);
    place->jobs_fd = open_below(place->prefix_fd, "state/jobs");
    if (place->jobs_fd < 0)
        return error_errno(error, errno, "open '%s/state/jobs' (run 'joblet setup')", prefix);
    place->store_fd = open_below(place->prefix_fd, "runtimes");
    place->run_fd = world_open_run(prefix, place->prefix_fd, lock, &missing);
    if (place->run_fd < 0 && place->run_fd != -ENOENT) {
        *error = missing;
        return place->run_fd;
    }
    world_name_groups(prefix, place->parent);
    int r = world_read_boot_id(place->boot_id, error);
    if (r == 0)
        r = find_service(outside, prefix, lock, error);
    if (r < 0)
        return r;
    open_network(place);
    read_notes(outside);
    return 0;
}

int leftover_outside_open(const char *prefix, const struct config *config, bool lock,
        struct leftover_outside **ret_outside, struct error *error)
{
    struct leftover_outside *outside = calloc(1, sizeof(*outside));
    if (!outside)
        return error_errno(error, ENOMEM, "look at the prefix");
    outside->lock_fd = -EBADF;
    outside->place.prefix_fd = outside->place.jobs_fd = outside->place.run_fd = outside->place.store_fd = -EBADF;
    int r = open_all(outside, prefix, config, lock, error);
    if (r < 0) {
        leftover_outside_close(outside);
        return r;
    }
    *ret_outside = outside;
    return 0;
}

struct leftover_place *leftover_outside_place(struct leftover_outside *outside)
{
    return &outside->place;
}

void leftover_outside_close(struct leftover_outside *outside)
{
    struct leftover_place *place = &outside->place;
    network_forget(place->network);
    for (unsigned i = 0; i < place->host_count; i++)
        cgroup_host_done(&outside->hosts[i]);
    (void)fd_close(place->store_fd);
    (void)fd_close(place->run_fd);
    (void)fd_close(place->jobs_fd);
    (void)fd_close(place->prefix_fd);
    (void)fd_close(outside->lock_fd);
    free(outside);
}
