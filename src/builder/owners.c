#include "builder/owners.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "builder/root.h"

#define DIVERSIONS_FILE "/var/lib/dpkg/diversions"
#define DIVERSIONS_SIZE_MAX (4U << 20)
#define DIVERSIONS_MAX 20000U

static const char *const tops[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/libo32", "/libexec"};

static void find_merged(int root_fd, struct owners *owners)
{
    for (size_t i = 0; i < ELEMENTS(tops); i++) {
        char target[PATH_MAX];
        char expected[32];
        (void)snprintf(expected, sizeof(expected), "usr%s", tops[i]);
        owners->merged[i] =
                root_read_link(root_fd, tops[i], target) == 0 && strcmp(target + (*target == '/'), expected) == 0;
    }
}

/* /bin/x is /usr/bin/x where /bin is a link there. */
static const char *unmerge(const struct owners *owners, const char *path, char buffer[PATH_MAX])
{
    for (size_t i = 0; i < ELEMENTS(tops); i++) {
        size_t size = strlen(tops[i]);
        if (owners->merged[i] && strncmp(path, tops[i], size) == 0 && path[size] == '/' &&
                snprintf(buffer, PATH_MAX, "/usr%s", path) < PATH_MAX)
            return buffer;
    }
    return path;
}

static int add_diversion(struct owners *owners, const char *from, const char *to, const char *package)
{
    uint32_t number;
    uint32_t before = owners->diverted.count;
    int r = map_add(&owners->diverted, from, strlen(from), &number);
    if (r < 0 || number < before)
        return r;
    struct owners_diversion diversion = {strdup(to), strdup(package)};
    owners->diversions[number] = diversion;
    return diversion.to && diversion.package ? 0 : -ENOMEM;
}

/* Three lines each: from, to, whose. */
static int read_diversions(int root_fd, struct owners *owners)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    int r = map_init(&owners->diverted, DIVERSIONS_MAX);
    owners->diversions = calloc(DIVERSIONS_MAX, sizeof(*owners->diversions));
    if (r < 0 || !owners->diversions)
        return -ENOMEM;
    if (root_read_file(root_fd, DIVERSIONS_FILE, DIVERSIONS_SIZE_MAX, &text, &size) < 0)
        return 0; /* nothing is diverted */
    char *next = text;
    while (r == 0) {
        const char *from = strsep(&next, "\n");
        const char *to = strsep(&next, "\n");
        const char *package = strsep(&next, "\n");
        if (!package)
            break;
        if (*from == '/' && *to == '/')
            r = add_diversion(owners, from, to, package);
    }
    return r;
}

static const char *divert(const struct owners *owners, const struct dpkg_package *package, const char *path)
{
    uint32_t number = map_find(&owners->diverted, path, strlen(path));
    if (number == MAP_NONE || strcmp(owners->diversions[number].package, package->name) == 0)
        return path;
    return owners->diversions[number].to;
}

/* "name:architecture.list" for packages that may be there for several, "name.list" for others. */
static int read_list(int root_fd, const struct dpkg_package *package, char **ret_text, size_t *ret_size)
{
    char path[PATH_MAX];
    int r = -ENOENT;
    if (dpkg_name_is_valid(package->architecture, strlen(package->architecture))) {
        (void)snprintf(
                path, sizeof(path), "/var/lib/dpkg/info/%.256s:%.256s.list", package->name, package->architecture);
        r = root_read_file(root_fd, path, OWNERS_LIST_MAX, ret_text, ret_size);
    }
    if (r == -ENOENT) {
        (void)snprintf(path, sizeof(path), "/var/lib/dpkg/info/%.256s.list", package->name);
        r = root_read_file(root_fd, path, OWNERS_LIST_MAX, ret_text, ret_size);
    }
    return r;
}

int64_t owners_list_time(int root_fd, const struct dpkg_package *package)
{
    char path[PATH_MAX];
    struct stat status;
    (void)snprintf(path, sizeof(path), "/var/lib/dpkg/info/%.256s:%.256s.list", package->name, package->architecture);
    if (strchr(package->architecture, '/') || root_stat(root_fd, path, &status) < 0) {
        (void)snprintf(path, sizeof(path), "/var/lib/dpkg/info/%.256s.list", package->name);
        if (root_stat(root_fd, path, &status) < 0)
            return 0;
    }
    return status.st_ctim.tv_sec * 1000000000LL + status.st_ctim.tv_nsec;
}

int owners_list(int root_fd, const struct owners *owners, const struct dpkg_package *package, owners_visit *visit,
        void *context, struct error *error)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    int r = read_list(root_fd, package, &text, &size);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return error_errno(error, -r, "the list of files of package '%.100s'", package->name);
    char *next = text;
    r = 0;
    while (r == 0 && next) {
        const char *line = strsep(&next, "\n");
        char buffer[PATH_MAX];
        if (*line == '/' && strlen(line) < PATH_MAX)
            r = visit(context, unmerge(owners, divert(owners, package, line), buffer));
    }
    return r;
}

struct reading {
    struct owners *owners;
    uint32_t package;
    bool in_closure;
};

static int add_path(void *context, const char *path)
{
    const struct reading *reading = context;
    struct owners *owners = reading->owners;
    uint32_t number;
    uint32_t before = owners->paths.count;
    size_t size = strlen(path);
    owners->bytes += size + sizeof(struct owner);
    if (owners->bytes > OWNERS_BYTES_MAX)
        return -E2BIG;
    if (before == owners->room) {
        uint32_t room = owners->room ? owners->room * 2 : 65536;
        struct owner *items = realloc(owners->items, room * sizeof(*items));
        if (!items)
            return -ENOMEM;
        owners->items = items;
        owners->room = room;
    }
    int r = map_add(&owners->paths, path, size, &number);
    if (r < 0)
        return r;
    if (number == before)
        owners->items[number] = (struct owner){.package = reading->package};
    owners->items[number].in_closure |= reading->in_closure;
    owners->items[number].out_of_closure |= !reading->in_closure;
    return 0;
}

static int read_all(int root_fd, const struct dpkg *dpkg, struct owners *owners, bool in_closure, struct error *error)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < dpkg->count; i++) {
        struct reading reading = {owners, i, in_closure};
        if (dpkg->packages[i].in_closure == in_closure)
            r = owners_list(root_fd, owners, &dpkg->packages[i], add_path, &reading, error);
    }
    return r;
}

int owners_read(int root_fd, const struct dpkg *dpkg, struct owners *ret_owners, struct error *error)
{
    struct owners owners = {0};
    find_merged(root_fd, &owners);
    int r = map_init(&owners.paths, OWNERS_PATHS_MAX);
    if (r == 0)
        r = read_diversions(root_fd, &owners);
    if (r < 0)
        (void)error_errno(error, -r, "the package database");
    if (r == 0)
        r = read_all(root_fd, dpkg, &owners, true, error);
    if (r == 0)
        r = read_all(root_fd, dpkg, &owners, false, error);
    if (r < 0) {
        owners_done(&owners);
        if (r == -E2BIG)
            return error_text(error, E2BIG, "the package database lists too many files");
        return r == -ENOMEM ? error_errno(error, ENOMEM, "the package database") : r;
    }
    *ret_owners = owners;
    return 0;
}

void owners_done(struct owners *owners)
{
    for (uint32_t i = 0; owners->diversions && i < owners->diverted.count; i++) {
        free(owners->diversions[i].to);
        free(owners->diversions[i].package);
    }
    free(owners->diversions);
    free(owners->items);
    map_done(&owners->diverted);
    map_done(&owners->paths);
    *owners = (struct owners){0};
}

const struct owner *owners_find(const struct owners *owners, const char *path)
{
    uint32_t number = map_find(&owners->paths, path, strlen(path));
    return number == MAP_NONE ? NULL : &owners->items[number];
}
