#include "builder/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/root.h"
#include "builder/say.h"

int tree_init(struct tree *tree, const int roots[TREE_SOURCES], struct error *error)
{
    *tree = (struct tree){.error = error, .parent_source = TREE_SOURCES};
    memcpy(tree->roots, roots, sizeof(tree->roots));
    int r = map_init(&tree->paths, TREE_ENTRIES_MAX);
    return r < 0 ? error_errno(error, -r, "the runtime's tree") : 0;
}

static void free_texts(struct tree_entry *entry)
{
    free(entry->text);
    free(entry->from);
}

void tree_done(struct tree *tree)
{
    for (uint32_t i = 0; i < tree->paths.count; i++)
        free_texts(&tree->entries[i]);
    free(tree->entries);
    map_done(&tree->paths);
}

static struct tree_entry *find(const struct tree *tree, const char *path, size_t size)
{
    uint32_t number = map_find(&tree->paths, path, size);
    return number == MAP_NONE || tree->entries[number].is_dropped ? NULL : &tree->entries[number];
}

struct tree_entry *tree_find(const struct tree *tree, const char *path)
{
    return find(tree, path, strlen(path));
}

/* Takes @entry, its texts with it. */
static int set(struct tree *tree, const char *path, size_t size, struct tree_entry *entry)
{
    uint32_t number;
    uint32_t before = tree->paths.count;
    int r = before < tree->room ? 0 : -ENOSPC;
    if (r < 0) {
        uint32_t room = tree->room ? tree->room * 2 : 4096;
        struct tree_entry *entries = realloc(tree->entries, room * sizeof(*entries));
        if (entries) {
            tree->entries = entries;
            tree->room = room;
            r = 0;
        }
    }
    if (r == 0)
        r = map_add(&tree->paths, path, size, &number);
    if (r < 0) {
        free_texts(entry);
        return r == -E2BIG
                       ? error_text(tree->error, E2BIG, "the runtime would have more than %u files", TREE_ENTRIES_MAX)
                       : error_errno(tree->error, ENOMEM, "the runtime's tree");
    }
    if (number < before)
        free_texts(&tree->entries[number]);
    tree->entries[number] = *entry;
    return 0;
}

/* The entry for what @fd (O_PATH) is. 0; 2 when a runtime may not have it; -errno. */
static int describe(
        struct tree *tree, const char *path, int fd, const struct stat *status, struct tree_entry *ret_entry)
{
    struct tree_entry entry = {
            .mode = status->st_mode & ~(mode_t)(S_ISUID | S_ISGID),
            .uid = status->st_uid,
            .gid = status->st_gid,
            .size = S_ISREG(status->st_mode) ? (uint64_t)status->st_size : 0,
            .device = status->st_dev,
            .inode = status->st_ino,
            .link_count = status->st_nlink,
            .modified = status->st_mtim,
    };
    if (!S_ISREG(status->st_mode) && !S_ISDIR(status->st_mode) && !S_ISLNK(status->st_mode)) {
        say_stripped(S_ISFIFO(status->st_mode) ? "fifo" : S_ISSOCK(status->st_mode) ? "socket" : "device", path);
        tree->stripped++;
        return 2;
    }
    if ((status->st_mode & S_ISUID) || (S_ISREG(status->st_mode) && (status->st_mode & S_ISGID))) {
        say_stripped("set-id", path);
        tree->stripped++;
    }
    if (S_ISLNK(status->st_mode)) {
        char target[PATH_MAX];
        ssize_t size = readlinkat(fd, "", target, sizeof(target));
        if (size < 0 || size == sizeof(target))
            return error_errno(tree->error, size < 0 ? errno : ENAMETOOLONG, "read link '%.100s'", path);
        entry.text = strndup(target, (size_t)size);
        if (!entry.text)
            return error_errno(tree->error, ENOMEM, "the runtime's tree");
    }
    *ret_entry = entry;
    return 0;
}

static int put(struct tree *tree, enum tree_source source, const char *from, const char *path, size_t size,
        struct tree_owner owner);

/* The directories above @path, those that are not there yet from the same source. */
static int put_parent(
        struct tree *tree, enum tree_source source, const char *path, size_t size, struct tree_owner owner)
{
    if (size <= 1)
        return 0;
    while (size > 0 && path[size - 1] != '/')
        size--;
    size = size > 1 ? size - 1 : 1;
    const struct tree_entry *parent = find(tree, path, size);
    if (parent)
        return S_ISDIR(parent->mode) ? 0 : 2;
    int r = put(tree, source, NULL, path, size, owner);
    if (r != 0)
        return r;
    parent = find(tree, path, size);
    return parent && S_ISDIR(parent->mode) ? 0 : 2;
}

/* @from: NULL for a directory that comes because something is in it. */
static int put(struct tree *tree, enum tree_source source, const char *from, const char *path, size_t size,
        struct tree_owner owner)
{
    char text[PATH_MAX];
    if (size >= sizeof(text))
        return error_errno(tree->error, ENAMETOOLONG, "'%.100s'", path);
    memcpy(text, path, size);
    text[size] = '\0';
    if (root_depth(text) > TREE_DEPTH_MAX) /* each directory above costs stack */
        return error_text(tree->error, ELOOP, "'%.100s' is nested too deeply", text);
    _cleanup_close_ int fd = root_open_path(tree->roots[source], from ? from : text);
    struct stat status;
    if (fd < 0)
        return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? 1 : error_errno(tree->error, -fd, "'%.100s'", text);
    if (fstat(fd, &status) < 0)
        return error_errno(tree->error, errno, "'%.100s'", text);
    const struct tree_entry *old = find(tree, text, size);
    if (old && S_ISDIR(old->mode) != S_ISDIR(status.st_mode)) {
        say_log_format(SAY_WARN, "%s is a directory in one place and none in another; the first stays", text);
        return 2;
    }
    struct tree_entry entry;
    int r = put_parent(tree, source, text, size, owner);
    if (r == 0)
        r = describe(tree, text, fd, &status, &entry);
    if (r != 0)
        return r;
    entry.source = source;
    entry.owner = owner;
    entry.is_implied = !from;
    if (from && strcmp(from, text) != 0 && !(entry.from = strdup(from))) {
        free_texts(&entry);
        return error_errno(tree->error, ENOMEM, "the runtime's tree");
    }
    return set(tree, text, size, &entry);
}

int tree_put(struct tree *tree, enum tree_source source, const char *path, struct tree_owner owner)
{
    return put(tree, source, path, path, strlen(path), owner);
}

int tree_put_as(struct tree *tree, enum tree_source source, const char *from, const char *path, struct tree_owner owner)
{
    return put(tree, source, from, path, strlen(path), owner);
}

/* The next component of @rest, which is moved behind it; 0 at the end. */
static size_t next_component(const char **rest, const char **ret_name)
{
    const char *name = *rest + strspn(*rest, "/");
    size_t size = strcspn(name, "/");
    *ret_name = name;
    *rest = name + size;
    return size;
}

/* What stands at @path, from the tree or from the source: 0 a directory, 1 nothing or something else, 3 a link, whose
 * target is stored and which is in the tree now. */
static int look(struct tree *tree, enum tree_source source, const char *path, struct tree_owner owner,
        char ret_target[PATH_MAX])
{
    const struct tree_entry *entry = tree_find(tree, path);
    if (!entry) {
        struct stat status;
        if (root_stat(tree->roots[source], path, &status) < 0)
            return 1;
        if (S_ISDIR(status.st_mode))
            return 0;
        int r = S_ISLNK(status.st_mode) ? tree_put(tree, source, path, owner) : 1;
        entry = tree_find(tree, path);
        if (r != 0 || !entry)
            return r < 0 ? r : 1;
    }
    if (S_ISDIR(entry->mode))
        return 0;
    if (!S_ISLNK(entry->mode) || !entry->text)
        return 1;
    return (size_t)snprintf(ret_target, PATH_MAX, "%s", entry->text) < PATH_MAX ? 3 : 1;
}

/* Follows the components of @text from the canonical directory @at on. */
static int resolve_directory(
        struct tree *tree, enum tree_source source, const char *text, struct tree_owner owner, char at[PATH_MAX])
{
    char pending[PATH_MAX];
    if (snprintf(pending, sizeof(pending), "%s", text) >= PATH_MAX)
        return 1;
    const char *rest = pending;
    size_t length = strlen(at);
    for (unsigned links = 0;;) {
        const char *name;
        size_t size = next_component(&rest, &name);
        if (size == 0)
            break;
        if (size == 1 && *name == '.')
            continue;
        if (size == 2 && name[0] == '.' && name[1] == '.') {
            while (length > 0 && at[--length] != '/')
                ;
            at[length] = '\0';
            continue;
        }
        if (length + size + 2 > PATH_MAX)
            return 1;
        at[length] = '/';
        memcpy(at + length + 1, name, size);
        at[length + 1 + size] = '\0';
        char target[PATH_MAX];
        int r = look(tree, source, at, owner, target);
        if (r == 0) {
            length += size + 1;
            continue;
        }
        if (r != 3 || ++links > TREE_LINKS_MAX)
            return r < 0 ? r : 1;
        char joined[PATH_MAX];
        if ((size_t)snprintf(joined, sizeof(joined), "%s/%s", target, rest) >= sizeof(joined))
            return 1;
        memcpy(pending, joined, strlen(joined) + 1);
        rest = pending;
        length = *target == '/' ? 0 : length;
        at[length] = '\0';
    }
    return 0;
}

int tree_resolve(struct tree *tree, enum tree_source source, const char *path, struct tree_owner owner,
        char ret_canonical[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t parent = slash ? (size_t)(slash - path) : 0;
    if (!slash || parent >= sizeof(tree->parent))
        return 1;
    const char *name = slash + 1;
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 1;
    bool is_same =
            tree->parent_source == source && strlen(tree->parent) == parent && memcmp(tree->parent, path, parent) == 0;
    if (!is_same) {
        tree->parent_source = TREE_SOURCES;
        memcpy(tree->parent, path, parent);
        tree->parent[parent] = '\0';
        tree->parent_canonical[0] = '\0';
        int r = resolve_directory(tree, source, tree->parent, owner, tree->parent_canonical);
        if (r != 0)
            return r;
        tree->parent_source = source;
    }
    return snprintf(ret_canonical, PATH_MAX, "%s/%s", tree->parent_canonical, name) < PATH_MAX ? 0 : 1;
}

/* The path that a link at the canonical @path names. */
static bool join_target(const char *path, const char *target, char ret_path[PATH_MAX])
{
    int parent = (int)(strrchr(path, '/') - path);
    int length = *target == '/' ? snprintf(ret_path, PATH_MAX, "%s", target)
                                : snprintf(ret_path, PATH_MAX, "%.*s/%s", parent, path, target);
    return length > 0 && length < PATH_MAX;
}

int tree_add(struct tree *tree, enum tree_source source, const char *path, struct tree_owner owner, tree_admit *admit,
        void *context)
{
    char next[PATH_MAX];
    if (snprintf(next, sizeof(next), "%s", path) >= PATH_MAX)
        return 1;
    for (unsigned links = 0; links <= TREE_LINKS_MAX; links++) {
        char here[PATH_MAX];
        struct tree_owner whose = owner;
        int r = tree_resolve(tree, source, next, owner, here);
        if (r != 0)
            return links > 0 && r > 0 ? 0 : r;
        if (admit && !admit(context, here, &whose))
            return links > 0 ? 0 : 1;
        const struct tree_entry *there = tree_find(tree, here);
        struct stat status;
        if (links > 0 && (there || root_stat(tree->roots[source], here, &status) < 0 || S_ISDIR(status.st_mode)))
            return 0; /* a link to what is there, to nothing or to a directory */
        r = tree_put(tree, source, here, whose);
        if (r != 0)
            return links > 0 && r > 0 ? 0 : r;
        there = tree_find(tree, here);
        if (!there || !S_ISLNK(there->mode))
            return 0;
        if (!join_target(here, there->text, next))
            return 0;
    }
    return 0;
}

int tree_follow(struct tree *tree, const char *path, char ret_canonical[PATH_MAX])
{
    char next[PATH_MAX];
    if (snprintf(next, sizeof(next), "%s", path) >= PATH_MAX)
        return 1;
    for (unsigned links = 0; links <= TREE_LINKS_MAX; links++) {
        /* No source has anything there: the tree alone is looked at. */
        if (tree_resolve(tree, TREE_TEXT, next, (struct tree_owner){ORIGIN_JOBLET, 0}, ret_canonical) != 0)
            return 1;
        const struct tree_entry *there = tree_find(tree, ret_canonical);
        if (!there || !S_ISLNK(there->mode))
            return there ? 0 : 1;
        if (!join_target(ret_canonical, there->text, next))
            return 1;
    }
    return 1;
}

int tree_write(struct tree *tree, const char *path, mode_t mode, const char *text)
{
    struct tree_entry entry = {.source = TREE_TEXT,
            .owner = {ORIGIN_JOBLET, 0},
            .mode = mode,
            .link_count = 1,
            .text = text ? strdup(text) : NULL};
    if (text && !entry.text)
        return error_errno(tree->error, ENOMEM, "the runtime's tree");
    entry.size = S_ISREG(mode) && text ? strlen(text) : 0;
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        if (find(tree, path, (size_t)(slash - path)))
            continue;
        struct tree_entry parent = {
                .source = TREE_TEXT, .owner = {ORIGIN_JOBLET, 0}, .mode = S_IFDIR | 0755, .link_count = 1};
        int r = set(tree, path, (size_t)(slash - path), &parent);
        if (r < 0) {
            free(entry.text);
            return r;
        }
    }
    return set(tree, path, strlen(path), &entry);
}

void tree_drop(struct tree *tree, const char *path)
{
    struct tree_entry *entry = tree_find(tree, path);
    if (entry)
        entry->is_dropped = true;
}

/* "a/__pycache__/b.cpython-311.opt-1.pyc" is made from "a/b.py". */
static bool has_source(const struct tree *tree, const char *path)
{
    static const char cache[] = "/__pycache__/";
    const char *directory = strstr(path, cache);
    const char *end = path + strlen(path);
    if (!directory || end - path < 4 || strcmp(end - 4, ".pyc") != 0)
        return true;
    const char *name = directory + sizeof(cache) - 1;
    char source[PATH_MAX];
    int length = snprintf(
            source, sizeof(source), "%.*s/%.*s.py", (int)(directory - path), path, (int)strcspn(name, "."), name);
    return length > 0 && (size_t)length < sizeof(source) && tree_find(tree, source) != NULL;
}

void tree_prune(struct tree *tree)
{
    uint32_t count;
    for (uint32_t i = 0; i < tree->paths.count; i++)
        if (!tree->entries[i].is_dropped && !has_source(tree, tree->paths.texts[i]))
            tree->entries[i].is_dropped = true;
    _cleanup_free_ uint32_t *order = tree_sort(tree, &count);
    bool *has_child = calloc(tree->paths.count + 1U, sizeof(bool));
    for (uint32_t i = order && has_child ? count : 0; i-- > 0;) {
        struct tree_entry *entry = &tree->entries[order[i]];
        const char *path = tree->paths.texts[order[i]];
        if (entry->is_implied && S_ISDIR(entry->mode) && !has_child[order[i]]) {
            entry->is_dropped = true;
            continue;
        }
        size_t size = (size_t)(strrchr(path, '/') - path);
        uint32_t parent = map_find(&tree->paths, path, size ? size : 1);
        if (parent != MAP_NONE)
            has_child[parent] = true;
    }
    free(has_child);
}

static int compare_paths(const void *a, const void *b, void *context)
{
    const struct map *paths = context;
    return strcmp(paths->texts[*(const uint32_t *)a], paths->texts[*(const uint32_t *)b]);
}

uint32_t *tree_sort(const struct tree *tree, uint32_t *ret_count)
{
    uint32_t *order = malloc((tree->paths.count + 1U) * sizeof(uint32_t));
    uint32_t count = 0;
    if (!order)
        return NULL;
    for (uint32_t i = 0; i < tree->paths.count; i++)
        if (!tree->entries[i].is_dropped)
            order[count++] = i;
    qsort_r(order, count, sizeof(uint32_t), compare_paths, (void *)(uintptr_t)&tree->paths);
    *ret_count = count;
    return order;
}
