/* A runtime.yml from anybody: it is refused, or what it says keeps the rules and is the same after it was written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "runtime/description.h"
#include "runtime/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check(const struct runtime_description *description)
{
    require(rule_is_name(description->name) && rule_is_version(description->version));
    require(description->original_yaml && description->build_id && description->digest);
    for (size_t i = 0; i < description->environment.count; i++) {
        const char *variable = description->environment.items[i];
        require(strchr(variable, '=') && *variable != '=' && strncmp(variable, "JOB_", 4) != 0);
    }
    for (size_t i = 0; i < description->test.count; i++)
        require(!strchr(description->test.items[i], '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(runtime_description_freep) struct runtime_description *description = NULL;
    _cleanup_(runtime_description_freep) struct runtime_description *again = NULL;
    _cleanup_free_ char *text = NULL;
    _cleanup_free_ char *same = NULL;
    struct error error = {0};
    if (runtime_description_read((const char *)data, size, &description, &error) < 0) {
        require(error.code && *error.text && !description);
        return 0;
    }
    check(description);
    require(runtime_description_write(description, &text) == 0);
    /* Escapes can make it longer than what is read. */
    if (strlen(text) > RUNTIME_DESCRIPTION_SIZE_MAX)
        return 0;
    require(runtime_description_read(text, strlen(text), &again, NULL) == 0);
    require(runtime_description_write(again, &same) == 0 && strcmp(text, same) == 0);
    return 0;
}
