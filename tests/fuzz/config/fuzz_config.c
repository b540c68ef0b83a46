/* joblet-config.yml: whatever is accepted must be written back and read again to the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    _cleanup_(config_freep) struct config *config = NULL;
    if (config_parse((const char *)data, size, "fuzz", &config, &error) < 0) {
        if (error.code <= 0 || !*error.text || config)
            abort();
        return 0;
    }
    _cleanup_free_ char *text = NULL;
    _cleanup_free_ char *text_again = NULL;
    size_t text_size = 0;
    size_t size_again = 0;
    _cleanup_(config_freep) struct config *again = NULL;
    if (config_format(config, &text, &text_size) < 0)
        return 0;
    if (config_parse(text, text_size, "fuzz", &again, &error) < 0)
        abort();
    if (config_format(again, &text_again, &size_again) < 0)
        return 0;
    if (text_size != size_again || memcmp(text, text_again, text_size) != 0)
        abort();
    return 0;
}
