#include "api/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "joblet.pb-c.h"

#define CGROUPS_MAX 8U
#define CONTROLLERS_MAX 16U
/* What the message has in place of a number. */
#define NO_LIMIT (-1)
#define NOT_SET (-2)

/* The names in their order, and where each is in the channel's. */
static const struct {
    const char *name;
    unsigned index;
} namespace_kinds[CHANNEL_VIEW_NAMESPACES] = {
        {"cgroup", 5}, {"ipc", 3}, {"mnt", 1}, {"net", 4}, {"pid", 0}, {"user", 6}, {"uts", 2}};

/* Messages point to their parts: here they lie until the whole is packed. */
struct process_parts {
    Joblet__KernelProcess message;
    uint32_t uids[4];
    uint32_t gids[4];
    Joblet__KernelIdMap uid_map;
    Joblet__KernelIdMap gid_map;
    Joblet__KernelCapabilities capabilities;
    Joblet__KernelNamespace namespaces[CHANNEL_VIEW_NAMESPACES];
    Joblet__KernelNamespace *namespace_list[CHANNEL_VIEW_NAMESPACES];
    char namespace_names[CHANNEL_VIEW_NAMESPACES][8];
};

struct limits_parts {
    Joblet__KernelLimits message;
    char cpus[CHANNEL_VIEW_CPUS_MAX + 1];
    Joblet__KernelDeviceLimit devices[CHANNEL_VIEW_DEVICES_MAX];
    Joblet__KernelDeviceLimit *device_list[CHANNEL_VIEW_DEVICES_MAX];
    char device_names[CHANNEL_VIEW_DEVICES_MAX][24];
};

struct cgroup_parts {
    char text[CHANNEL_VIEW_CGROUPS_MAX + 1];
    Joblet__KernelCgroup groups[CGROUPS_MAX];
    Joblet__KernelCgroup *list[CGROUPS_MAX];
    size_t count;
    char *controllers[CGROUPS_MAX][CONTROLLERS_MAX];
};

/* Texts of a message are UTF-8; the name of a group may be anything. */
static void copy_text(char *to, const char *from, size_t size)
{
    memcpy(to, from, size);
    to[size] = '\0';
    if (!text_is_utf8(to, strlen(to)))
        for (char *at = to; *at; at++)
            if ((unsigned char)*at >= 0x80)
                *at = '?';
}

static void fill_map(Joblet__KernelIdMap *message, const struct channel_view_map *map)
{
    joblet__kernel_id_map__init(message);
    message->inside = map->inside;
    message->outside = map->outside;
    message->count = map->count;
    message->lines = map->lines;
}

static void fill_namespaces(struct process_parts *parts, const struct channel_view_process *process)
{
    for (unsigned i = 0; i < CHANNEL_VIEW_NAMESPACES; i++) {
        unsigned index = namespace_kinds[i].index;
        Joblet__KernelNamespace *message = &parts->namespaces[i];
        joblet__kernel_namespace__init(message);
        (void)snprintf(parts->namespace_names[i], sizeof(parts->namespace_names[i]), "%s", namespace_kinds[i].name);
        message->kind = parts->namespace_names[i];
        message->inode = process->namespaces[index];
        message->own = (process->own_namespaces & 1U << index) != 0;
        parts->namespace_list[i] = message;
    }
    parts->message.namespaces = parts->namespace_list;
    parts->message.n_namespaces = CHANNEL_VIEW_NAMESPACES;
}

/* NULL when the process was not there. */
static Joblet__KernelProcess *fill_process(struct process_parts *parts, const struct channel_view_process *process)
{
    Joblet__KernelProcess *message = &parts->message;
    if (process->pid == 0)
        return NULL;
    joblet__kernel_process__init(message);
    joblet__kernel_capabilities__init(&parts->capabilities);
    message->pid = process->pid;
    message->inner_pid = process->inner_pid;
    memcpy(parts->uids, process->uid, sizeof(parts->uids));
    memcpy(parts->gids, process->gid, sizeof(parts->gids));
    message->uids = parts->uids;
    message->gids = parts->gids;
    message->n_uids = message->n_gids = ELEMENTS(parts->uids);
    message->group_count = process->group_count;
    fill_map(&parts->uid_map, &process->uid_map);
    fill_map(&parts->gid_map, &process->gid_map);
    message->uid_map = &parts->uid_map;
    message->gid_map = &parts->gid_map;
    parts->capabilities.inheritable = process->cap_inheritable;
    parts->capabilities.permitted = process->cap_permitted;
    parts->capabilities.effective = process->cap_effective;
    parts->capabilities.bounding = process->cap_bounding;
    parts->capabilities.ambient = process->cap_ambient;
    message->capabilities = &parts->capabilities;
    message->no_new_privs = process->no_new_privs != 0;
    message->seccomp_mode = process->seccomp;
    message->seccomp_filters = process->seccomp_filters;
    fill_namespaces(parts, process);
    return message;
}

static int64_t number(uint64_t value)
{
    if (value == CHANNEL_VIEW_NOT_SET)
        return NOT_SET;
    return value > INT64_MAX ? NO_LIMIT : (int64_t)value;
}

static void fill_devices(struct limits_parts *parts, const struct channel_view_limits *limits)
{
    Joblet__KernelLimits *message = &parts->message;
    for (unsigned i = 0; i < limits->device_count && i < CHANNEL_VIEW_DEVICES_MAX; i++) {
        const struct channel_view_device *device = &limits->devices[i];
        joblet__kernel_device_limit__init(&parts->devices[i]);
        (void)snprintf(parts->device_names[i], sizeof(parts->device_names[i]), "%u:%u", device->major, device->minor);
        parts->devices[i].device = parts->device_names[i];
        parts->devices[i].read_bps = number(device->read_bps);
        parts->devices[i].write_bps = number(device->write_bps);
        parts->device_list[message->n_devices++] = &parts->devices[i];
    }
    message->devices = parts->device_list;
}

static Joblet__KernelLimits *fill_limits(struct limits_parts *parts, const struct channel_view_limits *limits)
{
    Joblet__KernelLimits *message = &parts->message;
    joblet__kernel_limits__init(message);
    message->memory_bytes = number(limits->memory_bytes);
    message->swap_bytes = number(limits->swap_bytes);
    message->cpu_percent = number(limits->cpu_percent);
    message->processes = number(limits->processes);
    copy_text(parts->cpus, limits->cpus, sizeof(limits->cpus));
    message->cpus = parts->cpus;
    fill_devices(parts, limits);
    message->open_files_soft = number(limits->open_files_soft);
    message->open_files_hard = number(limits->open_files_hard);
    message->core_bytes_soft = number(limits->core_bytes_soft);
    message->core_bytes_hard = number(limits->core_bytes_hard);
    return message;
}

/* Cuts "LIST,LIST PATH\n" lines into their parts, in place. */
static void fill_cgroups(struct cgroup_parts *parts, const char text[CHANNEL_VIEW_CGROUPS_MAX])
{
    copy_text(parts->text, text, CHANNEL_VIEW_CGROUPS_MAX);
    char *rest = parts->text;
    for (char *line; parts->count < CGROUPS_MAX && (line = strsep(&rest, "\n"));) {
        char *path = strchr(line, ' ');
        if (!path)
            continue;
        *path++ = '\0';
        Joblet__KernelCgroup *message = &parts->groups[parts->count];
        joblet__kernel_cgroup__init(message);
        message->path = path;
        message->controllers = parts->controllers[parts->count];
        for (char *name; message->n_controllers < CONTROLLERS_MAX && (name = strsep(&line, ","));)
            message->controllers[message->n_controllers++] = name;
        parts->list[parts->count++] = message;
    }
}

int view_pack(const struct channel_kernel_view *view, uint8_t **ret_bytes, size_t *ret_size)
{
    struct process_parts init;
    struct process_parts command;
    struct limits_parts limits;
    struct cgroup_parts cgroups = {.count = 0};
    char taken[TEXT_TIME_MAX];
    Joblet__KernelView message;
    joblet__kernel_view__init(&message);
    text_format_time(view->taken_unix_ns, taken);
    message.taken = taken;
    message.before_start = view->before_start != 0;
    message.init = fill_process(&init, &view->init);
    message.command = fill_process(&command, &view->command);
    message.limits = fill_limits(&limits, &view->limits);
    fill_cgroups(&cgroups, view->cgroups);
    message.cgroups = cgroups.list;
    message.n_cgroups = cgroups.count;
    size_t size = joblet__kernel_view__get_packed_size(&message);
    uint8_t *bytes = malloc(size);
    if (!bytes)
        return -ENOMEM;
    *ret_size = joblet__kernel_view__pack(&message, bytes);
    *ret_bytes = bytes;
    return 0;
}
