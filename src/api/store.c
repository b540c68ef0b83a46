#include "api/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "plan/recipe.h"
#include "runtime/manifest.h"
#include "runtime/rule.h"

/* The clock of a file system may stand still as long: what changed that recently may change again unseen. */
#define MTIME_GRAIN_NS 100000000LL

struct directory {
    char name[RUNTIME_NAME_MAX + 1];
    struct timespec mtime;
};

struct store {
    int fd;
    bool scanned;
    int64_t scanned_unix_ns;
    struct timespec mtime;
    struct directory *directories; /* one for each name */
    size_t directory_count;
    struct store_runtime *runtimes;
    size_t count;
};

int store_new(int fd, struct store **ret_store, struct error *error)
{
    struct store *store = calloc(1, sizeof(*store));
    if (!store)
        return error_text(error, ENOMEM, "runtimes: no memory");
    store->fd = fd;
    *ret_store = store;
    return 0;
}

static void forget(struct store *store)
{
    for (size_t i = 0; i < store->count; i++)
        runtime_description_free(store->runtimes[i].description);
    free(store->runtimes);
    free(store->directories);
    *store = (struct store){.fd = store->fd};
}

void store_free(struct store *store)
{
    if (!store)
        return;
    forget(store);
    free(store);
}

static int open_directory(int parent_fd, const char *name)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int open_file(int parent_fd, const char *name)
{
    _cleanup_close_ int fd = openat(parent_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    return S_ISREG(status.st_mode) ? TAKE_FD(fd) : -EBADF;
}

/* ---- is it as it was? ---- */

static bool is_settled(const struct store *store, const struct timespec *mtime)
{
    return (int64_t)mtime->tv_sec * 1000000000 + mtime->tv_nsec < store->scanned_unix_ns - MTIME_GRAIN_NS;
}

static bool is_same(const struct store *store, const struct stat *status, const struct timespec *mtime)
{
    return status->st_mtim.tv_sec == mtime->tv_sec && status->st_mtim.tv_nsec == mtime->tv_nsec &&
           is_settled(store, mtime);
}

static bool is_unchanged(const struct store *store)
{
    struct stat status;
    if (!store->scanned || fstat(store->fd, &status) < 0 || !is_same(store, &status, &store->mtime))
        return false;
    for (size_t i = 0; i < store->directory_count; i++)
        if (fstatat(store->fd, store->directories[i].name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
                !is_same(store, &status, &store->directories[i].mtime))
            return false;
    return true;
}

/* ---- one runtime ---- */

static void read_totals(int directory_fd, struct store_runtime *runtime)
{
    struct stat status;
    struct runtime_manifest_totals totals;
    _cleanup_close_ int fd = open_file(directory_fd, RECIPE_FILE_MANIFEST);
    if (fd < 0 || fstat(fd, &status) < 0)
        return;
    size_t size = status.st_size < 4096 ? (size_t)status.st_size : 4096;
    char tail[4096];
    if (pread(fd, tail, size, status.st_size - (off_t)size) != (ssize_t)size ||
            runtime_manifest_totals(tail, size, &totals) < 0)
        return;
    runtime->size_bytes = totals.bytes;
    runtime->files = totals.files;
    runtime->available = true;
}

/* What is not a runtime of that name and version is passed over, and said once each time it is looked at. */
static int read_runtime(int name_fd, const char *name, const char *version, struct store_runtime *ret_runtime)
{
    struct store_runtime runtime = {0};
    struct error error = {0};
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    _cleanup_close_ int fd = open_directory(name_fd, version);
    if (fd < 0)
        return fd;
    /* Looked at before it is read: a pipe would wait for a writer. */
    int r = open_file(fd, RECIPE_FILE_RUNTIME);
    if (r >= 0) {
        (void)fd_close(r);
        r = fd_read_file_at(fd, RECIPE_FILE_RUNTIME, RUNTIME_DESCRIPTION_SIZE_MAX, &text, &size);
    }
    if (r == 0)
        r = runtime_description_read(text, size, &runtime.description, &error);
    if (r == 0 && (strcmp(runtime.description->name, name) != 0 || strcmp(runtime.description->version, version) != 0))
        r = error_text(&error, EINVAL, "it says to be another one");
    if (r < 0) {
        log_event(LOG_LEVEL_WARN, "what lies among the runtimes is none", "name", name, "version", version, "error",
                error.code ? error.text : strerror(-r), NULL);
        runtime_description_free(runtime.description);
        return r;
    }
    read_totals(fd, &runtime);
    *ret_runtime = runtime;
    return 0;
}

/* ---- all of them ---- */

static int add_runtime(struct store *store, const struct store_runtime *runtime)
{
    struct store_runtime *runtimes = reallocarray(store->runtimes, store->count + 1, sizeof(*runtimes));
    if (!runtimes)
        return -ENOMEM;
    store->runtimes = runtimes;
    store->runtimes[store->count++] = *runtime;
    return 0;
}

/* Calls @each with each name in the directory that @is_valid accepts. 0 or -errno. */
static int each_entry(int fd, bool (*is_valid)(const char *text),
        int (*each)(struct store *store, int fd, const char *parent, const char *name), struct store *store,
        const char *parent)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    int r = stream ? 0 : -errno;
    if (!stream)
        (void)fd_close(copy);
    const struct dirent *entry;
    while (r == 0 && (entry = readdir(stream)))
        if (is_valid(entry->d_name))
            r = each(store, fd, parent, entry->d_name);
    if (stream)
        (void)closedir(stream);
    return r;
}

static int scan_version(struct store *store, int name_fd, const char *name, const char *version)
{
    struct store_runtime runtime;
    if (store->count >= STORE_RUNTIMES_MAX || read_runtime(name_fd, name, version, &runtime) < 0)
        return 0;
    int r = add_runtime(store, &runtime);
    if (r < 0)
        runtime_description_free(runtime.description);
    return r;
}

static int scan_name(struct store *store, int root_fd, const char *parent, const char *name)
{
    struct stat status;
    (void)parent;
    _cleanup_close_ int fd = open_directory(root_fd, name);
    if (fd < 0 || fstat(fd, &status) < 0 || store->directory_count >= STORE_RUNTIMES_MAX)
        return 0;
    struct directory *directories = reallocarray(store->directories, store->directory_count + 1, sizeof(*directories));
    if (!directories)
        return -ENOMEM;
    store->directories = directories;
    struct directory *directory = &store->directories[store->directory_count++];
    directory->mtime = status.st_mtim;
    text_copy_cut(directory->name, sizeof(directory->name), name);
    return each_entry(fd, rule_is_version, scan_version, store, name);
}

static int compare(const void *left, const void *right)
{
    const struct runtime_description *a = ((const struct store_runtime *)left)->description;
    const struct runtime_description *b = ((const struct store_runtime *)right)->description;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : -runtime_version_compare(a->version, b->version);
}

static int refresh(struct store *store, struct error *error)
{
    struct stat status;
    if (is_unchanged(store))
        return 0;
    forget(store);
    store->scanned_unix_ns = text_now_unix_ns();
    if (fstat(store->fd, &status) < 0)
        return error_errno(error, errno, "look at the runtimes");
    store->mtime = status.st_mtim;
    int r = each_entry(store->fd, rule_is_name, scan_name, store, "");
    if (r < 0)
        return error_errno(error, -r, "read the runtimes");
    if (store->count > 0)
        qsort(store->runtimes, store->count, sizeof(*store->runtimes), compare);
    store->scanned = true;
    return 0;
}

int store_list(struct store *store, const struct store_runtime **ret_runtimes, size_t *ret_count, struct error *error)
{
    int r = refresh(store, error);
    if (r < 0)
        return r;
    *ret_runtimes = store->runtimes;
    *ret_count = store->count;
    return 0;
}

int store_resolve(struct store *store, const struct runtime_reference *reference,
        const struct store_runtime **ret_runtime, struct error *error)
{
    int r = refresh(store, error);
    if (r < 0)
        return r;
    _cleanup_free_ struct runtime_candidate *candidates = calloc(store->count + 1, sizeof(*candidates));
    if (!candidates)
        return error_text(error, ENOMEM, "no memory");
    for (size_t i = 0; i < store->count; i++) {
        const struct runtime_description *description = store->runtimes[i].description;
        candidates[i] = (struct runtime_candidate){
                description->name, description->version, description->language, description->language_version};
    }
    const struct runtime_candidate *found = runtime_reference_resolve(reference, candidates, store->count);
    *ret_runtime = found ? &store->runtimes[found - candidates] : NULL;
    return 0;
}

const struct store_runtime *store_find(struct store *store, const char *name, const char *version)
{
    if (refresh(store, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < store->count; i++)
        if (strcmp(store->runtimes[i].description->name, name) == 0 &&
                strcmp(store->runtimes[i].description->version, version) == 0)
            return &store->runtimes[i];
    return NULL;
}

int store_read_manifest(struct store *store, const struct store_runtime *runtime, size_t max, char **ret_text,
        size_t *ret_size, struct error *error)
{
    _cleanup_close_ int name_fd = open_directory(store->fd, runtime->description->name);
    _cleanup_close_ int version_fd = name_fd < 0 ? name_fd : open_directory(name_fd, runtime->description->version);
    _cleanup_close_ int fd = version_fd < 0 ? version_fd : open_file(version_fd, RECIPE_FILE_MANIFEST);
    if (fd < 0)
        return error_errno(error, -fd, "open the manifest of %.64s", runtime->description->name);
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_errno(error, errno, "look at the manifest");
    size_t size = (uint64_t)status.st_size < max ? (size_t)status.st_size : max;
    char *text = malloc(size + 1);
    if (!text)
        return error_text(error, ENOMEM, "no memory");
    ssize_t got = pread(fd, text, size, 0);
    if (got < 0) {
        free(text);
        return error_errno(error, EIO, "read the manifest of %.64s", runtime->description->name);
    }
    text[got] = '\0';
    *ret_text = text;
    *ret_size = (size_t)got;
    return 0;
}
