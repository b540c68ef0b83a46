#include "sandbox/masks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/mount.h"
#include "sandbox/layers.h"
#include "sandbox/masks_crew.h"
#include "sandbox/masks_list.h"
#include "sandbox/sandbox.h"

/* No directory of an OS is nested as deep; each level holds two descriptors. */
#define DEPTH_MAX 100U
#define ENTRIES_SIZE 32768U
/* Where the processes of a crew part: in /usr, some thousand directories. */
#define CLAIM_DEPTH 3U
#define PATH_SIZE_MAX 4096U

/* Read by nobody but root, and holds nothing: locks that package managers take. */
static const char *const shown[] = {"/etc/.pwd.lock", "/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend",
        "/var/lib/dpkg/triggers/Lock", "/var/lib/apt/lists/lock", "/var/lib/apt/daily_lock"};

struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* Those of the listed paths that lie in one directory; without any, all that is in it is visited. */
struct part {
    char *const *paths; /* sorted */
    size_t count;
    size_t used; /* of each, up to the directory and the slash behind it */
};

/* One directory on the way down. */
struct level {
    const char *name;
    struct stat status;
    struct part part;
    int lower_fd;
    int upper_fd;    /* -EBADF: nothing was masked in it yet */
    bool only_shown; /* nothing is there but what the configuration shows */
    char *entries;   /* ENTRIES_SIZE */
};

struct walk {
    const struct masks *masks;
    struct masks_crew crew;
    struct part part; /* of the entry that is visited, should it be a directory */
    struct level levels[DEPTH_MAX];
};

int masks_hide(int upper_fd, const char *name)
{
    return mknodat(upper_fd, name, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
}

int masks_cover(int upper_fd, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
    if (mkdirat(upper_fd, name, 0700) < 0)
        return -errno;
    _cleanup_close_ int fd = openat(upper_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, mode & 07777) < 0 ||
            fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
        return -errno;
    return 0;
}

static int set_times(int fd, const struct stat *status)
{
    const struct timespec times[2] = {status->st_atim, status->st_mtim};
    return futimens(fd, times) < 0 ? -errno : 0;
}

/* A directory of the upper side as the one below is. */
static int make_alike(int upper_fd, const char *name, const struct stat *status)
{
    bool is_new = mkdirat(upper_fd, name, 0700) == 0;
    if (!is_new && errno != EEXIST)
        return -errno;
    _cleanup_close_ int fd = openat(upper_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOTDIR || errno == ELOOP ? -ENOENT : -errno; /* it is masked */
    if (is_new && (fchown(fd, status->st_uid, status->st_gid) < 0 || fchmod(fd, status->st_mode & 07777) < 0))
        return -errno;
    int r = is_new ? set_times(fd, status) : 0;
    return r < 0 ? r : TAKE_FD(fd);
}

static int open_upper(struct walk *walk, unsigned depth)
{
    unsigned first = depth;
    while (walk->levels[first].upper_fd < 0)
        first--; /* the layer's own directory is open */
    for (unsigned i = first + 1; i <= depth; i++) {
        struct level *level = &walk->levels[i];
        int fd = make_alike(walk->levels[i - 1].upper_fd, level->name, &level->status);
        if (fd < 0)
            return fd;
        level->upper_fd = fd;
    }
    return walk->levels[depth].upper_fd;
}

/* "/usr/lib/x" of the entry @name (may be "") in @level. False: it was cut, and names something else. */
static bool path_of(const struct walk *walk, unsigned depth, const char *name, char path[PATH_SIZE_MAX])
{
    size_t used = (size_t)snprintf(path, PATH_SIZE_MAX, "/%s", walk->masks->path);
    for (unsigned i = 1; i <= depth && used < PATH_SIZE_MAX; i++)
        used += (size_t)snprintf(path + used, PATH_SIZE_MAX - used, "/%s", walk->levels[i].name);
    if (*name && used < PATH_SIZE_MAX)
        used += (size_t)snprintf(path + used, PATH_SIZE_MAX - used, "/%s", name);
    return used < PATH_SIZE_MAX;
}

enum shown { SHOWN_NOT, SHOWN_BELOW, SHOWN_ALL };

/* Asked only of what would be masked: seldom. */
static enum shown find_shown(const struct walk *walk, unsigned depth, const char *name)
{
    char path[PATH_SIZE_MAX];
    const struct masks_rules *rules = walk->masks->rules;
    enum shown found = SHOWN_NOT;
    (void)path_of(walk, depth, name, path);
    for (size_t i = 0; i < ELEMENTS(shown); i++)
        if (strcmp(path, shown[i]) == 0)
            return SHOWN_ALL;
    for (size_t i = 0; i < PLAN_PATHS_MAX && rules->shown[i]; i++) {
        if (layers_path_is_in(path, rules->shown[i]))
            return SHOWN_ALL;
        if (layers_path_is_in(rules->shown[i], path))
            found = SHOWN_BELOW;
    }
    return found;
}

static bool is_hidden(const struct walk *walk, const struct stat *status)
{
    const struct masks_rules *rules = walk->masks->rules;
    for (size_t i = 0; i < rules->hidden_count; i++)
        if (status->st_ino == rules->hidden_inode[i] && status->st_dev == rules->hidden_device[i])
            return true;
    return false;
}

static int fail(const struct walk *walk, unsigned depth, const char *name, int code, struct error *error)
{
    char path[PATH_SIZE_MAX];
    (void)path_of(walk, depth, name, path);
    return error_errno(error, code, "prepare the host's '%.120s' for a build", path);
}

/* Who has no id in the job would be nobody there, and what belongs to it cannot be copied up (A14). */
static int check_owner(
        const struct walk *walk, unsigned depth, const char *name, const struct stat *status, struct error *error)
{
    char path[PATH_SIZE_MAX];
    uint32_t base = walk->masks->sandbox->plan.id_base;
    if (status->st_uid - base < PLAN_RANGE_SIZE && status->st_gid - base < PLAN_RANGE_SIZE)
        return 0;
    (void)path_of(walk, depth, name, path);
    return error_text(error, EOVERFLOW,
            "the owner or the group of the host's '%.120s' is above %u: no builds on this host", path,
            PLAN_RANGE_SIZE - 1);
}

/* Whether something of the base's own stands in the place of @path, below the layer: 1, 0 or -errno. */
static int is_there(int dir_fd, const char *path, bool *ret_is_mark)
{
    struct stat status;
    _cleanup_close_ int fd = mount_open_beneath(dir_fd, path);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return 0;
    if (fd < 0 || fstat(fd, &status) < 0)
        return fd < 0 ? fd : -errno;
    *ret_is_mark = S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
    return 1;
}

/* What the base wrote lies above the masks: in the place of what was masked then too, that is its own. Else it may be a
 * copy of what must not be read any more. 0; 1: it is its own; -ESTALE with @error. */
static int check_base(const struct walk *walk, unsigned depth, const char *name, struct error *error)
{
    char path[PATH_SIZE_MAX];
    bool is_mark = false;
    const struct masks *masks = walk->masks;
    if (masks->base_upper_fd < 0)
        return 0;
    if (!path_of(walk, depth, name, path))
        return error_text(error, ESTALE, "the base cannot be asked for what is as deep as the host's '%.120s'", path);
    const char *below = path + 1 + strlen(masks->path) + 1;
    int r = is_there(masks->base_upper_fd, below, &is_mark);
    if (r < 0)
        return fail(walk, depth, name, -r, error);
    if (r == 0 || is_mark)
        return 0;
    r = is_there(masks->base_hidden_fd, below, &is_mark);
    if (r < 0)
        return fail(walk, depth, name, -r, error);
    if (r == 1)
        return 1;
    return error_text(error, ESTALE, "the base has the host's '%.120s', which may not be read any more", path);
}

static int cover(struct walk *walk, unsigned depth, const char *name, const struct stat *status, struct error *error)
{
    int r = check_base(walk, depth, name, error);
    if (r < 0)
        return r;
    int upper_fd = open_upper(walk, depth);
    r = upper_fd < 0 ? upper_fd : masks_cover(upper_fd, name, status->st_mode, status->st_uid, status->st_gid);
    const struct timespec times[2] = {status->st_atim, status->st_mtim};
    if (r == 0 && utimensat(upper_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    return r < 0 ? fail(walk, depth, name, -r, error) : 0;
}

/* What stands at @path is another layer's, which is mounted over this one. */
static bool is_of_inner_layer(const struct walk *walk, const char *path)
{
    const struct sandbox *sandbox = walk->masks->sandbox;
    for (unsigned i = 0; i < sandbox->layer_count; i++)
        if (strlen(sandbox->layers[i]) > strlen(walk->masks->path) && layers_path_is_in(path + 1, sandbox->layers[i]))
            return true;
    return false;
}

/* Some of each layer are enough to tell whether the kernel heeds the marks; and only the leader's are in its memory. */
static void note(const struct walk *walk, unsigned depth, const char *name)
{
    char path[PATH_SIZE_MAX];
    struct sandbox *sandbox = walk->masks->sandbox;
    if (sandbox->masked_count == SANDBOX_MASKED_MAX)
        return;
    if (path_of(walk, depth, name, path) && strlen(path) < PLAN_PATH_MAX && !is_of_inner_layer(walk, path))
        memcpy(sandbox->masked[sandbox->masked_count++], path, strlen(path) + 1);
}

void masks_forget(const struct masks *masks, const char *path)
{
    struct sandbox *sandbox = masks->sandbox;
    size_t length = strlen(masks->path);
    for (unsigned i = 0; i < sandbox->masked_count; i++) {
        char *masked = sandbox->masked[i];
        if (strncmp(masked + 1, masks->path, length) == 0 && masked[length + 1] == '/' &&
                strcmp(masked + length + 2, path) == 0)
            masked[0] = '\0';
    }
}

static int hide(struct walk *walk, unsigned depth, const char *name, struct error *error)
{
    int base = check_base(walk, depth, name, error);
    if (base < 0)
        return base;
    int upper_fd = open_upper(walk, depth);
    int r = upper_fd < 0 ? upper_fd : masks_hide(upper_fd, name);
    if (r < 0)
        return fail(walk, depth, name, -r, error);
    if (base == 0)
        note(walk, depth, name);
    return 0;
}

/* A later start looks here again: it may be masked then. */
static void suspect(const struct walk *walk, unsigned depth, const char *name)
{
    char path[PATH_SIZE_MAX];
    /* Where all is masked but what is shown, the directory stands for what is in it. */
    if (!walk->masks->list || walk->levels[depth].only_shown)
        return;
    if (path_of(walk, depth, name, path))
        masks_list_note(walk->masks->list, path);
    else
        masks_list_spoil(walk->masks->list);
}

static int visit_file(
        struct walk *walk, unsigned depth, const char *name, const struct stat *status, struct error *error)
{
    const struct level *level = &walk->levels[depth];
    /* What a link leads to is asked for there. Sockets, pipes and devices are no software. */
    bool is_open = S_ISLNK(status->st_mode) || (S_ISREG(status->st_mode) && (status->st_mode & S_IROTH));
    bool hides = is_hidden(walk, status);
    /* By another name of it, it may become anything without a word about this one. */
    if (!is_open || hides || status->st_nlink != 1)
        suspect(walk, depth, name);
    int r = check_owner(walk, depth, name, status, error);
    if (r < 0 || hides)
        return r < 0 ? r : hide(walk, depth, name, error);
    if (is_open && !level->only_shown)
        return 0;
    return find_shown(walk, depth, name) == SHOWN_ALL ? 0 : hide(walk, depth, name, error);
}

static int walk_level(struct walk *walk, unsigned depth, struct error *error);

/* In a directory that all of the crew go through, one of them masks. */
static bool is_masker(const struct walk *walk, unsigned depth)
{
    return depth >= CLAIM_DEPTH || walk->crew.index == 0;
}

/* Inode numbers are compared; another device's (a subvolume) might be the same, and is walked by all. */
static bool is_ours(const struct walk *walk, unsigned depth, const struct stat *status)
{
    return depth + 1 != CLAIM_DEPTH || status->st_dev != walk->levels[0].status.st_dev ||
           masks_crew_claim(&walk->crew, status->st_ino);
}

static int enter(struct walk *walk, unsigned depth, const struct level *below, struct error *error)
{
    struct level *level = &walk->levels[depth + 1];
    char *entries = level->entries;
    *level = *below;
    level->entries = entries;
    int r = walk_level(walk, depth + 1, error);
    if (r == 0 && level->upper_fd >= 0)
        r = set_times(level->upper_fd, &level->status);
    level->upper_fd = fd_close(level->upper_fd);
    return r;
}

static int visit_directory(struct walk *walk, unsigned depth, const char *name, struct error *error)
{
    const struct level *level = &walk->levels[depth];
    const struct part part = walk->part;
    walk->part = (struct part){0}; /* this one's alone */
    struct stat status;
    _cleanup_close_ int fd = openat(level->lower_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return fail(walk, depth, name, errno, error);
    int r = check_owner(walk, depth, name, &status, error);
    if (r < 0)
        return r;
    bool is_gone = layers_is_absent(walk->masks->sandbox, &status);
    bool hides = is_gone || is_hidden(walk, &status);
    if ((hides || !(status.st_mode & S_IXOTH)) && is_masker(walk, depth))
        suspect(walk, depth, name);
    if (hides) {
        if (!is_masker(walk, depth))
            return 0;
        return is_gone ? hide(walk, depth, name, error) : cover(walk, depth, name, &status, error);
    }
    bool only_shown = level->only_shown;
    if (!(status.st_mode & S_IXOTH) || only_shown) {
        enum shown found = find_shown(walk, depth, name);
        if (found == SHOWN_NOT && !is_masker(walk, depth))
            return 0;
        if (found == SHOWN_NOT)
            return only_shown ? hide(walk, depth, name, error) : cover(walk, depth, name, &status, error);
        only_shown = found == SHOWN_BELOW;
    }
    if (depth + 1 == DEPTH_MAX)
        return fail(walk, depth, name, ELOOP, error);
    const struct level below = {
            .name = name, .status = status, .part = part, .lower_fd = fd, .upper_fd = -EBADF, .only_shown = only_shown};
    return is_ours(walk, depth, &status) ? enter(walk, depth, &below, error) : 0;
}

static bool is_own_name(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* @type is DT_UNKNOWN where it was not read from the directory. */
static int visit(struct walk *walk, unsigned depth, const char *name, uint8_t type, struct error *error)
{
    struct stat status;
    if (is_own_name(name))
        return 0;
    masks_list_count(walk->masks->list);
    /* Made anew, whatever it is on the host. */
    if (depth == 0 && strcmp(walk->masks->path, "opt") == 0 && strcmp(name, "joblet") == 0)
        return 0;
    if (type == DT_DIR)
        return visit_directory(walk, depth, name, error);
    if (type != DT_UNKNOWN && !is_masker(walk, depth))
        return 0;
    if (fstatat(walk->levels[depth].lower_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        /* The host goes on: it was there a moment ago. */
        return errno == ENOENT ? 0 : fail(walk, depth, name, errno, error);
    if (S_ISDIR(status.st_mode))
        return visit_directory(walk, depth, name, error);
    return is_masker(walk, depth) ? visit_file(walk, depth, name, &status, error) : 0;
}

/* Also what is only on the way to a listed entry is visited, so that nothing is reached that a walk would not reach. */
static int visit_part(struct walk *walk, unsigned depth, struct error *error)
{
    const struct part part = walk->levels[depth].part;
    int r = 0;
    for (size_t i = 0, end; r == 0 && i < part.count; i = end) {
        char name[NAME_MAX + 1];
        const char *at = part.paths[i] + part.used;
        size_t length = strcspn(at, "/");
        if (length == 0 || length >= sizeof(name))
            return fail(walk, depth, "", EBADMSG, error);
        memcpy(name, at, length);
        name[length] = '\0';
        for (end = i + 1; end < part.count; end++) {
            const char *other = part.paths[end] + part.used;
            if (strncmp(other, name, length) != 0 || (other[length] != '\0' && other[length] != '/'))
                break;
        }
        /* With the entry itself in the list, which stands first, all below it is visited. */
        walk->part = (struct part){0};
        if (at[length] == '/')
            walk->part = (struct part){.paths = part.paths + i, .count = end - i, .used = part.used + length + 1};
        r = visit(walk, depth, name, DT_UNKNOWN, error);
        walk->part = (struct part){0};
    }
    return r;
}

static int walk_level(struct walk *walk, unsigned depth, struct error *error)
{
    struct level *level = &walk->levels[depth];
    if (level->part.count > 0)
        return visit_part(walk, depth, error);
    if (!level->entries)
        level->entries = malloc(ENTRIES_SIZE);
    if (!level->entries)
        return fail(walk, depth, "", ENOMEM, error);
    for (;;) {
        long size = syscall(SYS_getdents64, level->lower_fd, level->entries, ENTRIES_SIZE);
        if (size <= 0)
            return size < 0 ? fail(walk, depth, "", errno, error) : 0;
        for (long at = 0; at < size;) {
            const struct entry *entry = (const struct entry *)(const void *)(level->entries + at);
            int r = visit(walk, depth, entry->name, entry->type, error);
            if (r < 0)
                return r;
            at += entry->size;
        }
    }
}

/* One directory further down on both sides; the parent's times stay those of the one below. 0 or -errno. */
static int step_down(int *lower, int *upper, const char *name)
{
    struct stat above;
    struct stat status;
    _cleanup_close_ int below = openat(*lower, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0 || fstat(below, &status) < 0 || fstat(*lower, &above) < 0)
        return -errno;
    _cleanup_close_ int next = make_alike(*upper, name, &status);
    int r = next < 0 ? next : set_times(*upper, &above);
    if (r < 0)
        return r;
    (void)fd_close(*lower);
    (void)fd_close(*upper);
    *lower = TAKE_FD(below);
    *upper = TAKE_FD(next);
    return 0;
}

int masks_open_parent(const struct masks *masks, const char *path, const char **ret_name)
{
    _cleanup_close_ int lower = fcntl(masks->lower_fd, F_DUPFD_CLOEXEC, 0);
    _cleanup_close_ int upper = fcntl(masks->upper_fd, F_DUPFD_CLOEXEC, 0);
    int r = lower < 0 || upper < 0 ? -errno : 0;
    for (const char *slash; r == 0 && (slash = strchr(path, '/')); path = slash + 1) {
        char name[NAME_MAX + 1];
        (void)snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
        r = step_down(&lower, &upper, name);
    }
    if (r < 0)
        return r == -ENOTDIR || r == -ELOOP ? -ENOENT : r;
    *ret_name = path;
    return TAKE_FD(upper);
}

void masks_restore_times(const struct masks *masks, const char *path, int parent_fd)
{
    char parent[PATH_SIZE_MAX];
    struct stat status;
    const char *slash = strrchr(path, '/');
    (void)snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    if (fstatat(masks->lower_fd, parent, &status, AT_SYMLINK_NOFOLLOW) == 0)
        (void)set_times(parent_fd, &status);
}

/* Only the largest layer is worth more than one process. */
static int walk_together(struct walk *walk, struct error *error)
{
    const struct plan *plan = &walk->masks->sandbox->plan;
    bool is_large = strcmp(walk->masks->path, "usr") == 0;
    masks_list_flush(walk->masks->list); /* once, and not by each copy */
    masks_crew_start(is_large ? masks_crew_useful(plan->cpu_percent) : 1, &walk->crew);
    /* Opened by each: copies of a descriptor share their place in the directory, and each would read a part. */
    _cleanup_close_ int lower_fd = openat(walk->masks->lower_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    walk->levels[0].lower_fd = lower_fd;
    int r = lower_fd < 0 ? fail(walk, 0, "", errno, error) : walk_level(walk, 0, error);
    if (walk->crew.index != 0)
        masks_list_flush(walk->masks->list);
    if (walk->crew.index != 0)
        masks_crew_leave(&walk->crew, r, error);
    struct error other = {0};
    int joined = masks_crew_join(&walk->crew, &other);
    if (r < 0 || joined == 0)
        return r;
    *error = other;
    return joined;
}

/* By the list, if there is one for this layer: it is about so few entries that one process does it. */
static int walk_layer(struct walk *walk, struct error *error)
{
    struct level *top = &walk->levels[0];
    if (!masks_list_find(walk->masks->list, walk->masks->path, &top->status, &top->part.paths, &top->part.count))
        return walk_together(walk, error);
    top->part.used = strlen(walk->masks->path) + 1;
    return top->part.count > 0 ? walk_level(walk, 0, error) : 0;
}

static void add_hidden(struct masks_rules *rules, const struct stat *status)
{
    rules->hidden_device[rules->hidden_count] = status->st_dev;
    rules->hidden_inode[rules->hidden_count++] = status->st_ino;
}

int masks_rules_make(const struct plan_build *build, struct masks_rules *ret_rules, struct error *error)
{
    *ret_rules = (struct masks_rules){0};
    for (size_t i = 0; i < PLAN_PATHS_MAX && build->hidden[i][0]; i++) {
        struct stat status;
        const char *path = build->hidden[i];
        if (lstat(path, &status) < 0) {
            if (errno == ENOENT || errno == ENOTDIR)
                continue;
            return error_errno(error, errno, "look at the host's '%s', which is to be hidden", path);
        }
        add_hidden(ret_rules, &status);
        if (S_ISLNK(status.st_mode) && stat(path, &status) == 0)
            add_hidden(ret_rules, &status);
    }
    for (size_t i = 0, count = 0; i < PLAN_PATHS_MAX && build->shown[i][0]; i++) {
        char *path = realpath(build->shown[i], NULL);
        if (path)
            ret_rules->shown[count++] = path;
        else if (errno == ENOMEM) {
            masks_rules_done(ret_rules);
            return error_errno(error, ENOMEM, "look at the host's '%s'", build->shown[i]);
        }
    }
    return 0;
}

void masks_rules_done(struct masks_rules *rules)
{
    for (size_t i = 0; i < PLAN_PATHS_MAX; i++)
        free(rules->shown[i]);
    *rules = (struct masks_rules){0};
}

int masks_take_after(int fd, int below_fd)
{
    struct stat status;
    if (fstat(below_fd, &status) < 0 || fchown(fd, status.st_uid, status.st_gid) < 0 ||
            fchmod(fd, status.st_mode & 07777) < 0)
        return -errno;
    return set_times(fd, &status);
}

int masks_fill(const struct masks *masks, struct error *error)
{
    struct walk *walk = calloc(1, sizeof(*walk));
    if (!walk)
        return error_errno(error, ENOMEM, "prepare the host's '/%s' for a build", masks->path);
    walk->masks = masks;
    struct level *top = &walk->levels[0];
    top->lower_fd = masks->lower_fd;
    top->upper_fd = masks->upper_fd;
    int r = 0;
    if (fstat(masks->lower_fd, &top->status) < 0)
        r = fail(walk, 0, "", errno, error);
    if (r == 0)
        r = check_owner(walk, 0, "", &top->status, error);
    if (r == 0)
        r = walk_layer(walk, error);
    if (r == 0) {
        r = masks_take_after(masks->upper_fd, masks->lower_fd);
        r = r < 0 ? fail(walk, 0, "", -r, error) : 0;
    }
    for (unsigned i = 0; i < DEPTH_MAX; i++)
        free(walk->levels[i].entries);
    free(walk);
    return r;
}
