/* What a crash of ours can leave on the host: one table of kinds (leftover.c), each with how it is found, what proves
 * that it is ours, and who removes it. joblet's start and "joblet gc" both go through it.
 *
 * A name alone proves nothing. Each kind has a second mark: the owner and kind of a file and that nobody has it open, a
 * note with boot, pid and start time, the place of a group below the parent of our prefix, the alias of a link, the
 * comment of a table, the owner of a tree. What has the name and not the mark is told as such and left.
 *
 * What belongs to a job or to the service's stock is no leftover and is not told: a job has a note, and whatever came
 * to be since the service that serves the prefix has started is its own to remove. Trees that a build wrote are walked
 * by no root: they wait for a sandbox of the service. User namespaces and disks of jobs have no names and go with the
 * last descriptor of them; there is no such kind. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "broker/files.h"
#include "config/config.h"
#include "kernel/cgroup.h"

struct network;
struct leftover_list;
struct leftover_place;

enum leftover_kind {
    LEFTOVER_JOB,       /* a start that was cut short: no note, no record */
    LEFTOVER_ENDED_JOB, /* it ended while no service was there */
    LEFTOVER_JOB_FILES, /* a job's directory in the making or going */
    LEFTOVER_NOTE,      /* a torn or half-written note of a job */
    LEFTOVER_GROUP,     /* control groups of no job */
    LEFTOVER_PARENT,    /* the parent of an earlier service's groups */
    LEFTOVER_TREE,      /* of the store of runtimes: in the making, or to be swept */
    LEFTOVER_NAME,      /* of the store of runtimes: a name without a version */
    LEFTOVER_BASE,      /* a base root in the making, or an old one */
    LEFTOVER_HALF_FILE, /* a file that was never given its name */
    LEFTOVER_RUN_FILE,  /* the pid of a service that is dead */
    LEFTOVER_DEVICE,    /* a loop device of our numbers without a file */
    LEFTOVER_BRIDGE,    /* the network of builds */
    LEFTOVER_TABLE,
    LEFTOVER_FORWARDING,
    LEFTOVER_KIND_COUNT,
};
/* "job", "control group" and so on, for people. */
const char *leftover_kind_name(enum leftover_kind kind);

enum leftover_verdict {
    LEFTOVER_GOES,     /* ours, and nothing uses it */
    LEFTOVER_WAITS,    /* ours; @stays says for what */
    LEFTOVER_NOT_OURS, /* it looks like ours; @stays says what is missing. It is left */
};

struct leftover {
    enum leftover_kind kind;
    enum leftover_verdict verdict;
    char name[320];
    char owner[128];    /* the job, build or service that left it; "" = not ours */
    int64_t since_unix; /* when it was last changed; 0 = not known */
    const char *why;    /* why it is a leftover */
    const char *stays;  /* why it is left, or NULL */
    bool is_removed;
    struct error failure; /* code 0: none */
    char at[128];         /* the finder's: what the remover needs beside the name */
    unsigned host;        /* the same */
};

struct leftover_list {
    struct leftover *items;
    unsigned count;
    bool is_cut; /* there are more than LEFTOVERS_MAX */
};
#define LEFTOVERS_MAX 65536U

#define LEFTOVER_HOSTS_MAX 8U

/* Where to look. Everything is borrowed from whoever made it; -EBADF for what is not there. */
struct leftover_place {
    const struct config *config;
    int prefix_fd;
    int run_fd;
    int jobs_fd;
    int store_fd;
    uint8_t boot_id[16];
    char parent[CGROUP_NAME_MAX];       /* what our groups' parent is called */
    const struct cgroup_host *own_host; /* the groups of the calling service, or NULL */
    const struct cgroup_host *hosts[LEFTOVER_HOSTS_MAX];
    unsigned host_count;
    struct network *network; /* NULL: it is not looked at */
    bool is_start;           /* the caller is the service: what it has adopted is no leftover */
    int64_t served_since_ns; /* another process serves the prefix, since then; 0: none does, and we hold the lock */
    /* The start alone: queues a tree for the sandbox that empties it. */
    void (*sweep)(void *user, const char *name);
    void *user;
    bool is_network_done; /* network_reconcile was called, with this result */
    int network_result;
    struct error network_error;
};

/* Adds what is there. Kinds whose finder fails are passed over; the first failure is returned: 0 or -errno with
 * @error. The list is to be ended in any case. */
int leftovers_find(struct leftover_place *place, struct leftover_list *list, struct error *error);
/* Loop devices alone, which the start looks for before its joblet-scratch takes them; else part of leftovers_find. */
int leftovers_find_devices(struct leftover_place *place, struct leftover_list *list, struct error *error);
/* Removes what goes, in the order in which it was found. The number of those that could not be removed. */
unsigned leftovers_remove(struct leftover_place *place, struct leftover_list *list);
void leftovers_done(struct leftover_list *list);

/* The place as one sees it who is not the service: opens what is there of the prefix @prefix (absolute, as the kernel
 * sees it) and finds out whether it is served. With @lock, and when it is not, holds its lock until the end. 0 or
 * -errno with @error. */
struct leftover_outside;
int leftover_outside_open(const char *prefix, const struct config *config, bool lock,
        struct leftover_outside **ret_outside, struct error *error);
struct leftover_place *leftover_outside_place(struct leftover_outside *outside);
void leftover_outside_close(struct leftover_outside *outside);

/* --- shared with the adoption of jobs --- */

/* The host as it was noted, without descriptors. */
void leftover_read_host(const struct run_groups *groups, struct cgroup_host *ret_host);
/* A pidfd of the joblet-init that @note names, or -ESRCH: a pid alone names nothing, but boot, start time and group. */
int leftover_open_init(const struct run_note *note, const uint8_t boot_id[16], const struct cgroup_host *host);
