/* The limits of one job's groups. A limit that cannot be written is an error that names it; none is left out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/cgroup_private.h"

#define CPU_PERIOD_US 100000U

static int set_swap(
        const struct cgroup_host *host, const struct cgroup_hierarchy *memory, const char *name, uint64_t bytes)
{
    int r = memory->v2 ? cgroup_write(memory, name, "memory.swap.max", 0)
                       : cgroup_write(memory, name, "memory.memsw.limit_in_bytes", bytes);
    /* Without swap there is nothing that could get around the limit. */
    return r == -ENOENT && !host->swap ? 0 : r;
}

static int set_memory(const struct cgroup_host *host, const char *name, uint64_t bytes, struct error *error)
{
    const struct cgroup_hierarchy *memory = cgroup_with(host, CGROUP_MEMORY);
    /* Also without a limit: when the host's memory ends, the job goes as a whole and not one process of it. */
    int r = memory->v2 ? cgroup_write(memory, name, "memory.oom.group", 1) : 0;
    if (r < 0)
        return error_errno(error, -r, "set out-of-memory handling of the job's group");
    if (bytes == 0)
        return 0;
    r = cgroup_write(memory, name, memory->v2 ? "memory.max" : "memory.limit_in_bytes", bytes);
    if (r < 0)
        return error_errno(error, -r, "memory limit of %llu bytes", (unsigned long long)bytes);
    r = set_swap(host, memory, name, bytes);
    return r < 0 ? error_errno(error, -r, "memory limit cannot be enforced for swap (swap accounting is off?)") : 0;
}

static int set_cpu(const struct cgroup_host *host, const char *name, uint32_t percent, struct error *error)
{
    const struct cgroup_hierarchy *cpu = cgroup_with(host, CGROUP_CPU);
    if (percent == 0)
        return 0;
    uint64_t quota_us = (uint64_t)percent * CPU_PERIOD_US / 100;
    int r;
    if (cpu->v2) {
        char path[CGROUP_FILE_MAX];
        char text[48];
        (void)snprintf(text, sizeof(text), "%llu %u", (unsigned long long)quota_us, CPU_PERIOD_US);
        r = fd_write_file_at(cpu->parent_fd, cgroup_file(path, name, "cpu.max"), text);
    } else {
        r = cgroup_write(cpu, name, "cpu.cfs_period_us", CPU_PERIOD_US);
        if (r == 0)
            r = cgroup_write(cpu, name, "cpu.cfs_quota_us", quota_us);
    }
    return r < 0 ? error_errno(error, -r, "CPU limit of %u percent", percent) : 0;
}

/* Inherited from our parent group when the job asks for none. */
static int set_cpus(const struct cgroup_host *host, const char *name, const struct cpulist *cpus, struct error *error)
{
    int index = host->controllers[CGROUP_CPUSET];
    const struct cgroup_hierarchy *cpuset = index >= 0 ? &host->hierarchies[index] : NULL;
    bool is_asked = !cpulist_is_empty(cpus);
    char text[CPULIST_TEXT_MAX];
    char path[CGROUP_FILE_MAX];
    cpulist_format(is_asked ? cpus : &host->cpus, text);
    if (!cpuset)
        return is_asked ? error_text(error, EOPNOTSUPP,
                                  "CPU cores '%.40s' cannot be enforced on this host: no control group controller "
                                  "'cpuset' for us",
                                  text)
                        : 0;
    if (cgroup_is_on_demand(cpuset) ? !is_asked : cpuset->v2 && !is_asked)
        return 0;
    int r = fd_write_file_at(cpuset->parent_fd, cgroup_file(path, name, "cpuset.cpus"), text);
    if (r == 0 && !cpuset->v2) {
        _cleanup_free_ char *nodes = NULL;
        r = fd_read_file_at(cpuset->parent_fd, "cpuset.mems", 65536, &nodes, NULL);
        if (r == 0)
            r = fd_write_file_at(cpuset->parent_fd, cgroup_file(path, name, "cpuset.mems"), nodes);
    }
    return r < 0 ? error_errno(error, -r, "CPU cores '%.40s'", text) : 0;
}

/* Reads and writes of the disk that holds the jobs' files, and of the job's own disk upon it: what goes to that is
 * slowed where the job waits for it, and not only where the kernel writes it back later. */
static int set_io(
        const struct cgroup_host *host, const char *name, const struct cgroup_limits *limits, struct error *error)
{
    int index = host->controllers[CGROUP_IO];
    unsigned long long bps = limits->io_bps;
    if (bps == 0)
        return 0;
    if (index < 0)
        return error_text(error, EOPNOTSUPP,
                "I/O limit of %llu bytes/s cannot be enforced on this host: it takes control groups of version 2 with "
                "the controller 'io' (version 1 slows direct I/O alone)",
                bps);
    if (limits->disks[0] == 0)
        return error_text(error, EOPNOTSUPP,
                "I/O limit of %llu bytes/s cannot be enforced on this host: the jobs' files are not on one disk", bps);
    int r = 0;
    for (unsigned i = 0; r == 0 && i < CGROUP_DISKS_MAX && limits->disks[i] != 0; i++) {
        char path[CGROUP_FILE_MAX];
        char text[96];
        (void)snprintf(text, sizeof(text), "%u:%u rbps=%llu wbps=%llu", major(limits->disks[i]),
                minor(limits->disks[i]), bps, bps);
        r = fd_write_file_at(host->hierarchies[index].parent_fd, cgroup_file(path, name, "io.max"), text);
    }
    return r < 0 ? error_errno(error, -r, "I/O limit of %llu bytes/s", bps) : 0;
}

int cgroup_set_limits(
        const struct cgroup_host *host, const char *name, const struct cgroup_limits *limits, struct error *error)
{
    int r = set_memory(host, name, limits->memory_bytes, error);
    if (r == 0)
        r = set_cpu(host, name, limits->cpu_percent, error);
    if (r == 0)
        r = set_cpus(host, name, &limits->cpus, error);
    if (r == 0)
        r = set_io(host, name, limits, error);
    if (r < 0)
        return r;
    r = cgroup_write(cgroup_with(host, CGROUP_PIDS), name, "pids.max", limits->processes);
    return r < 0 ? error_errno(error, -r, "limit of %u processes", limits->processes) : 0;
}
