#include "sandbox/proof_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/mountinfo.h"
#include "sandbox/layers.h"
#include "sandbox/root_table.h"
#include "sandbox/sandbox.h"

#define MOUNTINFO_SIZE_MAX 262144U

/* Ids of the mounts found so far and of what they hang on, by row of the list; 0: not found. */
struct found {
    uint64_t ids[ROOT_MOUNTS_MAX];
    uint64_t parents[ROOT_MOUNTS_MAX];
};

static size_t row_of(const struct root_list *list, const char *target)
{
    for (size_t i = 0; i < list->count; i++)
        if (target[0] == '/' && strcmp(target + 1, list->mounts[i].path) == 0)
            return i;
    return list->count;
}

static bool is_access_time(const char *token, size_t length)
{
    static const char *const tokens[] = {"relatime", "noatime", "nodiratime", "lazytime"};
    for (size_t i = 0; i < ELEMENTS(tokens); i++)
        if (strlen(tokens[i]) == length && strncmp(token, tokens[i], length) == 0)
            return true;
    return false;
}

/* The options of a mount but for its access times are @wanted, as a set: nothing missing, nothing more. */
static bool options_match(const char *options, const char *wanted)
{
    char left[MOUNTINFO_FIELD_MAX];
    size_t used = 0;
    for (const char *at = options; *at;) {
        size_t length = strcspn(at, ",");
        if (!is_access_time(at, length)) {
            if (used)
                left[used++] = ',';
            memcpy(left + used, at, length);
            used += length;
        }
        at += length + (at[length] == ',');
    }
    left[used] = '\0';
    return strcmp(left, wanted) == 0;
}

static bool has_format(const char *options, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool has_format(const char *options, const char *format, ...)
{
    char token[MOUNTINFO_FIELD_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(token, sizeof(token), format, arguments);
    va_end(arguments);
    return mountinfo_has_option(options, token);
}

/* The directories are those of the build's disk, as they were named while it was attached there; nothing is on that
 * would let an upper directory hold less than its files (A15). What is off by default is not told. */
static bool overlay_matches(const struct sandbox *sandbox, const struct root_mount *mount, const char *options)
{
    static const char *const never[] = {
            "index=on", "metacopy=on", "redirect_dir=on", "redirect_dir=follow", "nfs_export=on", "userxattr"};
    for (size_t i = 0; i < ELEMENTS(never); i++)
        if (mountinfo_has_option(options, never[i]))
            return false;
    char below[LAYERS_BELOW_MAX];
    char upper[LAYERS_PLACE_MAX];
    char work[LAYERS_PLACE_MAX];
    const unsigned number = mount->number;
    bool is_merged = mount->kind == ROOT_KIND_MERGED;
    layers_format_below(sandbox, number, is_merged, below);
    if (!has_format(options, "lowerdir=%s", below))
        return false;
    if (is_merged)
        return !strstr(options, "upperdir=");
    layers_format_upper(number, upper);
    layers_format_work(number, work);
    return has_format(options, "upperdir=%s", upper) && has_format(options, "workdir=%s", work) &&
           (mountinfo_has_option(options, "volatile") || mountinfo_has_option(options, "fsync=volatile"));
}

static bool dev_matches(const struct sandbox *sandbox, const char *options)
{
    return mountinfo_has_option(options, "size=64k") && has_format(options, "uid=%u", sandbox->plan.id_base);
}

static bool super_options_match(const struct sandbox *sandbox, const struct root_mount *mount, const char *options)
{
    char token[48];
    uint32_t base = sandbox->plan.id_base;
    if (mount->kind == ROOT_KIND_LAYER || mount->kind == ROOT_KIND_MERGED)
        return overlay_matches(sandbox, mount, options);
    if (mount->kind == ROOT_KIND_DEV && root_mount_is_writable(mount))
        return dev_matches(sandbox, options);
    if (mount->kind == ROOT_KIND_DEVPTS) {
        (void)snprintf(token, sizeof(token), "gid=%u", base + 5);
        return mountinfo_has_option(options, token) && mountinfo_has_option(options, "mode=620") &&
               mountinfo_has_option(options, "ptmxmode=666");
    }
    if (mount->kind == ROOT_KIND_WORK && sandbox->plan.work_on_disk)
        return mountinfo_has_option(options, "rw") && mountinfo_has_option(options, "errors=remount-ro");
    if (!root_mount_is_sized(sandbox, mount))
        return true;
    (void)snprintf(token, sizeof(token), "size=%lluk", (unsigned long long)root_mount_bytes(sandbox, mount) / 1024);
    if (!mountinfo_has_option(options, token))
        return false;
    (void)snprintf(token, sizeof(token), "nr_inodes=%llu", (unsigned long long)root_mount_inodes(sandbox, mount));
    if (mount->inodes && !mountinfo_has_option(options, token))
        return false;
    (void)snprintf(token, sizeof(token), "uid=%u", base + (mount->is_shared ? 0 : sandbox->plan.command_id));
    return mountinfo_has_option(options, token);
}

static const char *root_field(const struct sandbox *sandbox, const struct root_mount *mount,
        const struct mountinfo *line, char *buffer, size_t size)
{
    switch (mount->kind) {
    case ROOT_KIND_WORK:
        return sandbox->plan.work_on_disk ? "/work" : "/";
    case ROOT_KIND_FILE:
        return strrchr(mount->path, '/');
    case ROOT_KIND_MASK:
        return strcmp(line->root, "/directory") == 0 ? "/directory" : "/file";
    case ROOT_KIND_PROC_RO:
        return strchr(mount->path, '/');
    case ROOT_KIND_DISK:
    case ROOT_KIND_UNDER:
        (void)snprintf(buffer, size, "/%s", mount->source);
        return buffer;
    case ROOT_KIND_BASE:
    case ROOT_KIND_HANDED:
    case ROOT_KIND_LOWER:
        return line->root; /* where it lies on its file system is not the plan's */
    case ROOT_KIND_TOOL:
    case ROOT_KIND_LAYER:
    case ROOT_KIND_MERGED:
    case ROOT_KIND_PROC:
    case ROOT_KIND_DEV:
    case ROOT_KIND_DEVPTS:
    case ROOT_KIND_MQUEUE:
    case ROOT_KIND_TMPFS:
        break;
    }
    return "/";
}

/* The type and the options of a mount: the table's, but for a /work on disk. */
static void expect(
        const struct sandbox *sandbox, const struct root_mount *mount, const char **ret_type, const char **ret_options)
{
    bool is_disk = mount->kind == ROOT_KIND_WORK && sandbox->plan.work_on_disk;
    *ret_type = is_disk ? "ext4" : mount->type;
    *ret_options = is_disk ? "rw,nosuid,nodev,idmapped" : mount->options;
}

/* What can be written to is a file system of the job's own: one that was made for it, or the disk or the tree that
 * joblet handed in, which is told by its device. An overlay's disk is told by check_space. */
static bool device_matches(const struct sandbox *sandbox, const struct root_mount *mount, dev_t device)
{
    bool is_disk = mount->kind == ROOT_KIND_DISK || (mount->kind == ROOT_KIND_WORK && sandbox->plan.work_on_disk);
    if (is_disk)
        return device == sandbox->handed[PLAN_FD_WORK].device;
    if (mount->kind == ROOT_KIND_UNDER)
        return device == sandbox->handed[PLAN_FD_BASE_DISK].device;
    return mount->kind != ROOT_KIND_HANDED || device == sandbox->handed[mount->number].device;
}

static int check_file_system(const struct sandbox *sandbox, const struct root_mount *mount,
        const struct mountinfo *line, struct error *error)
{
    const char *type;
    const char *options;
    char root[32];
    expect(sandbox, mount, &type, &options);
    if (type && strcmp(line->type, type) != 0)
        return error_text(error, EPROTO, "the mount at '%s' is %.16s, not %s", line->target, line->type, type);
    if (strcmp(line->root, root_field(sandbox, mount, line, root, sizeof(root))) != 0)
        return error_text(error, EPROTO, "the mount at '%s' shows '%.60s'", line->target, line->root);
    if (!options_match(line->options, options))
        return error_text(
                error, EPROTO, "the mount at '%s' is '%.60s', not '%s'", line->target, line->options, options);
    if (!super_options_match(sandbox, mount, line->super_options))
        return error_text(error, EPROTO, "the file system at '%s' is '%.90s'", line->target, line->super_options);
    if (!device_matches(sandbox, mount, line->device))
        return error_text(error, EPROTO, "the mount at '%s' is not of the device that was handed in", line->target);
    return 0;
}

static int check_line(
        const struct sandbox *sandbox, const struct mountinfo *line, struct found *found, struct error *error)
{
    size_t row = row_of(&sandbox->root, line->target);
    if (row == sandbox->root.count)
        return error_text(error, EPROTO, "there is a mount at '%.80s' that is not of the plan", line->target);
    if (found->ids[row])
        return error_text(error, EPROTO, "there are two mounts at '%s'", line->target);
    found->ids[row] = line->id;
    found->parents[row] = line->parent_id;
    if (row == 0 && line->id != sandbox->root_mount_id)
        return error_text(error, EPROTO, "the root is not the mount that was handed in");
    if (line->propagates)
        return error_text(error, EPROTO, "the mount at '%s' is not private", line->target);
    return check_file_system(sandbox, &sandbox->root.mounts[row], line, error);
}

/* What has no line is an error, but for a mask of a part of /proc that this kernel does not have. */
static int check_missing(const struct root_list *list, const struct found *found, struct error *error)
{
    for (size_t i = 0; i < list->count; i++) {
        char path[ROOT_PATH_MAX + 1];
        (void)snprintf(path, sizeof(path), "/%s", list->mounts[i].path);
        if (found->ids[i])
            continue;
        if (list->mounts[i].kind == ROOT_KIND_MASK && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
                errno == ENOENT)
            continue;
        return error_text(error, EPROTO, "nothing is mounted at '%s'", path);
    }
    return list->count > 0 ? 0 : error_text(error, EPROTO, "there is no list of mounts");
}

/* mountinfo is sorted by age, and a disk is older than the root that it hangs on. */
static int check_parents(const struct root_list *list, const struct found *found, struct error *error)
{
    for (size_t i = 1; i < list->count; i++)
        if (found->ids[i] && found->parents[i] != found->ids[root_list_parent(list, i)])
            return error_text(error, EPROTO, "the mount at '/%s' does not hang where it should", list->mounts[i].path);
    return 0;
}

/* @path is on the disk that the plan tells of, by its size. An overlay says here what its upper directory lies on. */
static int check_space(const struct sandbox *sandbox, const char *path, struct error *error)
{
    struct statfs space;
    const struct plan *plan = &sandbox->plan;
    if (statfs(path, &space) < 0)
        return error_errno(error, errno, "look at the file system of '%s'", path);
    if ((uint64_t)space.f_blocks * (uint64_t)space.f_bsize != plan->work_bytes || space.f_files != plan->work_inodes)
        return error_text(error, EPROTO, "'%s' has %llu bytes and %llu inodes, not %llu and %llu", path,
                (unsigned long long)space.f_blocks * (unsigned long long)space.f_bsize,
                (unsigned long long)space.f_files, (unsigned long long)plan->work_bytes,
                (unsigned long long)plan->work_inodes);
    return 0;
}

/* What mountinfo does not say of a disk: that it has the plan's size, and that the command may write to it. */
static int check_disk(const struct sandbox *sandbox, const char *path, struct error *error)
{
    struct stat status;
    const struct plan *plan = &sandbox->plan;
    if (stat(path, &status) < 0)
        return error_errno(error, errno, "look at '%s'", path);
    if (status.st_uid != plan->command_id || status.st_gid != plan->command_id || status.st_mode != (S_IFDIR | 0755))
        return error_text(error, EPROTO, "'%s' belongs to %u:%u with mode %o", path, status.st_uid, status.st_gid,
                status.st_mode);
    return check_space(sandbox, path, error);
}

/* The tree at @path is the very directory that joblet handed in. */
static int check_handed(
        const struct sandbox *sandbox, const struct root_mount *mount, const char *path, struct error *error)
{
    struct stat status;
    const struct sandbox_handed *handed = &sandbox->handed[mount->number];
    if (stat(path, &status) < 0)
        return error_errno(error, errno, "look at '%s'", path);
    if (status.st_dev != handed->device || status.st_ino != handed->inode)
        return error_text(error, EPROTO, "'%s' is not the tree that was handed in", path);
    return 0;
}

static int check_trees(const struct sandbox *sandbox, struct error *error)
{
    int r = 0;
    const struct root_list *list = &sandbox->root;
    for (size_t i = 0; r == 0 && i < list->count; i++) {
        char path[ROOT_PATH_MAX + 1];
        const struct root_mount *mount = &list->mounts[i];
        (void)snprintf(path, sizeof(path), "/%s", mount->path);
        bool is_build_root = i == 0 && (mount->kind == ROOT_KIND_DISK || mount->kind == ROOT_KIND_LAYER);
        if ((mount->kind == ROOT_KIND_WORK && sandbox->plan.work_on_disk) || is_build_root)
            r = check_disk(sandbox, path, error);
        else if (mount->kind == ROOT_KIND_DISK || mount->kind == ROOT_KIND_LAYER)
            r = check_space(sandbox, path, error);
        else if (mount->kind == ROOT_KIND_HANDED)
            r = check_handed(sandbox, mount, path, error);
    }
    return r;
}

/* The overlays heed the masks: what was masked is not there. This process could not read it anyway, but would find it.
 */
static int check_masks(const struct sandbox *sandbox, struct error *error)
{
    for (unsigned i = 0; i < sandbox->masked_count; i++) {
        const char *path = sandbox->masked[i];
        if (!path[0])
            continue;
        if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return error_text(error, EPROTO, "'%.120s' of the host is not masked", path);
        /* Not permitted: it lies beside something that is shown, in a directory that others may not enter. */
        if (errno != ENOENT && errno != EACCES)
            return error_errno(error, errno, "look for '%.120s'", path);
    }
    return 0;
}

int proof_check_mounts(const struct sandbox *sandbox, struct error *error)
{
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_SIZE_MAX, &text, NULL);
    if (r < 0)
        return error_errno(error, -r, "read the mounts");
    struct found found = {0};
    struct mountinfo line;
    const char *at = text;
    while ((r = mountinfo_next(&at, &line)) > 0) {
        r = check_line(sandbox, &line, &found, error);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return error_text(error, EBADMSG, "the list of mounts is malformed");
    r = check_missing(&sandbox->root, &found, error);
    if (r == 0)
        r = check_parents(&sandbox->root, &found, error);
    if (r == 0)
        r = check_trees(sandbox, error);
    return r == 0 ? check_masks(sandbox, error) : r;
}
