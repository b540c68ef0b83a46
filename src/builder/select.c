/* What a runtime is made of that does not depend on what the build wrote: the base root, the files of the packages that
 * it needs, and what maintainer scripts once generated for them, perhaps long ago on the host. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/collect.h"
#include "builder/root.h"
#include "builder/rules.h"
#include "builder/say.h"

#define ALTERNATIVES "/var/lib/dpkg/alternatives"
#define ALTERNATIVE_SIZE_MAX (1U << 20)
#define NAMES_MAX 10000U

static int add_base_entry(void *context, const char *path, const struct stat *status)
{
    struct collect *collect = context;
    (void)status;
    int r = tree_put(&collect->tree, TREE_BASE, path, (struct tree_owner){ORIGIN_BASE, 0});
    return r < 0 ? r : 0;
}

static int add_base(struct collect *collect)
{
    int r = tree_put(&collect->tree, TREE_BASE, "/", (struct tree_owner){ORIGIN_BASE, 0});
    if (r == 0)
        r = root_walk(collect->base_fd, "/", /* one_device= */ 0, add_base_entry, collect);
    return r < 0 && collect->error->code == 0 ? error_errno(collect->error, -r, "the base root") : r < 0 ? r : 0;
}

/* A static library is left out when the shared one stands beside it: linking works without. Those that have none
 * (libc_nonshared.a, libgcc.a, Go's packages) are what compilers need. */
static bool is_spare_archive(const struct collect *collect, const char *path)
{
    size_t size = strlen(path);
    char shared[PATH_MAX];
    struct stat status;
    if ((collect->keep & KEEP_STATIC) || size < 3 || strcmp(path + size - 2, ".a") != 0 ||
            snprintf(shared, sizeof(shared), "%.*s.so", (int)(size - 2), path) >= PATH_MAX)
        return false;
    return root_stat(collect->merged_fd, shared, &status) == 0;
}

bool collect_admit(void *context, const char *canonical, struct tree_owner *owner)
{
    struct collect *collect = context;
    if (rules_is_left_out(canonical, collect->keep) || rules_classify(canonical) != RULES_KEEP ||
            is_spare_archive(collect, canonical) || rules_base_stays(canonical))
        return false;
    const struct owner *found = owners_find(&collect->owners, canonical);
    if (found)
        *owner = (struct tree_owner){ORIGIN_PACKAGE, found->package};
    return true;
}

/* For what was not asked for by name: nothing of packages that the runtime does not have. */
static bool admit_own(void *context, const char *canonical, struct tree_owner *owner)
{
    const struct collect *collect = context;
    const struct owner *found = owners_find(&collect->owners, canonical);
    return (!found || found->in_closure) && collect_admit(context, canonical, owner);
}

struct adding {
    struct collect *collect;
    struct tree_owner owner;
};

static int add_package_path(void *context, const char *path)
{
    const struct adding *adding = context;
    if (rules_is_left_out(path, adding->collect->keep))
        return 0;
    int r = tree_add(&adding->collect->tree, TREE_MERGED, path, adding->owner, admit_own, adding->collect);
    return r < 0 ? r : 0;
}

static int add_packages(struct collect *collect)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < collect->dpkg.count; i++) {
        struct adding adding = {collect, {ORIGIN_PACKAGE, i}};
        if (collect->dpkg.packages[i].in_closure)
            r = owners_list(collect->merged_fd, &collect->owners, &collect->dpkg.packages[i], add_package_path, &adding,
                    collect->error);
    }
    return r;
}

/* Adds the link that is public and the one in /etc/alternatives when what they lead to is in the tree. */
static int add_alternative(struct collect *collect, const char *name, const char *public)
{
    char path[PATH_MAX];
    char target[PATH_MAX];
    char canonical[PATH_MAX];
    struct tree_owner script = {ORIGIN_SCRIPT, 0};
    if (*public != '/' || strchr(name, '/') || rules_is_left_out(public, collect->keep) ||
            snprintf(path, sizeof(path), "/etc/alternatives/%s", name) >= PATH_MAX ||
            root_read_link(collect->merged_fd, path, target) < 0 || *target != '/')
        return 0;
    int r = tree_resolve(&collect->tree, TREE_MERGED, target, script, canonical);
    if (r != 0 || !tree_find(&collect->tree, canonical))
        return r < 0 ? r : 0;
    r = tree_add(&collect->tree, TREE_MERGED, public, script, admit_own, collect);
    return r < 0 ? r : 0;
}

/* The file of one alternative: its status, its public link, then pairs of lines for those that follow it, an empty
 * line. */
static int add_alternatives_of(struct collect *collect, const char *name, char *text)
{
    char *next = text;
    (void)strsep(&next, "\n");
    const char *public = strsep(&next, "\n");
    int r = public ? add_alternative(collect, name, public) : 0;
    while (r == 0 && next) {
        const char *slave = strsep(&next, "\n");
        if (*slave == '\0' || !next)
            break;
        r = add_alternative(collect, slave, strsep(&next, "\n"));
    }
    return r;
}

/* @visit gets the names in the directory but "." and "..", the first NAMES_MAX of them. 0 also when there is no such
 * directory. */
static int each_name(int root_fd, const char *path,
        int (*visit)(void *context, const char *directory, const char *name), void *context)
{
    int fd = root_open_directory(root_fd, path);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        (void)fd_close(fd);
        return 0;
    }
    int r = 0;
    unsigned count = 0;
    const struct dirent *entry;
    while (r == 0 && count++ < NAMES_MAX && (entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = visit(context, path, entry->d_name);
    (void)closedir(directory);
    return r;
}

static int add_alternatives_file(void *context, const char *directory, const char *name)
{
    struct collect *collect = context;
    char path[PATH_MAX];
    _cleanup_free_ char *text = NULL;
    size_t size;
    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= PATH_MAX ||
            root_read_file(collect->merged_fd, path, ALTERNATIVE_SIZE_MAX, &text, &size) < 0)
        return 0;
    return add_alternatives_of(collect, name, text);
}

/* Something that no package owns. */
static int add_unowned(void *context, const char *path, const struct stat *status)
{
    struct collect *collect = context;
    const struct owner *owner = owners_find(&collect->owners, path);
    if (owner && owner->out_of_closure && !owner->in_closure)
        return 1;
    if (owner || S_ISDIR(status->st_mode))
        return owner && S_ISDIR(status->st_mode) ? 1 : 0; /* what a package owns has its own turn */
    if (rules_classify(path) != RULES_KEEP || rules_is_left_out(path, collect->keep))
        return 0;
    int r = tree_add(&collect->tree, TREE_MERGED, path, collect_owner_of_time(collect, collect_ctime_ns(status)),
            admit_own, collect);
    return r < 0 ? r : 0;
}

/* A directory that only packages of the runtime own: what else is in it was generated for them. */
static int add_generated(struct collect *collect)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < collect->owners.paths.count; i++) {
        const struct owner *owner = &collect->owners.items[i];
        const char *path = collect->owners.paths.texts[i];
        bool is_own = owner->in_closure && (!owner->out_of_closure ? !rules_is_shared(path) : rules_is_generated(path));
        const struct tree_entry *entry = is_own ? tree_find(&collect->tree, path) : NULL;
        if (!entry || !S_ISDIR(entry->mode))
            continue;
        r = root_walk(collect->merged_fd, path, /* one_device= */ 0, add_unowned, collect);
        if (r < 0 && collect->error->code == 0) /* not a directory there, or not to be read: nothing was generated */
            r = 0;
    }
    return r;
}

/* What the dynamic linker needs to find libraries in the runtime as it does in the builder root. */
static int add_linker_files(struct collect *collect)
{
    static const char *const directories[] = {"/etc/ld.so.conf.d"};
    static const char *const files[] = {"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld-musl-x86_64.path"};
    struct tree_owner script = {ORIGIN_SCRIPT, 0};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ELEMENTS(files); i++)
        r = tree_add(&collect->tree, TREE_MERGED, files[i], script, collect_admit, collect);
    for (size_t i = 0; r >= 0 && i < ELEMENTS(directories); i++) {
        r = root_walk(collect->merged_fd, directories[i], /* one_device= */ 0, add_unowned, collect);
        if (r < 0 && collect->error->code == 0)
            r = 0;
    }
    return r < 0 ? r : 0;
}

int select_packages(struct collect *collect)
{
    int r = add_base(collect);
    if (r == 0)
        r = add_packages(collect);
    if (r == 0)
        r = each_name(collect->merged_fd, ALTERNATIVES, add_alternatives_file, collect);
    if (r == 0)
        r = add_linker_files(collect);
    if (r == 0)
        r = add_generated(collect);
    return r;
}
