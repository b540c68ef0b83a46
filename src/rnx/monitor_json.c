/* rnx monitor status --json. The keys are not those of the messages: they were made for a web page, and are a contract
 * now. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/fd.h"
#include "rnx/json.h"
#include "rnx/monitor_status.h"

#define TOP_PROCESSES_MAX 10

double monitor_percent(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole * 100 : 0;
}

static void put_host(struct json *json, const Joblet__SystemStatusResponse *status)
{
    Joblet__HostInfo no_host;
    joblet__host_info__init(&no_host);
    Joblet__CloudInfo no_cloud;
    joblet__cloud_info__init(&no_cloud);
    const Joblet__HostInfo *host = status->host ? status->host : &no_host;
    const Joblet__CloudInfo *cloud = status->cloud ? status->cloud : &no_cloud;
    json_key(json, "hostInfo");
    json_begin_object(json);
    json_put_text(json, "hostname", host->hostname);
    json_put_text(json, "platform", host->os);
    json_put_text(json, "arch", host->architecture);
    json_put_text(json, "release", host->kernel_version);
    json_put_integer(json, "uptime", host->uptime);
    json_put_text(json, "cloudProvider", cloud->provider);
    json_put_text(json, "instanceType", cloud->instance_type);
    json_put_text(json, "region", cloud->region);
    json_put_text_set(json, "nodeId", host->node_id);
    json_put_texts_set(json, "serverIPs", host->server_ips, host->n_server_ips);
    json_put_texts_set(json, "macAddresses", host->mac_addresses, host->n_mac_addresses);
    json_end_object(json);
}

static void put_numbers(struct json *json, const char *key, const double *values, size_t count, double scale)
{
    json_key(json, key);
    if (count == 0) {
        json_null(json);
        return;
    }
    json_begin_list(json);
    for (size_t i = 0; i < count; i++)
        json_number(json, values[i] / scale);
    json_end_list(json);
}

static void put_cpu(struct json *json, const Joblet__CPUMetrics *given)
{
    Joblet__CPUMetrics none;
    joblet__cpumetrics__init(&none);
    const Joblet__CPUMetrics *cpu = given ? given : &none;
    json_key(json, "cpuInfo");
    json_begin_object(json);
    json_put_integer(json, "cores", cpu->cores);
    json_put_number(json, "usage", cpu->usage_percent / 100);
    put_numbers(json, "loadAverage", cpu->load_average, cpu->n_load_average, 1);
    put_numbers(json, "perCoreUsage", cpu->per_core_usage, cpu->n_per_core_usage, 100);
    json_end_object(json);
}

static void put_memory(struct json *json, const Joblet__MemoryMetrics *given)
{
    Joblet__MemoryMetrics none;
    joblet__memory_metrics__init(&none);
    const Joblet__MemoryMetrics *memory = given ? given : &none;
    json_key(json, "memoryInfo");
    json_begin_object(json);
    json_put_integer(json, "total", memory->total_bytes);
    json_put_integer(json, "used", memory->used_bytes);
    json_put_integer(json, "available", memory->available_bytes);
    json_put_number(json, "percent", memory->usage_percent);
    json_put_integer(json, "buffers", memory->buffered_bytes);
    json_put_integer(json, "cached", memory->cached_bytes);
    json_key(json, "swap");
    json_begin_object(json);
    json_put_integer(json, "total", memory->swap_total);
    json_put_integer(json, "used", memory->swap_used);
    json_put_number(json, "percent", monitor_percent(memory->swap_used, memory->swap_total));
    json_end_object(json);
    json_end_object(json);
}

static void put_disk(struct json *json, const Joblet__DiskMetrics *disk)
{
    json_begin_object(json);
    json_put_text(json, "name", disk->device);
    json_put_text(json, "mountpoint", disk->mount_point);
    json_put_text(json, "filesystem", disk->filesystem);
    json_put_integer(json, "size", disk->total_bytes);
    json_put_integer(json, "used", disk->used_bytes);
    json_put_integer(json, "available", disk->free_bytes);
    json_put_number(json, "percent", disk->usage_percent);
    json_end_object(json);
}

static bool disk_is_snap(const Joblet__DiskMetrics *disk)
{
    return strncmp(disk->mount_point, "/snap/", 6) == 0;
}

/* A device that is mounted in two places counts once in the totals. */
static bool disk_seen_before(const Joblet__SystemStatusResponse *status, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (!disk_is_snap(status->disks[i]) && strcmp(status->disks[i]->device, status->disks[index]->device) == 0)
            return true;
    return false;
}

static void put_disks(struct json *json, const Joblet__SystemStatusResponse *status)
{
    int64_t total = 0;
    int64_t used = 0;
    json_key(json, "disksInfo");
    json_begin_object(json);
    json_key(json, "disks");
    json_begin_list(json);
    for (size_t i = 0; i < status->n_disks; i++) {
        const Joblet__DiskMetrics *disk = status->disks[i];
        if (disk_is_snap(disk))
            continue;
        if (strcmp(disk->mount_point, "/") == 0 || strcmp(disk->mount_point, "/boot") == 0)
            put_disk(json, disk);
        if (disk_seen_before(status, i))
            continue;
        total += disk->total_bytes;
        used += disk->used_bytes;
    }
    json_end_list(json);
    json_put_integer(json, "totalSpace", total);
    json_put_integer(json, "usedSpace", used);
    json_end_object(json);
}

static const char *interface_type(const char *name)
{
    static const struct {
        const char *prefix;
        const char *type;
    } types[] = {
            {"lo", "loopback"},
            {"wl", "wireless"},
            {"docker", "bridge"},
            {"br", "bridge"},
            {"joblet", "bridge"},
            {"veth", "virtual"},
            {"tun", "virtual"},
            {"tap", "virtual"},
    };
    for (size_t i = 0; i < ELEMENTS(types); i++)
        if (strncmp(name, types[i].prefix, strlen(types[i].prefix)) == 0)
            return types[i].type;
    return "ethernet";
}

static void put_network(struct json *json, const Joblet__NetworkMetrics *network)
{
    json_begin_object(json);
    json_put_text(json, "name", network->interface);
    json_put_text(json, "type", interface_type(network->interface));
    json_put_text(json, "status", "up");
    json_put_texts(json, "ipAddresses", network->ip_addresses, network->n_ip_addresses);
    json_put_text_set(json, "macAddress", network->mac_address);
    json_put_integer(json, "rxBytes", network->bytes_received);
    json_put_integer(json, "txBytes", network->bytes_sent);
    json_put_integer(json, "rxPackets", network->packets_received);
    json_put_integer(json, "txPackets", network->packets_sent);
    json_put_integer(json, "rxErrors", network->errors_in);
    json_put_integer(json, "txErrors", network->errors_out);
    json_end_object(json);
}

/* Interfaces that have carried something. */
static void put_networks(struct json *json, const Joblet__SystemStatusResponse *status)
{
    int64_t received = 0;
    int64_t sent = 0;
    json_key(json, "networkInfo");
    json_begin_object(json);
    json_key(json, "interfaces");
    json_begin_list(json);
    for (size_t i = 0; i < status->n_networks; i++) {
        const Joblet__NetworkMetrics *network = status->networks[i];
        if (network->bytes_received == 0 && network->bytes_sent == 0)
            continue;
        put_network(json, network);
        received += network->bytes_received;
        sent += network->bytes_sent;
    }
    json_end_list(json);
    json_put_integer(json, "totalRxBytes", received);
    json_put_integer(json, "totalTxBytes", sent);
    json_end_object(json);
}

static const char *process_status(const char *status)
{
    return strcasecmp(status, "s") == 0 ? "sleeping" : strcasecmp(status, "r") == 0 ? "running" : status;
}

static void put_processes(struct json *json, const Joblet__ProcessMetrics *given)
{
    Joblet__ProcessMetrics none;
    joblet__process_metrics__init(&none);
    const Joblet__ProcessMetrics *processes = given ? given : &none;
    json_key(json, "processesInfo");
    json_begin_object(json);
    json_key(json, "processes");
    json_begin_list(json);
    for (size_t i = 0; i < processes->n_top_by_cpu && i < TOP_PROCESSES_MAX; i++) {
        const Joblet__ProcessInfo *process = processes->top_by_cpu[i];
        json_begin_object(json);
        json_put_integer(json, "pid", process->pid);
        json_put_text(json, "name", process->name);
        json_put_text(json, "command", process->command);
        json_put_number(json, "cpu", process->cpu_percent);
        json_put_number(json, "memory", process->memory_percent);
        json_put_integer(json, "memoryBytes", process->memory_bytes);
        json_put_text(json, "status", process_status(process->status));
        json_put_text(json, "startTime", process->start_time);
        json_end_object(json);
    }
    json_end_list(json);
    json_put_integer(json, "totalProcesses", processes->total_processes);
    json_end_object(json);
}

void monitor_print_json(const Joblet__SystemStatusResponse *status)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    put_host(&json, status);
    put_cpu(&json, status->cpu);
    put_memory(&json, status->memory);
    put_disks(&json, status);
    put_networks(&json, status);
    put_processes(&json, status->processes);
    json_end_object(&json);
    json_done(&json);
}
