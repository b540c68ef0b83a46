/* Processes from /proc/PID/stat: at most MONITOR_PROCESSES_MAX are read. Their processor time is over the window, or,
 * for one that is younger than the window, over its life. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "monitor/message.h"
#include "monitor/sample.h"

struct process {
    pid_t pid;
    pid_t parent;
    char name[32];
    char state;
    uint64_t start;
    uint64_t ticks;
    uint64_t memory_bytes;
    int32_t threads;
    double cpu_percent;
};

/* Fields of proc(5), behind the name, which may hold anything, also blanks and parentheses. */
static bool parse_stat(const char *text, struct process *ret_process)
{
    const char *open = strchr(text, '(');
    const char *close = strrchr(text, ')');
    uint64_t user, system, pages;
    if (!open || !close || close < open)
        return false;
    (void)snprintf(ret_process->name, sizeof(ret_process->name), "%.*s", (int)(close - open - 1), open + 1);
    if (sscanf(close + 1,
                " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %*d %*d %*d %*d %" SCNd32
                " %*d %" SCNu64 " %*u %" SCNu64,
                &ret_process->state, &ret_process->parent, &user, &system, &ret_process->threads, &ret_process->start,
                &pages) != 7)
        return false;
    ret_process->ticks = user + system;
    ret_process->memory_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

static bool read_process(int proc_fd, const char *name, struct process *ret_process)
{
    char path[300];
    char text[1024];
    (void)snprintf(path, sizeof(path), "%s/stat", name);
    _cleanup_close_ int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    if (size <= 0)
        return false;
    text[size] = '\0';
    ret_process->pid = (pid_t)strtol(name, NULL, 10);
    return parse_stat(text, ret_process);
}

static int compare_pids(const void *one, const void *other)
{
    const struct process_ticks *a = one, *b = other;
    return (a->pid > b->pid) - (a->pid < b->pid);
}

/* Highest first. */
static int compare_cpu(const void *one, const void *other)
{
    const struct process *a = one, *b = other;
    return (a->cpu_percent < b->cpu_percent) - (a->cpu_percent > b->cpu_percent);
}

static int compare_memory(const void *one, const void *other)
{
    const struct process *a = one, *b = other;
    return (a->memory_bytes < b->memory_bytes) - (a->memory_bytes > b->memory_bytes);
}

/* Percent of one core. */
static double cpu_percent(const struct monitor *monitor, const struct process *process, double uptime_s)
{
    double hertz = (double)sysconf(_SC_CLK_TCK);
    const struct sample *before = monitor->before;
    struct process_ticks key = {.pid = process->pid};
    const struct process_ticks *old =
            bsearch(&key, before->processes, before->process_count, sizeof(key), compare_pids);
    if (old && old->start == process->start)
        return 100 * sample_rate(monitor, process->ticks, old->ticks) / hertz;
    double life_s = uptime_s - (double)process->start / hertz;
    return life_s > 0.1 ? 100 * (double)process->ticks / hertz / life_s : 0;
}

static void count_state(Joblet__ProcessMetrics *metrics, const struct process *process)
{
    metrics->total_threads += process->threads;
    switch (process->state) {
    case 'R':
        metrics->running_processes++;
        break;
    case 'T':
    case 't':
        metrics->stopped_processes++;
        break;
    case 'Z':
    case 'X':
        metrics->zombie_processes++;
        break;
    default:
        metrics->sleeping_processes++;
    }
}

static int fill_info(const struct monitor *monitor, const struct process *process, Joblet__ProcessInfo *info)
{
    /* One lower-case letter: what clients know. */
    char state[2] = {(char)tolower((unsigned char)process->state), '\0'};
    char start[TEXT_TIME_MAX];
    uint64_t hertz = (uint64_t)sysconf(_SC_CLK_TCK);
    text_format_time((int64_t)(monitor->boot_unix_s + process->start / hertz) * 1000000000LL, start);
    info->pid = process->pid;
    info->ppid = process->parent;
    info->cpu_percent = process->cpu_percent;
    info->memory_bytes = (int64_t)process->memory_bytes;
    info->memory_percent = sample_percent(process->memory_bytes, monitor->memory_total);
    int r = message_set_text(&info->name, process->name);
    if (r == 0)
        r = message_set_text(&info->command, process->name);
    if (r == 0)
        r = message_set_text(&info->status, state);
    return r == 0 ? message_set_text(&info->start_time, start) : r;
}

static int fill_tops(
        const struct monitor *monitor, struct process processes[], size_t count, Joblet__ProcessMetrics *metrics)
{
    size_t top = count < MONITOR_TOP_MAX ? count : MONITOR_TOP_MAX;
    int r = 0;
    qsort(processes, count, sizeof(*processes), compare_cpu);
    for (size_t i = 0; r == 0 && i < top; i++) {
        Joblet__ProcessInfo *info = MESSAGE_ADD(metrics, top_by_cpu, Joblet__ProcessInfo, joblet__process_info__init);
        r = info ? fill_info(monitor, &processes[i], info) : -ENOMEM;
    }
    qsort(processes, count, sizeof(*processes), compare_memory);
    for (size_t i = 0; r == 0 && i < top; i++) {
        Joblet__ProcessInfo *info =
                MESSAGE_ADD(metrics, top_by_memory, Joblet__ProcessInfo, joblet__process_info__init);
        r = info ? fill_info(monitor, &processes[i], info) : -ENOMEM;
    }
    return r;
}

static int read_uptime(const struct monitor *monitor, double *ret_uptime_s)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    int r = fd_read_file_at(monitor->proc_fd, "uptime", 4096, &text, &size);
    if (r == 0)
        *ret_uptime_s = strtod(text, NULL);
    return r;
}

/* Their number, or -errno. All are counted, the first MONITOR_PROCESSES_MAX are read. */
static int scan(const struct monitor *monitor, struct process processes[], Joblet__ProcessMetrics *metrics)
{
    double uptime_s = 0;
    int r = read_uptime(monitor, &uptime_s);
    if (r < 0)
        return r;
    int fd = openat(monitor->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        r = -errno;
        (void)fd_close(fd);
        return r;
    }
    int count = 0;
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        metrics->total_processes++;
        if (count == (int)MONITOR_PROCESSES_MAX || !read_process(monitor->proc_fd, entry->d_name, &processes[count]))
            continue;
        processes[count].cpu_percent = cpu_percent(monitor, &processes[count], uptime_s);
        count_state(metrics, &processes[count]);
        count++;
    }
    (void)closedir(directory);
    return count;
}

int process_read(struct monitor *monitor, Joblet__ProcessMetrics *metrics, struct error *error)
{
    _cleanup_free_ struct process *processes = calloc(MONITOR_PROCESSES_MAX, sizeof(*processes));
    int count = processes ? scan(monitor, processes, metrics) : -ENOMEM;
    if (count < 0)
        return error_errno(error, -count, "read processes");
    struct sample *now = monitor->now;
    now->process_count = (unsigned)count;
    for (int i = 0; i < count; i++)
        now->processes[i] = (struct process_ticks){
                .pid = processes[i].pid, .start = processes[i].start, .ticks = processes[i].ticks};
    qsort(now->processes, now->process_count, sizeof(now->processes[0]), compare_pids);
    int r = fill_tops(monitor, processes, (size_t)count, metrics);
    return r == 0 ? 0 : error_errno(error, -r, "read processes");
}
