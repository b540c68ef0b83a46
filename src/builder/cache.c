/* Keeps downloads for later builds. A build wrote them, and nothing in it is believed but what was computed here: the
 * digest that is the name of a file in the cache (cache_keep.c). A later build asks for a digest that it has of its own
 * sources (apt's signed lists, npm's registry, an address of pip's index), and gets what has it. So the worst that a
 * build can do here is to waste space, and that is bounded. */
#include "builder/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/collect.h"
#include "builder/say.h"
#include "plan/recipe.h"

#define NS_PER_S 1000000000LL

/* Removes the oldest until at most @max_bytes and @max_files are left. */
static void remove_oldest(int cache_fd, struct cache_files *cached, uint64_t max_bytes, size_t max_files)
{
    for (size_t i = cached->count; i > 0 && (cached->bytes > max_bytes || i > max_files); i--) {
        (void)unlinkat(cache_fd, cached->items[i - 1].name, 0); /* gone, or it cannot be helped */
        cached->bytes -= cached->items[i - 1].bytes;
    }
}

/* The step may have fetched from where only this build's owner may. */
static bool is_private(const struct collect *collect, const char *step)
{
    for (size_t i = 0; i < collect->words->count; i++)
        if (collect->words->items[i].kind == WORD_PRIVATE && strcmp(collect->words->items[i].name, step) == 0)
            return true;
    return false;
}

/* What a hook fetched, perhaps with credentials of its own, is not for other builds, which could read it. */
static bool is_for_others(const struct collect *collect, const struct cache_file *file)
{
    static const char *const steps[] = {
            [CACHE_APT] = RECIPE_STEP_PACKAGES, [CACHE_NPM] = RECIPE_STEP_NPM, [CACHE_PIP] = RECIPE_STEP_PIP};
    size_t number = collect_find_step(collect, file->changed.tv_sec * NS_PER_S + file->changed.tv_nsec);
    return number < collect->step_count && strcmp(collect->steps[number].name, steps[file->kind]) == 0 &&
           !is_private(collect, steps[file->kind]);
}

/* Makes room first: the cache is never larger than it may be. */
static void fill(const struct collect *collect, int cache_fd, uint64_t max_bytes, struct cache_files *cached,
        const struct cache_files *fresh)
{
    size_t count = 0;
    uint64_t bytes = 0;
    _cleanup_free_ bool *fits = calloc(fresh->count + 1, sizeof(*fits));
    for (size_t i = 0; fits && i < fresh->count; i++) {
        fits[i] = fresh->items[i].bytes <= max_bytes - bytes && is_for_others(collect, &fresh->items[i]);
        bytes += fits[i] ? fresh->items[i].bytes : 0;
        count += fits[i];
    }
    remove_oldest(cache_fd, cached, max_bytes - bytes, CACHE_FILES_MAX - count);
    for (size_t i = 0; fits && i < fresh->count; i++)
        if (fits[i])
            (void)cache_keep(collect->merged_fd, cache_fd, &fresh->items[i]); /* no reason to fail */
}

int cache_fill(struct collect *collect)
{
    const struct word *word = words_find(collect->words, WORD_CACHE);
    _cleanup_close_ int cache_fd = open(RECIPE_CACHE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (word && cache_fd < 0)
        say_log_format(SAY_INFO, "downloads are not kept: others use the cache now");
    if (!word || cache_fd < 0)
        return 0;
    struct cache_files cached = {0};
    struct cache_files fresh = {0};
    cache_clean(cache_fd);
    int r = cache_list(cache_fd, &cached);
    if (r == 0)
        r = cache_find(collect->merged_fd, &fresh);
    if (r == 0)
        fill(collect, cache_fd, word->numbers[0], &cached, &fresh);
    cache_files_done(&cached);
    cache_files_done(&fresh);
    return r < 0 ? error_errno(collect->error, -r, "keep the downloads") : 0;
}
