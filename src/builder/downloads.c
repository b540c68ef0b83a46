/* npm looks for a package's archive in its cache by the digest that the registry states, and reads it against that. So
 * it gets a cache of its own that holds archives alone, as links to what earlier builds left, and no index: an index
 * says which address has which content. pip's step looks itself, by the digest in a file's address (runtime/pip.c).
 * Which files a step has opened tells inotify; which it has fetched is what lies in its own places afterwards. */
#include "builder/downloads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/cache.h"
#include "builder/map.h"
#include "builder/root.h"
#include "builder/say.h"
#include "plan/recipe.h"

#define NPM_CONTENT RECIPE_NPM_CACHE "/_cacache/content-v2/sha512"
#define NPM_DIRECTORY_DIGITS 2

struct downloads_kind {
    const char *step;
    enum cache_kind kind;
    const char *prefix; /* of names in the cache */
    const char *fresh;  /* where what was fetched lies */
};

static const struct downloads_kind kinds[] = {
        {RECIPE_STEP_PIP, CACHE_PIP, RECIPE_DOWNLOADS_PIP, RECIPE_PIP_FILES},
        {RECIPE_STEP_NPM, CACHE_NPM, RECIPE_DOWNLOADS_NPM, NPM_CONTENT},
};

/* Makes each directory of @path. 0 or -errno. */
static int make_directories(const char *path)
{
    char part[PATH_MAX];
    for (const char *end = path; *end;) {
        end += strcspn(end + 1, "/") + 1;
        (void)snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

/* content-v2/sha512/ab/cd/rest leads to the file in the cache. */
static void link_npm(const char *name)
{
    char directory[PATH_MAX];
    char path[PATH_MAX];
    char target[PATH_MAX];
    const char *hex = name + sizeof(RECIPE_DOWNLOADS_NPM) - 1;
    (void)snprintf(directory, sizeof(directory), NPM_CONTENT "/%.*s", NPM_DIRECTORY_DIGITS, hex);
    (void)mkdir(directory, 0755);
    hex += NPM_DIRECTORY_DIGITS;
    (void)snprintf(path, sizeof(path), "%.4000s/%.*s", directory, NPM_DIRECTORY_DIGITS, hex);
    (void)mkdir(path, 0755);
    hex += NPM_DIRECTORY_DIGITS;
    (void)snprintf(directory, sizeof(directory), "%.4000s/%s", path, hex);
    (void)snprintf(target, sizeof(target), RECIPE_DOWNLOADS "/%s", name);
    if (symlink(target, directory) < 0)
        return; /* there already, or it is fetched once more */
}

static void lay_npm_ready(void)
{
    DIR *directory = opendir(RECIPE_DOWNLOADS);
    const struct dirent *entry;
    unsigned count = 0;
    if (!directory)
        return;
    if (make_directories(NPM_CONTENT) == 0)
        while (count < CACHE_FILES_MAX && (entry = readdir(directory)))
            if (cache_kind_of(entry->d_name) == CACHE_NPM) {
                link_npm(entry->d_name);
                count++;
            }
    (void)closedir(directory);
}

void downloads_begin(struct downloads *downloads, const char *step)
{
    *downloads = (struct downloads){.watch_fd = -EBADF};
    for (size_t i = 0; i < ELEMENTS(kinds); i++)
        if (strcmp(kinds[i].step, step) == 0)
            downloads->kind = &kinds[i];
    if (!downloads->kind)
        return;
    if (downloads->kind->kind == CACHE_NPM)
        lay_npm_ready();
    downloads->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (downloads->watch_fd >= 0)
        (void)inotify_add_watch(downloads->watch_fd, RECIPE_DOWNLOADS, IN_OPEN | IN_ONLYDIR);
}

/* --- what was used --- */

struct counting {
    const struct downloads_kind *kind;
    struct map fresh;
    struct map used;
    uint64_t used_bytes;
    unsigned refused; /* used, and fetched all the same */
    unsigned seen;
};

static int add_fresh(void *context, const char *path, const struct stat *status)
{
    struct counting *counting = context;
    char name[CACHE_NAME_MAX];
    if (counting->seen++ >= CACHE_FILES_MAX)
        return -E2BIG;
    if (!S_ISREG(status->st_mode) ||
            cache_name_of(counting->kind->prefix, path + strlen(counting->kind->fresh), name) != counting->kind->kind)
        return 0;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || !cache_is_wanted(counting->kind->kind, fd))
        return 0;
    uint32_t number;
    return map_add(&counting->fresh, name, strlen(name), &number);
}

static void add_used(struct counting *counting, const char *name)
{
    char path[PATH_MAX];
    struct stat status;
    uint32_t number;
    uint32_t count = counting->used.count;
    if (cache_kind_of(name) != counting->kind->kind)
        return;
    (void)snprintf(path, sizeof(path), RECIPE_DOWNLOADS "/%.255s", name);
    if (map_find(&counting->fresh, name, strlen(name)) != MAP_NONE) {
        counting->refused += map_find(&counting->used, name, strlen(name)) == MAP_NONE;
        (void)map_add(&counting->used, name, strlen(name), &number);
        return;
    }
    if (map_add(&counting->used, name, strlen(name), &number) == 0 && counting->used.count > count &&
            lstat(path, &status) == 0)
        counting->used_bytes += (uint64_t)status.st_size;
}

static void read_watch(struct counting *counting, int fd)
{
    _Alignas(struct inotify_event) char buffer[16384];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof(buffer))) > 0) {
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const void *)(buffer + at);
            if (event->len > 0)
                add_used(counting, event->name);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
}

static void tell(const struct counting *counting)
{
    char line[256];
    unsigned hits = counting->used.count - counting->refused;
    unsigned absent = counting->fresh.count - counting->refused;
    const char *name = counting->kind->step;
    if (hits + counting->fresh.count == 0) {
        say_log_format(SAY_INFO, "%s: MISS: it fetched nothing of which the cache could know the content", name);
        return;
    }
    int used = snprintf(line, sizeof(line), "%s: HIT %u of %u files (%.1f MB)", name, hits,
            hits + counting->fresh.count, (double)counting->used_bytes / 1e6);
    if (absent > 0)
        used += snprintf(line + used, sizeof(line) - (size_t)used, ", MISS %u: not in the cache", absent);
    if (counting->refused > 0)
        (void)snprintf(
                line + used, sizeof(line) - (size_t)used, ", MISS %u: not what they should be", counting->refused);
    say_log_format(SAY_INFO, "%s", line);
}

void downloads_tell(struct downloads *downloads)
{
    struct counting counting = {.kind = downloads->kind};
    _cleanup_close_ int root_fd = downloads->kind ? open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;
    if (root_fd < 0 || map_init(&counting.fresh, CACHE_FILES_MAX) < 0) {
        downloads_done(downloads);
        return;
    }
    if (map_init(&counting.used, CACHE_FILES_MAX) == 0) {
        (void)root_walk(root_fd, downloads->kind->fresh, /* one_device= */ 0, add_fresh, &counting);
        if (downloads->watch_fd >= 0)
            read_watch(&counting, downloads->watch_fd);
        tell(&counting);
        map_done(&counting.used);
    }
    map_done(&counting.fresh);
    downloads_done(downloads);
}

void downloads_done(struct downloads *downloads)
{
    downloads->watch_fd = fd_close(downloads->watch_fd);
    downloads->kind = NULL;
}
