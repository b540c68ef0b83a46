/* resolv.conf: whatever the text, what comes out can be used: servers off the loopback, a search list of one line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "network/resolver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct resolver_file file;
    _cleanup_free_ char *text = malloc(size + 1);
    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    resolver_parse(text, &file);
    if (file.usable.count > PLAN_RESOLVERS_MAX || (file.usable.count == 0 && file.skipped == 0))
        abort();
    for (uint32_t i = 0; i < file.usable.count; i++)
        if (file.usable.addresses[i] >> 24 == 127 || file.usable.addresses[i] == 0)
            abort();
    size_t length = strnlen(file.usable.search, sizeof(file.usable.search));
    if (length == sizeof(file.usable.search) || strpbrk(file.usable.search, "\r\n\"'$`\\#;"))
        abort();
    if (length > 0 && (strncmp(file.usable.search, "search ", 7) != 0 || length < 8))
        abort();
    return 0;
}
