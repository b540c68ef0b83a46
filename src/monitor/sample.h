/* What is kept of one reading so that the next one can say what happened in between. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "monitor/monitor.h"

#define SAMPLE_NAME_MAX 64U

struct cpu_ticks {
    uint64_t user; /* with nice */
    uint64_t system;
    uint64_t idle;
    uint64_t io_wait;
    uint64_t steal;
};

struct flow {
    char name[SAMPLE_NAME_MAX];
    uint64_t in;
    uint64_t out;
    uint64_t busy_ms;
};

struct process_ticks {
    pid_t pid;
    uint64_t start; /* ticks since boot: the same pid with another start is another process */
    uint64_t ticks;
};

struct sample {
    int64_t at_ns;
    struct cpu_ticks cpu;
    unsigned core_count;
    struct cpu_ticks cores[MONITOR_CORES_MAX];
    unsigned interface_count;
    struct flow interfaces[MONITOR_INTERFACES_MAX];
    unsigned disk_count;
    struct flow disks[MONITOR_DISKS_MAX];
    unsigned process_count;
    struct process_ticks processes[MONITOR_PROCESSES_MAX]; /* by pid, rising */
};

struct monitor {
    int proc_fd;
    int sys_net_fd; /* -EBADF: there is none */
    int netlink_fd; /* -EBADF: no addresses */
    uint32_t netlink_sequence;
    int64_t (*now_ns)(void);
    char node_id[64];
    char os[256];
    char provider[32];
    char hypervisor[32];
    char instance_type[64];
    struct sample *now;    /* being taken */
    struct sample *before; /* the one before */
    uint8_t *packed;       /* the last answer */
    size_t packed_size;
    int64_t packed_at_ns;
    uint64_t boot_unix_s; /* of this reading */
    uint64_t memory_total;
};

/* The flow of that name in @flows, or NULL. */
const struct flow *sample_find_flow(const struct flow flows[], unsigned count, const char *name);
/* Of a counter, for each second of the window between the two samples; 0 when it went back. */
double sample_rate(const struct monitor *monitor, uint64_t now, uint64_t before);
/* 0 to 100; 0 when @whole is 0. */
double sample_percent(uint64_t part, uint64_t whole);

/* Each reads one area into its message and into monitor->now. 0 or -errno with @error. */
int cpu_read(struct monitor *monitor, Joblet__CPUMetrics *cpu, struct error *error);
int memory_read(struct monitor *monitor, Joblet__MemoryMetrics *memory, struct error *error);
int disk_read(const struct monitor *monitor, Joblet__SystemStatusResponse *status, struct error *error);
int io_read(struct monitor *monitor, Joblet__IOMetrics *io, struct error *error);
int network_read(struct monitor *monitor, Joblet__SystemStatusResponse *status, struct error *error);
int process_read(struct monitor *monitor, Joblet__ProcessMetrics *processes, struct error *error);
/* After network_read, whose addresses it gathers. */
int host_read(const struct monitor *monitor, Joblet__SystemStatusResponse *status, struct error *error);
int version_read(Joblet__ServerVersionInfo *version);

/* Once, at the start. */
void host_read_os(const struct monitor_source *source, char *ret_os, size_t size);
void cloud_detect(const struct monitor_source *source, struct monitor *monitor);
/* "amd64" for "x86_64" and so on: Go's names. */
const char *host_architecture(const char *machine);

struct address {
    char interface[SAMPLE_NAME_MAX];
    char text[48];
};
/* A netlink socket or -errno. */
int address_open(void);
/* All addresses of this network namespace, but those of loopback and of link scope; their number, at most @max, or
 * -errno. */
int address_list(struct monitor *monitor, struct address addresses[], unsigned max);
