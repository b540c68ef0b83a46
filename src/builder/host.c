/* Was the host changed while the build lay over it? The kernel leaves open what an overlay shows then. Every inode of
 * the directories that count is looked at: whatever happens to a file or a directory, its ctime becomes the time of the
 * kernel, and nobody can set it back. That clock goes in ticks, so what happened right after the start may bear a time
 * of right before it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "builder/collect.h"
#include "builder/root.h"
#include "builder/rules.h"
#include "builder/say.h"

#define LATE_NS 200000000

struct looking {
    struct collect *collect;
    const char *layer;
    int64_t since_ns;
    uint64_t changed;
    char first[PATH_MAX];
};

static int look(void *context, const char *path, const struct stat *status)
{
    struct looking *looking = context;
    if (collect_ctime_ns(status) < looking->since_ns)
        return 0;
    char whole[PATH_MAX];
    if (snprintf(whole, sizeof(whole), "%s%s", looking->layer, path) < 0)
        return 0;
    if (looking->changed == 0)
        memcpy(looking->first, whole, sizeof(whole));
    if (looking->changed++ < COLLECT_HOST_TOLD)
        say_path("host-changed", whole);
    return 0;
}

/* /etc, /usr with what hosts without the merge have beside it, and the package database. */
static bool counts(const char *layer)
{
    static const char *const list[] = {
            "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/var/lib/dpkg", "/var/lib/rpm"};
    for (size_t i = 0; i < ELEMENTS(list); i++)
        if (strcmp(layer, list[i]) == 0)
            return true;
    return false;
}

int host_check(struct collect *collect)
{
    const struct word *since = words_find(collect->words, WORD_SINCE);
    if (!since)
        return 0;
    struct looking looking = {.collect = collect, .since_ns = (int64_t)since->numbers[0] - LATE_NS};
    for (size_t i = 0; i < collect->layer_count; i++) {
        const struct collect_layer *layer = &collect->layers[i];
        if (!counts(layer->path))
            continue;
        struct stat status;
        looking.layer = layer->path;
        if (root_stat(layer->lower_fd, "/", &status) == 0)
            (void)look(&looking, "", &status);
        int r = root_walk(layer->lower_fd, "/", /* one_device= */ 1, look, &looking);
        if (r < 0)
            return error_errno(collect->error, -r, "look for changes of the host in '%s'", layer->path);
    }
    say_count("host-changed", looking.changed);
    return looking.changed == 0
                   ? 0
                   : error_text(collect->error, ESTALE, "host changed during the build: %.120s", looking.first);
}
