/* The words of "collect": what of a finished build goes into the runtime. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/fd.h"
#include "plan/recipe.h"
#include "runtime/build.h"
#include "runtime/packager.h"
#include "runtime/words.h"

/* One word holds this much of a file's text. */
#define PIECE_BYTES ((size_t)64 << 10)

static void add_pairs(struct words *words, const char *word, const struct runtime_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        words_add_all(words, word, list->items[i], NULL);
}

/* Those that are needed to install others, and not by a job, stay out. */
static void add_packages(struct words *words, const struct runtime_build *build, const struct runtime_list *packages)
{
    for (size_t i = 0; i < packages->count; i++)
        if (!runtime_list_has(&build->recipe->build_packages, packages->items[i]))
            words_add_all(words, "package", packages->items[i], NULL);
}

static const char *search_path(const struct runtime_recipe *recipe)
{
    for (size_t i = 0; i < recipe->environment.count; i++)
        if (strncmp(recipe->environment.items[i], "PATH=", 5) == 0)
            return recipe->environment.items[i] + 5;
    return RUNTIME_PATH;
}

static void add_file(struct words *words, const char *name, const char *text)
{
    size_t size = strlen(text);
    size_t count = (size + PIECE_BYTES - 1) / PIECE_BYTES;
    words_add_all(words, "file", name, NULL);
    words_addf(words, "%zu", count);
    for (size_t offset = 0; offset < size; offset += PIECE_BYTES) {
        char *piece = strndup(text + offset, PIECE_BYTES);
        if (piece)
            words_add(words, piece);
        else
            words->result = -ENOMEM;
        free(piece);
    }
}

static void add_steps(struct words *words, const struct runtime_built *built)
{
    for (size_t i = 0; i < built->step_count; i++) {
        const struct runtime_step *step = &built->steps[i];
        int64_t end_ns = step->end_unix_ns;
        /* By the clock that the next step's beginning was taken from: times of files come from it. */
        if (strcmp(step->name, RECIPE_STEP_SANDBOX) == 0 && i + 1 < built->step_count)
            end_ns = built->steps[i + 1].begin_unix_ns - 1;
        words_add_all(words, "step", step->name, NULL);
        words_addf(words, "%" PRId64, step->begin_unix_ns);
        words_addf(words, "%" PRId64, end_ns);
    }
}

/* Other builds can read what is kept for them: not what was fetched with an address of the specification's own, perhaps
 * with credentials, nor behind a hook, which can have changed where any step fetches from. */
static void add_private(struct words *words, const struct runtime_spec *spec)
{
    static const char *const steps[] = {RECIPE_STEP_PACKAGES, RECIPE_STEP_PIP, RECIPE_STEP_NPM};
    bool own_index = false;
    for (size_t i = 0; i < spec->pip_options.count; i++)
        own_index = own_index || strncmp(spec->pip_options.items[i], "--index-url", strlen("--index-url")) == 0 ||
                    strncmp(spec->pip_options.items[i], "--extra-index-url", strlen("--extra-index-url")) == 0;
    for (size_t i = 0; i < ELEMENTS(steps); i++)
        if (spec->pre_install[0] || (own_index && strcmp(steps[i], RECIPE_STEP_PIP) == 0))
            words_add_all(words, "private", steps[i], NULL);
}

int runtime_build_look(const struct runtime_build *build, const struct runtime_built *built, struct runtime_list *list)
{
    struct words words = {.list = list};
    words_add_all(&words, "collect", "failed", "packager", runtime_packager_find(build->host->platform->packager)->name,
            "since", NULL);
    words_addf(&words, "%" PRId64, built->since_unix_ns);
    add_steps(&words, built);
    return words.result;
}

int runtime_build_collect(
        const struct runtime_build *build, const struct runtime_built *built, struct runtime_list *list)
{
    struct words words = {.list = list};
    const struct runtime_recipe *recipe = build->recipe;
    words_add_all(
            &words, "collect", "packager", runtime_packager_find(build->host->platform->packager)->name, "since", NULL);
    words_addf(&words, "%" PRId64, built->since_unix_ns);
    words_add(&words, "limit");
    words_addf(&words, "%" PRIu64, built->limit_bytes);
    words_add(&words, "cache");
    words_addf(&words, "%" PRIu64, built->cache_bytes);
    add_private(&words, build->spec);
    add_steps(&words, built);
    words_phase(&words, 10, "packages, programs and what the steps installed");
    add_packages(&words, build, built->packages);
    add_pairs(&words, "binary", &recipe->binaries);
    words_add_all(&words, "path", search_path(recipe), "runtime-dir", NULL);
    words_addf(&words, RUNTIME_DIRECTORY "/%s/%s", build->spec->name, build->spec->version);
    words_phase(&words, 11, "%zu patterns of libraries", recipe->libraries.count);
    add_pairs(&words, "library", &recipe->libraries);
    words_phase(&words, 12, "accounts, certificates, name service");
    add_pairs(&words, "keep", &recipe->keep);
    words_phase(&words, 13, "%s", RECIPE_FILE_RUNTIME);
    add_file(&words, RECIPE_FILE_RUNTIME, built->description);
    words_phase(&words, 14, "the manifest");
    return words.result;
}
