#include "runtime/license.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fd.h"

#define EXPRESSION_MAX 500U
#define DEPTH_MAX 16U

/* Short names of Debian's copyright files, and of PyPI's classifiers, that mean one license of SPDX and are not its
 * identifier. What can mean several ("Artistic", "BSD License") is not here. */
static const struct {
    const char *name;
    const char *id;
} others[] = {
        {"Apache-2", "Apache-2.0"},
        {"BSL-1", "BSL-1.0"},
        {"CC0", "CC0-1.0"},
        {"EPL-1", "EPL-1.0"},
        {"EPL-2", "EPL-2.0"},
        {"Expat", "MIT"},
        {"GFDL-1.1+", "GFDL-1.1-or-later"},
        {"GFDL-1.2+", "GFDL-1.2-or-later"},
        {"GFDL-1.3+", "GFDL-1.3-or-later"},
        {"GFDL-NIV-1.2", "GFDL-1.2-no-invariants-only"},
        {"GFDL-NIV-1.2+", "GFDL-1.2-no-invariants-or-later"},
        {"GFDL-NIV-1.3", "GFDL-1.3-no-invariants-only"},
        {"GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"},
        {"AGPL-3", "AGPL-3.0-only"},
        {"AGPL-3+", "AGPL-3.0-or-later"},
        {"GPL-1", "GPL-1.0-only"},
        {"GPL-1+", "GPL-1.0-or-later"},
        {"GPL-2", "GPL-2.0-only"},
        {"GPL-2+", "GPL-2.0-or-later"},
        {"GPL-3", "GPL-3.0-only"},
        {"GPL-3+", "GPL-3.0-or-later"},
        {"LGPL-2", "LGPL-2.0-only"},
        {"LGPL-2+", "LGPL-2.0-or-later"},
        {"LGPL-2.1", "LGPL-2.1-only"},
        {"LGPL-2.1+", "LGPL-2.1-or-later"},
        {"LGPL-3", "LGPL-3.0-only"},
        {"LGPL-3+", "LGPL-3.0-or-later"},
        {"MPL-2", "MPL-2.0"},
        {"MIT License", "MIT"},
        {"ISC License (ISCL)", "ISC"},
        {"Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"},
};

static const char *find_in(const char *const *list, size_t count, const char *name)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        int order = strcasecmp(name, list[middle]);
        if (order == 0)
            return list[middle];
        if (order < 0)
            count = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *license_find(const char *name)
{
    const char *id = find_in(license_ids, license_id_count, name);
    for (size_t i = 0; !id && i < ELEMENTS(others); i++)
        if (strcasecmp(others[i].name, name) == 0)
            id = others[i].id;
    return id;
}

struct expression {
    char *rest;
    char *word; /* the next one, or NULL at the end */
};

/* Words are parentheses and what stands between blanks and them. */
static void next(struct expression *expression, char word[EXPRESSION_MAX])
{
    expression->rest += strspn(expression->rest, " ");
    size_t size = strchr("()", *expression->rest) && *expression->rest ? 1 : strcspn(expression->rest, " ()");
    memcpy(word, expression->rest, size);
    word[size] = '\0';
    expression->rest += size;
    expression->word = size > 0 ? word : NULL;
}

static bool is_word(const struct expression *expression, const char *word)
{
    return expression->word && strcmp(expression->word, word) == 0;
}

/* "GPL-2.0+" is "or later", as older expressions have it. */
static bool is_license(char *word)
{
    size_t size = strlen(word);
    if (find_in(license_ids, license_id_count, word))
        return true;
    if (size < 2 || word[size - 1] != '+')
        return false;
    word[size - 1] = '\0';
    return find_in(license_ids, license_id_count, word) != NULL;
}

/* One part after the other; what stands between parentheses counts as part of what they stand in. */
static bool parse(struct expression *expression)
{
    char word[EXPRESSION_MAX];
    unsigned depth = 0;
    for (;;) {
        for (next(expression, word); is_word(expression, "("); next(expression, word))
            if (++depth > DEPTH_MAX)
                return false;
        if (!expression->word || !is_license(word))
            return false;
        next(expression, word);
        if (is_word(expression, "WITH")) {
            next(expression, word);
            if (!expression->word || !find_in(license_exceptions, license_exception_count, word))
                return false;
            next(expression, word);
        }
        for (; is_word(expression, ")"); next(expression, word))
            if (depth-- == 0)
                return false;
        if (!expression->word)
            return depth == 0;
        if (!is_word(expression, "AND") && !is_word(expression, "OR"))
            return false;
    }
}

bool license_is_expression(const char *text)
{
    size_t size = strlen(text);
    _cleanup_free_ char *copy = size < EXPRESSION_MAX ? strdup(text) : NULL;
    struct expression expression = {.rest = copy};
    return copy && parse(&expression);
}
