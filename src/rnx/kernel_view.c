#include "rnx/kernel_view.h"

#include <inttypes.h>
#include <string.h>

#include "base/fd.h"
#include "rnx/output.h"

#define NO_LIMIT (-1)
#define NOT_SET (-2)

/* Their numbers are the kernel's. */
static const char *const capability_names[] = {"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill",
        "setgid", "setuid", "setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw",
        "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin",
        "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write",
        "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
        "perfmon", "bpf", "checkpoint_restore"};

static const char *const id_names[] = {"real", "effective", "saved", "file system"};

#define CAPABILITY_NAME_MAX 24
static const char *capability_name(unsigned number, char buffer[CAPABILITY_NAME_MAX])
{
    if (number < ELEMENTS(capability_names))
        return capability_names[number];
    (void)snprintf(buffer, CAPABILITY_NAME_MAX, "cap_%u", number);
    return buffer;
}

struct set {
    const char *name;
    uint64_t bits;
};
#define SETS 5U

/* In the order of their names. */
static void sets_of(const Joblet__KernelCapabilities *capabilities, struct set ret_sets[SETS])
{
    ret_sets[0] = (struct set){"ambient", capabilities->ambient};
    ret_sets[1] = (struct set){"bounding", capabilities->bounding};
    ret_sets[2] = (struct set){"effective", capabilities->effective};
    ret_sets[3] = (struct set){"inheritable", capabilities->inheritable};
    ret_sets[4] = (struct set){"permitted", capabilities->permitted};
}

static const char *seccomp_name(uint32_t mode)
{
    return mode == 0 ? "none" : mode == 1 ? "strict" : mode == 2 ? "filter" : "unknown";
}

/* --- for people --- */

static void print_map(const char *label, const Joblet__KernelIdMap *map)
{
    if (!map)
        return;
    if (map->count == 0) {
        (void)printf("    %s: none\n", label);
        return;
    }
    (void)printf("    %s: %u-%" PRIu64 " in the job = %u-%" PRIu64 " on the host", label, map->inside,
            (uint64_t)map->inside + map->count - 1, map->outside, (uint64_t)map->outside + map->count - 1);
    if (map->lines != 1)
        (void)printf(", the first of %u", map->lines);
    (void)putchar('\n');
}

/* One number when all four are the same, as they should be. */
static void print_ids(const char *label, const uint32_t *ids, size_t count)
{
    bool same = count > 0;
    for (size_t i = 1; i < count; i++)
        same &= ids[i] == ids[0];
    (void)printf("    %s: ", label);
    for (size_t i = 0; i < (same ? 1 : count); i++)
        if (same || i >= ELEMENTS(id_names))
            (void)printf("%s%u", i > 0 ? ", " : "", ids[i]);
        else
            (void)printf("%s%s %u", i > 0 ? ", " : "", id_names[i], ids[i]);
    (void)putchar('\n');
}

static void print_set(const struct set *set)
{
    char buffer[CAPABILITY_NAME_MAX];
    (void)printf("    Capabilities (%s):", set->name);
    for (unsigned i = 0; i < 64; i++)
        if (set->bits & UINT64_C(1) << i)
            (void)printf(" %s", capability_name(i, buffer));
    (void)putchar('\n');
}

static void print_capabilities(const Joblet__KernelCapabilities *capabilities)
{
    struct set sets[SETS];
    bool any = false;
    if (!capabilities)
        return;
    sets_of(capabilities, sets);
    for (unsigned i = 0; i < SETS; i++)
        if (sets[i].bits) {
            print_set(&sets[i]);
            any = true;
        }
    if (!any)
        (void)puts("    Capabilities: none");
}

static void print_namespaces(const char *label, const Joblet__KernelProcess *process, bool own)
{
    size_t count = 0;
    for (size_t i = 0; i < process->n_namespaces; i++) {
        const Joblet__KernelNamespace *namespace = process->namespaces[i];
        if ((namespace->own != 0) != own)
            continue;
        if (count++ == 0)
            (void)printf("    %s: ", label);
        else
            (void)fputs(", ", stdout);
        output_text(stdout, namespace->kind);
    }
    if (count > 0)
        (void)putchar('\n');
}

static void print_process(const char *label, const Joblet__KernelProcess *process)
{
    if (!process) {
        (void)printf("  %s: not there any more\n", label);
        return;
    }
    (void)printf("  %s: process %u on the host, %u in the job\n", label, process->pid, process->inner_pid);
    print_map("User Id Map", process->uid_map);
    print_map("Group Id Map", process->gid_map);
    print_ids("User on the Host", process->uids, process->n_uids);
    print_ids("Group on the Host", process->gids, process->n_gids);
    (void)printf("    Other Groups: ");
    (void)(process->group_count ? printf("%u\n", process->group_count) : puts("none"));
    print_capabilities(process->capabilities);
    (void)printf("    No New Privileges: %s\n", process->no_new_privs ? "yes" : "NO");
    (void)printf("    Seccomp: %s", seccomp_name(process->seccomp_mode));
    (void)(process->seccomp_filters > 1 ? printf(" (%u of them)\n", process->seccomp_filters) : putchar('\n'));
    print_namespaces("Own Namespaces", process, true);
    print_namespaces("Namespaces of the Service", process, false);
}

static void print_cgroups(const Joblet__KernelView *view)
{
    for (size_t i = 0; i < view->n_cgroups; i++) {
        const Joblet__KernelCgroup *group = view->cgroups[i];
        (void)fputs("  Control Group (", stdout);
        for (size_t k = 0; k < group->n_controllers; k++) {
            (void)fputs(k > 0 ? ", " : "", stdout);
            output_text(stdout, group->controllers[k]);
        }
        output_field(")", group->path);
    }
}

static void print_amount(int64_t value, bool bytes, const char *unit)
{
    char text[OUTPUT_SIZE_MAX];
    if (value == NO_LIMIT) {
        (void)fputs("no limit", stdout);
    } else if (value < 0) {
        (void)fputs("not set", stdout);
    } else if (bytes) {
        output_format_size(value, text);
        (void)printf("%s%s", text, unit);
    } else {
        (void)printf("%" PRId64 "%s", value, unit);
    }
}

static void print_amount_line(const char *label, int64_t value, bool bytes, const char *unit)
{
    (void)printf("    %s: ", label);
    print_amount(value, bytes, unit);
    (void)putchar('\n');
}

static void print_pair(const char *label, int64_t soft, int64_t hard, bool bytes)
{
    (void)printf("    %s: ", label);
    print_amount(soft, bytes, "");
    if (hard != soft) {
        (void)fputs(", at most ", stdout);
        print_amount(hard, bytes, "");
    }
    (void)putchar('\n');
}

static void print_limits(const Joblet__KernelLimits *limits)
{
    if (!limits)
        return;
    (void)puts("  Limits in Force:");
    print_amount_line("Memory", limits->memory_bytes, true, "");
    print_amount_line("Swap", limits->swap_bytes, true, "");
    print_amount_line("CPU", limits->cpu_percent, false, "% of one core");
    output_field("    Cores", *limits->cpus ? limits->cpus : "not set");
    print_amount_line("Processes", limits->processes, false, "");
    for (size_t i = 0; i < limits->n_devices; i++) {
        const Joblet__KernelDeviceLimit *device = limits->devices[i];
        (void)fputs("    Device ", stdout);
        output_text(stdout, device->device);
        (void)fputs(": read ", stdout);
        print_amount(device->read_bps, true, "/s");
        (void)fputs(", write ", stdout);
        print_amount(device->write_bps, true, "/s");
        (void)putchar('\n');
    }
    if (limits->n_devices == 0)
        (void)puts("    Device I/O: not set");
    print_pair("Open Files", limits->open_files_soft, limits->open_files_hard, false);
    print_pair("Core File", limits->core_bytes_soft, limits->core_bytes_hard, true);
}

void kernel_view_print(const Joblet__KernelView *view)
{
    char taken[OUTPUT_TIME_MAX];
    output_format_time(view->taken, /* zone= */ true, "at an unknown time", taken);
    (void)printf("\nKernel's View (read from outside, %s):\n", view->before_start ? "before the command ran" : "now");
    output_field("  Read", taken);
    print_process("Process of the Command", view->command);
    print_process("joblet-init", view->init);
    print_cgroups(view);
    print_limits(view->limits);
}

/* --- for scripts --- */

static void put_number(struct json *json, const char *key, int64_t value)
{
    json_key(json, key);
    if (value < NO_LIMIT)
        json_null(json);
    else
        json_integer(json, value);
}

static void put_ids(struct json *json, const char *key, const uint32_t *ids, size_t count)
{
    json_key(json, key);
    json_begin_list(json);
    for (size_t i = 0; i < count; i++)
        json_integer(json, ids[i]);
    json_end_list(json);
}

static void put_map(struct json *json, const char *key, const Joblet__KernelIdMap *map)
{
    if (!map)
        return;
    json_key(json, key);
    json_begin_object(json);
    json_put_integer(json, "count", map->count);
    json_put_integer(json, "inside", map->inside);
    json_put_integer(json, "lines", map->lines);
    json_put_integer(json, "outside", map->outside);
    json_end_object(json);
}

static void put_capabilities(struct json *json, const Joblet__KernelCapabilities *capabilities)
{
    struct set sets[SETS];
    char buffer[CAPABILITY_NAME_MAX];
    if (!capabilities)
        return;
    sets_of(capabilities, sets);
    json_key(json, "capabilities");
    json_begin_object(json);
    for (unsigned i = 0; i < SETS; i++) {
        json_key(json, sets[i].name);
        json_begin_list(json);
        for (unsigned bit = 0; bit < 64; bit++)
            if (sets[i].bits & UINT64_C(1) << bit)
                json_text(json, capability_name(bit, buffer));
        json_end_list(json);
    }
    json_end_object(json);
}

static void put_namespaces(struct json *json, const Joblet__KernelProcess *process)
{
    json_key(json, "namespaces");
    json_begin_object(json);
    for (size_t i = 0; i < process->n_namespaces; i++) {
        json_key(json, process->namespaces[i]->kind);
        json_begin_object(json);
        json_put_integer(json, "inode", (int64_t)process->namespaces[i]->inode);
        json_put_bool(json, "own", process->namespaces[i]->own);
        json_end_object(json);
    }
    json_end_object(json);
}

/* null: it was not there. */
static void put_process(struct json *json, const char *key, const Joblet__KernelProcess *process)
{
    json_key(json, key);
    if (!process) {
        json_null(json);
        return;
    }
    json_begin_object(json);
    put_capabilities(json, process->capabilities);
    put_map(json, "gidMap", process->gid_map);
    put_ids(json, "gids", process->gids, process->n_gids);
    json_put_integer(json, "groupCount", process->group_count);
    json_put_integer(json, "innerPid", process->inner_pid);
    put_namespaces(json, process);
    json_put_bool(json, "noNewPrivs", process->no_new_privs);
    json_put_integer(json, "pid", process->pid);
    json_put_text(json, "seccomp", seccomp_name(process->seccomp_mode));
    json_put_integer(json, "seccompFilters", process->seccomp_filters);
    put_map(json, "uidMap", process->uid_map);
    put_ids(json, "uids", process->uids, process->n_uids);
    json_end_object(json);
}

static void put_cgroups(struct json *json, const Joblet__KernelView *view)
{
    json_key(json, "cgroups");
    json_begin_list(json);
    for (size_t i = 0; i < view->n_cgroups; i++) {
        json_begin_object(json);
        json_put_texts(json, "controllers", view->cgroups[i]->controllers, view->cgroups[i]->n_controllers);
        json_put_text(json, "path", view->cgroups[i]->path);
        json_end_object(json);
    }
    json_end_list(json);
}

static void put_devices(struct json *json, const Joblet__KernelLimits *limits)
{
    json_key(json, "devices");
    json_begin_list(json);
    for (size_t i = 0; i < limits->n_devices; i++) {
        json_begin_object(json);
        json_put_text(json, "device", limits->devices[i]->device);
        put_number(json, "readBps", limits->devices[i]->read_bps);
        put_number(json, "writeBps", limits->devices[i]->write_bps);
        json_end_object(json);
    }
    json_end_list(json);
}

static void put_limits(struct json *json, const Joblet__KernelLimits *limits)
{
    if (!limits)
        return;
    json_key(json, "limits");
    json_begin_object(json);
    put_number(json, "coreBytesHard", limits->core_bytes_hard);
    put_number(json, "coreBytesSoft", limits->core_bytes_soft);
    put_number(json, "cpuPercent", limits->cpu_percent);
    json_put_text(json, "cpus", limits->cpus);
    put_devices(json, limits);
    put_number(json, "memoryBytes", limits->memory_bytes);
    put_number(json, "openFilesHard", limits->open_files_hard);
    put_number(json, "openFilesSoft", limits->open_files_soft);
    put_number(json, "processes", limits->processes);
    put_number(json, "swapBytes", limits->swap_bytes);
    json_end_object(json);
}

void kernel_view_put(struct json *json, const Joblet__KernelView *view)
{
    json_begin_object(json);
    json_put_bool(json, "beforeStart", view->before_start);
    put_cgroups(json, view);
    put_process(json, "command", view->command);
    put_process(json, "init", view->init);
    put_limits(json, view->limits);
    json_put_text(json, "taken", view->taken);
    json_end_object(json);
}
