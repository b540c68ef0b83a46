#include "sandbox/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/mount.h"
#include "plan/host_layers.h"
#include "sandbox/root_table.h"
#include "sandbox/sandbox.h"

#define LIST_SIZE_MAX 4096U
#define PATH_SIZE_MAX LAYERS_PLACE_MAX

bool layers_is_cache(const char *path)
{
    return host_layers_is_cache(path);
}

bool layers_path_is_in(const char *path, const char *above)
{
    size_t length = strlen(above);
    return strncmp(path, above, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Owners are those of the job already. */
static int attach_base(bool is_build, struct error *error)
{
    if (is_build && mkdir(ROOT_DISK_PLACE "/" LAYERS_BASE, 0755) < 0)
        return error_errno(error, errno, "make the place of the base on the build's disk");
    _cleanup_close_ int place = open(ROOT_DISK_PLACE "/" LAYERS_BASE, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0)
        return error_errno(error, errno, "open the place of the base");
    int r = mount_set_attributes(PLAN_FD_BASE_DISK, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY, -EBADF);
    if (r == 0)
        r = mount_attach(PLAN_FD_BASE_DISK, place);
    return r < 0 ? error_errno(error, -r, "attach the base") : 0;
}

int layers_attach_disk(const struct sandbox *sandbox, struct error *error)
{
    bool is_build = sandbox->plan.type == PLAN_TYPE_BUILD;
    _cleanup_close_ int place = open(ROOT_DISK_PLACE, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place < 0)
        return error_errno(error, errno, "open the place of the build's disk");
    int r = mount_set_attributes(
            PLAN_FD_WORK, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (is_build ? 0U : MOUNT_ATTR_RDONLY), -EBADF);
    if (r == 0)
        r = mount_attach(PLAN_FD_WORK, place);
    if (r < 0)
        return error_errno(error, -r, "attach the build's disk");
    return sandbox->plan.has_base ? attach_base(is_build, error) : 0;
}

bool layers_is_absent(const struct sandbox *sandbox, const struct stat *status)
{
    const struct plan_build *build = &sandbox->plan.build;
    for (size_t i = 0; i < ELEMENTS(build->absent_inode); i++)
        if (build->absent_inode[i] != 0 && status->st_ino == build->absent_inode[i] &&
                status->st_dev == build->absent_device[i])
            return true;
    return false;
}

/* True when the whole directory stays out: the configuration says so, it is the prefix, or others may not enter it. */
static bool is_hidden(const struct sandbox *sandbox, const char *path, const struct stat *status)
{
    const struct plan_build *build = &sandbox->plan.build;
    if (!(status->st_mode & S_IXOTH) || layers_is_absent(sandbox, status))
        return true;
    for (size_t i = 0; i < PLAN_PATHS_MAX && build->hidden[i][0]; i++)
        if (layers_path_is_in(path, build->hidden[i]))
            return true;
    return false;
}

static bool has_layer(const struct sandbox *sandbox, const char *path)
{
    for (unsigned i = 0; i < sandbox->layer_count; i++)
        if (strcmp(sandbox->layers[i], path) == 0)
            return true;
    return false;
}

#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xff534d42
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xfe534d42
#endif

/* The OS can do without /opt, and on the network or in a file system that is no storage it is none of the OS's. Others
 * must be layers: a host with such a one builds nothing (clone_host). */
static bool is_elsewhere(const char *name, const char *path)
{
    static const uint32_t types[] = {NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,
            AFS_SUPER_MAGIC, CEPH_SUPER_MAGIC, V9FS_MAGIC, FUSE_SUPER_MAGIC, AUTOFS_SUPER_MAGIC, PROC_SUPER_MAGIC,
            SYSFS_MAGIC};
    struct statfs space;
    if (strcmp(name, "opt") != 0 || statfs(path, &space) < 0)
        return false;
    for (size_t i = 0; i < ELEMENTS(types); i++)
        if ((uint32_t)space.f_type == types[i])
            return true;
    return false;
}

static bool is_layer(const struct sandbox *sandbox, const char *name)
{
    char path[PATH_SIZE_MAX];
    struct stat status;
    if (layers_is_cache(name))
        return sandbox->plan.has_cache && has_layer(sandbox, "var/cache/apt");
    (void)snprintf(path, sizeof(path), "/%s", name);
    return fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode) &&
           !is_hidden(sandbox, path, &status) && !is_elsewhere(name, path);
}

int layers_find(struct sandbox *sandbox, struct error *error)
{
    sandbox->layer_count = 0;
    for (size_t i = 0; i < host_layers_count; i++)
        if (is_layer(sandbox, host_layers[i]))
            sandbox->layers[sandbox->layer_count++] = host_layers[i];
    return sandbox->layer_count > 0 ? 0 : error_text(error, ENOENT, "the host has none of the directories of an OS");
}

int layers_save(const struct sandbox *sandbox, struct error *error)
{
    _cleanup_close_ int fd =
            open(ROOT_DISK_PLACE "/" LAYERS_LIST, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);
    int r = fd < 0 ? -errno : 0;
    for (unsigned i = 0; r == 0 && i < sandbox->layer_count; i++) {
        char line[PATH_SIZE_MAX];
        int length = snprintf(line, sizeof(line), "%s\n", sandbox->layers[i]);
        r = fd_write_all(fd, line, (size_t)length);
    }
    return r < 0 ? error_errno(error, -r, "write the list of layers to the build's disk") : 0;
}

/* The list at @path, of compiled-in names in their order. 0 or -errno with @error. */
static int read_list(
        const char *path, const char *ret_names[SANDBOX_LAYERS_MAX], unsigned *ret_count, struct error *error)
{
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(AT_FDCWD, path, LIST_SIZE_MAX, &text, NULL);
    if (r < 0)
        return error_errno(error, -r, "read the list of layers from a build's disk");
    size_t at = 0;
    *ret_count = 0;
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        if (!end)
            return error_text(error, EBADMSG, "the list of layers is cut");
        *end = '\0';
        while (at < host_layers_count && strcmp(host_layers[at], line) != 0)
            at++;
        if (at == host_layers_count)
            return error_text(error, EBADMSG, "the list of layers names '%.60s'", line);
        ret_names[(*ret_count)++] = host_layers[at++];
        line = end + 1;
    }
    return 0;
}

int layers_load(struct sandbox *sandbox, struct error *error)
{
    return read_list(ROOT_DISK_PLACE "/" LAYERS_LIST, sandbox->layers, &sandbox->layer_count, error);
}

int layers_load_base(struct sandbox *sandbox, struct error *error)
{
    const char *names[SANDBOX_LAYERS_MAX];
    unsigned count = 0;
    int r = sandbox->plan.has_base ? read_list(ROOT_DISK_PLACE "/" LAYERS_BASE "/" LAYERS_LIST, names, &count, error)
                                   : 0;
    unsigned at = 0;
    for (unsigned i = 0; r == 0 && i < sandbox->layer_count; i++) {
        const char *name = sandbox->layers[i];
        if (at < count && names[at] != name && layers_is_cache(names[at]))
            at++;
        bool is_same = at < count && names[at] == name;
        sandbox->base_layers[i] = is_same ? (int)at++ : -1;
        if (sandbox->plan.has_base && !is_same && !layers_is_cache(name))
            return error_text(error, ESTALE, "the host had other directories when the base was made: '/%s'",
                    at < count ? names[at] : name);
    }
    if (at < count && layers_is_cache(names[at]))
        at++;
    return r < 0 || at == count ? r
                                : error_text(error, ESTALE,
                                          "the host had other directories when the base was made: '/%s'", names[at]);
}

static void place_of(char path[PATH_SIZE_MAX], const char *part, unsigned number)
{
    (void)snprintf(path, PATH_SIZE_MAX, ROOT_DISK_PLACE "/%s/%u", part, number);
}

void layers_format_upper(unsigned number, char ret_text[LAYERS_PLACE_MAX])
{
    if (number == LAYERS_NUMBER_ROOT)
        (void)snprintf(ret_text, LAYERS_PLACE_MAX, ROOT_DISK_PLACE "/" LAYERS_ROOT);
    else
        place_of(ret_text, LAYERS_UPPER, number);
}

void layers_format_work(unsigned number, char ret_text[LAYERS_PLACE_MAX])
{
    place_of(ret_text, LAYERS_WORKS, number);
}

static int make_places(unsigned number, struct error *error)
{
    static const char *const parts[] = {LAYERS_UPPER, LAYERS_HIDDEN, LAYERS_WORKS, LAYERS_LOWER};
    for (size_t i = 0; i < ELEMENTS(parts); i++) {
        char path[PATH_SIZE_MAX];
        place_of(path, parts[i], number);
        if (mkdir(path, 0755) < 0)
            return error_errno(error, errno, "make '%s/%u' on the build's disk", parts[i], number);
    }
    return 0;
}

/* The host's directory as a detached mount of its own, without what is mounted in it, the host's ids the job's. */
static int clone_host(const char *name, struct error *error)
{
    char path[PATH_SIZE_MAX];
    struct statfs space;
    (void)snprintf(path, sizeof(path), "/%s", name);
    _cleanup_close_ int fd = mount_clone(AT_FDCWD, path);
    if (fd < 0)
        return error_errno(error, -fd, "clone the host's '%s'", path);
    /* Its propagation is the tree's, which is private. */
    int r = mount_set_attributes(fd,
            MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME,
            PLAN_FD_USERNS);
    if (r == -EINVAL && fstatfs(fd, &space) == 0)
        return error_text(error, EINVAL,
                "the host's '%s' lies on a file system (type %#lx) whose owners cannot be mapped: no builds on this "
                "host",
                path, (unsigned long)space.f_type);
    if (r < 0)
        return error_errno(error, -r, "map the owners of the host's '%s'", path);
    return TAKE_FD(fd);
}

int layers_attach_lower(const struct sandbox *sandbox, unsigned number, struct error *error)
{
    char path[PATH_SIZE_MAX];
    const char *name = sandbox->layers[number];
    bool is_build = sandbox->plan.type == PLAN_TYPE_BUILD;
    bool is_cache = layers_is_cache(name);
    int r = is_build ? make_places(number, error) : 0;
    if (r < 0 || (is_cache && !is_build))
        return r; /* nothing of the downloads is below it when they are collected */
    _cleanup_close_ int lower = is_cache ? fcntl(PLAN_FD_CACHE, F_DUPFD_CLOEXEC, 0) : clone_host(name, error);
    if (lower < 0)
        return is_cache ? error_errno(error, errno, "take the downloads of earlier builds") : lower;
    place_of(path, LAYERS_LOWER, number);
    _cleanup_close_ int place = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    r = place < 0 ? -errno : mount_attach(lower, place);
    return r < 0 ? error_errno(error, -r, "attach what is below '/%s'", name) : 0;
}

void layers_format_below(
        const struct sandbox *sandbox, unsigned number, bool is_merged, char ret_text[LAYERS_BELOW_MAX])
{
    char upper[PATH_SIZE_MAX];
    char base[PATH_SIZE_MAX] = "";
    char hidden[PATH_SIZE_MAX];
    char lower[PATH_SIZE_MAX];
    layers_format_upper(number, upper);
    const char *first = is_merged ? upper : "";
    const char *after = is_merged ? ":" : "";
    if (number == LAYERS_NUMBER_ROOT) {
        (void)snprintf(
                ret_text, LAYERS_BELOW_MAX, "%s%s" ROOT_DISK_PLACE "/" LAYERS_BASE "/" LAYERS_ROOT, first, after);
        return;
    }
    if (sandbox->plan.has_base && sandbox->base_layers[number] >= 0)
        (void)snprintf(base, sizeof(base),
                ROOT_DISK_PLACE "/" LAYERS_BASE "/" LAYERS_UPPER "/%d:", sandbox->base_layers[number]);
    place_of(hidden, LAYERS_HIDDEN, number);
    place_of(lower, LAYERS_LOWER, number);
    (void)snprintf(ret_text, LAYERS_BELOW_MAX, "%s%s%s%s:%s", first, after, base, hidden, lower);
}

int layers_mount(const struct sandbox *sandbox, unsigned number, bool is_merged, struct error *error)
{
    char upper[PATH_SIZE_MAX];
    char work[PATH_SIZE_MAX];
    char below[LAYERS_BELOW_MAX];
    layers_format_upper(number, upper);
    layers_format_work(number, work);
    layers_format_below(sandbox, number, is_merged, below);
    /* Each by name: the defaults are the kernel's configuration. With metacopy an upper could hold a file without its
     * data (A15). Volatile: nothing of a disk is wanted after a crash. */
    const struct mount_option options[] = {{"source", "overlay"}, {"lowerdir", below}, {"index", "off"},
            {"metacopy", "off"}, {"redirect_dir", "nofollow"}, {"nfs_export", "off"}, {"xino", "auto"},
            {is_merged ? NULL : "upperdir", upper}, {"workdir", work}, {"volatile", NULL}, {NULL, NULL}};
    unsigned read_only = is_merged ? MOUNT_ATTR_RDONLY : 0;
    int fd = mount_new("overlay", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | read_only);
    return fd < 0 ? error_errno(error, -fd, "mount an overlay over '/%s'",
                            number == LAYERS_NUMBER_ROOT ? "" : sandbox->layers[number])
                  : fd;
}
