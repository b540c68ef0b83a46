/* Which files a build has downloaded, and which the cache has. A build can put anything into the places that are looked
 * at: only regular files with a right name count, of a bounded size and number, and nothing is read here. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/cache.h"
#include "builder/root.h"
#include "plan/recipe.h"

#define FILE_SIZE_MAX (1LL << 30)
#define BLOCK 4096U
#define NPM_CONTENT RECIPE_NPM_CACHE "/_cacache/content-v2/sha512"
/* Of one place; what is beyond is not looked at. */
#define PLACE_FILES_MAX 100000U

static bool is_hex(const char *text, size_t size)
{
    return strlen(text) == size && strspn(text, "0123456789abcdef") == size;
}

/* name_version_architecture.deb, as apt writes it. */
static bool is_package_file(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.~%_";
    size_t size = strlen(name);
    unsigned parts = 0;
    if (size < 8 || size >= CACHE_NAME_MAX || strspn(name, allowed) != size || strcmp(name + size - 4, ".deb") != 0)
        return false;
    for (const char *c = name; *c; c++)
        parts += *c == '_';
    return parts == 2 && *name != '.' && *name != '_' && *name != '-' && *name != '%';
}

enum cache_kind cache_kind_of(const char *name)
{
    static const struct {
        const char *prefix;
        size_t digits;
        enum cache_kind kind;
    } kinds[] = {
            {RECIPE_DOWNLOADS_APT, 64, CACHE_APT},
            {RECIPE_DOWNLOADS_NPM, 128, CACHE_NPM},
            {RECIPE_DOWNLOADS_PIP, 64, CACHE_PIP},
    };
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        size_t size = strlen(kinds[i].prefix);
        if (strncmp(name, kinds[i].prefix, size) == 0 && is_hex(name + size, kinds[i].digits))
            return kinds[i].kind;
    }
    return CACHE_NONE;
}

enum cache_kind cache_name_of(const char *prefix, const char *path, char ret_name[CACHE_NAME_MAX])
{
    size_t used = strlen(prefix);
    memcpy(ret_name, prefix, used);
    for (; *path && used + 1 < CACHE_NAME_MAX; path++)
        if (*path != '/')
            ret_name[used++] = *path;
    ret_name[used] = '\0';
    return *path ? CACHE_NONE : cache_kind_of(ret_name);
}

bool cache_is_wanted(enum cache_kind kind, int fd)
{
    uint8_t magic[2];
    return kind != CACHE_NPM ||
           (pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) && magic[0] == 0x1f && magic[1] == 0x8b);
}

/* @path may be NULL. 0 or -ENOMEM. */
static int add(
        struct cache_files *files, enum cache_kind kind, const char *name, const char *path, const struct stat *status)
{
    struct cache_file *items = reallocarray(files->items, files->count + 1, sizeof(*items));
    if (!items)
        return -ENOMEM;
    files->items = items;
    const struct cache_file file = {.kind = kind,
            .name = strdup(name),
            .path = path ? strdup(path) : NULL,
            .bytes = ((uint64_t)status->st_size + BLOCK - 1) / BLOCK * BLOCK,
            .time = status->st_mtim,
            .changed = status->st_ctim};
    items[files->count++] = file;
    files->bytes += file.bytes;
    return file.name && (file.path || !path) ? 0 : -ENOMEM;
}

void cache_files_done(struct cache_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->items[i].name);
        free(files->items[i].path);
    }
    free(files->items);
    *files = (struct cache_files){0};
}

/* The oldest last. */
static int compare_age(const void *left, const void *right)
{
    const struct cache_file *a = left;
    const struct cache_file *b = right;
    if (a->time.tv_sec != b->time.tv_sec)
        return a->time.tv_sec > b->time.tv_sec ? -1 : 1;
    if (a->time.tv_nsec != b->time.tv_nsec)
        return a->time.tv_nsec > b->time.tv_nsec ? -1 : 1;
    return strcmp(a->name, b->name);
}

static void sort(struct cache_files *files)
{
    if (files->count > 0)
        qsort(files->items, files->count, sizeof(*files->items), compare_age);
}

int cache_list(int cache_fd, struct cache_files *files)
{
    int fd = root_open_directory(cache_fd, "/");
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int r = 0;
    if (!directory) {
        (void)fd_close(fd);
        return 0;
    }
    while (r == 0 && (entry = readdir(directory))) {
        struct stat status;
        enum cache_kind kind = cache_kind_of(entry->d_name);
        if (is_package_file(entry->d_name))
            (void)unlinkat(fd, entry->d_name, 0);
        else if (kind != CACHE_NONE && fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                 S_ISREG(status.st_mode))
            r = add(files, kind, entry->d_name, NULL, &status);
    }
    (void)closedir(directory);
    sort(files);
    return r;
}

struct finding {
    struct cache_files *files;
    unsigned seen;
    size_t place;       /* how long the path of the place is */
    const char *prefix; /* of names */
};

/* The digest of a package of apt's is found out when it is copied. */
static enum cache_kind kind_of(const struct finding *finding, const char *path, char ret_name[CACHE_NAME_MAX])
{
    if (*finding->prefix)
        return cache_name_of(finding->prefix, path, ret_name);
    (void)snprintf(ret_name, CACHE_NAME_MAX, "%s", path + (*path == '/'));
    return is_package_file(path + (*path == '/')) ? CACHE_APT : CACHE_NONE;
}

static int visit(void *context, const char *path, const struct stat *status)
{
    struct finding *finding = context;
    char name[CACHE_NAME_MAX];
    if (finding->seen++ >= PLACE_FILES_MAX || finding->files->count >= CACHE_FILES_MAX)
        return -E2BIG;
    if (S_ISDIR(status->st_mode))
        return *finding->prefix ? 0 : 1;
    if (!S_ISREG(status->st_mode) || status->st_size == 0 || status->st_size > FILE_SIZE_MAX)
        return 0;
    enum cache_kind kind = kind_of(finding, path + finding->place, name);
    return kind == CACHE_NONE ? 0 : add(finding->files, kind, name, path, status);
}

int cache_find(int root_fd, struct cache_files *files)
{
    static const struct {
        const char *path;
        const char *prefix;
    } places[] = {
            {RECIPE_DOWNLOADS, ""},
            {RECIPE_PIP_FILES, RECIPE_DOWNLOADS_PIP},
            {NPM_CONTENT, RECIPE_DOWNLOADS_NPM},
    };
    int r = 0;
    for (size_t i = 0; r != -ENOMEM && i < ELEMENTS(places); i++) {
        struct finding finding = {.files = files, .place = strlen(places[i].path), .prefix = places[i].prefix};
        r = root_walk(root_fd, places[i].path, /* one_device= */ 0, visit, &finding);
    }
    sort(files);
    return r == -ENOMEM ? r : 0; /* what is not there, or not to be read, is not kept */
}
