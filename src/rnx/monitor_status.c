/* rnx monitor status: asks, and prints as text; the JSON form is in monitor_json.c. */
#include "rnx/monitor_status.h"

#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

#define LABEL_FORMAT "  %-16s"

static void print_label(const char *label)
{
    (void)printf(LABEL_FORMAT, label);
}

static void print_text(const char *label, const char *value)
{
    if (!*value)
        return;
    print_label(label);
    output_text(stdout, value);
    (void)putchar('\n');
}

static void print_texts(const char *label, char *const *values, size_t count)
{
    if (count == 0)
        return;
    print_label(label);
    for (size_t i = 0; i < count; i++) {
        (void)fputs(i > 0 ? ", " : "", stdout);
        output_text(stdout, values[i]);
    }
    (void)putchar('\n');
}

static void print_percent(const char *label, double percent)
{
    print_label(label);
    (void)printf("%.1f%%\n", percent);
}

static void print_size(const char *label, int64_t bytes)
{
    char size[OUTPUT_SIZE_MAX];
    output_format_size(bytes, size);
    print_text(label, size);
}

static void print_used(const char *label, int64_t bytes, double percent)
{
    char size[OUTPUT_SIZE_MAX];
    output_format_size(bytes, size);
    print_label(label);
    (void)printf("%s (%.1f%%)\n", size, percent);
}

static void print_host(const Joblet__HostInfo *host)
{
    if (!host)
        return;
    char text[OUTPUT_UPTIME_MAX];
    (void)puts("\nHost Information:");
    print_text("Hostname:", host->hostname);
    print_text("OS:", host->os);
    print_text("Kernel:", host->kernel_version);
    print_text("Architecture:", host->architecture);
    output_format_uptime(host->uptime, text);
    print_text("Uptime:", text);
    output_format_time(host->boot_time, /* zone= */ true, "", text);
    print_text("Boot Time:", text);
    print_text("Node ID:", host->node_id);
    print_texts("Server IPs:", host->server_ips, host->n_server_ips);
    print_texts("MAC Addresses:", host->mac_addresses, host->n_mac_addresses);
}

static void print_server(const Joblet__ServerVersionInfo *server)
{
    if (!server)
        return;
    (void)puts("\nJoblet Server:");
    print_text("Version:", server->version);
    print_text("Git Tag:", server->git_tag);
    print_text("Git Commit:", server->git_commit);
    print_text("Build Date:", server->build_date);
    print_text("Go Version:", server->go_version);
    print_text("Platform:", server->platform);
}

static void print_cpu(const Joblet__CPUMetrics *cpu)
{
    if (!cpu)
        return;
    (void)puts("\nCPU:");
    print_label("Cores:");
    (void)printf("%d\n", cpu->cores);
    print_percent("Usage:", cpu->usage_percent);
    if (cpu->n_load_average > 0) {
        print_label("Load Average:");
        for (size_t i = 0; i < cpu->n_load_average; i++)
            (void)printf("%s%.2f", i > 0 ? " " : "", cpu->load_average[i]);
        (void)putchar('\n');
    }
    print_percent("User Time:", cpu->user_time);
    print_percent("System Time:", cpu->system_time);
    print_percent("Idle Time:", cpu->idle_time);
    print_percent("I/O Wait:", cpu->io_wait_time);
}

static void print_memory(const Joblet__MemoryMetrics *memory)
{
    if (!memory)
        return;
    (void)puts("\nMemory:");
    print_size("Total:", memory->total_bytes);
    print_used("Used:", memory->used_bytes, memory->usage_percent);
    print_size("Available:", memory->available_bytes);
    print_size("Free:", memory->free_bytes);
    print_size("Cached:", memory->cached_bytes);
    print_size("Buffered:", memory->buffered_bytes);
    if (memory->swap_total <= 0)
        return;
    char total[OUTPUT_SIZE_MAX];
    char used[OUTPUT_SIZE_MAX];
    output_format_size(memory->swap_total, total);
    output_format_size(memory->swap_used, used);
    print_label("Swap:");
    (void)printf("%s / %s (%.1f%%)\n", used, total, monitor_percent(memory->swap_used, memory->swap_total));
}

static void print_disks(const Joblet__SystemStatusResponse *status)
{
    if (status->n_disks > 0)
        (void)puts("\nDisks:");
    for (size_t i = 0; i < status->n_disks; i++) {
        const Joblet__DiskMetrics *disk = status->disks[i];
        char used[OUTPUT_SIZE_MAX];
        char total[OUTPUT_SIZE_MAX];
        output_format_size(disk->used_bytes, used);
        output_format_size(disk->total_bytes, total);
        (void)fputs("  ", stdout);
        output_text(stdout, disk->mount_point);
        (void)fputs(" (", stdout);
        output_text(stdout, disk->filesystem);
        (void)printf("): %s / %s (%.1f%%)\n", used, total, disk->usage_percent);
    }
}

static void print_networks(const Joblet__SystemStatusResponse *status)
{
    if (status->n_networks > 0)
        (void)puts("\nNetwork Interfaces:");
    for (size_t i = 0; i < status->n_networks; i++) {
        const Joblet__NetworkMetrics *network = status->networks[i];
        char received[OUTPUT_SIZE_MAX];
        char sent[OUTPUT_SIZE_MAX];
        output_format_size(network->bytes_received, received);
        output_format_size(network->bytes_sent, sent);
        (void)fputs("  ", stdout);
        output_text(stdout, network->interface);
        (void)printf(": RX %s (%lld packets), TX %s (%lld packets)\n", received, (long long)network->packets_received,
                sent, (long long)network->packets_sent);
    }
}

static void print_processes(const Joblet__ProcessMetrics *processes)
{
    if (!processes)
        return;
    (void)puts("\nProcesses:");
    const struct {
        const char *label;
        int32_t count;
    } counts[] = {
            {"Total:", processes->total_processes},
            {"Running:", processes->running_processes},
            {"Sleeping:", processes->sleeping_processes},
            {"Stopped:", processes->stopped_processes},
            {"Zombie:", processes->zombie_processes},
            {"Threads:", processes->total_threads},
    };
    for (size_t i = 0; i < ELEMENTS(counts); i++) {
        print_label(counts[i].label);
        (void)printf("%d\n", counts[i].count);
    }
}

/* An empty message is "not in a cloud". */
static void print_cloud(const Joblet__CloudInfo *cloud)
{
    if (!cloud || !*cloud->provider)
        return;
    (void)puts("\nCloud Environment:");
    print_text("Provider:", cloud->provider);
    print_text("Region:", cloud->region);
    print_text("Zone:", cloud->zone);
    print_text("Instance ID:", cloud->instance_id);
    print_text("Instance Type:", cloud->instance_type);
    print_text("Hypervisor:", cloud->hypervisor_type);
}

static void print_all(const Joblet__SystemStatusResponse *status)
{
    char time_text[OUTPUT_TIME_MAX];
    output_format_time(status->timestamp, /* zone= */ true, "", time_text);
    (void)fputs("System Status - ", stdout);
    output_text(stdout, time_text);
    (void)printf("\nAvailable: %s\n", status->available ? "true" : "false");
    print_host(status->host);
    print_server(status->server_version);
    print_cpu(status->cpu);
    print_memory(status->memory);
    print_disks(status);
    print_networks(status);
    print_processes(status->processes);
    print_cloud(status->cloud);
}

static void print_answer(const struct rnx *rnx, const ProtobufCMessage *answer)
{
    if (rnx->global.json)
        monitor_print_json((const Joblet__SystemStatusResponse *)answer);
    else
        print_all((const Joblet__SystemStatusResponse *)answer);
}

static int monitor_status_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)words;
    (void)count;
    Joblet__EmptyRequest request;
    joblet__empty_request__init(&request);
    const struct rpc_question question = {"/joblet.MonitoringService/GetSystemStatus", &request.base,
            &joblet__system_status_response__descriptor, RPC_SHORT_NS, "failed to get system status"};
    return rpc_ask(rnx, &question, print_answer);
}

const struct rnx_verb monitor_status_verb = {
        .group = "monitor",
        .name = "status",
        .arguments = "",
        .summary = "Show the state of the server's machine",
        .help = "Examples:\n"
                "  rnx monitor status\n"
                "  rnx monitor status --json | jq .memoryInfo.percent\n",
        .run = monitor_status_run,
};
