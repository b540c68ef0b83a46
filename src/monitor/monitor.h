/* Figures of the host for MonitoringService.GetSystemStatus. It runs inside joblet-api: without rights, under Landlock
 * with read access to /proc, /sys/class/net and /sys/devices, and under a filter that permits no new socket. What lies
 * elsewhere (os-release, DMI) is read, and the netlink socket for addresses opened, by monitor_new.
 *
 * Nothing wakes up to take samples: percents and rates are over the window since the reading before, the first one
 * since monitor_new. Readings closer than MONITOR_FRESH_NS get the same answer, so that a client that asks in a loop
 * costs nothing, and no window is too short for the kernel's clock ticks. A process's command line may hold secrets of
 * others: only its short name (comm) is told. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "joblet.pb-c.h"

#define MONITOR_FRESH_NS 1000000000LL
/* Of one answer; what is beyond is left out. */
#define MONITOR_PROCESSES_MAX 1000U
#define MONITOR_TOP_MAX 10U
#define MONITOR_CORES_MAX 1024U
#define MONITOR_DISKS_MAX 64U
#define MONITOR_INTERFACES_MAX 64U
#define MONITOR_ADDRESSES_MAX 256U

struct monitor;

/* Where the figures come from; another one is for tests. */
struct monitor_source {
    const char *proc;          /* "/proc" */
    const char *sys_net;       /* "/sys/class/net" */
    const char *os_release[2]; /* the first that is there */
    const char *dmi;           /* "/sys/class/dmi/id" */
    int64_t (*now_ns)(void);   /* a clock that never goes back */
};

/* Opens what is needed and takes the first sample. @node_id is copied. Before Landlock and the filter. 0 or -errno with
 * @error. */
int monitor_new(struct monitor **ret_monitor, const char *node_id, struct error *error);
/* The same with another source, which is borrowed only for the call. */
int monitor_new_from(
        struct monitor **ret_monitor, const char *node_id, const struct monitor_source *source, struct error *error);
/* NULL is fine. */
void monitor_free(struct monitor *monitor);

/* A whole status: host, cpu, memory, io, processes, cloud and server version are always there, the load average has
 * three values. Owned by the caller: monitor_free_status. Blocks for no longer than reading /proc takes (some
 * milliseconds with 1,000 processes). 0 or -errno with @error. */
int monitor_read_status(struct monitor *monitor, Joblet__SystemStatusResponse **ret_status, struct error *error);
/* NULL is fine. */
void monitor_free_status(Joblet__SystemStatusResponse *status);
