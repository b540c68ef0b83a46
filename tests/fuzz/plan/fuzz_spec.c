/* The spec comes from joblet-api, which faces clients; joblet-init decodes it. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "plan/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spec spec = {0};
    if (spec_decode_bytes(data, size, &spec, NULL) < 0)
        return 0;
    assert(spec.work_dir[0] == '/' && spec.arguments[0]);
    size_t used = 0;
    for (size_t i = 0; spec.arguments[i]; i++)
        used += strlen(spec.arguments[i]);
    for (size_t i = 0; spec.environment[i]; i++)
        used += strlen(strchr(spec.environment[i], '='));
    assert(used < size);
    spec_done(&spec);
    return 0;
}
