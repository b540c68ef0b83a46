/* The root of a build, on the build's disk: a fresh skeleton, and the host's software in layers over it.
 *
 * Nothing here follows a link that a build could have made: the disk is new, and the host's directories are the host's.
 */
#include "sandbox/builder_root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/mount.h"
#include "sandbox/layers.h"
#include "sandbox/masks.h"
#include "sandbox/masks_list.h"
#include "sandbox/root_table.h"
#include "sandbox/sandbox.h"
#include "sandbox/synthetic.h"

static const struct {
    const char *path;
    mode_t mode;
} directories[] = {
        {"boot", 0755},
        {"dev", 0755},
        {"home", 0755},
        {"media", 0755},
        {"mnt", 0755},
        {"proc", 0555},
        {"root", 0700},
        {"run", 0755},
        {"run/lock", 01777},
        {"srv", 0755},
        {"sys", 0555},
        {"tmp", 01777},
        {"var", 0755},
        {"var/cache", 0755},
        {"var/lib", 0755},
        {"var/log", 0755},
        {"var/spool", 0755},
        {"var/tmp", 01777},
        {"work", 0755},
};

/* Where each of the host's directories is there, empty: services and scripts expect their own. */
static const char *const skeletons[] = {"var", "var/cache", "var/lib", "var/log", "var/spool"};

/* Copied where they are links on the host. */
static const char *const links[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};

static int make_directory(const struct sandbox *sandbox, int dir_fd, const char *path, mode_t mode)
{
    uid_t base = sandbox->plan.id_base;
    if (mkdirat(dir_fd, path, 0700) < 0 || fchownat(dir_fd, path, base, base, AT_SYMLINK_NOFOLLOW) < 0 ||
            fchmodat(dir_fd, path, mode, 0) < 0)
        return -errno;
    return 0;
}

static int make_link(const struct sandbox *sandbox, int dir_fd, const char *target, const char *path)
{
    uid_t base = sandbox->plan.id_base;
    if (symlinkat(target, dir_fd, path) < 0 || fchownat(dir_fd, path, base, base, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int copy_directory(const struct sandbox *sandbox, int from_fd, int to_fd, const char *name)
{
    struct stat status;
    if (fstatat(from_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    const mode_t open_to_all = S_IROTH | S_IXOTH;
    if (!S_ISDIR(status.st_mode) || (status.st_mode & open_to_all) != open_to_all || status.st_uid >= PLAN_RANGE_SIZE ||
            status.st_gid >= PLAN_RANGE_SIZE || layers_is_absent(sandbox, &status))
        return 0;
    if (mkdirat(to_fd, name, 0700) < 0)
        return errno == EEXIST ? 0 : -errno;
    uid_t base = sandbox->plan.id_base;
    if (fchownat(to_fd, name, base + status.st_uid, base + status.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
            fchmodat(to_fd, name, status.st_mode & 07777, 0) < 0)
        return -errno;
    return 0;
}

/* The directories in the host's @path, and nothing of what is in them. */
static int copy_skeleton(const struct sandbox *sandbox, const char *path)
{
    char host[32];
    (void)snprintf(host, sizeof(host), "/%s", path);
    _cleanup_close_ int to_fd = openat(sandbox->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (to_fd < 0)
        return -errno;
    DIR *directory = opendir(host);
    if (!directory)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    int r = 0;
    while (r == 0) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (!entry) {
            r = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = copy_directory(sandbox, dirfd(directory), to_fd, entry->d_name);
    }
    (void)closedir(directory);
    return r;
}

/* As the host's /bin is a link to usr/bin. */
static int copy_links(const struct sandbox *sandbox)
{
    for (size_t i = 0; i < ELEMENTS(links); i++) {
        char host[16];
        char target[256];
        (void)snprintf(host, sizeof(host), "/%s", links[i]);
        ssize_t length = readlink(host, target, sizeof(target) - 1);
        if (length <= 0)
            continue; /* a directory, or not there */
        target[length] = '\0';
        int r = make_link(sandbox, sandbox->root_fd, target, links[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Each layer's place, with the directories above it. One that lies in another layer was made there. */
static int make_mount_point(const struct sandbox *sandbox, const char *path)
{
    char part[ROOT_PATH_MAX];
    for (const char *end = path; *end;) {
        end += strcspn(end + 1, "/") + 1;
        (void)snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
        int r = make_directory(sandbox, sandbox->root_fd, part, 0755);
        if (r < 0 && r != -EEXIST)
            return r;
    }
    return 0;
}

static int make_skeleton(const struct sandbox *sandbox)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < ELEMENTS(directories); i++)
        r = make_directory(sandbox, sandbox->root_fd, directories[i].path, directories[i].mode);
    if (r == 0)
        r = make_link(sandbox, sandbox->root_fd, "/run", "var/run");
    if (r == 0)
        r = make_link(sandbox, sandbox->root_fd, "/run/lock", "var/lock");
    for (size_t i = 0; r == 0 && i < ELEMENTS(skeletons); i++)
        r = copy_skeleton(sandbox, skeletons[i]);
    if (r == 0)
        r = copy_links(sandbox);
    for (unsigned i = 0; r == 0 && i < sandbox->layer_count; i++)
        if (!layers_is_cache(sandbox->layers[i]))
            r = make_mount_point(sandbox, sandbox->layers[i]);
    return r;
}

/* With a base all but this is in its root, perhaps changed. */
static int make_own(const struct sandbox *sandbox)
{
    char temporary[64];
    (void)snprintf(temporary, sizeof(temporary), "tmp/job-%s", sandbox->job_id);
    int r = sandbox->plan.has_base ? make_directory(sandbox, sandbox->root_fd, "tmp", 01777) : make_skeleton(sandbox);
    return r == 0 ? make_directory(sandbox, sandbox->root_fd, temporary, 0700) : r;
}

/* The downloads' directory in the layer that it lies in, also where the host has none. */
static int make_cache_place(const struct masks *masks)
{
    const struct sandbox *sandbox = masks->sandbox;
    struct stat status;
    if (strcmp(masks->path, "var/cache/apt") != 0 || !sandbox->plan.has_cache ||
            fstatat(masks->lower_fd, "archives", &status, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    return make_directory(sandbox, masks->upper_fd, "archives", 0755);
}

static int open_side(const char *part, unsigned number)
{
    char path[64];
    (void)snprintf(path, sizeof(path), ROOT_DISK_PLACE "/%s/%u", part, number);
    return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The layer's directories between the host's and the one that the build writes to, which is empty so far. */
static int fill_sides(const struct masks *hidden, int upper_fd, struct error *error)
{
    struct masks own = *hidden;
    own.upper_fd = upper_fd;
    int r = masks_fill(hidden, error);
    if (r < 0)
        return r;
    r = masks_take_after(upper_fd, hidden->base_upper_fd >= 0 ? hidden->base_upper_fd : hidden->lower_fd);
    if (r < 0)
        return error_errno(error, -r, "make '/%s' as it is below", hidden->path);
    r = synthetic_fill(&own, error);
    if (r < 0)
        return r;
    r = strcmp(hidden->path, "etc") == 0 ? synthetic_hide_names(hidden) : 0;
    if (r < 0)
        return error_errno(error, -r, "hide names of '/%s' that may come", hidden->path);
    r = make_cache_place(&own);
    return r < 0 ? error_errno(error, -r, "make the place of the downloads") : 0;
}

static int fill_layer(struct sandbox *sandbox, unsigned number, const struct masks_rules *rules,
        struct masks_list *list, struct error *error)
{
    const char *name = sandbox->layers[number];
    int base = sandbox->base_layers[number];
    int r = layers_attach_lower(sandbox, number, error);
    if (r < 0)
        return r;
    _cleanup_close_ int lower_fd = open_side(LAYERS_LOWER, number);
    _cleanup_close_ int hidden_fd = open_side(LAYERS_HIDDEN, number);
    _cleanup_close_ int upper_fd = open_side(LAYERS_UPPER, number);
    _cleanup_close_ int base_upper_fd = base < 0 ? -EBADF : open_side(LAYERS_BASE "/" LAYERS_UPPER, (unsigned)base);
    _cleanup_close_ int base_hidden_fd = base < 0 ? -EBADF : open_side(LAYERS_BASE "/" LAYERS_HIDDEN, (unsigned)base);
    if (lower_fd < 0 || hidden_fd < 0 || upper_fd < 0 || (base >= 0 && (base_upper_fd < 0 || base_hidden_fd < 0)))
        return error_errno(error, errno, "open the sides of '/%s'", name);
    const struct masks masks = {.sandbox = sandbox,
            .rules = rules,
            .list = layers_is_cache(name) ? NULL : list, /* that one is not the host's, and small */
            .path = name,
            .lower_fd = lower_fd,
            .upper_fd = hidden_fd,
            .base_upper_fd = base_upper_fd,
            .base_hidden_fd = base_hidden_fd};
    return fill_sides(&masks, upper_fd, error);
}

static int make_parts(struct sandbox *sandbox, struct error *error)
{
    static const char *const parts[] = {LAYERS_ROOT, LAYERS_UPPER, LAYERS_HIDDEN, LAYERS_WORKS, LAYERS_LOWER};
    uid_t base = sandbox->plan.id_base;
    _cleanup_close_ int disk_fd = open(ROOT_DISK_PLACE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk_fd < 0)
        return error_errno(error, errno, "open the build's disk");
    for (size_t i = 0; i < ELEMENTS(parts); i++)
        if (mkdirat(disk_fd, parts[i], 0755) < 0)
            return error_errno(error, errno, "make '%s' on the build's disk, which is to be empty", parts[i]);
    if (fchownat(disk_fd, LAYERS_ROOT, base, base, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(error, errno, "give the root on the build's disk to the build");
    sandbox->root_fd = mount_clone(disk_fd, LAYERS_ROOT);
    return sandbox->root_fd < 0 ? error_errno(error, -sandbox->root_fd, "clone the root on the build's disk") : 0;
}

static int fill_layers(struct sandbox *sandbox, struct error *error)
{
    struct masks_rules rules;
    int r = masks_rules_make(&sandbox->plan.build, &rules, error);
    if (r < 0)
        return r;
    struct masks_list *list = masks_list_new(&sandbox->plan, &rules);
    bool has_opt = false;
    for (unsigned i = 0; r == 0 && i < sandbox->layer_count; i++) {
        has_opt |= strcmp(sandbox->layers[i], "opt") == 0;
        r = fill_layer(sandbox, i, &rules, list, error);
    }
    if (r == 0)
        masks_list_finish(list);
    masks_list_free(list);
    masks_rules_done(&rules);
    if (r < 0 || has_opt)
        return r;
    r = make_directory(sandbox, sandbox->root_fd, "opt", 0755);
    _cleanup_close_ int opt_fd = openat(sandbox->root_fd, "opt", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (r < 0 || opt_fd < 0)
        return error_errno(error, r < 0 ? -r : errno, "make the build's '/opt'");
    return synthetic_make_prefix(sandbox, opt_fd, error);
}

/* The root so far becomes what is written to over the base's. */
static int cover_base_root(struct sandbox *sandbox, struct error *error)
{
    char work[LAYERS_PLACE_MAX];
    layers_format_work(LAYERS_NUMBER_ROOT, work);
    if (mkdir(work, 0755) < 0)
        return error_errno(error, errno, "make '%s'", work);
    int fd = layers_mount(sandbox, LAYERS_NUMBER_ROOT, /* is_merged= */ false, error);
    if (fd < 0)
        return fd;
    (void)close(sandbox->root_fd);
    sandbox->root_fd = fd;
    return 0;
}

int builder_root_make(struct sandbox *sandbox, struct error *error)
{
    int r = layers_attach_disk(sandbox, error);
    if (r == 0)
        r = make_parts(sandbox, error);
    if (r == 0)
        r = layers_find(sandbox, error);
    if (r == 0)
        r = layers_save(sandbox, error);
    if (r == 0)
        r = layers_load_base(sandbox, error);
    if (r < 0)
        return r;
    r = make_own(sandbox);
    if (r < 0)
        return error_errno(error, -r, "make the fresh root on the build's disk");
    r = fill_layers(sandbox, error);
    return r == 0 && sandbox->plan.has_base ? cover_base_root(sandbox, error) : r;
}
