/* Processor time from /proc/stat, loads from /proc/loadavg. Guests' time is in the user's already. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "monitor/message.h"
#include "monitor/sample.h"

/* The line of interrupts grows with the machine. */
#define STAT_SIZE_MAX (4U << 20)

static int parse_cpu(const char *line, struct cpu_ticks *ret_ticks)
{
    uint64_t user, nice, system, idle, io_wait, irq, soft_irq, steal;
    if (sscanf(line, "%*s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
                &user, &nice, &system, &idle, &io_wait, &irq, &soft_irq, &steal) != 8)
        return -EBADMSG;
    *ret_ticks = (struct cpu_ticks){
            .user = user + nice,
            .system = system + irq + soft_irq,
            .idle = idle,
            .io_wait = io_wait,
            .steal = steal,
    };
    return 0;
}

static int parse_stat(struct monitor *monitor, const char *text)
{
    struct sample *now = monitor->now;
    bool found = false;
    now->core_count = 0;
    monitor->boot_unix_s = 0;
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        int r = 0;
        if (strncmp(line, "cpu ", 4) == 0) {
            r = parse_cpu(line, &now->cpu);
            found = true;
        } else if (strncmp(line, "cpu", 3) == 0 && now->core_count < MONITOR_CORES_MAX) {
            r = parse_cpu(line, &now->cores[now->core_count++]);
        } else if (strncmp(line, "btime ", 6) == 0) {
            monitor->boot_unix_s = strtoull(line + 6, NULL, 10);
        }
        if (r < 0)
            return r;
    }
    return found && now->core_count > 0 && monitor->boot_unix_s > 0 ? 0 : -EBADMSG;
}

/* Idle and waiting time may go back a little (proc(5)). */
static uint64_t since(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

static struct cpu_ticks ticks_since(const struct cpu_ticks *now, const struct cpu_ticks *before)
{
    return (struct cpu_ticks){
            .user = since(now->user, before->user),
            .system = since(now->system, before->system),
            .idle = since(now->idle, before->idle),
            .io_wait = since(now->io_wait, before->io_wait),
            .steal = since(now->steal, before->steal),
    };
}

static uint64_t ticks_busy(const struct cpu_ticks *ticks)
{
    return ticks->user + ticks->system + ticks->steal;
}

static uint64_t ticks_all(const struct cpu_ticks *ticks)
{
    return ticks_busy(ticks) + ticks->idle + ticks->io_wait;
}

static int fill_usage(const struct monitor *monitor, Joblet__CPUMetrics *cpu)
{
    const struct sample *now = monitor->now;
    const struct sample *before = monitor->before;
    struct cpu_ticks all = ticks_since(&now->cpu, &before->cpu);
    uint64_t whole = ticks_all(&all);
    cpu->cores = (int32_t)now->core_count;
    cpu->usage_percent = sample_percent(ticks_busy(&all), whole);
    cpu->user_time = sample_percent(all.user, whole);
    cpu->system_time = sample_percent(all.system, whole);
    cpu->idle_time = sample_percent(all.idle, whole);
    cpu->io_wait_time = sample_percent(all.io_wait, whole);
    cpu->steal_time = sample_percent(all.steal, whole);
    double cores[MONITOR_CORES_MAX];
    for (unsigned i = 0; i < now->core_count; i++) {
        static const struct cpu_ticks boot;
        /* When cores came or went the lines do not belong together any more. */
        bool same = now->core_count == before->core_count;
        struct cpu_ticks core = ticks_since(&now->cores[i], same ? &before->cores[i] : &boot);
        cores[i] = sample_percent(ticks_busy(&core), ticks_all(&core));
    }
    return message_set_numbers(&cpu->per_core_usage, &cpu->n_per_core_usage, cores, now->core_count);
}

static int fill_load(const struct monitor *monitor, Joblet__CPUMetrics *cpu)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    double loads[3] = {0};
    int r = fd_read_file_at(monitor->proc_fd, "loadavg", 4096, &text, &size);
    if (r < 0)
        return r;
    char *next = text;
    for (size_t i = 0; i < ELEMENTS(loads); i++)
        loads[i] = strtod(next, &next);
    return message_set_numbers(&cpu->load_average, &cpu->n_load_average, loads, ELEMENTS(loads));
}

int cpu_read(struct monitor *monitor, Joblet__CPUMetrics *cpu, struct error *error)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    int r = fd_read_file_at(monitor->proc_fd, "stat", STAT_SIZE_MAX, &text, &size);
    if (r == 0)
        r = parse_stat(monitor, text);
    if (r == 0)
        r = fill_usage(monitor, cpu);
    if (r == 0)
        r = fill_load(monitor, cpu);
    return r == 0 ? 0 : error_errno(error, -r, "read processor time");
}
