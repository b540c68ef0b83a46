#include "monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "monitor/message.h"
#include "monitor/sample.h"

const struct flow *sample_find_flow(const struct flow flows[], unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(flows[i].name, name) == 0)
            return &flows[i];
    return NULL;
}

double sample_rate(const struct monitor *monitor, uint64_t now, uint64_t before)
{
    int64_t window_ns = monitor->now->at_ns - monitor->before->at_ns;
    if (window_ns <= 0 || now < before)
        return 0;
    return (double)(now - before) * 1e9 / (double)window_ns;
}

double sample_percent(uint64_t part, uint64_t whole)
{
    if (whole == 0)
        return 0;
    return part >= whole ? 100 : 100.0 * (double)part / (double)whole;
}

/* The submessages that are always there, empty. */
static int status_new(Joblet__SystemStatusResponse **ret_status)
{
    Joblet__SystemStatusResponse *status =
            MESSAGE_NEW(Joblet__SystemStatusResponse, joblet__system_status_response__init);
    if (!status)
        return -ENOMEM;
    status->host = MESSAGE_NEW(Joblet__HostInfo, joblet__host_info__init);
    status->cpu = MESSAGE_NEW(Joblet__CPUMetrics, joblet__cpumetrics__init);
    status->memory = MESSAGE_NEW(Joblet__MemoryMetrics, joblet__memory_metrics__init);
    status->io = MESSAGE_NEW(Joblet__IOMetrics, joblet__iometrics__init);
    status->processes = MESSAGE_NEW(Joblet__ProcessMetrics, joblet__process_metrics__init);
    status->cloud = MESSAGE_NEW(Joblet__CloudInfo, joblet__cloud_info__init);
    status->server_version = MESSAGE_NEW(Joblet__ServerVersionInfo, joblet__server_version_info__init);
    if (status->host && status->cpu && status->memory && status->io && status->processes && status->cloud &&
            status->server_version) {
        *ret_status = status;
        return 0;
    }
    monitor_free_status(status);
    return -ENOMEM;
}

static int status_fill_cloud(const struct monitor *monitor, Joblet__CloudInfo *cloud)
{
    int r = message_set_text(&cloud->provider, monitor->provider);
    if (r == 0)
        r = message_set_text(&cloud->hypervisor_type, monitor->hypervisor);
    if (r == 0)
        r = message_set_text(&cloud->instance_type, monitor->instance_type);
    return r;
}

static int status_fill(struct monitor *monitor, Joblet__SystemStatusResponse *status, struct error *error)
{
    char timestamp[TEXT_TIME_MAX];
    text_format_time(text_now_unix_ns(), timestamp);
    status->available = 1;
    int r = cpu_read(monitor, status->cpu, error);
    if (r == 0)
        r = memory_read(monitor, status->memory, error);
    if (r == 0)
        r = disk_read(monitor, status, error);
    if (r == 0)
        r = io_read(monitor, status->io, error);
    if (r == 0)
        r = network_read(monitor, status, error);
    if (r == 0)
        r = process_read(monitor, status->processes, error);
    if (r == 0)
        r = host_read(monitor, status, error);
    if (r < 0)
        return r;
    r = message_set_text(&status->timestamp, timestamp);
    if (r == 0)
        r = status_fill_cloud(monitor, status->cloud);
    if (r == 0)
        r = version_read(status->server_version);
    return r == 0 ? 0 : error_errno(error, -r, "figures of the host");
}

/* Takes a sample and makes it the one before. On failure the one before stays. */
static int status_take(struct monitor *monitor, Joblet__SystemStatusResponse **ret_status, struct error *error)
{
    Joblet__SystemStatusResponse *status = NULL;
    int r = status_new(&status);
    if (r < 0)
        return error_errno(error, -r, "figures of the host");
    monitor->now->at_ns = monitor->now_ns();
    r = status_fill(monitor, status, error);
    if (r < 0) {
        monitor_free_status(status);
        return r;
    }
    struct sample *old = monitor->before;
    monitor->before = monitor->now;
    monitor->now = old;
    *ret_status = status;
    return 0;
}

/* Keeps @status for callers that come soon; without memory nothing is kept. */
static void status_keep(struct monitor *monitor, const Joblet__SystemStatusResponse *status)
{
    free(monitor->packed);
    monitor->packed_size = joblet__system_status_response__get_packed_size(status);
    monitor->packed = malloc(monitor->packed_size);
    if (!monitor->packed)
        return;
    (void)joblet__system_status_response__pack(status, monitor->packed);
    monitor->packed_at_ns = monitor->before->at_ns;
}

int monitor_read_status(struct monitor *monitor, Joblet__SystemStatusResponse **ret_status, struct error *error)
{
    if (monitor->packed && monitor->now_ns() - monitor->packed_at_ns < MONITOR_FRESH_NS) {
        *ret_status = joblet__system_status_response__unpack(NULL, monitor->packed_size, monitor->packed);
        return *ret_status ? 0 : error_errno(error, ENOMEM, "figures of the host");
    }
    int r = status_take(monitor, ret_status, error);
    if (r == 0)
        status_keep(monitor, *ret_status);
    return r;
}

void monitor_free_status(Joblet__SystemStatusResponse *status)
{
    if (status)
        joblet__system_status_response__free_unpacked(status, NULL);
}

void monitor_free(struct monitor *monitor)
{
    if (!monitor)
        return;
    (void)fd_close(monitor->proc_fd);
    (void)fd_close(monitor->sys_net_fd);
    (void)fd_close(monitor->netlink_fd);
    free(monitor->now);
    free(monitor->before);
    free(monitor->packed);
    free(monitor);
}

static int monitor_open(struct monitor *monitor, const struct monitor_source *source, struct error *error)
{
    monitor->now_ns = source->now_ns;
    monitor->now = calloc(1, sizeof(*monitor->now));
    monitor->before = calloc(1, sizeof(*monitor->before));
    if (!monitor->now || !monitor->before)
        return error_errno(error, ENOMEM, "figures of the host");
    monitor->proc_fd = open(source->proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (monitor->proc_fd < 0)
        return error_errno(error, errno, "open %s", source->proc);
    /* Without the next two only addresses are missing. */
    monitor->sys_net_fd = open(source->sys_net, O_PATH | O_DIRECTORY | O_CLOEXEC);
    monitor->netlink_fd = address_open();
    host_read_os(source, monitor->os, sizeof(monitor->os));
    cloud_detect(source, monitor);
    return 0;
}

int monitor_new_from(
        struct monitor **ret_monitor, const char *node_id, const struct monitor_source *source, struct error *error)
{
    struct monitor *monitor = calloc(1, sizeof(*monitor));
    if (!monitor)
        return error_errno(error, ENOMEM, "figures of the host");
    monitor->proc_fd = monitor->sys_net_fd = monitor->netlink_fd = -EBADF;
    (void)strncpy(monitor->node_id, node_id, sizeof(monitor->node_id) - 1);
    Joblet__SystemStatusResponse *first = NULL;
    int r = monitor_open(monitor, source, error);
    if (r == 0)
        r = status_take(monitor, &first, error);
    if (r < 0) {
        monitor_free(monitor);
        return r;
    }
    monitor_free_status(first);
    *ret_monitor = monitor;
    return 0;
}

int monitor_new(struct monitor **ret_monitor, const char *node_id, struct error *error)
{
    static const struct monitor_source host = {
            .proc = "/proc",
            .sys_net = "/sys/class/net",
            .os_release = {"/etc/os-release", "/usr/lib/os-release"},
            .dmi = "/sys/class/dmi/id",
            .now_ns = text_now_monotonic_ns,
    };
    return monitor_new_from(ret_monitor, node_id, &host, error);
}
