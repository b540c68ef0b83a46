#include "rnx/gpu_memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "rnx/rnx.h"

int gpu_memory_parse(const char *text, int32_t *ret_mb, struct rnx_error *error)
{
    char digits[24];
    size_t size = strspn(text, "0123456789");
    const char *unit = text + size;
    uint64_t scale = strcasecmp(unit, "GB") == 0 ? 1024 : strcasecmp(unit, "MB") == 0 || !*unit ? 1 : 0;
    uint64_t number;
    if (scale == 0 || size >= sizeof(digits))
        goto wrong;
    (void)snprintf(digits, sizeof(digits), "%.*s", (int)size, text);
    if (text_parse_u64(digits, (uint64_t)INT32_MAX / scale, &number) < 0)
        goto wrong;
    *ret_mb = (int32_t)(number * scale);
    return 0;
wrong:
    return rnx_error_set(
            error, EINVAL, "invalid value \"%s\" for --gpu-memory: want a size such as 8GB, 1024MB or 2048", text);
}
