/* What an event on a file system of the host says to the list of suspects (plan/suspects.h): which path is to be looked
 * at. What is asked is not how things were when it happened but how they are now: what changes after that is another
 * event. So a file that is plain now needs no look, and a directory is where it is now.
 *
 * A file can have a name in a layer that the event does not tell, a hard link. One that may not be masked by any of its
 * names, because it is plain, is passed by; of any other all names must be known, or the list is of no use. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/fanotify.h"
#include "plan/host_layers.h"

/* Beyond that a walk is as good. */
#define HOST_PATHS_MAX 4096U
#define HOST_PATHS_SIZE (512U << 10)
#define HOST_DISKS_MAX 4U

/* Each path once, in the form of the list. */
struct host_paths {
    char text[HOST_PATHS_SIZE];
    size_t used;
    unsigned count;
    uint32_t slots[2 * HOST_PATHS_MAX]; /* 1 + where a path begins; 0: free */
};

/* A file system that layers lie on. */
struct host_disk {
    dev_t device;
    uint64_t mount_id; /* the one mount of it that all of them are in */
    uint32_t fsid[2];
    const char *layer; /* one of them */
    int pin_fd;        /* keeps it, and the mark with it, also when it is unmounted and mounted again */
    int mount_fd;      /* only while events are taken: it keeps nobody from unmounting */
};

/* Directories that are not in a layer, so that most events cost one look at a table. */
#define HOST_PASSED_MAX 1024U
#define HOST_HANDLE_MAX 40U
struct host_passed {
    uint32_t fsid[2];
    uint32_t size; /* 0: free */
    char bytes[HOST_HANDLE_MAX];
};

struct host_events {
    struct host_disk disks[HOST_DISKS_MAX];
    unsigned disk_count;
    struct host_paths paths;
    struct host_passed passed[HOST_PASSED_MAX];
};

/* Adds what @event says to the paths. 0; -errno: the list is of no use any more, as @ret_why (static) says. */
int host_events_take(struct host_events *events, const struct fanotify_event *event, const char **ret_why);

/* Adds the path "/usr/lib" and, when it is not NULL, the name in it. 0; -ENOSPC; -ENAMETOOLONG. */
int host_paths_add(struct host_paths *paths, const char *path, const char *name);
void host_paths_clear(struct host_paths *paths);
/* True for the path of a directory of the host that is a layer, or in one. */
bool host_path_is_in_layers(const char *path);
