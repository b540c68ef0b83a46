/* A manifest from a runtime's directory: refused with its line, or every entry has a path that stays in the tree, in
 * order, and is found. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "builder/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest manifest;
    struct error error = {0};
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (manifest_parse(text, size, &manifest, &error) < 0) {
        require(strncmp(error.text, "the manifest is damaged in line ", 32) == 0);
        return 0;
    }
    for (uint32_t i = 0; i < manifest.count; i++) {
        const struct manifest_entry *entry = &manifest.entries[i];
        require(*entry->path == '/' && !strstr(entry->path, "/../") && !strstr(entry->path, "//"));
        require(entry->mode <= 07777 && (entry->type != MANIFEST_LINK || *entry->target));
        require(manifest_find(&manifest, entry->path) == entry);
    }
    for (size_t i = 0; i < manifest.beside_count; i++)
        require(*manifest.beside[i].name && !strchr(manifest.beside[i].name, '/'));
    manifest_done(&manifest);
    return 0;
}
