#include "broker/store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "plan/plan.h"
#include "plan/recipe.h"

bool store_id_equal(const struct store_id *one, const struct store_id *other)
{
    return one->inode != 0 && one->inode == other->inode && one->device == other->device;
}

int store_open(struct store *store, int prefix_fd, uint32_t owner, gid_t reader, struct error *error)
{
    /* A prefix of an earlier version has none yet. */
    if (mkdirat(prefix_fd, "runtimes", 0750) < 0 && errno != EEXIST)
        return error_errno(error, errno, "make 'runtimes' below the prefix");
    store->fd = openat(prefix_fd, "runtimes", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (store->fd < 0)
        return error_errno(error, errno, "open 'runtimes' below the prefix");
    /* A build decides the modes in its runtime: what it makes writable for all must not be in reach of the host's
     * users, who could change by it what jobs run. */
    if (fchown(store->fd, 0, reader) < 0 || fchmod(store->fd, 0750) < 0)
        return error_errno(error, errno, "close 'runtimes' below the prefix to others");
    store->owner = owner;
    return 0;
}

void store_done(struct store *store)
{
    store->fd = fd_close(store->fd);
    free(store->verified);
    store->verified = NULL;
    store->verified_count = 0;
}

/* --- operands --- */

static bool is_filled_with_nul(const char *text, size_t size)
{
    for (size_t i = strnlen(text, size); i < size; i++)
        if (text[i] != '\0')
            return false;
    return true;
}

int store_check_operand(const struct channel_runtime *runtime, bool may_be_empty, struct error *error)
{
    static const struct channel_runtime none;
    if (memcmp(runtime, &none, sizeof(none)) == 0)
        return may_be_empty ? 0 : error_text(error, EINVAL, "no runtime is named");
    if (!plan_name_is_valid(runtime->name, sizeof(runtime->name)) ||
            !plan_name_is_valid(runtime->version, sizeof(runtime->version)) ||
            !is_filled_with_nul(runtime->name, sizeof(runtime->name)) ||
            !is_filled_with_nul(runtime->version, sizeof(runtime->version)) ||
            memcmp(runtime->reserved, none.reserved, sizeof(none.reserved)) != 0)
        return error_text(error, EINVAL, "the name or version of a runtime is none");
    return 0;
}

void store_describe(const struct channel_runtime *runtime, char ret_text[STORE_TEXT_MAX])
{
    (void)snprintf(ret_text, STORE_TEXT_MAX, "%.64s@%.32s", runtime->name, runtime->version);
}

/* --- what is there --- */

static int open_beneath(int dir_fd, const char *path)
{
    const struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
    int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

static int check_owner(
        const struct store *store, int fd, const char *what, struct store_id *ret_id, struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_errno(error, errno, "look at runtime %s", what);
    if (status.st_uid != store->owner)
        return error_text(
                error, EPERM, "runtime %s belongs to id %u, not to diskIdStart %u", what, status.st_uid, store->owner);
    *ret_id = (struct store_id){.device = status.st_dev, .inode = status.st_ino};
    return 0;
}

int store_find(
        const struct store *store, const struct channel_runtime *runtime, struct store_id *ret_id, struct error *error)
{
    char path[PLAN_NAME_MAX + PLAN_VERSION_TEXT_MAX];
    char text[STORE_TEXT_MAX];
    store_describe(runtime, text);
    (void)snprintf(path, sizeof(path), "%.64s/%.32s", runtime->name, runtime->version);
    _cleanup_close_ int fd = open_beneath(store->fd, path);
    if (fd == -ENOENT)
        return error_text(error, ENOENT, "there is no runtime %s", text);
    if (fd < 0)
        return error_errno(error, -fd, "open runtime %s", text);
    int r = check_owner(store, fd, text, ret_id, error);
    return r < 0 ? r : TAKE_FD(fd);
}

int store_open_root(
        const struct store *store, const struct channel_runtime *runtime, struct store_id *ret_id, struct error *error)
{
    struct store_id root_id;
    char text[STORE_TEXT_MAX];
    _cleanup_close_ int directory_fd = store_find(store, runtime, ret_id, error);
    if (directory_fd < 0)
        return directory_fd;
    store_describe(runtime, text);
    if (!store_is_verified(store, ret_id))
        return error_text(error, EKEYREJECTED, "runtime %s was not verified since the service started", text);
    _cleanup_close_ int fd = open_beneath(directory_fd, RECIPE_DIRECTORY_ROOT);
    if (fd < 0)
        return error_errno(error, -fd, "open the root of runtime %s", text);
    int r = check_owner(store, fd, text, &root_id, error);
    return r < 0 ? r : TAKE_FD(fd);
}

int store_open_owned(const struct store *store, const char *name, struct error *error)
{
    struct store_id id;
    _cleanup_close_ int fd = open_beneath(store->fd, name);
    if (fd < 0)
        return error_errno(error, -fd, "open '%s' of the store of runtimes", name);
    int r = check_owner(store, fd, name, &id, error);
    return r < 0 ? r : TAKE_FD(fd);
}

/* --- verified --- */

static size_t find_verified(const struct store *store, const struct store_id *id)
{
    size_t at = 0;
    while (at < store->verified_count && !store_id_equal(&store->verified[at], id))
        at++;
    return at;
}

bool store_is_verified(const struct store *store, const struct store_id *id)
{
    return find_verified(store, id) < store->verified_count;
}

int store_set_verified(struct store *store, const struct store_id *id)
{
    if (store_is_verified(store, id))
        return 0;
    void *grown = reallocarray(store->verified, store->verified_count + 1, sizeof(*store->verified));
    if (!grown)
        return -ENOMEM;
    store->verified = grown;
    store->verified[store->verified_count++] = *id;
    return 0;
}

void store_forget_verified(struct store *store, const struct store_id *id)
{
    size_t at = find_verified(store, id);
    if (at < store->verified_count)
        store->verified[at] = store->verified[--store->verified_count];
}

/* --- changes --- */

int store_make_stage(const struct store *store, const char *name, struct store_id *ret_id, struct error *error)
{
    if (mkdirat(store->fd, name, 0755) < 0)
        return error_errno(error, errno, "make the directory of a new runtime");
    _cleanup_close_ int fd = openat(store->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchown(fd, store->owner, store->owner) < 0 || fchmod(fd, 0755) < 0) {
        int code = errno;
        (void)unlinkat(store->fd, name, AT_REMOVEDIR);
        return error_errno(error, code, "make the directory of a new runtime");
    }
    int r = check_owner(store, fd, "in the making", ret_id, error);
    return r < 0 ? r : TAKE_FD(fd);
}

static int name_trash(char ret_name[STORE_NAME_MAX])
{
    uint8_t id[16];
    char uuid[TEXT_UUID_MAX];
    int r = text_new_uuid(id);
    if (r < 0)
        return r;
    text_format_uuid(id, uuid);
    (void)snprintf(ret_name, STORE_NAME_MAX, STORE_TRASH_PREFIX "%s", uuid);
    return 0;
}

/* The directory of all versions of @name, made when it is not there. */
static int open_versions(const struct store *store, const char *name, bool make)
{
    struct stat status;
    if (make && mkdirat(store->fd, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    _cleanup_close_ int fd = openat(store->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (status.st_uid != 0 || (status.st_mode & 022))
        return -EPERM;
    return TAKE_FD(fd);
}

int store_sync(const struct store *store, const struct channel_runtime *runtime)
{
    _cleanup_close_ int versions_fd = open_versions(store, runtime->name, /* make= */ false);
    if (versions_fd >= 0 && fsync(versions_fd) < 0)
        return -errno;
    /* Without one the last version of it has gone. */
    return fsync(store->fd) < 0 ? -errno : 0;
}

/* Puts @stage where another one is. */
static int exchange(struct store *store, const char *stage, int versions_fd, const char *version,
        char ret_trash[STORE_NAME_MAX], struct store_id *ret_old)
{
    struct stat status;
    int r = name_trash(ret_trash);
    if (r < 0)
        return r;
    if (renameat2(store->fd, stage, versions_fd, version, RENAME_EXCHANGE) < 0)
        return -errno;
    if (fstatat(store->fd, stage, &status, AT_SYMLINK_NOFOLLOW) == 0)
        *ret_old = (struct store_id){.device = status.st_dev, .inode = status.st_ino};
    store_forget_verified(store, ret_old);
    /* Also under this name it is not found by anybody, and goes at the next start at the latest. */
    if (renameat2(store->fd, stage, store->fd, ret_trash, RENAME_NOREPLACE) < 0)
        (void)snprintf(ret_trash, STORE_NAME_MAX, "%s", stage);
    return 0;
}

int store_publish(struct store *store, const char *stage, const struct channel_runtime *runtime, bool replace,
        char ret_trash[STORE_NAME_MAX], struct store_id *ret_old, struct error *error)
{
    char text[STORE_TEXT_MAX];
    struct stat status;
    store_describe(runtime, text);
    ret_trash[0] = '\0';
    *ret_old = (struct store_id){0};
    if (fstatat(store->fd, stage, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(error, errno, "look at the new runtime %s", text);
    const struct store_id id = {.device = status.st_dev, .inode = status.st_ino};
    _cleanup_close_ int versions_fd = open_versions(store, runtime->name, /* make= */ true);
    if (versions_fd < 0)
        return error_errno(error, -versions_fd, "make the directory of runtime %s", text);
    int r = renameat2(store->fd, stage, versions_fd, runtime->version, RENAME_NOREPLACE) < 0 ? -errno : 0;
    if (r == -EEXIST && replace)
        r = exchange(store, stage, versions_fd, runtime->version, ret_trash, ret_old);
    if (r < 0) {
        (void)unlinkat(store->fd, runtime->name, AT_REMOVEDIR); /* when it is empty */
        return r == -EEXIST ? error_text(error, EEXIST, "there is a runtime %s already", text)
                            : error_errno(error, -r, "publish runtime %s", text);
    }
    (void)store_set_verified(store, &id);
    return 0;
}

int store_trash(const struct store *store, const char *name, char ret_trash[STORE_NAME_MAX])
{
    int r = name_trash(ret_trash);
    if (r == 0 && renameat2(store->fd, name, store->fd, ret_trash, RENAME_NOREPLACE) < 0)
        r = -errno;
    return r;
}

int store_remove(
        struct store *store, const struct channel_runtime *runtime, char ret_trash[STORE_NAME_MAX], struct error *error)
{
    char text[STORE_TEXT_MAX];
    struct store_id id;
    store_describe(runtime, text);
    _cleanup_close_ int fd = store_find(store, runtime, &id, error);
    if (fd < 0)
        return fd;
    _cleanup_close_ int versions_fd = open_versions(store, runtime->name, /* make= */ false);
    int r = versions_fd < 0 ? versions_fd : name_trash(ret_trash);
    if (r == 0 && renameat2(versions_fd, runtime->version, store->fd, ret_trash, RENAME_NOREPLACE) < 0)
        r = -errno;
    if (r < 0)
        return error_errno(error, -r, "remove runtime %s", text);
    store_forget_verified(store, &id);
    (void)unlinkat(store->fd, runtime->name, AT_REMOVEDIR); /* the last version of it */
    return 0;
}
