/* How somebody names a runtime, and in a second line a version: what is accepted can be no path, and versions have one
 * order. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "runtime/reference.h"
#include "runtime/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static int sign(int number)
{
    return (number > 0) - (number < 0);
}

static void check_order(const char *a, const char *b)
{
    static const char *const others[] = {"1.0.0", "1.0.0-a.1", "2.10.0", "x", ""};
    require(runtime_version_compare(a, a) == 0 && runtime_version_compare(b, b) == 0);
    int order = sign(runtime_version_compare(a, b));
    require(order == -sign(runtime_version_compare(b, a)));
    for (size_t i = 0; i < ELEMENTS(others); i++)
        if (runtime_version_compare(a, others[i]) < 0 && runtime_version_compare(others[i], b) < 0)
            require(order < 0);
}

static void check_reference(const char *text, const char *version)
{
    const struct runtime_candidate candidates[] = {
            {"python-3.11", "1.0.0", "python", "3.11"}, {"a", version, "go", "1.19"}, {"a", "1.0.0", "node", version}};
    struct runtime_reference reference;
    struct error error = {0};
    if (runtime_reference_parse(text, &reference, &error) < 0) {
        require(*error.text != '\0');
        return;
    }
    require(rule_is_name(reference.name) && !strchr(reference.version, '/'));
    const struct runtime_candidate *found = runtime_reference_resolve(&reference, candidates, ELEMENTS(candidates));
    require(!found || (found >= candidates && found < candidates + ELEMENTS(candidates)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    char *version = text;
    const char *name = strsep(&version, "\n");
    check_reference(name, version ? version : "");
    check_order(name, version ? version : "");
    free(text);
    return 0;
}
