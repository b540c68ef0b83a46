/* What the build wrote: the uppers of its overlays, and what it put into the root itself. All of it is remembered for
 * "changes"; what belongs into a runtime goes into its tree, what lies where nothing is kept is told. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "builder/collect.h"
#include "builder/root.h"
#include "builder/rules.h"
#include "builder/say.h"
#include "plan/recipe.h"

struct layer_walk {
    struct collect *collect;
    const struct collect_layer *layer; /* NULL: the root itself */
    bool is_base;                      /* what the base wrote, of that layer */
};

static int remember(struct collect *collect, const char *path, enum change_kind kind, struct tree_owner owner)
{
    int r = changes_add(&collect->changes, path, (struct change){kind, owner});
    if (r == -E2BIG)
        return error_text(collect->error, E2BIG, "the build changed more than %u files", CHANGES_MAX);
    return r == 0 ? 0 : error_errno(collect->error, -r, "what the build changed");
}

static void tell_stray(struct collect *collect, const char *path)
{
    if (collect->strays++ < COLLECT_STRAYS_TOLD)
        say_path("stray", path);
}

static bool is_in_base(const struct collect *collect, const char *path)
{
    const struct tree_entry *entry = tree_find(&collect->tree, path);
    return entry && entry->source == TREE_BASE;
}

/* True when what a package outside of the closure owns is the runtime's all the same: the base has it, and a step of
 * the client's changed it. */
static bool is_step_of_base(const struct collect *collect, const char *path, struct tree_owner written)
{
    return written.origin == ORIGIN_STEP && is_in_base(collect, path);
}

struct following {
    struct collect *collect;
    const char *first; /* has been judged */
};

/* What a link that the build made may bring along: nothing from where nothing is kept. */
static bool admit_target(void *context, const char *canonical, struct tree_owner *owner)
{
    const struct following *following = context;
    if (strcmp(canonical, following->first) == 0)
        return true;
    const struct owner *found = owners_find(&following->collect->owners, canonical);
    if (found)
        *owner = (struct tree_owner){ORIGIN_PACKAGE, found->package};
    return rules_classify(canonical) == RULES_KEEP && !rules_is_left_out(canonical, following->collect->keep) &&
           !rules_base_stays(canonical);
}

/* @path is what the build wrote, no directory that was there before. */
static int add_written(struct collect *collect, const char *path, bool is_directory, struct tree_owner written)
{
    if (rules_is_below(path, collect->runtime_dir))
        return 0; /* has its own turn */
    switch (rules_classify(path)) {
    case RULES_STATE:
        return 0;
    case RULES_STRAY:
        if (!is_directory)
            tell_stray(collect, path);
        return 0;
    case RULES_KEEP:
        break;
    }
    if (rules_is_left_out(path, collect->keep) ||
            (written.origin == ORIGIN_STEP ? rules_is_ours(path) : rules_base_stays(path)))
        return 0;
    const struct owner *owner = owners_find(&collect->owners, path);
    const struct tree_entry *there = tree_find(&collect->tree, path);
    if (owner && !owner->in_closure && !is_step_of_base(collect, path, written))
        return 0;
    if (owner && owner->in_closure && there && there->source == TREE_MERGED)
        return 0;
    struct following following = {collect, path};
    int r = tree_add(&collect->tree, TREE_MERGED, path, written, admit_target, &following);
    return r < 0 ? r : 0;
}

static bool is_whiteout(const struct stat *status)
{
    return S_ISCHR(status->st_mode) && status->st_rdev == makedev(0, 0);
}

/* True when there is something at @below of the directory @fd, no mark that there is not. */
static bool has_entry(int fd, const char *below, struct stat *ret_status)
{
    return fd >= 0 && root_stat(fd, below, ret_status) == 0 && !is_whiteout(ret_status);
}

/* Of an entry of an upper directory, by what the host has in that place; and whether it is a directory that was one
 * before: the host's, or, where the build went on from a base, that one's. */
static enum change_kind kind_of(
        const struct layer_walk *walk, const char *below, const struct stat *status, bool *ret_same_directory)
{
    struct stat lower;
    struct stat base;
    const struct collect_layer *layer = walk->layer;
    bool had = layer && has_entry(layer->lower_fd, below, &lower);
    bool was_directory = had && S_ISDIR(lower.st_mode);
    if (layer && !walk->is_base && has_entry(layer->base_fd, below, &base))
        was_directory = S_ISDIR(base.st_mode);
    *ret_same_directory = S_ISDIR(status->st_mode) && was_directory;
    return is_whiteout(status) ? CHANGE_REMOVED : had ? CHANGE_CHANGED : CHANGE_ADDED;
}

/* True when what the base wrote is not to be seen any more: the build has put something else there, or removed it. */
static bool is_covered(const struct layer_walk *walk, const char *below, const char *path, const struct stat *status)
{
    struct stat upper;
    struct stat merged;
    if (root_stat(walk->layer->upper_fd, below, &upper) == 0 && !(S_ISDIR(upper.st_mode) && S_ISDIR(status->st_mode)))
        return true;
    return !is_whiteout(status) && root_stat(walk->collect->merged_fd, path, &merged) < 0;
}

/* Removed by the build, and only the base had it: in the end nothing has changed. */
static bool is_base_only(const struct layer_walk *walk, const char *below, const struct stat *status)
{
    struct stat lower;
    return is_whiteout(status) && walk->layer && (walk->is_base || walk->layer->base_fd >= 0) &&
           !has_entry(walk->layer->lower_fd, below, &lower);
}

/* @below: in the layer; @path: in the builder root. */
static int visit_written(const struct layer_walk *walk, const char *below, const char *path, const struct stat *status)
{
    struct collect *collect = walk->collect;
    int64_t time = collect_ctime_ns(status);
    bool same_directory;
    enum change_kind kind = kind_of(walk, below, status, &same_directory);
    if (collect_find_step(collect, time) == collect->step_count)
        return 0; /* masks and the like: made before the first step */
    if (same_directory)
        return 0; /* a copy, because something in it was written */
    const struct owner *owned = owners_find(&collect->owners, path);
    struct tree_owner written = collect_owner_of_time(collect, time);
    int r = remember(collect, path, kind, owned ? (struct tree_owner){ORIGIN_PACKAGE, owned->package} : written);
    if (r < 0 || kind == CHANGE_REMOVED || collect->has_failed)
        return r;
    return add_written(collect, path, S_ISDIR(status->st_mode), written);
}

static int visit_layer(void *context, const char *below, const struct stat *status)
{
    const struct layer_walk *walk = context;
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s%s", walk->layer->path, below) >= PATH_MAX)
        return error_errno(walk->collect->error, ENAMETOOLONG, "'%.100s'", below);
    if (walk->is_base && is_covered(walk, below, path, status))
        return 1;
    if (is_base_only(walk, below, status))
        return 0;
    return visit_written(walk, below, path, status);
}

/* True when the directory was there before the first step. */
static bool is_older(const struct collect *collect, const char *path)
{
    struct statx status;
    _cleanup_close_ int fd = root_open_path(collect->merged_fd, path);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &status) < 0 || !(status.stx_mask & STATX_BTIME))
        return false;
    int64_t born = status.stx_btime.tv_sec * 1000000000LL + status.stx_btime.tv_nsec;
    return collect_find_step(collect, born) == collect->step_count;
}

static int visit_root(void *context, const char *path, const struct stat *status)
{
    const struct layer_walk *walk = context;
    for (size_t i = 0; i < walk->collect->layer_count; i++)
        if (strcmp(path, walk->collect->layers[i].path) == 0)
            return 1; /* an overlay, also where the mounts do not show it */
    if (S_ISDIR(status->st_mode) && is_older(walk->collect, path))
        return 0; /* made with the root; something in it was written */
    return visit_written(walk, path, path, status);
}

static int explain(struct collect *collect, int r, const char *what)
{
    if (r >= 0 || collect->error->code != 0)
        return r;
    if (r == -ELOOP || r == -ENAMETOOLONG)
        return error_text(collect->error, E2BIG,
                "%s holds directories that are nested deeper than %u, or a longer path than can be opened", what,
                ROOT_DEPTH_MAX);
    return error_errno(collect->error, -r, "read what the build wrote: %s", what);
}

static int visit_runtime(void *context, const char *path, const struct stat *status)
{
    struct collect *collect = context;
    size_t size = strlen(collect->runtime_dir);
    if (strcmp(path + size, "/" RECIPE_DIRECTORY_ROOT) == 0)
        return 1;
    int r = tree_put(&collect->tree, TREE_MERGED, path, collect_owner_of_time(collect, collect_ctime_ns(status)));
    return r < 0 ? r : 0;
}

static int visit_isolated(void *context, const char *path, const struct stat *status)
{
    struct collect *collect = context;
    struct tree_owner owner = collect_owner_of_time(collect, collect_ctime_ns(status));
    if (S_ISDIR(status->st_mode) && tree_find(&collect->tree, path))
        return 0; /* the root's own directories stay as they are */
    if (rules_classify(path) == RULES_STATE || rules_is_ours(path))
        return 0;
    /* isolated/bin/x is what /bin/x leads to. */
    char canonical[PATH_MAX];
    int r = tree_resolve(&collect->tree, TREE_ISOLATED, path, owner, canonical);
    if (r == 0)
        r = tree_put_as(&collect->tree, TREE_ISOLATED, path, canonical, owner);
    return r < 0 ? r : 0;
}

/* The links that the builder root has to the runtime's directory: /opt/joblet/runtimes/LANGUAGE/NAME. */
static int visit_links(void *context, const char *path, const struct stat *status)
{
    struct collect *collect = context;
    if (!S_ISLNK(status->st_mode) || collect_find_step(collect, collect_ctime_ns(status)) != collect->step_count)
        return rules_is_below(path, collect->runtime_dir) ? 1 : 0;
    int r = tree_put(&collect->tree, TREE_MERGED, path, (struct tree_owner){ORIGIN_JOBLET, 0});
    return r < 0 ? r : 0;
}

/* /opt/joblet/runtimes/NAME/VERSION: the directory above its name. */
static int add_links(struct collect *collect)
{
    char parent[PATH_MAX];
    (void)snprintf(parent, sizeof(parent), "%s", collect->runtime_dir);
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(parent, '/');
        if (!slash || slash == parent)
            return 0;
        *slash = '\0';
    }
    int r = root_walk(collect->merged_fd, parent, /* one_device= */ 0, visit_links, collect);
    return r == -ENOENT ? 0 : explain(collect, r, parent);
}

static int add_runtime_dir(struct collect *collect)
{
    if (!*collect->runtime_dir)
        return 0;
    int r = root_walk(collect->merged_fd, collect->runtime_dir, /* one_device= */ 0, visit_runtime, collect);
    if (r < 0)
        return r == -ENOENT ? 0 : explain(collect, r, collect->runtime_dir);
    r = add_links(collect);
    if (r == 0 && collect->isolated_fd >= 0)
        r = root_walk(collect->isolated_fd, "/", /* one_device= */ 0, visit_isolated, collect);
    return explain(collect, r, collect->runtime_dir);
}

static int select_uppers(struct collect *collect, bool is_base)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < collect->layer_count; i++) {
        const struct collect_layer *layer = &collect->layers[i];
        struct layer_walk walk = {collect, layer, is_base};
        int fd = is_base ? layer->base_fd : layer->upper_fd;
        if (fd >= 0)
            r = explain(collect, root_walk(fd, "/", /* one_device= */ 1, visit_layer, &walk), layer->path);
    }
    return r;
}

int select_written(struct collect *collect)
{
    struct layer_walk walk = {collect, NULL, false};
    /* The build's own first: of several changes of a path the first counts. */
    int r = select_uppers(collect, /* is_base= */ false);
    if (r == 0 && !collect->has_failed) /* a base is another build's work */
        r = select_uppers(collect, /* is_base= */ true);
    if (r == 0)
        r = explain(collect, root_walk(collect->merged_fd, "/", /* one_device= */ 1, visit_root, &walk), "/");
    return r == 0 && !collect->has_failed ? add_runtime_dir(collect) : r;
}
