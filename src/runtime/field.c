#include "runtime/field.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "runtime/options.h"
#include "runtime/profile.h"
#include "runtime/rule.h"

#define SECOND_NS 1000000000ULL
#define HOOK_TIMEOUT_MAX_NS (24 * 3600 * SECOND_NS)

#define RIGHT_PIP                                                                                                      \
    "a package of Python's index like requests, requests==2.31.0 or uvicorn[standard]>=0.20,<1, without blanks, "      \
    "paths and addresses"
#define RIGHT_NPM                                                                                                      \
    "a package of npm's registry like express, express@4.18.2 or @types/node@^20, without blanks, paths and addresses"
#define RIGHT_LIBRARY                                                                                                  \
    "a pattern of 1 to 256 letters, digits and ./_*?[]!+-@, without a \"..\" in it and a '-' or '!' in front, that "   \
    "names files"

static int refuse(const struct field *field, const struct field_place *place, const char *text)
{
    char name[FIELD_NAME_MAX];
    char shown[RUNTIME_SHOWN_MAX];
    field_format_name(field, name);
    runtime_show(text, shown);
    if (field->hidden)
        runtime_problems_add(place->problems, place->line, "%s: the value is not %s", name, field->right);
    else
        runtime_problems_add(place->problems, place->line, "%s: '%s' is not %s", name, shown, field->right);
    return 0;
}

static int store(const struct field *field, const struct field_place *place, const char *text)
{
    char **target = (char **)((char *)place->spec + field->offset);
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    free(*target);
    *target = copy;
    return 0;
}

static int append(const struct field *field, const struct field_place *place, const char *text)
{
    return runtime_list_add((struct runtime_list *)((char *)place->spec + field->offset), text);
}

static int read_schema(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return strcmp(text, "1.0") == 0 ? 0 : refuse(field, place, text);
}

static int read_name(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return rule_is_name(text) ? store(field, place, text) : refuse(field, place, text);
}

static int read_version(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return rule_is_version(text) ? store(field, place, text) : refuse(field, place, text);
}

static int read_description(
        const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return rule_is_line(text, RUNTIME_DESCRIPTION_MAX) ? store(field, place, text) : refuse(field, place, text);
}

static int read_language(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    for (unsigned i = 0; i < RUNTIME_LANGUAGE_COUNT; i++)
        if (strcmp(text, runtime_language_name(i)) == 0) {
            place->spec->language = i;
            return 0;
        }
    return refuse(field, place, text);
}

static int read_language_version(
        const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return rule_is_language_version(text) ? store(field, place, text) : refuse(field, place, text);
}

static int read_pip(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return rule_is_pip(text) ? append(field, place, text) : refuse(field, place, text);
}

static int read_npm(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return rule_is_npm(text) ? append(field, place, text) : refuse(field, place, text);
}

static int read_pip_options(
        const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    char why[RUNTIME_OPTIONS_WHY_MAX];
    int r = runtime_options_parse(text, RUNTIME_SPEC_OPTIONS_MAX, &place->spec->pip_options, why);
    if (r != -EINVAL)
        return r;
    char full_name[FIELD_NAME_MAX];
    field_format_name(field, full_name);
    runtime_problems_add(place->problems, place->line, "%s: %s", full_name, why);
    return 0;
}

static bool variable_is_given(const struct runtime_list *environment, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < environment->count; i++)
        if (strncmp(environment->items[i], name, length) == 0 && environment->items[i][length] == '=')
            return true;
    return false;
}

static int read_variable(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    struct runtime_list *environment = &place->spec->environment;
    const char *wrong = NULL;
    if (!text_is_environment_name(name) || strlen(name) > RUNTIME_VARIABLE_NAME_MAX)
        wrong = "is not a name of letters, digits and '_', the first no digit, at most 256";
    else if (rule_is_reserved_variable(name))
        wrong = "is the service's own, as all names with JOB_ or JOBLET_ in front are; take another name";
    else if (variable_is_given(environment, name))
        wrong = "is given twice";
    else if (!rule_is_block(text, RUNTIME_VALUE_MAX))
        wrong = "has a value that is not at most 32768 bytes without control characters (line breaks and tabs may be)";
    if (!wrong)
        return runtime_list_addf(environment, "%s=%s", name, text);
    char shown[RUNTIME_SHOWN_MAX];
    runtime_show(name, shown);
    runtime_problems_add(place->problems, place->line, "%s: '%s' %s", field->key, shown, wrong);
    return 0;
}

static int read_gpu(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return rule_parse_bool(text, &place->spec->gpu) < 0 ? refuse(field, place, text) : 0;
}

static int read_cuda(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return rule_is_cuda_version(text) ? store(field, place, text) : refuse(field, place, text);
}

static int read_memory(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return rule_parse_memory(text, &place->spec->min_memory_bytes) < 0 ? refuse(field, place, text) : 0;
}

static int read_platform(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    for (unsigned i = 0; i < RUNTIME_PLATFORM_COUNT; i++)
        if (strcmp(text, runtime_platform_find(i)->name) == 0) {
            place->spec->platforms |= 1U << i;
            return 0;
        }
    return refuse(field, place, text);
}

static int read_library(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return rule_is_library(text) ? append(field, place, text) : refuse(field, place, text);
}

/* As joblet-builder knows them (words.c). */
static int read_keep(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    static const char *const kinds[] = {"doc", "man", "locale", "headers", "static"};
    (void)name;
    for (size_t i = 0; i < ELEMENTS(kinds); i++)
        if (strcmp(text, kinds[i]) == 0)
            return runtime_list_has(&place->spec->keep, text) ? 0 : append(field, place, text);
    return refuse(field, place, text);
}

static int read_timeout(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    uint64_t ns;
    if (text_parse_duration(text, &ns) < 0 || ns < SECOND_NS || ns > HOOK_TIMEOUT_MAX_NS || ns % SECOND_NS != 0)
        return refuse(field, place, text);
    place->spec->hook_timeout_ns = ns;
    return 0;
}

static int read_hook(const struct field *field, const struct field_place *place, const char *name, const char *text)
{
    (void)name;
    return rule_is_block(text, RUNTIME_SPEC_HOOK_MAX) ? store(field, place, text) : refuse(field, place, text);
}

#define AT(member) offsetof(struct runtime_spec, member)

const struct field fields[FIELD_COUNT] = {
        {"", "schema_version", FIELD_TEXT, .required = true, .read = read_schema, .right = "\"1.0\""},
        {"", "name", FIELD_TEXT, .required = true, .read = read_name, .offset = AT(name),
                .right = "1 to 64 of a-z, 0-9, '.' and '-', the first a letter or digit"},
        {"", "version", FIELD_TEXT, .required = true, .read = read_version, .offset = AT(version),
                .right = "three numbers like 1.0.0, without leading zeros"},
        {"", "description", FIELD_TEXT, .required = true, .read = read_description, .offset = AT(description),
                .right = "one line of 1 to 256 bytes without control characters"},
        {"", "base", FIELD_SECTION, .required = true},
        {"base", "language", FIELD_TEXT, .required = true, .read = read_language,
                .right = "one of python, java, node, go, rust"},
        {"base", "version", FIELD_TEXT, .required = true, .read = read_language_version, .offset = AT(language_version),
                .right = "a version like 3.11: 1 to 32 letters, digits, '.', '+' and '-', the first a letter or digit"},
        {"", "pip", FIELD_LIST, .read = read_pip, .offset = AT(pip), .count_max = RUNTIME_SPEC_PACKAGES_MAX,
                .right = RIGHT_PIP},
        {"", "pip_options", FIELD_TEXT, .read = read_pip_options},
        {"", "npm", FIELD_LIST, .read = read_npm, .offset = AT(npm), .count_max = RUNTIME_SPEC_PACKAGES_MAX,
                .right = RIGHT_NPM},
        {"", "environment", FIELD_MAP, .read = read_variable, .offset = AT(environment),
                .count_max = RUNTIME_SPEC_VARIABLES_MAX},
        {"", "requirements", FIELD_SECTION},
        {"requirements", "gpu", FIELD_TEXT, .read = read_gpu, .right = "true or false"},
        {"requirements", "cuda_version", FIELD_TEXT, .read = read_cuda, .offset = AT(cuda_version),
                .right = "a version like 11.8, or >=11.8"},
        {"requirements", "min_memory", FIELD_TEXT, .read = read_memory,
                .right = "a size like 256MB or 1.5GB (KB, MB, GB, TB; above 0, at most 1024TB)"},
        {"", "platforms", FIELD_LIST, .read = read_platform, .count_max = RUNTIME_PLATFORM_COUNT * 2,
                .right = "one of ubuntu, debian, rhel, amzn, fedora, alpine with -amd64 or -arm64"},
        {"", "libraries", FIELD_LIST, .read = read_library, .offset = AT(libraries),
                .count_max = RUNTIME_SPEC_LIBRARIES_MAX, .right = RIGHT_LIBRARY},
        {"", "keep", FIELD_LIST, .read = read_keep, .offset = AT(keep), .count_max = RUNTIME_SPEC_KEEP_MAX,
                .right = "one of doc, man, locale, headers, static"},
        {"", "hooks", FIELD_SECTION},
        {"hooks", "timeout", FIELD_TEXT, .read = read_timeout,
                .right = "a time of whole seconds like 90s, 20m or 1h30m, from 1s to 24h"},
        {"hooks", "pre_install", FIELD_TEXT, .hidden = true, .read = read_hook, .offset = AT(pre_install),
                .right = "a script of at most 65536 bytes without control characters but line breaks and tabs"},
        {"hooks", "post_install", FIELD_TEXT, .hidden = true, .read = read_hook, .offset = AT(post_install),
                .right = "a script of at most 65536 bytes without control characters but line breaks and tabs"},
};

void field_format_name(const struct field *field, char ret_name[FIELD_NAME_MAX])
{
    (void)snprintf(ret_name, FIELD_NAME_MAX, "%s%s%s", field->section, *field->section ? "." : "", field->key);
}

int field_find(const char *section, const char *key)
{
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (strcmp(fields[i].section, section) == 0 && strcmp(fields[i].key, key) == 0)
            return (int)i;
    return -1;
}
