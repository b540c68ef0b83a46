#include "kernel/procstatus.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

#define FILE_SIZE_MAX 8192U

/* A whole small file of /proc into @text, without malloc: after clone and before the drop nothing is allocated. */
static int read_small(int proc_fd, const char *name, char text[FILE_SIZE_MAX])
{
    _cleanup_close_ int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    size_t used = 0;
    for (;;) {
        ssize_t got = read(fd, text + used, FILE_SIZE_MAX - used);
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        used += (size_t)got;
        if (used == FILE_SIZE_MAX)
            return -EFBIG;
    }
    text[used] = '\0';
    return 0;
}

int procstatus_open(pid_t pid)
{
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/%d", pid);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

/* Up to @max numbers of @base behind the name, to the end of the line. Their count, or -EBADMSG. */
static int parse_numbers(const char *at, int base, uint64_t numbers[], unsigned max)
{
    unsigned count = 0;
    for (;;) {
        while (*at == ' ' || *at == '\t')
            at++;
        if (*at == '\n' || !*at)
            return (int)count;
        char *end;
        errno = 0;
        uint64_t number = strtoull(at, &end, base);
        if (end == at || errno != 0 || count == max)
            return -EBADMSG;
        numbers[count++] = number;
        at = end;
    }
}

enum field_kind { FIELD_NUMBER, FIELD_LAST, FIELD_CAPS, FIELD_IDS, FIELD_GROUPS };

static const struct {
    const char *name;
    enum field_kind kind;
    size_t offset;
} fields[] = {
        {"Uid:", FIELD_IDS, offsetof(struct procstatus, uid)},
        {"Gid:", FIELD_IDS, offsetof(struct procstatus, gid)},
        {"Groups:", FIELD_GROUPS, offsetof(struct procstatus, groups)},
        {"CapInh:", FIELD_CAPS, offsetof(struct procstatus, cap_inheritable)},
        {"CapPrm:", FIELD_CAPS, offsetof(struct procstatus, cap_permitted)},
        {"CapEff:", FIELD_CAPS, offsetof(struct procstatus, cap_effective)},
        {"CapBnd:", FIELD_CAPS, offsetof(struct procstatus, cap_bounding)},
        {"CapAmb:", FIELD_CAPS, offsetof(struct procstatus, cap_ambient)},
        {"NoNewPrivs:", FIELD_NUMBER, offsetof(struct procstatus, no_new_privs)},
        {"Seccomp:", FIELD_NUMBER, offsetof(struct procstatus, seccomp)},
        {"Seccomp_filters:", FIELD_NUMBER, offsetof(struct procstatus, seccomp_filters)},
        {"Threads:", FIELD_NUMBER, offsetof(struct procstatus, threads)},
        {"TracerPid:", FIELD_NUMBER, offsetof(struct procstatus, tracer_pid)},
        {"PPid:", FIELD_NUMBER, offsetof(struct procstatus, parent_pid)},
        {"NSpid:", FIELD_LAST, offsetof(struct procstatus, inner_pid)},
};

/* The value of the line that begins with @name; the first line ("Name:") escapes newlines, so no name can forge one. */
static const char *find_line(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line && *line;) {
        if (strncmp(line, name, length) == 0)
            return line + length;
        line = strchr(line, '\n');
        if (line)
            line++;
    }
    return NULL;
}

static int parse_field(size_t index, const char *value, struct procstatus *status)
{
    void *target = (char *)status + fields[index].offset;
    uint64_t numbers[PROCSTATUS_GROUPS_MAX];
    enum field_kind kind = fields[index].kind;
    int count = parse_numbers(value, kind == FIELD_CAPS ? 16 : 10, numbers, PROCSTATUS_GROUPS_MAX);
    if (count < 0 || (kind != FIELD_GROUPS && count < 1))
        return -EBADMSG;
    if (kind == FIELD_CAPS) {
        memcpy(target, numbers, sizeof(uint64_t));
        return 0;
    }
    if (kind == FIELD_NUMBER || kind == FIELD_LAST) {
        uint32_t number = (uint32_t)numbers[kind == FIELD_LAST ? count - 1 : 0];
        memcpy(target, &number, sizeof(number));
        return 0;
    }
    if (kind == FIELD_IDS && count != 4)
        return -EBADMSG;
    for (int i = 0; i < count; i++)
        ((uint32_t *)target)[i] = (uint32_t)numbers[i];
    if (kind == FIELD_GROUPS)
        status->group_count = (uint32_t)count;
    return 0;
}

int procstatus_parse(const char *text, struct procstatus *ret_status, struct error *error)
{
    struct procstatus status = {0};
    for (size_t i = 0; i < ELEMENTS(fields); i++) {
        const char *value = find_line(text, fields[i].name);
        if (!value || parse_field(i, value, &status) < 0)
            return error_text(error, EBADMSG, "the process's status has no well-formed '%s'", fields[i].name);
    }
    *ret_status = status;
    return 0;
}

int procstatus_read(int proc_fd, struct procstatus *ret_status, struct error *error)
{
    char text[FILE_SIZE_MAX];
    int r = read_small(proc_fd, "status", text);
    if (r < 0)
        return error_errno(error, -r, "read the process's status");
    return procstatus_parse(text, ret_status, error);
}

int procstatus_parse_start_time(const char *text, uint64_t *ret_ticks)
{
    /* "pid (comm) state ppid ...": comm may hold blanks and parentheses, so count from the last ')'. */
    const char *at = strrchr(text, ')');
    if (!at)
        return -EBADMSG;
    for (unsigned field = 2; field < 22; field++) {
        at = strchr(at, ' ');
        if (!at)
            return -EBADMSG;
        at++;
    }
    char *end;
    errno = 0;
    uint64_t ticks = strtoull(at, &end, 10);
    if (end == at || errno != 0 || (*end != ' ' && *end != '\n' && *end))
        return -EBADMSG;
    *ret_ticks = ticks;
    return 0;
}

int procstatus_read_start_time(int proc_fd, uint64_t *ret_ticks)
{
    char text[FILE_SIZE_MAX];
    int r = read_small(proc_fd, "stat", text);
    return r < 0 ? r : procstatus_parse_start_time(text, ret_ticks);
}

int procstatus_parse_id_map(const char *text, struct procstatus_id_map *ret_map)
{
    struct procstatus_id_map map = {0};
    for (const char *line = text; *line;) {
        uint64_t numbers[3];
        const char *newline = strchr(line, '\n');
        if (!newline || parse_numbers(line, 10, numbers, ELEMENTS(numbers)) != 3)
            return -EBADMSG;
        if (map.lines++ == 0) {
            map.inside = (uint32_t)numbers[0];
            map.outside = (uint32_t)numbers[1];
            map.count = (uint32_t)numbers[2];
        }
        line = newline + 1;
    }
    if (map.lines == 0)
        return -EBADMSG;
    *ret_map = map;
    return 0;
}

int procstatus_read_id_map(int proc_fd, const char *name, struct procstatus_id_map *ret_map)
{
    char text[FILE_SIZE_MAX];
    int r = read_small(proc_fd, name, text);
    return r < 0 ? r : procstatus_parse_id_map(text, ret_map);
}

int procstatus_check_id_map(int proc_fd, const char *name, uint32_t base, uint32_t size)
{
    struct procstatus_id_map map;
    int r = procstatus_read_id_map(proc_fd, name, &map);
    if (r < 0)
        return r == -EBADMSG ? 0 : r; /* no map at all is another map */
    return map.lines == 1 && map.inside == 0 && map.outside == base && map.count == size;
}

/* The soft and the hard limit on the line that begins with @name. */
static int parse_limit(const char *text, const char *name, uint64_t *ret_soft, uint64_t *ret_hard)
{
    static const char unlimited[] = "unlimited";
    const char *at = find_line(text, name);
    uint64_t values[2];
    for (unsigned i = 0; i < ELEMENTS(values); i++) {
        if (!at || *at != ' ')
            return -EBADMSG;
        at += strspn(at, " ");
        char *end;
        errno = 0;
        values[i] = strtoull(at, &end, 10);
        if (strncmp(at, unlimited, sizeof(unlimited) - 1) == 0) {
            values[i] = PROCSTATUS_UNLIMITED;
            at += sizeof(unlimited) - 1;
        } else if (end != at && errno == 0) {
            at = end;
        } else {
            return -EBADMSG;
        }
    }
    *ret_soft = values[0];
    *ret_hard = values[1];
    return 0;
}

int procstatus_parse_limits(const char *text, struct procstatus_limits *ret_limits)
{
    struct procstatus_limits limits;
    int r = parse_limit(text, "Max open files", &limits.open_files_soft, &limits.open_files_hard);
    if (r == 0)
        r = parse_limit(text, "Max core file size", &limits.core_bytes_soft, &limits.core_bytes_hard);
    if (r == 0)
        *ret_limits = limits;
    return r;
}

int procstatus_read_limits(int proc_fd, struct procstatus_limits *ret_limits)
{
    char text[FILE_SIZE_MAX];
    int r = read_small(proc_fd, "limits", text);
    return r < 0 ? r : procstatus_parse_limits(text, ret_limits);
}

static const char *const ns_paths[PROCSTATUS_NS_COUNT] = {
        [PROCSTATUS_NS_PID] = "ns/pid",
        [PROCSTATUS_NS_MNT] = "ns/mnt",
        [PROCSTATUS_NS_UTS] = "ns/uts",
        [PROCSTATUS_NS_IPC] = "ns/ipc",
        [PROCSTATUS_NS_NET] = "ns/net",
        [PROCSTATUS_NS_CGROUP] = "ns/cgroup",
        [PROCSTATUS_NS_USER] = "ns/user",
};

const char *procstatus_ns_name(enum procstatus_ns ns)
{
    return ns_paths[ns] + sizeof("ns/") - 1;
}

int procstatus_read_namespaces(int proc_fd, struct procstatus_namespaces *ret_namespaces, struct error *error)
{
    struct procstatus_namespaces namespaces;
    for (unsigned i = 0; i < PROCSTATUS_NS_COUNT; i++) {
        struct stat status;
        if (fstatat(proc_fd, ns_paths[i], &status, 0) < 0)
            return error_errno(error, errno, "look at the process's '%s'", ns_paths[i]);
        namespaces.inode[i] = status.st_ino;
    }
    *ret_namespaces = namespaces;
    return 0;
}
