/* A runtime.yaml from anybody: it is refused with at least one problem, all of them printable, or becomes a
 * specification whose every text keeps the rules, whatever way it came in. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "runtime/profile.h"
#include "runtime/rule.h"
#include "runtime/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_problems(const struct runtime_problems *problems)
{
    require(problems->texts.count > 0 && problems->texts.count <= RUNTIME_PROBLEMS_MAX);
    for (size_t i = 0; i < problems->texts.count; i++)
        require(rule_is_line(problems->texts.items[i], 512));
}

/* As a package manager's or a job's argument: no option, no path, nothing that a shell would split. */
static void check_argument(const char *text)
{
    require(*text && *text != '-' && !strpbrk(text, " \t\n;|&$`'\"\\:"));
}

static void check_spec(const struct runtime_spec *spec)
{
    require(rule_is_name(spec->name) && !strchr(spec->name, '/') && spec->name[0] != '.');
    require(rule_is_version(spec->version) && rule_is_line(spec->description, 256));
    require(spec->language < RUNTIME_LANGUAGE_COUNT);
    check_argument(spec->language_version);
    for (size_t i = 0; i < spec->pip.count; i++)
        check_argument(spec->pip.items[i]);
    for (size_t i = 0; i < spec->npm.count; i++)
        check_argument(spec->npm.items[i]);
    for (size_t i = 0; i < spec->pip_options.count; i++)
        require(strncmp(spec->pip_options.items[i], "--", 2) == 0 && !strpbrk(spec->pip_options.items[i], " \n@"));
    for (size_t i = 0; i < spec->libraries.count; i++)
        require(!strstr(spec->libraries.items[i], "/../") && spec->libraries.items[i][0] != '-');
    for (size_t i = 0; i < spec->environment.count; i++) {
        const char *variable = spec->environment.items[i];
        require(strncmp(variable, "JOB", 3) != 0 ||
                (strncmp(variable, "JOB_", 4) != 0 && strncmp(variable, "JOBLET_", 7) != 0));
        require(strchr(variable, '=') != NULL && *variable != '=');
        require(i == 0 || strcmp(spec->environment.items[i - 1], variable) != 0);
    }
}

static void check_expansion(const struct runtime_spec *spec)
{
    for (unsigned i = 0; i < RUNTIME_PLATFORM_COUNT; i++) {
        struct runtime_recipe recipe;
        if (runtime_profile_expand(spec, runtime_platform_find(i), &recipe, NULL) < 0)
            continue;
        for (size_t j = 0; j < recipe.packages.count; j++)
            require(!strpbrk(recipe.packages.items[j], "{} /") && recipe.packages.items[j][0] != '-');
        runtime_recipe_done(&recipe);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(runtime_spec_freep) struct runtime_spec *spec = NULL;
    struct runtime_problems problems = {0};
    int r = runtime_spec_parse((const char *)data, size, &spec, &problems);
    require((r == 0) == (spec != NULL));
    if (r == 0) {
        char digest[RUNTIME_DIGEST_MAX];
        struct runtime_list warnings = {0};
        check_spec(spec);
        check_expansion(spec);
        if (runtime_spec_digest(spec, digest) == 0)
            require(strlen(digest) == RUNTIME_DIGEST_MAX - 1);
        (void)runtime_spec_warn(spec, &warnings);
        runtime_list_done(&warnings);
    } else {
        check_problems(&problems);
    }
    runtime_problems_done(&problems);
    return 0;
}
