#include "builder/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "builder/json.h"

enum part { PART_HEAD, PART_PACKAGES, PART_BESIDE, PART_ENTRIES, PART_END };

struct reading {
    struct manifest manifest;
    enum part part;
    uint64_t files;
};

/* "0755" */
static int parse_mode(const char *text, uint32_t *ret_mode)
{
    if (strlen(text) != 4 || strspn(text, "01234567") != 4)
        return -EINVAL;
    *ret_mode = (uint32_t)strtoul(text, NULL, 8);
    return 0;
}

/* Absolute, without "//", "/./", "/../" and a slash at the end, but for "/" itself. */
static bool is_canonical(const char *path)
{
    if (*path != '/')
        return false;
    for (const char *at = path; at[1];) {
        const char *name = at + 1;
        size_t size = strcspn(name, "/");
        if (size == 0 || (size == 1 && *name == '.') || (size == 2 && name[0] == '.' && name[1] == '.') || size > 255)
            return false;
        at = name + size;
        if (*at == '\0')
            return true;
    }
    return path[1] == '\0';
}

static int parse_id(const struct json_member *members, int count, const char *key, uint32_t *ret_id)
{
    uint64_t number;
    if (json_find_number(members, count, key, &number) < 0 || number > UINT32_MAX)
        return -EINVAL;
    *ret_id = (uint32_t)number;
    return 0;
}

static int parse_content(
        const struct json_member *members, int count, uint64_t *ret_size, uint8_t ret_digest[DIGEST_SIZE])
{
    const char *hex = json_find_text(members, count, "sha256");
    if (!hex || json_find_number(members, count, "size", ret_size) < 0 || *ret_size > INT64_MAX)
        return -EINVAL;
    return digest_parse(hex, strlen(hex), ret_digest);
}

static int parse_entry(const struct json_member *members, int count, struct manifest_entry *ret_entry)
{
    struct manifest_entry entry = {.path = json_find_text(members, count, "path")};
    const char *type = json_find_text(members, count, "type");
    const char *mode = json_find_text(members, count, "mode");
    if (!entry.path || !type || !mode || !is_canonical(entry.path) || parse_mode(mode, &entry.mode) < 0 ||
            parse_id(members, count, "uid", &entry.uid) < 0 || parse_id(members, count, "gid", &entry.gid) < 0)
        return -EINVAL;
    int r = 0;
    if (strcmp(type, "file") == 0) {
        entry.type = MANIFEST_FILE;
        r = parse_content(members, count, &entry.size, entry.digest);
    } else if (strcmp(type, "link") == 0) {
        entry.type = MANIFEST_LINK;
        entry.target = json_find_text(members, count, "target");
        r = entry.target && *entry.target ? 0 : -EINVAL;
    } else if (strcmp(type, "directory") == 0) {
        entry.type = MANIFEST_DIRECTORY;
    } else {
        r = -EINVAL;
    }
    if (r == 0)
        *ret_entry = entry;
    return r;
}

static int add_entry(struct reading *reading, const struct json_member *members, int count)
{
    struct manifest *manifest = &reading->manifest;
    struct manifest_entry entry;
    if (reading->part > PART_ENTRIES || parse_entry(members, count, &entry) < 0)
        return -EINVAL;
    reading->part = PART_ENTRIES;
    if (manifest->count > 0 && strcmp(manifest->entries[manifest->count - 1].path, entry.path) >= 0)
        return -EINVAL;
    if (manifest->count == MANIFEST_ENTRIES_MAX)
        return -E2BIG;
    if (manifest->count == manifest->room) {
        uint32_t room = manifest->room ? manifest->room * 2 : 1024;
        struct manifest_entry *entries = realloc(manifest->entries, room * sizeof(*entries));
        if (!entries)
            return -ENOMEM;
        manifest->entries = entries;
        manifest->room = room;
    }
    manifest->entries[manifest->count++] = entry;
    reading->files += entry.type == MANIFEST_FILE;
    return 0;
}

/* A name of a file in the runtime's directory. */
static int add_beside(struct reading *reading, const struct json_member *members, int count)
{
    struct manifest *manifest = &reading->manifest;
    struct manifest_beside beside = {.name = json_find_text(members, count, "file")};
    if (reading->part > PART_BESIDE || manifest->beside_count == MANIFEST_BESIDE_MAX || !*beside.name ||
            *beside.name == '.' || strchr(beside.name, '/') ||
            parse_content(members, count, &beside.size, beside.digest) < 0)
        return -EINVAL;
    reading->part = PART_BESIDE;
    manifest->beside[manifest->beside_count++] = beside;
    return 0;
}

static int add_line(struct reading *reading, char *line, size_t size)
{
    struct json_member members[JSON_MEMBERS_MAX];
    int count = json_read(line, size, members);
    uint64_t number;
    if (count < 0)
        return count;
    if (reading->part == PART_HEAD) {
        bool fits = json_find_number(members, count, "manifest", &number) == 0 && number == MANIFEST_VERSION;
        reading->part = PART_PACKAGES;
        return fits ? 0 : -EINVAL;
    }
    if (json_find_text(members, count, "path"))
        return add_entry(reading, members, count);
    if (json_find_text(members, count, "file"))
        return add_beside(reading, members, count);
    if (json_find_text(members, count, "package"))
        return reading->part == PART_PACKAGES ? 0 : -EINVAL;
    uint64_t bytes;
    if (reading->part == PART_END || json_find_number(members, count, "files", &number) < 0 ||
            json_find_number(members, count, "bytes", &bytes) < 0 || number != reading->files)
        return -EINVAL;
    reading->part = PART_END;
    return 0;
}

int manifest_parse(char *text, size_t size, struct manifest *ret_manifest, struct error *error)
{
    struct reading reading = {.manifest.text = text};
    char *line = text;
    char *end = text + size;
    int r = size > 0 && size <= MANIFEST_SIZE_MAX ? 0 : -EINVAL;
    uint64_t number = 1;
    for (; r == 0 && line < end; number++) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        r = newline && !memchr(line, '\0', (size_t)(newline - line))
                    ? add_line(&reading, line, (size_t)(newline - line))
                    : -EINVAL;
        line = newline ? newline + 1 : end;
    }
    if (r == 0 && reading.part != PART_END)
        r = -EINVAL;
    if (r < 0) {
        manifest_done(&reading.manifest);
        return error_text(
                error, -r, "the manifest is damaged in line %llu", (unsigned long long)(number - (number > 1)));
    }
    *ret_manifest = reading.manifest;
    return 0;
}

void manifest_done(struct manifest *manifest)
{
    free(manifest->entries);
    free(manifest->text);
    *manifest = (struct manifest){0};
}

const struct manifest_entry *manifest_find(const struct manifest *manifest, const char *path)
{
    size_t low = 0;
    size_t high = manifest->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(manifest->entries[middle].path, path);
        if (order == 0)
            return &manifest->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
