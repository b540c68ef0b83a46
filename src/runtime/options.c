#include "runtime/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "runtime/problem.h"
#include "runtime/rule.h"

#define NUMBER_MAX 600U

enum value_kind { VALUE_NONE, VALUE_ADDRESS, VALUE_PACKAGES, VALUE_NUMBER };

static const struct option {
    const char *name;
    enum value_kind kind;
} known[] = {
        {"--index-url", VALUE_ADDRESS},
        {"--extra-index-url", VALUE_ADDRESS},
        {"--no-binary", VALUE_PACKAGES},
        {"--only-binary", VALUE_PACKAGES},
        {"--prefer-binary", VALUE_NONE},
        {"--pre", VALUE_NONE},
        {"--no-deps", VALUE_NONE},
        {"--upgrade", VALUE_NONE},
        {"--no-cache-dir", VALUE_NONE},
        {"--no-compile", VALUE_NONE},
        {"--no-build-isolation", VALUE_NONE},
        {"--use-pep517", VALUE_NONE},
        {"--ignore-installed", VALUE_NONE},
        {"--force-reinstall", VALUE_NONE},
        {"--timeout", VALUE_NUMBER},
        {"--retries", VALUE_NUMBER},
};

static const struct {
    const char *letter;
    const char *name;
} short_forms[] = {{"-i", "--index-url"}, {"-U", "--upgrade"}, {"-I", "--ignore-installed"}};

static const char *const value_rights[] = {
        [VALUE_NONE] = "",
        [VALUE_ADDRESS] = "an https address without user, password, '?' and '#'",
        [VALUE_PACKAGES] = ":all:, :none: or names of packages with commas between them",
        [VALUE_NUMBER] = "a whole number from 0 to 600",
};

static const struct option *find(const char *name)
{
    for (size_t i = 0; i < ELEMENTS(short_forms); i++)
        if (strcmp(name, short_forms[i].letter) == 0)
            name = short_forms[i].name;
    for (size_t i = 0; i < ELEMENTS(known); i++)
        if (strcmp(name, known[i].name) == 0)
            return &known[i];
    return NULL;
}

static bool is_packages(const char *text)
{
    if (strcmp(text, ":all:") == 0 || strcmp(text, ":none:") == 0)
        return true;
    for (;;) {
        char name[RUNTIME_PACKAGE_MAX + 1];
        size_t length = strcspn(text, ",");
        if (length >= sizeof(name))
            return false;
        memcpy(name, text, length);
        name[length] = '\0';
        if (!rule_is_pip(name) || strpbrk(name, "[<>=!~"))
            return false;
        if (text[length] == '\0')
            return true;
        text += length + 1;
    }
}

static bool is_value(enum value_kind kind, const char *text)
{
    uint64_t number;
    switch (kind) {
    case VALUE_ADDRESS:
        return rule_is_address(text);
    case VALUE_PACKAGES:
        return is_packages(text);
    case VALUE_NUMBER:
        return text_parse_u64(text, NUMBER_MAX, &number) == 0;
    case VALUE_NONE:
        break;
    }
    return false;
}

static int refuse_unknown(const char *word, char *ret_why)
{
    char shown[RUNTIME_SHOWN_MAX];
    runtime_show(word, shown);
    size_t used = (size_t)snprintf(ret_why, RUNTIME_OPTIONS_WHY_MAX, "'%s' is not one of", shown);
    for (size_t i = 0; i < ELEMENTS(known) && used < RUNTIME_OPTIONS_WHY_MAX; i++)
        used += (size_t)snprintf(
                ret_why + used, RUNTIME_OPTIONS_WHY_MAX - used, "%s%s", i > 0 ? ", " : " ", known[i].name);
    return -EINVAL;
}

/* One option: @word, and its value from behind "=" or from the next word of @rest. */
static int take(struct runtime_list *options, char *word, char **rest, char *ret_why)
{
    char *value = strchr(word, '=');
    if (value)
        *value++ = '\0';
    const struct option *option = find(word);
    if (!option)
        return refuse_unknown(word, ret_why);
    if (option->kind == VALUE_NONE) {
        if (!value)
            return runtime_list_add(options, option->name);
        (void)snprintf(ret_why, RUNTIME_OPTIONS_WHY_MAX, "%s takes no value", option->name);
        return -EINVAL;
    }
    while (!value && *rest) {
        char *next = strsep(rest, " ");
        value = *next ? next : NULL;
    }
    if (value && is_value(option->kind, value))
        return runtime_list_addf(options, "%s=%s", option->name, value);
    (void)snprintf(
            ret_why, RUNTIME_OPTIONS_WHY_MAX, "the value of %s is not %s", option->name, value_rights[option->kind]);
    return -EINVAL;
}

int runtime_options_parse(
        const char *text, size_t max, struct runtime_list *options, char ret_why[RUNTIME_OPTIONS_WHY_MAX])
{
    _cleanup_free_ char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    char *rest = copy;
    for (char *word; (word = strsep(&rest, " "));) {
        if (!*word)
            continue;
        if (options->count >= max) {
            (void)snprintf(ret_why, RUNTIME_OPTIONS_WHY_MAX, "more than %zu options", max);
            return -EINVAL;
        }
        int r = take(options, word, &rest, ret_why);
        if (r < 0)
            return r;
    }
    return 0;
}
