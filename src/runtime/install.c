/* The words of "install". The order is the contract's: packages are looked at before anything is changed, the hook
 * before them runs before them, what pip and npm add comes after the language. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "plan/recipe.h"
#include "runtime/build.h"
#include "runtime/packager.h"
#include "runtime/pip.h"
#include "runtime/words.h"

#define RUNTIME_DIRECTORY_MAX 160U

static const char *const phase_names[RUNTIME_PHASE_COUNT] = {"Parse & Validate", "Detect Platform", "Check Disk Space",
        "Validate Packages", "Prepare Directories", "Pre-install Hook", "Install Base", "Install Packages",
        "Post-install Hook", "Copy Binaries", "Copy Libraries", "Copy Configuration", "Generate Config",
        "Validate Build"};

const char *runtime_phase_name(unsigned number)
{
    return number >= 1 && number <= RUNTIME_PHASE_COUNT ? phase_names[number - 1] : "";
}

static void runtime_directory(const struct runtime_spec *spec, char ret_path[RUNTIME_DIRECTORY_MAX])
{
    (void)snprintf(ret_path, RUNTIME_DIRECTORY_MAX, RUNTIME_DIRECTORY "/%s/%s", spec->name, spec->version);
}

static void add_variable(struct words *words, const char *name, const char *value)
{
    words_add(words, "env");
    words_addf(words, "%s=%s", name, value);
}

/* What tells one runtime from another: a base has none of it. */
static void add_names(struct words *words, const struct runtime_build *build)
{
    const struct runtime_spec *spec = build->spec;
    char directory[RUNTIME_DIRECTORY_MAX];
    runtime_directory(spec, directory);
    add_variable(words, "BUILD_ID", build->build_id);
    add_variable(words, "RUNTIME_TYPE", runtime_language_name(spec->language));
    add_variable(words, "RUNTIME_NAME", spec->name);
    add_variable(words, "RUNTIME_VERSION", spec->version);
    add_variable(words, "RUNTIME_DIR", directory);
    words_add(words, "env");
    words_addf(words, "ISOLATED_DIR=%s/isolated", directory);
}

/* The configuration's first: what says where the build is cannot be changed by it. */
static void add_environment(struct words *words, const struct runtime_build *build, enum runtime_part part)
{
    const struct runtime_packager_commands *commands = runtime_packager_find(build->host->platform->packager);
    for (size_t i = 0; i < build->environment->count; i++)
        words_add_all(words, "env", build->environment->items[i], NULL);
    for (size_t i = 0; i < ELEMENTS(commands->environment) && commands->environment[i]; i++)
        words_add_all(words, "env", commands->environment[i], NULL);
    const struct {
        const char *name;
        const char *value;
    } rows[] = {
            {"LC_ALL", "C.UTF-8"},
            {"JOBLET_CHROOT", "true"},
            {"PLATFORM", build->host->distribution},
            {"ARCHITECTURE", build->host->architecture},
            {"PKG_MANAGER", commands->name},
            /* Older pips do not know the option; all of them ignore variables that they do not know. */
            {"PIP_BREAK_SYSTEM_PACKAGES", "1"},
            {"PIP_ROOT_USER_ACTION", "ignore"},
            {"PIP_DISABLE_PIP_VERSION_CHECK", "1"},
            {"PIP_NO_INPUT", "1"},
            /* In the home directory they would be told of as thrown away. */
            {"PIP_CACHE_DIR", RECIPE_PIP_CACHE},
            {"npm_config_cache", RECIPE_NPM_CACHE},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        add_variable(words, rows[i].name, rows[i].value);
    if (part != RUNTIME_PART_BASE)
        add_names(words, build);
}

/* A step and the number of its words, which follow. */
static void begin_step(struct words *words, const char *kind, const char *name, uint64_t timeout_ns, size_t count)
{
    words_add_all(words, kind, name, NULL);
    words_addf(words, "%" PRIu64, timeout_ns);
    words_addf(words, "%zu", count);
}

/* One action of the package manager's script, with @count further words to follow. */
static void begin_packager(struct words *words, const struct runtime_build *build, const char *kind, const char *name,
        const char *action, size_t count)
{
    const struct runtime_packager_commands *commands = runtime_packager_find(build->host->platform->packager);
    begin_step(words, kind, name, build->timeout_ns, 5 + count);
    words_add_all(words, "/bin/sh", "-c", commands->script, commands->name, action, NULL);
}

static void add_validation(struct words *words, const struct runtime_build *build)
{
    const struct runtime_recipe *recipe = build->recipe;
    const char *packager = runtime_packager_find(build->host->platform->packager)->name;
    words_phase(words, 4, "%zu packages of %s", recipe->packages.count, packager);
    if (recipe->untried)
        words_say(words, "warn", "the profile of %s for %s was never tried",
                runtime_language_name(build->spec->language), packager);
    begin_packager(words, build, "run", "package-lists", "lists", 0);
    if (*recipe->version_package) {
        begin_packager(words, build, "query", RUNTIME_QUERY_VERSION, "version", 2);
        words_add_all(words, recipe->version_package, build->spec->language_version, NULL);
    }
    begin_packager(words, build, "query", RUNTIME_QUERY_PACKAGE, "select", 1 + recipe->packages.count);
    words_add(words, recipe->version_hint);
    words_add_list(words, &recipe->packages);
    begin_packager(words, build, "run", "package-check", "simulate", recipe->packages.count);
    words_add_list(words, &recipe->packages);
}

static void add_hook(
        struct words *words, const struct runtime_build *build, unsigned phase, const char *name, const char *script)
{
    if (!*script) {
        words_phase(words, phase, "skipped: there is none");
        return;
    }
    words_phase(words, phase, "running it");
    begin_step(words, "run", name, build->spec->hook_timeout_ns, 4);
    words_add_all(words, "/bin/bash", "-c", script, name, NULL);
}

static void add_pip(struct words *words, const struct runtime_build *build)
{
    const struct runtime_spec *spec = build->spec;
    if (spec->pip.count == 0)
        return;
    words_say(words, "info", "installing %zu packages with pip", spec->pip.count);
    begin_step(words, "run", RECIPE_STEP_PIP, build->timeout_ns, 8 + spec->pip_options.count + spec->pip.count);
    if (spec->language == RUNTIME_LANGUAGE_PYTHON)
        words_addf(words, "python%s", spec->language_version);
    else
        words_add(words, "python3");
    words_add_all(words, "-c", runtime_pip_launcher, RECIPE_DOWNLOADS, RECIPE_PIP_FILES, "install",
            "--ignore-installed", NULL);
    words_add_list(words, &spec->pip_options);
    words_add(words, "--");
    words_add_list(words, &spec->pip);
}

static void add_npm(struct words *words, const struct runtime_build *build)
{
    const struct runtime_spec *spec = build->spec;
    if (spec->npm.count == 0)
        return;
    words_say(words, "info", "installing %zu packages with npm", spec->npm.count);
    begin_step(words, "run", RECIPE_STEP_NPM, build->timeout_ns, 7 + spec->npm.count);
    words_add_all(words, "npm", "install", "--global", "--no-audit", "--no-fund", "--no-update-notifier", "--", NULL);
    words_add_list(words, &spec->npm);
}

static void add_setup(struct words *words, const struct runtime_build *build)
{
    if (!*build->setup_script)
        return;
    words_say(words, "info", "running setup.sh");
    begin_step(words, "run", "setup.sh", build->timeout_ns, 4);
    words_add_all(words, "/bin/bash", "-c", build->setup_script, "setup.sh", NULL);
}

static void add_packages(struct words *words, const struct runtime_build *build)
{
    const struct runtime_spec *spec = build->spec;
    if (spec->pip.count + spec->npm.count == 0 && !*build->setup_script)
        words_phase(words, 8, "skipped: there are none");
    else
        words_phase(words, 8, "%zu of pip, %zu of npm%s", spec->pip.count, spec->npm.count,
                *build->setup_script ? ", setup.sh" : "");
    add_pip(words, build);
    add_npm(words, build);
    add_setup(words, build);
}

static void add_directories(struct words *words, const struct runtime_build *build)
{
    begin_step(words, "run", "directories", build->timeout_ns, 4);
    words_add_all(words, "/bin/mkdir", "-p", "--", NULL);
    words_addf(words, RUNTIME_DIRECTORY "/%s/%s/isolated", build->spec->name, build->spec->version);
}

static void add_base(struct words *words, const struct runtime_build *build)
{
    const struct runtime_recipe *recipe = build->recipe;
    words_phase(words, 7, "%s %s and what it needs", runtime_language_name(build->spec->language),
            build->spec->language_version);
    begin_packager(words, build, "run", "base", "install", recipe->packages.count);
    words_add_list(words, &recipe->packages);
}

static void add_rest(struct words *words, const struct runtime_build *build)
{
    add_packages(words, build);
    add_hook(words, build, 9, "post_install", build->spec->post_install);
}

/* In one go, in the order of the phases. */
static void add_all(struct words *words, const struct runtime_build *build)
{
    char directory[RUNTIME_DIRECTORY_MAX];
    runtime_directory(build->spec, directory);
    words_phase(words, 5, "%s", directory);
    add_directories(words, build);
    add_hook(words, build, 6, "pre_install", build->spec->pre_install);
    add_base(words, build);
    add_rest(words, build);
}

bool runtime_build_has_base(const struct runtime_build *build, const char **ret_why_not)
{
    *ret_why_not = build->dry_run ? "nothing is installed" : "the pre_install hook runs first";
    return !build->dry_run && !*build->spec->pre_install;
}

int runtime_build_install(const struct runtime_build *build, enum runtime_part part, struct runtime_list *list)
{
    struct words words = {.list = list};
    words_add(&words, "install");
    add_environment(&words, build, part);
    if (part != RUNTIME_PART_REST)
        add_validation(&words, build);
    if (part == RUNTIME_PART_ALL && !build->dry_run)
        add_all(&words, build);
    if (part == RUNTIME_PART_BASE) { /* no word of whose runtime it is */
        words_phase(&words, 5, "the runtime's directory is made with the rest");
        words_phase(&words, 6, "skipped: there is none");
        add_base(&words, build);
    }
    if (part == RUNTIME_PART_REST) {
        add_directories(&words, build);
        add_rest(&words, build);
    }
    return words.result;
}
