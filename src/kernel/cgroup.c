#include "kernel/cgroup.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/cgroup_private.h"
#include "kernel/mountinfo.h"

#define PROC_FILE_MAX (1U << 20)
/* Forks race with killing one by one; each round finds what was forked in the last. */
#define KILL_ROUNDS_MAX 64U

static const char *const controller_names[CGROUP_CONTROLLER_COUNT] = {
        [CGROUP_CPU] = "cpu",
        [CGROUP_CPUACCT] = "cpuacct",
        [CGROUP_MEMORY] = "memory",
        [CGROUP_PIDS] = "pids",
        [CGROUP_CPUSET] = "cpuset",
        [CGROUP_IO] = "io", /* what v1 has is called blkio, and limits too little (A26) */
};
#define NEEDED ((1U << CGROUP_CPU) | (1U << CGROUP_MEMORY) | (1U << CGROUP_PIDS))
#define OPTIONAL ((1U << CGROUP_CPUSET) | (1U << CGROUP_IO))

/* --- files of a group --- */

const char *cgroup_file(char path[CGROUP_FILE_MAX], const char *name, const char *file)
{
    (void)snprintf(path, CGROUP_FILE_MAX, "%s/%s", name, file);
    return path;
}

int cgroup_write(const struct cgroup_hierarchy *hierarchy, const char *name, const char *file, uint64_t value)
{
    char path[CGROUP_FILE_MAX];
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return fd_write_file_at(hierarchy->parent_fd, cgroup_file(path, name, file), text);
}

bool cgroup_read(const struct cgroup_hierarchy *hierarchy, const char *name, const char *file, const char *key,
        uint64_t *ret_value)
{
    char path[CGROUP_FILE_MAX];
    char text[4096];
    _cleanup_close_ int fd = openat(hierarchy->parent_fd, cgroup_file(path, name, file), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    if (got <= 0)
        return false;
    text[got] = '\0';
    const char *at = text;
    size_t length = key ? strlen(key) : 0;
    while (key && at && (strncmp(at, key, length) != 0 || at[length] != ' ')) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    if (!at)
        return false;
    char *end;
    errno = 0;
    uint64_t value = strtoull(at + length, &end, 10);
    if (errno != 0 || end == at + length)
        return false;
    *ret_value = value;
    return true;
}

/* --- finding the hierarchies --- */

/* The bits of the controllers of ours in a comma- or blank-separated list. */
static uint32_t parse_controllers(const char *list)
{
    uint32_t found = 0;
    while (*list) {
        size_t length = strcspn(list, ", \n");
        for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
            if (length == strlen(controller_names[i]) && strncmp(list, controller_names[i], length) == 0)
                found |= 1U << i;
        list += length;
        list += strspn(list, ", \n");
    }
    return found;
}

/* Where the calling process is in the hierarchy that /proc/self/cgroup lists as @list. */
static bool find_own_path(const char *self, const char *list, char ret_path[CGROUP_PATH_MAX])
{
    size_t length = strlen(list);
    for (const char *line = self; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *names = strchr(line, ':');
        if (!names || strncmp(names + 1, list, length) != 0 || names[1 + length] != ':')
            continue;
        const char *path = names + length + 2;
        size_t size = strcspn(path, "\n");
        if (size >= CGROUP_PATH_MAX)
            return false;
        memcpy(ret_path, path, size);
        ret_path[size] = '\0';
        return true;
    }
    return false;
}

/* The list as /proc/self/cgroup spells it for the v1 hierarchy with the controllers @wanted. */
static bool find_list(const char *self, uint32_t wanted, char ret_list[64])
{
    for (const char *line = self; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *names = strchr(line, ':');
        size_t size = names ? strcspn(names + 1, ":\n") : 0;
        if (size == 0 || size >= 64)
            continue;
        memcpy(ret_list, names + 1, size);
        ret_list[size] = '\0';
        if (parse_controllers(ret_list) == wanted)
            return true;
    }
    return false;
}

/* "A" and "B" joined by one slash; false when too long. */
static bool join_path(char ret_path[CGROUP_PATH_MAX], const char *head, const char *tail)
{
    size_t length = strlen(head);
    while (length > 0 && head[length - 1] == '/')
        length--;
    while (*tail == '/')
        tail++;
    int size = snprintf(ret_path, CGROUP_PATH_MAX, "%.*s/%s", (int)length, head, tail);
    return size > 0 && size < (int)CGROUP_PATH_MAX;
}

/* Cuts "/NAME/service" off the end: where an earlier joblet of this prefix put us or our parent. */
static void strip_own_leaf(char path[CGROUP_PATH_MAX], const char *name)
{
    char leaf[CGROUP_PATH_MAX];
    (void)snprintf(leaf, sizeof(leaf), "/%s/service", name);
    size_t length = strlen(path);
    size_t tail = strlen(leaf);
    if (length < tail || strcmp(path + length - tail, leaf) != 0)
        return;
    path[length - tail] = '\0';
    if (!*path)
        memcpy(path, "/", sizeof("/"));
}

/* Fills directory (of our own group, not yet of the parent), shown and list of the hierarchy mounted by @line. */
static int locate(const struct mountinfo *line, const char *self, const char *name, struct cgroup_hierarchy *hierarchy,
        struct error *error)
{
    char own[CGROUP_PATH_MAX];
    if (!hierarchy->v2 && !find_list(self, hierarchy->controllers, hierarchy->list))
        return error_text(error, ENOENT, "no line for '%s' in /proc/self/cgroup", line->target);
    if (!find_own_path(self, hierarchy->list, own))
        return error_text(error, ENOENT, "our own group in '%s' is unknown or too long", line->target);
    if (hierarchy->v2)
        strip_own_leaf(own, name);
    /* A mount may show only a part of the hierarchy, as in a container. */
    const char *below = own;
    size_t root = strcmp(line->root, "/") == 0 ? 0 : strlen(line->root);
    if (root > 0 && strncmp(own, line->root, root) == 0 && (own[root] == '/' || own[root] == '\0'))
        below = own + root;
    if (!join_path(hierarchy->directory, line->target, below) || !join_path(hierarchy->shown, own, name))
        return error_text(error, ENAMETOOLONG, "the path of our group in '%s' is too long", line->target);
    return 0;
}

static int add_mount(
        const struct mountinfo *line, const char *self, const char *name, struct cgroup_host *host, struct error *error)
{
    struct cgroup_hierarchy hierarchy = {.parent_fd = -EBADF, .v2 = strcmp(line->type, "cgroup2") == 0};
    if (!hierarchy.v2) {
        if (strcmp(line->type, "cgroup") != 0)
            return 0;
        hierarchy.controllers = parse_controllers(line->super_options);
        if (hierarchy.controllers == 0)
            return 0;
    }
    for (unsigned i = 0; i < host->count; i++) /* mounted a second time */
        if (host->hierarchies[i].v2 == hierarchy.v2 &&
                (hierarchy.v2 || host->hierarchies[i].controllers == hierarchy.controllers))
            return 0;
    if (host->count == CGROUP_HIERARCHIES_MAX)
        return error_text(error, E2BIG, "more than %u cgroup hierarchies", CGROUP_HIERARCHIES_MAX);
    int r = locate(line, self, name, &hierarchy, error);
    if (r < 0)
        return r;
    host->hierarchies[host->count++] = hierarchy;
    return 0;
}

static int find_hierarchies(const char *name, struct cgroup_host *host, struct error *error)
{
    _cleanup_free_ char *mounts = NULL;
    _cleanup_free_ char *self = NULL;
    int r = fd_read_file_at(AT_FDCWD, "/proc/self/mountinfo", PROC_FILE_MAX, &mounts, NULL);
    if (r == 0)
        r = fd_read_file_at(AT_FDCWD, "/proc/self/cgroup", PROC_FILE_MAX, &self, NULL);
    if (r < 0)
        return error_errno(error, -r, "read our mounts and control groups");
    const char *at = mounts;
    struct mountinfo line;
    while ((r = mountinfo_next(&at, &line)) > 0) {
        r = add_mount(&line, self, name, host, error);
        if (r < 0)
            return r;
    }
    return r < 0 ? error_errno(error, -r, "read our mounts") : 0;
}

/* --- our parent group --- */

static int open_group(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static int refuse_delegation(int code, const char *what, const char *group, struct error *error)
{
    return error_errno(error, code,
            "%s in cgroup '%.60s' (start joblet by 'systemd-run --scope -p Delegate=yes', or in a unit with "
            "Delegate=yes)",
            what, group);
}

/* v2: hands the controllers of the hierarchy down to the children of the group. An optional one that does not go is not
 * ours then. */
static int enable_controllers(int group_fd, const char *path, struct cgroup_hierarchy *hierarchy, struct error *error)
{
    for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
        if (!(hierarchy->controllers & 1U << i))
            continue;
        char text[24];
        (void)snprintf(text, sizeof(text), "+%s", controller_names[i]);
        int r = fd_write_file_at(group_fd, "cgroup.subtree_control", text);
        if (r < 0 && (OPTIONAL & 1U << i)) {
            hierarchy->controllers &= ~(1U << i);
        } else if (r < 0) {
            char what[48];
            (void)snprintf(what, sizeof(what), "hand down controller '%s'", controller_names[i]);
            return refuse_delegation(-r, what, path, error);
        }
    }
    return 0;
}

static uint32_t read_enabled(int group_fd)
{
    _cleanup_free_ char *list = NULL;
    return fd_read_file_at(group_fd, "cgroup.subtree_control", 4096, &list, NULL) < 0 ? 0 : parse_controllers(list);
}

static int make_parent(struct cgroup_hierarchy *hierarchy, const char *name, int own_fd, struct error *error)
{
    if (mkdirat(own_fd, name, 0755) < 0 && errno != EEXIST)
        return refuse_delegation(errno, "make our group", hierarchy->directory, error);
    int fd = openat(own_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_errno(error, errno, "open group '%s' in '%s'", name, hierarchy->directory);
    hierarchy->parent_fd = fd;
    return 0;
}

/* Moves us into the leaf, so that the groups above may hand controllers down. */
static int enter_leaf(const struct cgroup_hierarchy *hierarchy, struct error *error)
{
    if (mkdirat(hierarchy->parent_fd, "service", 0755) < 0 && errno != EEXIST)
        return error_errno(error, errno, "make group 'service' in '%s'", hierarchy->shown);
    int r = fd_write_file_at(hierarchy->parent_fd, "service/cgroup.procs", "0");
    return r < 0 ? refuse_delegation(-r, "enter our group", hierarchy->shown, error) : 0;
}

static int prepare_hierarchy(
        struct cgroup_hierarchy *hierarchy, const char *name, uint32_t missing, struct error *error)
{
    _cleanup_close_ int own_fd = open_group(hierarchy->directory);
    if (own_fd < 0)
        return error_errno(error, -own_fd, "open our group '%s'", hierarchy->directory);
    if (hierarchy->v2) {
        _cleanup_free_ char *list = NULL;
        int r = fd_read_file_at(own_fd, "cgroup.controllers", 4096, &list, NULL);
        if (r < 0)
            return error_errno(error, -r, "read the controllers of '%s'", hierarchy->directory);
        hierarchy->controllers = parse_controllers(list) & missing;
        if (!(hierarchy->controllers & NEEDED)) /* not worth a leaf of our own */
            hierarchy->controllers = 0;
    }
    char own[CGROUP_PATH_MAX];
    memcpy(own, hierarchy->directory, sizeof(own));
    int r = make_parent(hierarchy, name, own_fd, error);
    /* From here on the hierarchy names our parent group, so that a failure removes that. */
    if (r == 0 && !join_path(hierarchy->directory, own, name))
        r = error_text(error, ENAMETOOLONG, "the path of our group in '%s' is too long", own);
    if (r == 0 && hierarchy->v2 && hierarchy->controllers != 0) {
        r = enter_leaf(hierarchy, error);
        if (r == 0)
            hierarchy->enabled = hierarchy->controllers & ~read_enabled(own_fd);
        if (r == 0)
            r = enable_controllers(own_fd, own, hierarchy, error);
        if (r == 0)
            r = enable_controllers(hierarchy->parent_fd, hierarchy->shown, hierarchy, error);
    }
    return r;
}

static void index_host(struct cgroup_host *host)
{
    host->v2 = -1;
    for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        host->controllers[i] = -1;
    for (unsigned i = 0; i < host->count; i++) {
        if (host->hierarchies[i].v2)
            host->v2 = (int)i;
        for (unsigned k = 0; k < CGROUP_CONTROLLER_COUNT; k++)
            if (host->hierarchies[i].controllers & 1U << k)
                host->controllers[k] = (int)i;
    }
}

static int check_complete(const struct cgroup_host *host, struct error *error)
{
    for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        if ((NEEDED & 1U << i) && host->controllers[i] < 0)
            return error_text(error, ENOTSUP,
                    "no cgroup controller '%s' for us: mount it, or start joblet by 'systemd-run --scope -p "
                    "Delegate=yes'",
                    controller_names[i]);
    return 0;
}

/* A number list of a file, as it is. False when there is none or it is empty. */
static bool read_list(int dir_fd, const char *file, char **ret_text)
{
    if (fd_read_file_at(dir_fd, file, 65536, ret_text, NULL) < 0)
        return false;
    (*ret_text)[strcspn(*ret_text, "\n")] = '\0';
    return **ret_text;
}

/* v1: a new group has neither CPUs nor memory nodes, and no process may enter it before it has both. */
static int copy_cpuset(const struct cgroup_hierarchy *hierarchy, struct error *error)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    for (unsigned i = 0; i < ELEMENTS(files); i++) {
        char above[32];
        _cleanup_free_ char *text = NULL;
        (void)snprintf(above, sizeof(above), "../%s", files[i]);
        if (!read_list(hierarchy->parent_fd, above, &text))
            return error_text(error, ENODATA, "our own group in '%.80s' has no %s", hierarchy->directory, files[i]);
        int r = fd_write_file_at(hierarchy->parent_fd, files[i], text);
        if (r < 0)
            return error_errno(error, -r, "set %s in '%.80s'", files[i], hierarchy->directory);
    }
    return 0;
}

/* The CPUs that there are for jobs, and on v1 our parent group made ready for theirs. */
static int prepare_cpus(struct cgroup_host *host, struct error *error)
{
    _cleanup_free_ char *text = NULL;
    int index = host->controllers[CGROUP_CPUSET];
    const struct cgroup_hierarchy *cpuset = index >= 0 ? &host->hierarchies[index] : NULL;
    if (cpuset && !cpuset->v2) {
        int r = copy_cpuset(cpuset, error);
        if (r < 0)
            return r;
    }
    bool is_known = cpuset && read_list(cpuset->parent_fd, cpuset->v2 ? "cpuset.cpus.effective" : "cpuset.cpus", &text);
    if (!is_known && !read_list(AT_FDCWD, "/sys/devices/system/cpu/online", &text))
        return error_text(error, ENODATA, "the CPUs of this host cannot be read");
    return cpulist_parse(text, &host->cpus, error);
}

static bool host_has_swap(void)
{
    _cleanup_free_ char *text = NULL;
    if (fd_read_file_at(AT_FDCWD, "/proc/swaps", PROC_FILE_MAX, &text, NULL) < 0)
        return true; /* not known: then a limit has to cover it */
    const char *line = strchr(text, '\n');
    return line && line[1];
}

int cgroup_host_open(const char *name, struct cgroup_host *ret_host, struct error *error)
{
    struct cgroup_host host = {.swap = host_has_swap()};
    int r = find_hierarchies(name, &host, error);
    uint32_t missing = NEEDED | OPTIONAL;
    for (unsigned i = 0; i < host.count; i++)
        missing &= ~host.hierarchies[i].controllers;
    for (unsigned i = 0; r == 0 && i < host.count; i++)
        r = prepare_hierarchy(&host.hierarchies[i], name, missing, error);
    index_host(&host);
    if (r == 0)
        r = check_complete(&host, error);
    if (r == 0)
        r = prepare_cpus(&host, error);
    if (r < 0) {
        cgroup_host_remove(&host, /* leave= */ true);
        return r;
    }
    *ret_host = host;
    return 0;
}

int cgroup_host_reopen(struct cgroup_host *host)
{
    if (host->count > CGROUP_HIERARCHIES_MAX)
        return -EINVAL;
    int r = 0;
    for (unsigned i = 0; i < host->count; i++)
        host->hierarchies[i].parent_fd = -EBADF;
    for (unsigned i = 0; r == 0 && i < host->count; i++) {
        int fd = open_group(host->hierarchies[i].directory);
        host->hierarchies[i].parent_fd = fd;
        r = fd < 0 ? fd : 0;
    }
    if (r < 0)
        cgroup_host_done(host);
    else
        index_host(host);
    return r;
}

void cgroup_host_done(struct cgroup_host *host)
{
    for (unsigned i = 0; i < host->count; i++)
        host->hierarchies[i].parent_fd = fd_close(host->hierarchies[i].parent_fd);
    host->count = 0;
}

/* Undoes prepare_hierarchy for v2 with controllers: they come back before we may leave the leaf. */
static void leave_leaf(const struct cgroup_hierarchy *hierarchy)
{
    _cleanup_close_ int own_fd = openat(hierarchy->parent_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; own_fd >= 0 && i < CGROUP_CONTROLLER_COUNT; i++) {
        char text[24];
        (void)snprintf(text, sizeof(text), "-%s", controller_names[i]);
        if (hierarchy->controllers & 1U << i)
            (void)fd_write_file_at(hierarchy->parent_fd, "cgroup.subtree_control", text);
        if (hierarchy->enabled & 1U << i)
            (void)fd_write_file_at(own_fd, "cgroup.subtree_control", text);
    }
    if (own_fd >= 0)
        (void)fd_write_file_at(own_fd, "cgroup.procs", "0");
    (void)unlinkat(hierarchy->parent_fd, "service", AT_REMOVEDIR);
}

static bool has_jobs(const struct cgroup_hierarchy *hierarchy)
{
    struct stat status;
    /* A directory of cgroupfs has two links and one for each child; the leaf is one. */
    return fstat(hierarchy->parent_fd, &status) < 0 ||
           status.st_nlink > (hierarchy->v2 && hierarchy->controllers ? 3 : 2);
}

void cgroup_host_prune(const struct cgroup_host *host, bool leave)
{
    for (unsigned i = 0; i < host->count; i++) {
        const struct cgroup_hierarchy *hierarchy = &host->hierarchies[i];
        if (has_jobs(hierarchy))
            continue;
        if (hierarchy->v2 && hierarchy->controllers && leave)
            leave_leaf(hierarchy);
        else if (hierarchy->v2 && hierarchy->controllers)
            (void)unlinkat(hierarchy->parent_fd, "service", AT_REMOVEDIR);
        (void)rmdir(hierarchy->directory);
    }
}

void cgroup_host_remove(struct cgroup_host *host, bool leave)
{
    cgroup_host_prune(host, leave);
    cgroup_host_done(host);
}

bool cgroup_host_equal(const struct cgroup_host *one, const struct cgroup_host *other)
{
    if (one->count != other->count)
        return false;
    for (unsigned i = 0; i < one->count; i++)
        if (strcmp(one->hierarchies[i].directory, other->hierarchies[i].directory) != 0)
            return false;
    return true;
}

/* --- one job's groups --- */

const struct cgroup_hierarchy *cgroup_with(const struct cgroup_host *host, enum cgroup_controller controller)
{
    int index = host->controllers[controller];
    assert(index >= 0 && index < (int)CGROUP_HIERARCHIES_MAX);
    return &host->hierarchies[index];
}

bool cgroup_is_on_demand(const struct cgroup_hierarchy *hierarchy)
{
    return !hierarchy->v2 && hierarchy->controllers == 1U << CGROUP_CPUSET;
}

static int make_one(const struct cgroup_hierarchy *hierarchy, const char *name, const struct cgroup_limits *limits)
{
    if (cgroup_is_on_demand(hierarchy) && cpulist_is_empty(&limits->cpus))
        return 0;
    return mkdirat(hierarchy->parent_fd, name, 0755);
}

/* 1 when the job has a group in @hierarchy: in all of them, but for the one on demand; 0 when not; -errno. */
static int has_group(const struct cgroup_hierarchy *hierarchy, const char *name)
{
    if (!cgroup_is_on_demand(hierarchy) || faccessat(hierarchy->parent_fd, name, F_OK, 0) == 0)
        return 1;
    return errno == ENOENT ? 0 : -errno;
}

int cgroup_make(
        const struct cgroup_host *host, const char *name, const struct cgroup_limits *limits, struct error *error)
{
    if (limits->processes == 0)
        return error_text(error, EINVAL, "a job has no process limit");
    unsigned made = 0;
    while (made < host->count && make_one(&host->hierarchies[made], name, limits) == 0)
        made++;
    int r = 0;
    if (made < host->count)
        r = error_errno(error, errno, "make group '%s' in '%.80s'", name, host->hierarchies[made].directory);
    else
        r = cgroup_set_limits(host, name, limits, error);
    while (r < 0 && made > 0) /* only ours: one that was there is another's */
        (void)unlinkat(host->hierarchies[--made].parent_fd, name, AT_REMOVEDIR);
    return r;
}

int cgroup_remove(const struct cgroup_host *host, const char *name)
{
    int r = 0;
    for (unsigned i = 0; i < host->count; i++)
        if (unlinkat(host->hierarchies[i].parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
            r = -errno;
    return r;
}

int cgroup_open_v2(const struct cgroup_host *host, const char *name)
{
    if (host->v2 < 0)
        return -ENOENT;
    int fd = openat(host->hierarchies[host->v2].parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

int cgroup_open_tasks(
        const struct cgroup_host *host, const char *name, int ret_fds[CGROUP_HIERARCHIES_MAX], struct error *error)
{
    int count = 0;
    for (unsigned i = 0; i < host->count; i++) {
        int has = host->hierarchies[i].v2 ? 0 : has_group(&host->hierarchies[i], name);
        if (has == 0)
            continue;
        char path[CGROUP_FILE_MAX];
        (void)cgroup_file(path, name, "tasks");
        int fd = has < 0 ? has : openat(host->hierarchies[i].parent_fd, path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) {
            int code = has < 0 ? -has : errno;
            while (count > 0)
                (void)fd_close(ret_fds[--count]);
            return error_errno(error, code, "open '%s' in '%.80s'", path, host->hierarchies[i].directory);
        }
        ret_fds[count++] = fd;
    }
    return count;
}

int cgroup_open_oom_event(const struct cgroup_host *host, const char *name, struct error *error)
{
    const struct cgroup_hierarchy *memory = cgroup_with(host, CGROUP_MEMORY);
    if (memory->v2)
        return -ENOENT;
    char path[CGROUP_FILE_MAX];
    _cleanup_close_ int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    _cleanup_close_ int control =
            openat(memory->parent_fd, cgroup_file(path, name, "memory.oom_control"), O_RDONLY | O_CLOEXEC);
    if (event < 0 || control < 0)
        return error_errno(error, errno, "open '%s'", path);
    char text[32];
    (void)snprintf(text, sizeof(text), "%d %d", event, control);
    int r = fd_write_file_at(memory->parent_fd, cgroup_file(path, name, "cgroup.event_control"), text);
    if (r < 0)
        return error_errno(error, -r, "watch the job's group for out of memory");
    return TAKE_FD(event);
}

int cgroup_check_member(const struct cgroup_host *host, const char *name, int proc_fd)
{
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(proc_fd, "cgroup", 64 * 1024, &text, NULL);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < host->count; i++) {
        char path[CGROUP_PATH_MAX];
        char wanted[CGROUP_PATH_MAX];
        int has = has_group(&host->hierarchies[i], name);
        if (has < 0)
            return has;
        if (has == 0)
            continue;
        if (!join_path(wanted, host->hierarchies[i].shown, name) ||
                !find_own_path(text, host->hierarchies[i].list, path) || strcmp(path, wanted) != 0)
            return 0;
    }
    return 1;
}

void cgroup_read_usage(const struct cgroup_host *host, const char *name, struct cgroup_usage *ret_usage)
{
    struct cgroup_usage usage = {0};
    const struct cgroup_hierarchy *memory = cgroup_with(host, CGROUP_MEMORY);
    const struct cgroup_hierarchy *pids = cgroup_with(host, CGROUP_PIDS);
    uint64_t usec;
    /* Every v2 group counts the time used, also without the controller. */
    if (host->v2 >= 0 && cgroup_read(&host->hierarchies[host->v2], name, "cpu.stat", "usage_usec", &usec))
        usage.cpu_ns = usec * 1000;
    else if (host->controllers[CGROUP_CPUACCT] >= 0)
        (void)cgroup_read(cgroup_with(host, CGROUP_CPUACCT), name, "cpuacct.usage", NULL, &usage.cpu_ns);
    (void)cgroup_read(
            memory, name, memory->v2 ? "memory.peak" : "memory.max_usage_in_bytes", NULL, &usage.memory_peak_bytes);
    (void)cgroup_read(memory, name, memory->v2 ? "memory.events" : "memory.oom_control", "oom_kill", &usage.oom_kills);
    (void)cgroup_read(pids, name, "pids.events", "max", &usage.pids_refused);
    *ret_usage = usage;
}

int cgroup_list_processes(const struct cgroup_host *host, const char *name, pid_t pids[], unsigned max)
{
    const struct cgroup_hierarchy *hierarchy = cgroup_with(host, CGROUP_PIDS);
    char path[CGROUP_FILE_MAX];
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(hierarchy->parent_fd, cgroup_file(path, name, "cgroup.procs"), PROC_FILE_MAX, &text, NULL);
    if (r < 0)
        return r;
    unsigned count = 0;
    char *end;
    for (char *at = text; *at && count < max; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        if (pid > 0) /* 0: a process that our PID namespace does not see */
            pids[count++] = (pid_t)pid;
    }
    return (int)count;
}

static int kill_listed(const struct cgroup_host *host, const char *name)
{
    pid_t pids[256];
    for (unsigned round = 0; round < KILL_ROUNDS_MAX; round++) {
        int count = cgroup_list_processes(host, name, pids, ELEMENTS(pids));
        if (count <= 0)
            return count;
        for (int i = 0; i < count; i++) {
            char path[32];
            (void)snprintf(path, sizeof(path), "/proc/%d", pids[i]);
            _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pids[i], 0);
            _cleanup_close_ int proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
            /* With the pidfd open first, a member by this pid is the process that the pidfd names, or that is dead. */
            if (pidfd >= 0 && proc_fd >= 0 && cgroup_check_member(host, name, proc_fd) > 0)
                (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        }
    }
    return -EBUSY;
}

int cgroup_kill(const struct cgroup_host *host, const char *name)
{
    char path[CGROUP_FILE_MAX];
    if (host->v2 >= 0 &&
            fd_write_file_at(host->hierarchies[host->v2].parent_fd, cgroup_file(path, name, "cgroup.kill"), "1") == 0)
        return 0;
    int r = kill_listed(host, name);
    return r == -ENOENT ? 0 : r;
}

int cgroup_walk(const struct cgroup_host *host, void (*found)(const char *name, void *user), void *user)
{
    for (unsigned i = 0; i < host->count; i++) {
        int fd = openat(host->hierarchies[i].parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory) {
            (void)fd_close(fd);
            return -errno;
        }
        for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
            if (strncmp(entry->d_name, "job-", 4) == 0 && strlen(entry->d_name) < CGROUP_NAME_MAX)
                found(entry->d_name, user);
        (void)closedir(directory);
    }
    return 0;
}
