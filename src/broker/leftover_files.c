/* Leftovers that are files and trees of the prefix. joblet looks at what lies at the top of the store of runtimes and
 * never into it; a base root was made by setup, and no job ever writes to it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "broker/leftover_private.h"
#include "broker/store.h"
#include "plan/plan.h"
#include "setup/base.h"
#include "setup/files.h"

#define PID_FILE "joblet.pid"

/* Calls @look for each entry of @name below @dir_fd; nothing when that is not there. */
static int each_entry(struct leftover_place *place, struct leftover_list *list, int dir_fd, const char *name,
        void (*look)(const struct leftover_place *place, struct leftover_list *list, int dir_fd, const char *directory,
                const char *name),
        struct error *error)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        int code = errno;
        (void)fd_close(fd);
        return code == ENOENT || code == EBADF ? 0 : error_errno(error, code, "look into '%s'", name);
    }
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            look(place, list, fd, name, entry->d_name);
    (void)closedir(directory);
    return 0;
}

/* --- the store of runtimes --- */

static bool is_tree_name(const char *name, char ret_uuid[TEXT_UUID_MAX])
{
    static const char *const starts[] = {STORE_STAGE_PREFIX, STORE_TRASH_PREFIX};
    uint8_t id[16];
    for (unsigned i = 0; i < ELEMENTS(starts); i++) {
        size_t length = strlen(starts[i]);
        if (strncmp(name, starts[i], length) == 0 && text_parse_uuid(name + length, id) == 0) {
            text_format_uuid(id, ret_uuid);
            return true;
        }
    }
    return false;
}

static void judge_tree(const struct leftover_place *place, const struct stat *status, struct leftover *item)
{
    item->why = "no build or job has it";
    if (!S_ISDIR(status->st_mode) || status->st_uid != place->config->disk_id_start) {
        item->verdict = LEFTOVER_NOT_OURS;
        item->stays = "no directory of the ids on disk (isolation.diskIdStart)";
    } else if (!place->sweep) {
        item->verdict = LEFTOVER_WAITS;
        item->stays = place->served_since_ns != 0 ? "the running service empties it in a sandbox"
                                                  : "the service's next start empties it in a sandbox";
    }
}

static bool is_empty(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        (void)fd_close(fd);
        return false;
    }
    unsigned count = 0;
    while (count < 3 && readdir(directory))
        count++;
    (void)closedir(directory);
    return count == 2;
}

static void look_at_store(const struct leftover_place *place, struct leftover_list *list, int dir_fd,
        const char *directory, const char *name)
{
    char uuid[TEXT_UUID_MAX] = "";
    struct stat status;
    if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || leftover_is_younger(place, &status))
        return;
    bool is_tree = is_tree_name(name, uuid);
    bool is_name = !is_tree && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
                   plan_name_is_valid(name, sizeof(((struct channel_runtime *)NULL)->name));
    if (is_name && !is_empty(dir_fd, name))
        return; /* it has versions */
    struct leftover *item = leftover_add(list, is_name ? LEFTOVER_NAME : LEFTOVER_TREE, "%s/%s", directory, name);
    if (!item)
        return;
    (void)snprintf(item->at, sizeof(item->at), "%.100s", name);
    item->since_unix = status.st_ctim.tv_sec;
    if (is_tree) {
        (void)snprintf(item->owner, sizeof(item->owner), "build %s", uuid);
        judge_tree(place, &status, item);
    } else if (is_name) {
        item->why = "a runtime of this name was not published to its end, or its last version is gone";
    } else {
        item->verdict = LEFTOVER_NOT_OURS;
        item->why = "it lies in the store of runtimes";
        item->stays = "not the name of a runtime, or not the service's user's";
    }
}

int leftover_find_store(struct leftover_place *place, struct leftover_list *list, struct error *error)
{
    return each_entry(place, list, place->prefix_fd, "runtimes", look_at_store, error);
}

int leftover_remove_tree(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    if (!place->sweep)
        return error_text(error, ENOSYS, "trees are emptied by the service alone");
    place->sweep(place->user, item->at);
    return 0;
}

int leftover_remove_name(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    if (unlinkat(place->store_fd, item->at, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_errno(error, errno, "remove the empty directory");
    return 0;
}

/* --- files that never got their names --- */

static bool is_file_of(const char *directory, const char *target)
{
    static const char *const run[] = {PID_FILE, "address", "groups", "network"};
    if (strcmp(directory, "config") == 0)
        return files_is_ours(target);
    if (strcmp(directory, ".") == 0)
        return strcmp(target, BASE_MANIFEST) == 0;
    for (unsigned i = 0; i < ELEMENTS(run); i++)
        if (strcmp(target, run[i]) == 0)
            return true;
    return false;
}

/* ".address.x": as ours begin, whatever stands behind. */
static bool begins_as_ours(const char *directory, const char *name)
{
    char target[FD_TARGET_MAX];
    const char *dot = name[0] == '.' ? strrchr(name + 1, '.') : NULL;
    if (!dot || (size_t)(dot - name) > sizeof(target))
        return false;
    (void)snprintf(target, sizeof(target), "%.*s", (int)(dot - name - 1), name + 1);
    return is_file_of(directory, target);
}

static void look_at_file(const struct leftover_place *place, struct leftover_list *list, int dir_fd,
        const char *directory, const char *name)
{
    char target[FD_TARGET_MAX];
    struct stat status;
    if (!begins_as_ours(directory, name) || fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            leftover_is_younger(place, &status))
        return;
    int r = fd_is_half_written(name, target) ? fd_is_forgotten_at(dir_fd, name) : -EPERM;
    if (r == 0)
        return; /* it is being written */
    bool is_top = strcmp(directory, ".") == 0;
    struct leftover *item =
            leftover_add(list, LEFTOVER_HALF_FILE, "%s%s%s", is_top ? "" : directory, is_top ? "" : "/", name);
    if (!item)
        return;
    (void)snprintf(item->at, sizeof(item->at), "%.120s", name);
    item->host = (unsigned)directory[0];
    item->since_unix = status.st_ctim.tv_sec;
    item->why = "it was not written to its end, and nobody has it open";
    if (r < 0) {
        item->verdict = LEFTOVER_NOT_OURS;
        item->why = "it begins as a file in the making";
        item->stays = "no plain file of the service's user with the name of one";
    }
}

/* The lock of the prefix, which a setup holds while it works: a descriptor, or -EBADF when it is taken. */
static int lock_prefix(const struct leftover_place *place)
{
    int fd = openat(place->prefix_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    (void)fd_close(fd);
    return -EBADF;
}

static bool is_setup_at_work(const struct leftover_place *place)
{
    _cleanup_close_ int fd = lock_prefix(place);
    return fd < 0;
}

static void look_at_top(const struct leftover_place *place, struct leftover_list *list, int dir_fd,
        const char *directory, const char *name)
{
    struct stat status;
    look_at_file(place, list, dir_fd, directory, name);
    if (strncmp(name, BASE_NAME ".", strlen(BASE_NAME) + 1) != 0 || strcmp(name, BASE_MANIFEST) == 0 ||
            fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    bool is_ours = base_is_aside(name) && S_ISDIR(status.st_mode) &&
                   (status.st_uid == geteuid() || status.st_uid == place->config->disk_id_start);
    if (is_ours && (base_is_used(name) || is_setup_at_work(place)))
        return;
    struct leftover *item = leftover_add(list, LEFTOVER_BASE, "%s", name);
    if (!item)
        return;
    (void)snprintf(item->at, sizeof(item->at), "%.100s", name);
    item->since_unix = status.st_ctim.tv_sec;
    item->why = "a base root that was not made to its end, or an old one; no process uses it";
    if (!is_ours) {
        item->verdict = LEFTOVER_NOT_OURS;
        item->stays = "not the name, kind or owner that setup gives";
    }
}

/* A service that ends in order removes it. The lock says that there is none, not the pid. */
static void look_at_pid(const struct leftover_place *place, struct leftover_list *list)
{
    struct stat status;
    if (place->is_start || place->served_since_ns != 0 ||
            fstatat(place->run_fd, PID_FILE, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    struct leftover *item = leftover_add(list, LEFTOVER_RUN_FILE, "run/" PID_FILE);
    if (!item)
        return;
    item->since_unix = status.st_ctim.tv_sec;
    item->why = "the service that wrote it is dead: nobody holds its lock";
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid()) {
        item->verdict = LEFTOVER_NOT_OURS;
        item->stays = "no file of the service's user";
    }
}

static void look_at_run(const struct leftover_place *place, struct leftover_list *list, int dir_fd,
        const char *directory, const char *name)
{
    (void)directory;
    look_at_file(place, list, dir_fd, "run", name);
}

int leftover_find_files(struct leftover_place *place, struct leftover_list *list, struct error *error)
{
    int r = each_entry(place, list, place->prefix_fd, ".", look_at_top, error);
    if (r == 0)
        r = each_entry(place, list, place->prefix_fd, "config", look_at_file, error);
    if (r == 0)
        r = each_entry(place, list, place->run_fd, ".", look_at_run, error);
    look_at_pid(place, list);
    return r;
}

int leftover_remove_base(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    _cleanup_close_ int lock_fd = lock_prefix(place);
    int r = lock_fd < 0 ? -EBUSY : base_remove_aside(place->prefix_fd, item->at);
    return r < 0 ? error_errno(error, -r, "remove the base root") : 0;
}

/* It may have been opened, or replaced, since it was found. */
int leftover_remove_half_file(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    _cleanup_close_ int config_fd = openat(place->prefix_fd, "config", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int dir_fd = item->host == 'r' ? place->run_fd : item->host == 'c' ? config_fd : place->prefix_fd;
    int r = fd_is_forgotten_at(dir_fd, item->at);
    if (r == -ENOENT)
        return 0;
    if (r != 1)
        return error_text(error, EBUSY, "it is not what it was when it was found");
    return unlinkat(dir_fd, item->at, 0) < 0 ? error_errno(error, errno, "remove the file") : 0;
}

int leftover_remove_run_file(struct leftover_place *place, const struct leftover *item, struct error *error)
{
    (void)item;
    if (unlinkat(place->run_fd, PID_FILE, 0) < 0 && errno != ENOENT)
        return error_errno(error, errno, "remove the pid file");
    return 0;
}
