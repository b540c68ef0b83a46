/* Makes a runtime out of a finished build. Everything that is read was written by something hostile, or by the host's
 * administrator; what is written is ours alone. First the whole tree is thought out (tree.h), then it is copied,
 * checked and listed; at last the host is looked at: were its directories changed while the build lay over them, then
 * what the build saw may be wrong, and nothing of it is used (A13 in the kernel facts). */
#include "builder/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/modes.h"
#include "builder/root.h"
#include "builder/say.h"
#include "plan/recipe.h"

#define LAYERS_SIZE_MAX 65536U
#define NS_PER_S 1000000000LL

int64_t collect_ctime_ns(const struct stat *status)
{
    return status->st_ctim.tv_sec * NS_PER_S + status->st_ctim.tv_nsec;
}

/* Between steps nothing runs, and the clock of files is never ahead but often behind: what bears a time in between is
 * the next step's. */
size_t collect_find_step(const struct collect *collect, int64_t ctime_ns)
{
    if (collect->step_count == 0 || ctime_ns < collect->steps[0].begin_ns)
        return collect->step_count;
    size_t step = 0;
    while (step + 1 < collect->step_count && ctime_ns > collect->steps[step].end_ns)
        step++;
    return collect->steps[step].is_ours ? collect->step_count : step;
}

struct tree_owner collect_owner_of_time(const struct collect *collect, int64_t ctime_ns)
{
    size_t step = collect_find_step(collect, ctime_ns);
    if (step == collect->step_count || collect->steps[step].is_packager)
        return (struct tree_owner){ORIGIN_SCRIPT, 0};
    return (struct tree_owner){ORIGIN_STEP, (uint32_t)step};
}

void collect_format_owner(const struct collect *collect, struct tree_owner owner, char ret_text[COLLECT_ORIGIN_MAX])
{
    switch (owner.origin) {
    case ORIGIN_PACKAGE:
        (void)snprintf(ret_text, COLLECT_ORIGIN_MAX, "package %s", collect->dpkg.packages[owner.number].name);
        return;
    case ORIGIN_STEP:
        (void)snprintf(ret_text, COLLECT_ORIGIN_MAX, "step %s", collect->steps[owner.number].name);
        return;
    case ORIGIN_SCRIPT:
        (void)snprintf(ret_text, COLLECT_ORIGIN_MAX, "script");
        return;
    case ORIGIN_JOBLET:
        (void)snprintf(ret_text, COLLECT_ORIGIN_MAX, "joblet");
        return;
    case ORIGIN_BASE:
        break;
    }
    (void)snprintf(ret_text, COLLECT_ORIGIN_MAX, "base");
}

static int open_place(struct collect *collect, const char *path, int *ret_fd)
{
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd < 0 ? error_errno(collect->error, errno, "open '%s'", path) : 0;
}

static int add_layer(struct collect *collect, const char *path)
{
    if (collect->layer_count == COLLECT_LAYERS_MAX)
        return error_text(collect->error, E2BIG, "there are more than %u layers", COLLECT_LAYERS_MAX);
    char name[64];
    struct collect_layer *layer = &collect->layers[collect->layer_count];
    *layer = (struct collect_layer){.upper_fd = -EBADF, .base_fd = -EBADF, .lower_fd = -EBADF};
    (void)snprintf(name, sizeof(name), RECIPE_UPPER "/%zu", collect->layer_count);
    int r = open_place(collect, name, &layer->upper_fd);
    (void)snprintf(name, sizeof(name), RECIPE_BASE_UPPER "/%zu", collect->layer_count);
    layer->base_fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (r == 0 && layer->base_fd < 0 && errno != ENOENT)
        r = error_errno(collect->error, errno, "open '%s'", name);
    (void)snprintf(name, sizeof(name), RECIPE_LOWER "/%zu", collect->layer_count);
    collect->layer_count++;
    if (r == 0)
        r = open_place(collect, name, &layer->lower_fd);
    if (r == 0 && asprintf(&layer->path, "/%s", path + (*path == '/')) < 0) {
        layer->path = NULL;
        r = error_errno(collect->error, ENOMEM, "layers");
    }
    return r;
}

static int open_layers(struct collect *collect)
{
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(AT_FDCWD, RECIPE_LAYERS, LAYERS_SIZE_MAX, &text, NULL);
    if (r < 0)
        return error_errno(collect->error, -r, "read '%s'", RECIPE_LAYERS);
    char *next = text;
    while (r == 0 && next) {
        const char *line = strsep(&next, "\n");
        if (*line)
            r = add_layer(collect, line);
    }
    return r;
}

static int open_stage(struct collect *collect)
{
    int r = open_place(collect, RECIPE_STAGE, &collect->stage_fd);
    if (r < 0)
        return r;
    if (mkdirat(collect->stage_fd, RECIPE_DIRECTORY_ROOT, 0755) < 0)
        return error_errno(collect->error, errno, "make '%s/%s'", RECIPE_STAGE, RECIPE_DIRECTORY_ROOT);
    return open_place(collect, RECIPE_STAGE "/" RECIPE_DIRECTORY_ROOT, &collect->root_fd);
}

static int read_steps(struct collect *collect)
{
    collect->steps = calloc(collect->words->count + 1, sizeof(*collect->steps));
    if (!collect->steps)
        return error_errno(collect->error, ENOMEM, "steps");
    for (size_t i = 0; i < collect->words->count; i++) {
        const struct word *word = &collect->words->items[i];
        if (word->kind == WORD_STEP)
            collect->steps[collect->step_count++] = (struct collect_step){
                    .name = word->name,
                    .begin_ns = (int64_t)word->numbers[0],
                    .end_ns = (int64_t)word->numbers[1],
                    .is_ours = strcmp(word->name, RECIPE_STEP_SANDBOX) == 0,
                    .is_packager = strcmp(word->name, RECIPE_STEP_PACKAGES) == 0,
            };
        else if (word->kind == WORD_KEEP)
            collect->keep |= (unsigned)word->numbers[0];
    }
    return 0;
}

/* The name and version of the runtime are the last two components of its directory. */
static int read_runtime_dir(struct collect *collect)
{
    const struct word *word = words_find(collect->words, WORD_RUNTIME_DIR);
    collect->runtime_dir = word ? word->name : "";
    if (!word)
        return 0;
    const char *version = strrchr(word->name, '/');
    const char *name = version;
    while (name > word->name && name[-1] != '/')
        name--;
    if (version == word->name || version[1] == '\0' || name == version)
        return error_text(collect->error, EINVAL, "recipe: 'runtime-dir' must end with a name and a version");
    (void)snprintf(collect->name, sizeof(collect->name), "%.*s", (int)(version - name), name);
    (void)snprintf(collect->version, sizeof(collect->version), "%s", version + 1);
    char isolated[4096];
    if ((size_t)snprintf(isolated, sizeof(isolated), "%s/" RECIPE_DIRECTORY_ROOT, word->name) < sizeof(isolated))
        collect->isolated_fd = root_open_directory(collect->merged_fd, isolated);
    return 0;
}

static int init(struct collect *collect)
{
    const struct word *limit = words_find(collect->words, WORD_LIMIT);
    collect->limit_bytes = limit ? limit->numbers[0] : 0;
    collect->has_failed = words_find(collect->words, WORD_FAILED);
    int r = open_place(collect, RECIPE_MERGED, &collect->merged_fd);
    if (r == 0)
        r = open_place(collect, RECIPE_BASE, &collect->base_fd);
    if (r == 0)
        r = open_layers(collect);
    if (r == 0)
        r = open_stage(collect);
    if (r == 0)
        r = read_steps(collect);
    if (r == 0)
        r = read_runtime_dir(collect);
    if (r < 0)
        return r;
    const int roots[TREE_SOURCES] = {[TREE_BASE] = collect->base_fd,
            [TREE_MERGED] = collect->merged_fd,
            [TREE_ISOLATED] = collect->isolated_fd,
            [TREE_TEXT] = -EBADF};
    r = tree_init(&collect->tree, roots, collect->error);
    if (r == 0 && changes_init(&collect->changes) < 0)
        r = error_errno(collect->error, ENOMEM, "what the build changed");
    return r;
}

static void done(struct collect *collect)
{
    tree_done(&collect->tree);
    changes_done(&collect->changes);
    owners_done(&collect->owners);
    dpkg_done(&collect->dpkg);
    free(collect->steps);
    for (size_t i = 0; i < collect->layer_count; i++) {
        free(collect->layers[i].path);
        (void)fd_close(collect->layers[i].upper_fd);
        (void)fd_close(collect->layers[i].base_fd);
        (void)fd_close(collect->layers[i].lower_fd);
    }
    (void)fd_close(collect->merged_fd);
    (void)fd_close(collect->base_fd);
    (void)fd_close(collect->isolated_fd);
    (void)fd_close(collect->stage_fd);
    (void)fd_close(collect->root_fd);
}

/* Tells of the phase @number, if the recipe has it, and what the recipe says right behind it. */
static void tell(const struct collect *collect, uint64_t number)
{
    bool is_in = false;
    for (size_t i = 0; i < collect->words->count; i++) {
        const struct word *word = &collect->words->items[i];
        if (word->kind == WORD_PHASE) {
            is_in = word->numbers[0] == number;
            if (is_in)
                say_phase(number, word->name, word->text);
        } else if (word->kind == WORD_SAY && is_in) {
            say_log_named(word->name, word->text);
        }
    }
    say_flush();
}

/* The files beside isolated/. */
static int write_files(struct collect *collect)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < collect->words->count; i++) {
        const struct word *word = &collect->words->items[i];
        if (word->kind != WORD_FILE)
            continue;
        if (!*word->name || strchr(word->name, '/') || *word->name == '.')
            return error_text(collect->error, EINVAL, "recipe: 'file' may not be '%.60s'", word->name);
        _cleanup_close_ int fd =
                openat(collect->stage_fd, word->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        r = fd < 0 ? -errno : 0;
        for (size_t j = 0; r == 0 && j < word->count; j++)
            r = fd_write_all(fd, word->texts[j], strlen(word->texts[j]));
        if (r < 0)
            return error_errno(collect->error, -r, "write '%.60s'", word->name);
    }
    return r;
}

/* The whole, to the disk: published is only what a crash of the host cannot take back. */
static int sync_stage(struct collect *collect)
{
    if (syncfs(collect->stage_fd) < 0)
        return error_errno(collect->error, errno, "write the runtime to the disk");
    return 0;
}

/* A change of the host may be why another part failed: it is named, and the failure stays what it was. */
static int check_after_failure(struct collect *collect, int r)
{
    struct error ignored = {0};
    struct error *error = collect->error;
    collect->error = &ignored;
    int found = host_check(collect);
    collect->error = error;
    return found == -ESTALE ? found : r;
}

/* A build that failed may leave a database that says nothing: then all is by time alone. */
static void try_packages(struct collect *collect)
{
    struct error ignored = {0};
    struct error *error = collect->error;
    collect->error = &ignored;
    if (packages_read(collect) < 0)
        owners_done(&collect->owners);
    collect->error = error;
}

/* Of a failed build. What was found before something could not be looked at is told all the same. */
static int look(struct collect *collect)
{
    try_packages(collect);
    int r = select_written(collect);
    int told = changes_tell(collect);
    if (r == 0)
        r = told;
    return r == 0 ? host_check(collect) : check_after_failure(collect, r);
}

static const struct {
    uint64_t phase; /* told before it; 0 = none */
    int (*run)(struct collect *collect);
} parts[] = {
        {10, packages_read},
        {0, select_packages},
        {0, select_written},
        {11, libraries_add},
        {12, accounts_add},
        {0, copy_tree},
        {13, write_files},
        {14, libraries_check},
        {0, changes_write},
        {0, manifest_write},
        {0, cache_fill},
        {0, sync_stage},
        {0, host_check},
};

int collect_run(const struct words *words, char *const *environment, struct error *error)
{
    struct collect collect = {.words = words,
            .error = error,
            .merged_fd = -EBADF,
            .base_fd = -EBADF,
            .isolated_fd = -EBADF,
            .stage_fd = -EBADF,
            .root_fd = -EBADF};
    (void)environment;
    (void)umask(0);
    tell(&collect, 0);
    int r = init(&collect);
    if (r == 0 && collect.has_failed)
        r = look(&collect);
    for (size_t i = 0; r == 0 && !collect.has_failed && i < ELEMENTS(parts); i++) {
        if (parts[i].phase != 0)
            tell(&collect, parts[i].phase);
        r = parts[i].run(&collect);
        if (r < 0 && parts[i].run != host_check)
            r = check_after_failure(&collect, r);
    }
    done(&collect);
    return r;
}
