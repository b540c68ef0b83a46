/* Leftovers outside of the prefix: loop devices, and the network of builds. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "broker/leftover_private.h"
#include "kernel/loop_device.h"
#include "network/network.h"

/* PREFIX/run/network: network/network.h. */
#define NETWORK_NOTE "network"
#define DEVICES_MAX 4096U
#define TRIES 100U
#define PAUSE_NS 20000000L

/* --- loop devices --- */

/* True when a service of this host, of whatever prefix, keeps devices for later: each that lives has a name in the
 * host's network namespace (network/life.h). */
static bool may_be_stock(const struct leftover_place *place)
{
    if (place->served_since_ns != 0)
        return true;
    return network_has_others(place->network);
}

int leftover_find_devices(struct leftover_place *place, struct leftover_list *list, struct error *error)
{
    unsigned numbers[DEVICES_MAX];
    _cleanup_close_ int dev_fd = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int count = dev_fd < 0 ? -errno : loop_device_list(dev_fd, numbers, DEVICES_MAX);
    if (count < 0)
        return error_errno(error, -count, "list the loop devices");
    if (count == 0 || may_be_stock(place))
        return 0;
    for (int i = 0; i < count; i++) {
        char name[LOOP_DEVICE_NAME_MAX];
        char path[64];
        struct stat status;
        loop_device_name(numbers[i], name);
        (void)snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
        if (access(path, F_OK) == 0 || fstatat(dev_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* it holds a file: a job's disk, or a service's */
        struct leftover *item = leftover_add(list, LEFTOVER_DEVICE, "/dev/%s", name);
        if (!item)
            break;
        item->host = numbers[i];
        item->since_unix = status.st_ctim.tv_sec;
        item->why = "it is of our numbers, holds no file, and no service lives that could keep it";
        if (!S_ISBLK(status.st_mode)) {
            item->verdict = LEFTOVER_NOT_OURS;
            item->stays = "no block device";
        }
    }
    return 0;
}

int leftover_remove_device(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    if (place->is_start)
        return 0; /* joblet-scratch does, many at a time */
    _cleanup_close_ int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int r = fd < 0 ? -errno : loop_device_remove(fd, item->host);
    /* A joblet-scratch whose joblet was killed may be removing it, too. */
    for (unsigned i = 0; r == -EBUSY && i < TRIES; i++) {
        const struct timespec pause = {.tv_nsec = PAUSE_NS};
        (void)nanosleep(&pause, NULL);
        r = loop_device_remove(fd, item->host);
    }
    return r < 0 && r != -ENODEV ? error_errno(error, -r, "remove the device") : 0;
}

/* --- the network of builds --- */

struct networking {
    struct leftover_list *list;
    int64_t since_unix; /* of this prefix's network */
};

static void add_network(const struct network_leftover *found, void *user)
{
    const struct networking *networking = user;
    static const enum leftover_kind kinds[] = {[NETWORK_THING_BRIDGE] = LEFTOVER_BRIDGE,
            [NETWORK_THING_TABLE] = LEFTOVER_TABLE,
            [NETWORK_THING_FORWARDING] = LEFTOVER_FORWARDING};
    struct leftover *item = leftover_add(networking->list, kinds[found->thing], "%s", found->name);
    if (!item)
        return;
    (void)snprintf(item->owner, sizeof(item->owner), "%s", found->identity);
    item->since_unix = found->is_own ? networking->since_unix : 0;
    item->why = found->is_own ? "no build of this service runs" : "the service that it names is dead";
    item->stays = found->stays;
    if (found->stays) {
        item->verdict = LEFTOVER_NOT_OURS;
        item->why = "its name is as one of ours";
    }
}

int leftover_find_network(struct leftover_place *place, struct leftover_list *list, struct error *error)
{
    /* The kernel keeps no time for any of these. The note is written right before they are made. */
    struct networking networking = {.list = list};
    struct stat status;
    if (!place->network)
        return 0;
    if (fstatat(place->run_fd, NETWORK_NOTE, &status, AT_SYMLINK_NOFOLLOW) == 0)
        networking.since_unix = status.st_mtim.tv_sec;
    return network_find_leftovers(place->network, add_network, &networking, error);
}

/* All that belongs to a network goes at once, in its order. */
int leftover_remove_network(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    (void)item;
    if (!place->is_network_done) {
        place->is_network_done = true;
        place->network_result = network_reconcile(place->network, &place->network_error);
    }
    if (place->network_result < 0 && error)
        *error = place->network_error;
    return place->network_result;
}
