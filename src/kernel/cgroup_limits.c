#include "kernel/cgroup_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/cgroup_private.h"

#define GROUP_FILE_SIZE_MAX 4096U
#define PROC_CGROUP_MAX (64U * 1024U)

/* Version 1 says "no limit" by the largest number of whole pages below 2^63, whatever a page is. */
#define V1_NO_LIMIT (INT64_MAX - (INT64_C(1) << 20))

/* True when the comma-separated @list holds the first @size bytes of @name as a whole. */
static bool has_controller(const char *list, const char *name, size_t size)
{
    while (*list) {
        size_t length = strcspn(list, ",");
        if (length == size && strncmp(list, name, size) == 0)
            return true;
        list += length;
        list += *list == ',';
    }
    return false;
}

/* Reads the group's file, @v1 or @v2, from the hierarchy that has it; NULL: that version has none. 2 or 1: the version
 * it was; 0: not there; -errno. */
static int read_file(const struct cgroup_host *host, const char *name, const char *v1, const char *v2,
        char ret_text[GROUP_FILE_SIZE_MAX])
{
    for (unsigned i = 0; i < host->count; i++) {
        const struct cgroup_hierarchy *hierarchy = &host->hierarchies[i];
        const char *file = hierarchy->v2 ? v2 : v1;
        if (!file || (!hierarchy->v2 && !has_controller(hierarchy->list, file, strcspn(file, "."))))
            continue;
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%s", name, file);
        _cleanup_close_ int fd = openat(hierarchy->parent_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT)
            continue;
        ssize_t got = fd < 0 ? -1 : read(fd, ret_text, GROUP_FILE_SIZE_MAX - 1);
        if (got < 0)
            return -errno;
        ret_text[got] = '\0';
        return hierarchy->v2 ? 2 : 1;
    }
    return 0;
}

/* A number or "max" at *@text, which is moved behind it. */
static uint64_t take_value(const char **text)
{
    if (strncmp(*text, "max", 3) == 0) {
        *text += 3;
        return CGROUP_NO_LIMIT;
    }
    char *end;
    errno = 0;
    if (**text < '0' || **text > '9')
        return CGROUP_NOT_SET;
    uint64_t value = strtoull(*text, &end, 10);
    if (errno != 0)
        return CGROUP_NOT_SET;
    *text = end;
    return value < CGROUP_NOT_SET ? value : CGROUP_NO_LIMIT;
}

/* A reading that failed is remembered; the later ones go on. */
struct reader {
    const struct cgroup_host *host;
    const char *name;
    int result;
};

static int reader_file(struct reader *reader, const char *v1, const char *v2, char ret_text[GROUP_FILE_SIZE_MAX])
{
    int version = read_file(reader->host, reader->name, v1, v2, ret_text);
    if (version < 0)
        reader->result = version;
    return version;
}

static uint64_t read_value(struct reader *reader, const char *v1, const char *v2)
{
    char text[GROUP_FILE_SIZE_MAX];
    const char *at = text;
    int version = reader_file(reader, v1, v2, text);
    if (version <= 0)
        return CGROUP_NOT_SET;
    if (version == 1 && strncmp(text, "-1", 2) == 0)
        return CGROUP_NO_LIMIT;
    uint64_t value = take_value(&at);
    return version == 1 && value < CGROUP_NOT_SET && value >= (uint64_t)V1_NO_LIMIT ? CGROUP_NO_LIMIT : value;
}

static uint64_t read_swap(struct reader *reader, uint64_t memory_bytes)
{
    uint64_t both = read_value(reader, "memory.memsw.limit_in_bytes", NULL);
    if (both == CGROUP_NOT_SET)
        return read_value(reader, NULL, "memory.swap.max");
    if (both == CGROUP_NO_LIMIT || memory_bytes >= CGROUP_NOT_SET)
        return both == CGROUP_NO_LIMIT ? both : CGROUP_NOT_SET;
    return both > memory_bytes ? both - memory_bytes : 0;
}

static uint64_t percent_of(uint64_t quota_us, uint64_t period_us)
{
    if (quota_us >= CGROUP_NOT_SET)
        return quota_us;
    return period_us == 0 || period_us >= CGROUP_NOT_SET ? CGROUP_NOT_SET : quota_us * 100 / period_us;
}

static uint64_t read_cpu(struct reader *reader)
{
    char text[GROUP_FILE_SIZE_MAX];
    const char *at = text;
    if (reader_file(reader, NULL, "cpu.max", text) == 2) {
        uint64_t quota_us = take_value(&at);
        at += *at == ' ';
        return percent_of(quota_us, take_value(&at));
    }
    return percent_of(read_value(reader, "cpu.cfs_quota_us", NULL), read_value(reader, "cpu.cfs_period_us", NULL));
}

static void read_cpus(struct reader *reader, char ret_cpus[CGROUP_CPUS_MAX])
{
    char text[GROUP_FILE_SIZE_MAX];
    ret_cpus[0] = '\0';
    if (reader_file(reader, "cpuset.effective_cpus", "cpuset.cpus.effective", text) <= 0)
        return;
    text[strcspn(text, "\n")] = '\0';
    (void)snprintf(ret_cpus, CGROUP_CPUS_MAX, "%.*s", (int)CGROUP_CPUS_MAX - 1, text);
}

static bool take_text(const char **at, const char *text)
{
    size_t length = strlen(text);
    bool there = strncmp(*at, text, length) == 0;
    if (there)
        *at += length;
    return there;
}

int cgroup_parse_device(const char *line, struct cgroup_device_limit *ret_limit)
{
    const char *at = line;
    struct cgroup_device_limit limit = {.read_bps = CGROUP_NO_LIMIT, .write_bps = CGROUP_NO_LIMIT};
    uint64_t major = take_value(&at);
    if (!take_text(&at, ":"))
        return -EBADMSG;
    uint64_t minor = take_value(&at);
    if (major > UINT32_MAX || minor > UINT32_MAX)
        return -EBADMSG;
    while (take_text(&at, " ")) {
        uint64_t *value = take_text(&at, "rbps=") ? &limit.read_bps : take_text(&at, "wbps=") ? &limit.write_bps : NULL;
        if (value)
            *value = take_value(&at);
        at += strcspn(at, " \n"); /* operations are not limited by us */
    }
    limit.major = (uint32_t)major;
    limit.minor = (uint32_t)minor;
    *ret_limit = limit;
    return 0;
}

static void read_devices(struct reader *reader, struct cgroup_limits_in_force *limits)
{
    char text[GROUP_FILE_SIZE_MAX];
    if (reader_file(reader, NULL, "io.max", text) <= 0)
        return;
    for (const char *line = text; *line; line += *line == '\n') {
        struct cgroup_device_limit limit;
        if (cgroup_parse_device(line, &limit) == 0) {
            if (limits->device_count < CGROUP_DEVICES_MAX)
                limits->devices[limits->device_count] = limit;
            limits->device_count++;
        }
        line += strcspn(line, "\n");
    }
}

int cgroup_read_limits(const struct cgroup_host *host, const char *name, struct cgroup_limits_in_force *ret_limits)
{
    struct reader reader = {.host = host, .name = name};
    struct cgroup_limits_in_force limits = {0};
    limits.memory_bytes = read_value(&reader, "memory.limit_in_bytes", "memory.max");
    limits.swap_bytes = read_swap(&reader, limits.memory_bytes);
    limits.cpu_percent = read_cpu(&reader);
    limits.processes = read_value(&reader, "pids.max", "pids.max");
    read_cpus(&reader, limits.cpus);
    read_devices(&reader, &limits);
    if (reader.result == 0)
        *ret_limits = limits;
    return reader.result;
}

/* --- the groups of a process --- */

struct place {
    char lists[64];
    const char *path;
};

/* False too for a job that was not put into the hierarchy of those that asked for CPUs: its place there says nothing.
 */
static bool is_ours(const struct cgroup_host *host, const char *list, const char *path)
{
    for (unsigned i = 0; i < host->count; i++) {
        const struct cgroup_hierarchy *hierarchy = &host->hierarchies[i];
        size_t length = strlen(hierarchy->shown);
        if (strcmp(hierarchy->list, list) == 0)
            return !cgroup_is_on_demand(hierarchy) ||
                   (strncmp(path, hierarchy->shown, length) == 0 && path[length] == '/');
    }
    return false;
}

static int add_place(struct place places[CGROUP_HIERARCHIES_MAX], unsigned *count, const char *list, const char *path)
{
    const char *name = *list ? list : "v2";
    unsigned i = 0;
    while (i < *count && strcmp(places[i].path, path) != 0)
        i++;
    if (i == CGROUP_HIERARCHIES_MAX)
        return -ENOSPC;
    if (i == *count)
        places[(*count)++] = (struct place){.path = path};
    size_t used = strlen(places[i].lists);
    int size = snprintf(places[i].lists + used, sizeof(places[i].lists) - used, "%s%s", used > 0 ? "," : "", name);
    return size >= (int)(sizeof(places[i].lists) - used) ? -ENOSPC : 0;
}

/* Writes one place into at most @size bytes, the end of its path if need be. Its length or -ENOSPC. */
static int put_place(const struct place *place, char *text, size_t size)
{
    size_t needed = strlen(place->lists) + sizeof(" \n");
    size_t length = strlen(place->path);
    if (needed + sizeof("...") > size)
        return -ENOSPC;
    if (needed + length <= size)
        return snprintf(text, size, "%s %s\n", place->lists, place->path);
    size_t room = size - needed - (sizeof("...") - 1);
    return snprintf(text, size, "%s ...%s\n", place->lists, place->path + length - room);
}

int cgroup_parse_paths(const struct cgroup_host *host, char *text, char *ret_text, size_t size)
{
    struct place places[CGROUP_HIERARCHIES_MAX];
    unsigned count = 0;
    char *next;
    for (char *line = text; *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next)
            *next++ = '\0';
        char *list = strchr(line, ':');
        char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            return -EBADMSG;
        *path++ = '\0';
        int r = is_ours(host, list + 1, path) ? add_place(places, &count, list + 1, path) : 0;
        if (r < 0)
            return r;
    }
    size_t needed = 1;
    for (unsigned i = 0; i < count; i++)
        needed += strlen(places[i].lists) + strlen(places[i].path) + 2;
    size_t used = 0;
    ret_text[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        size_t left = size - used;
        int put = put_place(&places[i], ret_text + used, needed <= size ? left : left / (count - i));
        if (put < 0)
            return put;
        used += (size_t)put;
    }
    return 0;
}

int cgroup_read_paths(const struct cgroup_host *host, int proc_fd, char *ret_text, size_t size)
{
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(proc_fd, "cgroup", PROC_CGROUP_MAX, &text, NULL);
    return r < 0 ? r : cgroup_parse_paths(host, text, ret_text, size);
}
