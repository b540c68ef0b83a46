/* The record is a file that may be torn by a crash. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "plan/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record record;
    if (record_read_bytes(data, size, &record) < 0)
        return 0;
    assert(record_reason_name(record.reason)[0] != '\0');
    assert(memchr(record.error.text, '\0', sizeof(record.error.text)));
    return 0;
}
