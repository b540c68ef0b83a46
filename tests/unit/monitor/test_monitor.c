/* Figures of a made-up host, then of this one against what /proc says by itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "monitor/monitor.h"

static char root[64];
static int64_t clock_ns;

static int64_t read_clock(void)
{
    return clock_ns;
}

static void put(const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int make_host(void **state)
{
    (void)state;
    (void)setenv("TZ", "UTC", 1);
    tzset();
    (void)strcpy(root, "/tmp/joblet-monitor-XXXXXX");
    assert_non_null(mkdtemp(root));
    clock_ns = 1000 * 1000000000LL;
    put("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 50 0 50 400 0 0 0 0 0 0\ncpu1 50 0 50 400 0 0 0 0 0 0\n"
                     "intr 5 0 0\nbtime 1700000000\nprocesses 9\n");
    put("proc/loadavg", "0.50 1.25 2.00 3/104 30669\n");
    put("proc/meminfo", "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     400 kB\n"
                        "Buffers:           20 kB\nCached:            30 kB\nSwapCached:        99 kB\n"
                        "SwapTotal:         50 kB\nSwapFree:          40 kB\nSReclaimable:       5 kB\n");
    put("proc/uptime", "1000.50 1800.00\n");
    put("proc/self/mounts", "proc /proc proc rw 0 0\n/dev/vda / ext4 rw 0 0\n/dev/vda /mnt ext4 rw 0 0\n"
                            "/dev/v\\040x /nowhere/at/all ext4 rw 0 0\n");
    put("proc/diskstats", " 254 0 vda 10 0 20 30 40 0 50 60 0 70 0 0 0 0 0 0 0\n"
                          " 254 1 vda1 10 0 20 30 40 0 50 60 0 70 0 0 0 0 0 0 0\n"
                          "   7 0 loop0 9 9 9 9 9 9 9 9 9 9 9 0 0 0 0 0 0\n"
                          " 259 0 nvme0n1 1 0 2 3 4 0 6 7 0 8 0 0 0 0 0 0 0\n"
                          " 259 1 nvme0n1p1 1 0 2 3 4 0 6 7 0 8 0 0 0 0 0 0 0\n");
    put("proc/net/dev", "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n"
                        "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
                        " veth1: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
                        " fake0:1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n");
    put("sys/fake0/address", "02:00:00:00:00:01\n");
    put("os-release", "NAME=x\nPRETTY_NAME=\"Test OS 1\"\n");
    put("dmi/sys_vendor", "Amazon EC2\n");
    put("dmi/product_name", "t3.micro\n");
    put("proc/1/stat", "1 (init) S 0 1 1 0 -1 0 0 0 0 0 10 10 0 0 20 0 1 0 100 1000 7 8 9\n");
    put("proc/77/stat", "77 (a) b\xff (c) R 1 1 1 0 -1 0 0 0 0 0 50 50 0 0 20 0 3 0 200 1000 2 8 9\n");
    put("proc/78/stat", "garbage");
    return 0;
}

static int remove_host(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct monitor *open_host(void)
{
    static char proc[128], sys[128], os[128], dmi[128];
    (void)snprintf(proc, sizeof(proc), "%s/proc", root);
    (void)snprintf(sys, sizeof(sys), "%s/sys", root);
    (void)snprintf(os, sizeof(os), "%s/os-release", root);
    (void)snprintf(dmi, sizeof(dmi), "%s/dmi", root);
    struct monitor_source source = {
            .proc = proc, .sys_net = sys, .os_release = {"/nowhere", os}, .dmi = dmi, .now_ns = read_clock};
    struct monitor *monitor = NULL;
    struct error error = {0};
    if (monitor_new_from(&monitor, "node-1", &source, &error) < 0)
        fail_msg("%s", error.text);
    return monitor;
}

static Joblet__SystemStatusResponse *read_status(struct monitor *monitor)
{
    Joblet__SystemStatusResponse *status = NULL;
    struct error error = {0};
    if (monitor_read_status(monitor, &status, &error) < 0)
        fail_msg("%s", error.text);
    return status;
}

static bool near(double one, double other)
{
    return one - other < 0.01 && other - one < 0.01;
}

/* Two seconds later. */
static void move_on(void)
{
    clock_ns += 2000000000LL;
    put("proc/stat", "cpu  130 20 150 890 5 0 0 5 0 0\ncpu0 150 0 50 400 0 0 0 0 0 0\ncpu1 50 0 50 500 0 0 0 0 0 0\n"
                     "btime 1700000000\n");
    put("proc/net/dev", "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
                        " fake0:5000 10 1 2 0 0 0 0 8000 20 3 4 0 0 0 0\n");
    put("proc/diskstats", " 254 0 vda 10 0 60 30 40 0 150 60 0 1070 0 0 0 0 0 0 0\n");
    put("proc/77/stat", "77 (a) b\xff (c) R 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 3 0 200 1000 2 8 9\n");
}

static void test_host(void **state)
{
    (void)state;
    struct monitor *monitor = open_host();
    Joblet__SystemStatusResponse *status = read_status(monitor);
    assert_true(status->available);
    assert_string_equal(status->host->os, "Test OS 1");
    assert_string_equal(status->host->node_id, "node-1");
    assert_string_equal(status->host->boot_time, "2023-11-14T22:13:20Z");
    assert_int_equal(status->host->uptime, 1000);
    assert_int_equal(status->host->n_mac_addresses, 1);
    assert_string_equal(status->cloud->provider, "AWS");
    assert_string_equal(status->cloud->instance_type, "t3.micro");
    assert_string_equal(status->server_version->component, "joblet");
    assert_string_equal(status->cpu->n_load_average == 3 ? "three" : "other", "three");
    assert_true(near(status->cpu->load_average[1], 1.25));
    assert_int_equal(status->cpu->cores, 2);
    monitor_free_status(status);
    monitor_free(monitor);
}

static void test_memory(void **state)
{
    (void)state;
    struct monitor *monitor = open_host();
    Joblet__SystemStatusResponse *status = read_status(monitor);
    const Joblet__MemoryMetrics *memory = status->memory;
    assert_int_equal(memory->total_bytes, 1000 * 1024);
    assert_int_equal(memory->used_bytes, 600 * 1024);
    assert_int_equal(memory->cached_bytes, 35 * 1024);
    assert_int_equal(memory->swap_used, 10 * 1024);
    assert_true(near(memory->usage_percent, 60));
    monitor_free_status(status);
    monitor_free(monitor);
}

static void test_window(void **state)
{
    (void)state;
    struct monitor *monitor = open_host();
    move_on();
    Joblet__SystemStatusResponse *status = read_status(monitor);
    /* 200 ticks in the window: 50 user, 50 system, 90 idle, 5 waiting, 5 stolen. */
    assert_true(near(status->cpu->user_time, 25));
    assert_true(near(status->cpu->system_time, 25));
    assert_true(near(status->cpu->idle_time, 45));
    assert_true(near(status->cpu->io_wait_time, 2.5));
    assert_true(near(status->cpu->steal_time, 2.5));
    assert_true(near(status->cpu->usage_percent, 52.5));
    assert_int_equal(status->cpu->n_per_core_usage, 2);
    assert_true(near(status->cpu->per_core_usage[0], 100));
    assert_true(near(status->cpu->per_core_usage[1], 0));
    assert_int_equal(status->n_networks, 1);
    assert_string_equal(status->networks[0]->interface, "fake0");
    assert_string_equal(status->networks[0]->mac_address, "02:00:00:00:00:01");
    assert_true(near(status->networks[0]->receive_rate, 2000));
    assert_true(near(status->networks[0]->transmit_rate, 3000));
    assert_int_equal(status->networks[0]->drops_out, 4);
    assert_true(near(status->io->read_rate, 40 * 512 / 2.0));
    assert_true(near(status->io->write_rate, 100 * 512 / 2.0));
    assert_true(near(status->io->disk_io[0]->utilization, 50));
    monitor_free_status(status);
    monitor_free(monitor);
}

static void test_disks(void **state)
{
    (void)state;
    struct monitor *monitor = open_host();
    Joblet__SystemStatusResponse *status = read_status(monitor);
    assert_int_equal(status->io->n_disk_io, 2); /* no partition, no loop device */
    assert_int_equal(status->io->total_reads, 11);
    assert_int_equal(status->io->write_bytes, 56 * 512);
    assert_int_equal(status->n_disks, 1); /* one device once, and none that is not there */
    assert_string_equal(status->disks[0]->device, "/dev/vda");
    assert_string_equal(status->disks[0]->mount_point, "/");
    assert_true(status->disks[0]->total_bytes > 0);
    assert_int_equal(status->disks[0]->used_bytes + status->disks[0]->free_bytes, status->disks[0]->total_bytes);
    monitor_free_status(status);
    monitor_free(monitor);
}

static void test_processes(void **state)
{
    (void)state;
    struct monitor *monitor = open_host();
    move_on();
    Joblet__SystemStatusResponse *status = read_status(monitor);
    const Joblet__ProcessMetrics *processes = status->processes;
    assert_int_equal(processes->total_processes, 3);
    assert_int_equal(processes->running_processes, 1);
    assert_int_equal(processes->sleeping_processes, 1);
    assert_int_equal(processes->total_threads, 4);
    assert_int_equal(processes->n_top_by_cpu, 2);
    const Joblet__ProcessInfo *top = processes->top_by_cpu[0];
    assert_int_equal(top->pid, 77);
    assert_int_equal(top->ppid, 1);
    assert_string_equal(top->name, "a) b? (c"); /* a byte that is not UTF-8 */
    assert_string_equal(top->status, "r");
    assert_string_equal(top->start_time, "2023-11-14T22:13:22Z");
    assert_true(near(top->cpu_percent, 50)); /* 100 ticks in two seconds */
    assert_int_equal(processes->top_by_memory[0]->pid, 1);
    assert_int_equal(processes->top_by_memory[0]->memory_bytes, 7 * sysconf(_SC_PAGESIZE));
    monitor_free_status(status);
    monitor_free(monitor);
}

/* Who asks in a loop gets what was read already. */
static void test_fresh(void **state)
{
    (void)state;
    struct monitor *monitor = open_host();
    Joblet__SystemStatusResponse *first = read_status(monitor);
    put("proc/uptime", "5000.00 1\n");
    clock_ns += MONITOR_FRESH_NS - 1;
    Joblet__SystemStatusResponse *second = read_status(monitor);
    assert_int_equal(second->host->uptime, 1000);
    assert_non_null(second->cloud);
    clock_ns += 1;
    Joblet__SystemStatusResponse *third = read_status(monitor);
    assert_int_equal(third->host->uptime, 5000);
    monitor_free_status(first);
    monitor_free_status(second);
    monitor_free_status(third);
    monitor_free(monitor);
}

static void test_broken(void **state)
{
    (void)state;
    struct monitor *monitor = open_host();
    struct error error = {0};
    Joblet__SystemStatusResponse *status = NULL;
    put("proc/stat", "cpu  1 2\n");
    clock_ns += MONITOR_FRESH_NS;
    assert_int_equal(monitor_read_status(monitor, &status, &error), -EBADMSG);
    assert_null(status);
    assert_non_null(strstr(error.text, "processor"));
    monitor_free(monitor);
}

static uint64_t read_meminfo(const char *key)
{
    FILE *file = fopen("/proc/meminfo", "r");
    char line[256];
    unsigned long long value = 0;
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtoull(line + strlen(key), NULL, 10);
    (void)fclose(file);
    return value * 1024;
}

static void check_addresses(const Joblet__HostInfo *host)
{
    for (size_t i = 0; i < host->n_server_ips; i++) {
        struct in6_addr address;
        assert_true(inet_pton(AF_INET, host->server_ips[i], &address) == 1 ||
                    inet_pton(AF_INET6, host->server_ips[i], &address) == 1);
        assert_int_not_equal(strncmp(host->server_ips[i], "127.", 4), 0);
        assert_int_not_equal(strncmp(host->server_ips[i], "fe80:", 5), 0);
    }
}

static void test_this_host(void **state)
{
    (void)state;
    struct monitor *monitor = NULL;
    struct error error = {0};
    struct utsname names;
    assert_int_equal(uname(&names), 0);
    if (monitor_new(&monitor, "", &error) < 0)
        fail_msg("%s", error.text);
    Joblet__SystemStatusResponse *status = read_status(monitor);
    assert_int_equal(status->memory->total_bytes, read_meminfo("MemTotal:"));
    assert_string_equal(status->host->hostname, names.nodename);
    assert_string_equal(status->host->kernel_version, names.release);
    assert_int_equal(status->cpu->cores, sysconf(_SC_NPROCESSORS_ONLN));
    assert_true(status->cpu->usage_percent >= 0 && status->cpu->usage_percent <= 100);
    assert_true(status->processes->total_processes > 0);
    assert_true(status->processes->n_top_by_memory > 0 && status->processes->n_top_by_memory <= MONITOR_TOP_MAX);
    assert_true(status->host->uptime > 0);
    check_addresses(status->host);
    int64_t boot_ns;
    assert_int_equal(text_parse_time(status->host->boot_time, &boot_ns), 0);
    int64_t age_s = (text_now_unix_ns() - boot_ns) / 1000000000;
    assert_true(age_s - status->host->uptime < 5 && status->host->uptime - age_s < 5);
    monitor_free_status(status);
    monitor_free(monitor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_host, make_host, remove_host),
            cmocka_unit_test_setup_teardown(test_memory, make_host, remove_host),
            cmocka_unit_test_setup_teardown(test_window, make_host, remove_host),
            cmocka_unit_test_setup_teardown(test_disks, make_host, remove_host),
            cmocka_unit_test_setup_teardown(test_processes, make_host, remove_host),
            cmocka_unit_test_setup_teardown(test_fresh, make_host, remove_host),
            cmocka_unit_test_setup_teardown(test_broken, make_host, remove_host),
            cmocka_unit_test(test_this_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
