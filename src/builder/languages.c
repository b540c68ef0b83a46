#include "builder/languages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "builder/collect.h"
#include "builder/root.h"

#define FILE_SIZE_MAX (2U << 20)

static void copy_text(char to[LANGUAGES_TEXT_MAX], const char *text, size_t size)
{
    if (size >= LANGUAGES_TEXT_MAX)
        size = LANGUAGES_TEXT_MAX - 1;
    memcpy(to, text, size);
    to[size] = '\0';
}

/* "Name: value" lines up to the first empty one. */
void languages_read_metadata(const char *text, struct languages_package *ret_package)
{
    *ret_package = (struct languages_package){0};
    licenses_read_metadata(text, ret_package->license);
    while (*text && *text != '\n' && *text != '\r') {
        size_t size = strcspn(text, "\r\n");
        if (strncmp(text, "Name: ", 6) == 0)
            copy_text(ret_package->name, text + 6, size - 6);
        else if (strncmp(text, "Version: ", 9) == 0)
            copy_text(ret_package->version, text + 9, size - 9);
        text += size;
        text += *text == '\r';
        text += *text == '\n';
    }
}

struct scanner {
    const char *at;
    const char *end;
};

/* The text that starts at the scanner, without its quotes, escapes as they are. False at the end of all. */
static bool scan_text(struct scanner *scanner, const char **ret_text, size_t *ret_size)
{
    const char *text = ++scanner->at;
    while (scanner->at < scanner->end && *scanner->at != '"')
        scanner->at += *scanner->at == '\\' ? 2 : 1;
    if (scanner->at >= scanner->end)
        return false;
    *ret_text = text;
    *ret_size = (size_t)(scanner->at++ - text);
    return true;
}

static bool is_text(const char *text, size_t size, const char *expected)
{
    return strlen(expected) == size && memcmp(text, expected, size) == 0;
}

/* What of a package is told by the outermost object's key. */
static char *member_of(struct languages_package *package, const char *key, size_t size)
{
    return is_text(key, size, "name")      ? package->name
           : is_text(key, size, "version") ? package->version
           : is_text(key, size, "license") ? package->license
                                           : NULL;
}

static void set_member(struct languages_package *package, char *member, const char *text, size_t size)
{
    if (member != package->license) {
        copy_text(member, text, size);
        return;
    }
    *member = '\0';
    licenses_add(member, text, size);
}

/* Keys of the outermost object alone; its nesting is counted, nothing is built. */
void languages_read_package_json(const char *text, size_t size, struct languages_package *ret_package)
{
    struct scanner scanner = {text, text + size};
    uint64_t depth = 0;
    char *wanted = NULL;
    *ret_package = (struct languages_package){0};
    bool is_key = false;
    while (scanner.at < scanner.end) {
        char c = *scanner.at;
        if (c != '"') {
            depth += c == '{' || c == '[';
            depth -= (c == '}' || c == ']') && depth > 0;
            is_key = c == '{' || c == ',' || (is_key && strchr(" \t\r\n", c));
            if (c == ',' || c == '{' || c == '[')
                wanted = NULL;
            scanner.at++;
            continue;
        }
        const char *found;
        size_t length;
        if (!scan_text(&scanner, &found, &length))
            return;
        if (wanted)
            set_member(ret_package, wanted, found, length);
        wanted = depth == 1 && is_key ? member_of(ret_package, found, length) : NULL;
        is_key = false;
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    size_t end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* ".../node_modules/NAME/package.json", NAME perhaps "@scope/name". */
static bool is_node_package(const char *path)
{
    static const char modules[] = "/node_modules/";
    if (!ends_with(path, "/package.json"))
        return false;
    const char *last = NULL;
    for (const char *at = path; (at = strstr(at, modules)); at++)
        last = at;
    if (!last)
        return false;
    const char *name = last + sizeof(modules) - 1;
    const char *slash = strchr(name, '/');
    if (*name == '@' && slash)
        slash = strchr(slash + 1, '/');
    return slash && strcmp(slash, "/package.json") == 0;
}

static const char *kind_of(const char *path)
{
    if (ends_with(path, ".dist-info/METADATA") || ends_with(path, ".egg-info/PKG-INFO"))
        return "pip";
    return is_node_package(path) ? "npm" : NULL;
}

static void list_one(struct collect *collect, struct manifest_writer *writer, const char *path, const char *type)
{
    struct languages_package package;
    _cleanup_free_ char *text = NULL;
    size_t size;
    /* From the finished tree: what it has is what counts. */
    if (root_read_file(collect->root_fd, path, FILE_SIZE_MAX, &text, &size) < 0)
        return;
    if (strcmp(type, "pip") == 0)
        languages_read_metadata(text, &package);
    else
        languages_read_package_json(text, size, &package);
    if (*package.name && *package.version)
        manifest_write_package(writer, &(struct manifest_package){.type = type,
                                               .name = package.name,
                                               .version = package.version,
                                               .architecture = "",
                                               .source = "",
                                               .license = package.license});
}

int languages_list(struct collect *collect, struct manifest_writer *writer)
{
    uint32_t count = 0;
    _cleanup_free_ uint32_t *order = tree_sort(&collect->tree, &count);
    if (!order)
        return -ENOMEM;
    uint64_t limit = writer->packages + LANGUAGES_PACKAGES_MAX;
    for (uint32_t i = 0; i < count && writer->packages < limit; i++) {
        const struct tree_entry *entry = &collect->tree.entries[order[i]];
        const char *path = collect->tree.paths.texts[order[i]];
        const char *type = S_ISREG(entry->mode) && entry->owner.origin != ORIGIN_PACKAGE ? kind_of(path) : NULL;
        if (type)
            list_one(collect, writer, path, type);
    }
    return 0;
}
