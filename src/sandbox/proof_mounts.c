#include "sandbox/proof_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/mountinfo.h"
#include "sandbox/root_table.h"
#include "sandbox/sandbox.h"

#define MOUNTINFO_SIZE_MAX 65536U
#define ROWS_MAX 64U

/* Ids of the mounts found so far and of what they hang on, by row of the table; 0: not found. */
struct found {
    uint64_t ids[ROWS_MAX];
    uint64_t parents[ROWS_MAX];
};

static size_t row_of(const char *target)
{
    for (size_t i = 0; i < root_mount_count; i++)
        if (target[0] == '/' && strcmp(target + 1, root_mounts[i].path) == 0)
            return i;
    return root_mount_count;
}

/* The row whose mount holds @path: the longest one that is above it. */
static size_t parent_row(size_t row)
{
    size_t parent = 0;
    const char *path = root_mounts[row].path;
    for (size_t i = 1; i < root_mount_count; i++) {
        size_t length = strlen(root_mounts[i].path);
        bool is_longer = length > strlen(root_mounts[parent].path);
        if (i != row && is_longer && strncmp(path, root_mounts[i].path, length) == 0 && path[length] == '/')
            parent = i;
    }
    return parent;
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

static bool super_options_match(const struct sandbox *sandbox, const struct root_mount *mount, const char *options)
{
    char token[48];
    uint32_t base = sandbox->plan.id_base;
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

static const char *root_field(
        const struct sandbox *sandbox, const struct root_mount *mount, const struct mountinfo *line)
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
    case ROOT_KIND_BASE:
        return line->root; /* where the base lies on its file system is not the plan's */
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

static int check_line(
        const struct sandbox *sandbox, const struct mountinfo *line, struct found *found, struct error *error)
{
    size_t row = row_of(line->target);
    if (row == root_mount_count)
        return error_text(error, EPROTO, "there is a mount at '%.80s' that is not of the plan", line->target);
    const struct root_mount *mount = &root_mounts[row];
    if (found->ids[row])
        return error_text(error, EPROTO, "there are two mounts at '%s'", line->target);
    found->ids[row] = line->id;
    found->parents[row] = line->parent_id;
    if (row == 0 && line->id != sandbox->root_mount_id)
        return error_text(error, EPROTO, "the root is not the mount that was handed in");
    if (line->propagates)
        return error_text(error, EPROTO, "the mount at '%s' is not private", line->target);
    const char *type;
    const char *options;
    expect(sandbox, mount, &type, &options);
    if (type && strcmp(line->type, type) != 0)
        return error_text(error, EPROTO, "the mount at '%s' is %.16s, not %s", line->target, line->type, type);
    if (strcmp(line->root, root_field(sandbox, mount, line)) != 0)
        return error_text(error, EPROTO, "the mount at '%s' shows '%.60s'", line->target, line->root);
    if (!options_match(line->options, options))
        return error_text(
                error, EPROTO, "the mount at '%s' is '%.60s', not '%s'", line->target, line->options, options);
    if (!super_options_match(sandbox, mount, line->super_options))
        return error_text(error, EPROTO, "the file system at '%s' is '%.90s'", line->target, line->super_options);
    return 0;
}

/* What has no line is an error, but for a mask of a part of /proc that this kernel does not have. */
static int check_missing(const struct found *found, struct error *error)
{
    for (size_t i = 0; i < root_mount_count; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/%s", root_mounts[i].path);
        if (found->ids[i])
            continue;
        if (root_mounts[i].kind == ROOT_KIND_MASK && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
                errno == ENOENT)
            continue;
        return error_text(error, EPROTO, "nothing is mounted at '%s'", path);
    }
    return 0;
}

/* mountinfo is sorted by age, and a disk is older than the root that it hangs on. */
static int check_parents(const struct found *found, struct error *error)
{
    for (size_t i = 1; i < root_mount_count; i++)
        if (found->ids[i] && found->parents[i] != found->ids[parent_row(i)])
            return error_text(error, EPROTO, "the mount at '/%s' does not hang where it should", root_mounts[i].path);
    return 0;
}

/* What mountinfo does not say of a disk: that it has the plan's size, and that the command may write to it. */
static int check_disk(const struct sandbox *sandbox, struct error *error)
{
    struct statfs space;
    struct stat status;
    const struct plan *plan = &sandbox->plan;
    if (!plan->work_on_disk)
        return 0;
    if (statfs("/work", &space) < 0 || stat("/work", &status) < 0)
        return error_errno(error, errno, "look at /work");
    if ((uint64_t)space.f_blocks * (uint64_t)space.f_bsize != plan->work_bytes || space.f_files != plan->work_inodes)
        return error_text(error, EPROTO, "/work has %llu bytes and %llu inodes, not %llu and %llu",
                (unsigned long long)space.f_blocks * (unsigned long long)space.f_bsize,
                (unsigned long long)space.f_files, (unsigned long long)plan->work_bytes,
                (unsigned long long)plan->work_inodes);
    if (status.st_uid != plan->command_id || status.st_gid != plan->command_id || status.st_mode != (S_IFDIR | 0755))
        return error_text(
                error, EPROTO, "/work belongs to %u:%u with mode %o", status.st_uid, status.st_gid, status.st_mode);
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
    r = check_missing(&found, error);
    if (r == 0)
        r = check_parents(&found, error);
    return r == 0 ? check_disk(sandbox, error) : r;
}
