#include "builder/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "builder/collect.h"
#include "builder/json.h"
#include "builder/languages.h"
#include "builder/root.h"
#include "builder/say.h"
#include "plan/recipe.h"

/* ---- writing ---- */

static void write_entry(struct json *json, const struct collect *collect, uint32_t number)
{
    const struct tree_entry *entry = &collect->tree.entries[number];
    char origin[COLLECT_ORIGIN_MAX];
    char mode[8];
    collect_format_owner(collect, entry->owner, origin);
    (void)snprintf(mode, sizeof(mode), "%04o", (unsigned)(entry->mode & 07777));
    json_begin(json);
    json_text(json, "path", collect->tree.paths.texts[number]);
    json_text(json, "type", S_ISDIR(entry->mode) ? "directory" : S_ISLNK(entry->mode) ? "link" : "file");
    json_text(json, "mode", mode);
    json_number(json, "uid", entry->uid);
    json_number(json, "gid", entry->gid);
    if (S_ISREG(entry->mode)) {
        char hex[DIGEST_HEX_MAX];
        digest_format(entry->digest, hex);
        json_number(json, "size", entry->size);
        json_text(json, "sha256", hex);
    } else if (S_ISLNK(entry->mode)) {
        json_text(json, "target", entry->text);
    }
    json_text(json, "origin", origin);
    json_end(json);
}

/* As text for people and other programs: no bytes that are no text. */
static void write_text(struct json *json, const char *key, const char *value)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "%s", value);
    say_sanitize(text, strlen(text));
    json_text(json, key, text);
}

void manifest_write_package(struct manifest_writer *writer, const struct manifest_package *package)
{
    json_begin(writer->json);
    write_text(writer->json, "package", package->name);
    write_text(writer->json, "version", package->version);
    write_text(writer->json, "architecture", package->architecture);
    write_text(writer->json, "source", package->source);
    if (*package->license)
        json_text(writer->json, "license", package->license);
    json_text(writer->json, "type", package->type);
    json_end(writer->json);
    say_package(package->name, package->version, package->architecture);
    writer->packages++;
}

/* Those whose files the base root brought, by number; NULL: no memory. The base may be older than the host's database:
 * only of a file that is the host's still, the package is known. */
static bool *find_base_packages(const struct collect *collect)
{
    bool *found = calloc(collect->dpkg.count + 1U, sizeof(*found));
    for (uint32_t i = 0; found && i < collect->tree.paths.count; i++) {
        const struct tree_entry *entry = &collect->tree.entries[i];
        struct stat status;
        if (entry->is_dropped || entry->owner.origin != ORIGIN_BASE || !S_ISREG(entry->mode))
            continue;
        const struct owner *owner = owners_find(&collect->owners, collect->tree.paths.texts[i]);
        if (owner && root_stat(collect->merged_fd, collect->tree.paths.texts[i], &status) == 0 &&
                S_ISREG(status.st_mode) && (uint64_t)status.st_size == entry->size &&
                status.st_mtim.tv_sec == entry->modified.tv_sec && status.st_mtim.tv_nsec == entry->modified.tv_nsec)
            found[owner->package] = true;
    }
    return found;
}

static int write_packages(struct manifest_writer *writer, const struct collect *collect)
{
    _cleanup_free_ bool *in_base = find_base_packages(collect);
    if (!in_base)
        return -ENOMEM;
    for (uint32_t i = 0; i < collect->dpkg.count; i++) {
        const struct dpkg_package *package = &collect->dpkg.packages[i];
        char license[LICENSES_TEXT_MAX];
        if (!package->in_closure && !in_base[i])
            continue;
        /* From the build's root: documentation stays out of the runtime. */
        licenses_of_debian(collect->merged_fd, package->name, license);
        manifest_write_package(writer, &(struct manifest_package){.type = "apt",
                                               .name = package->name,
                                               .version = package->version,
                                               .architecture = package->architecture,
                                               .source = package->source,
                                               .license = license});
    }
    return 0;
}

/* The digest of a file of the staging directory. */
static int digest_file(int dir_fd, const char *name, uint64_t *ret_size, uint8_t ret_digest[DIGEST_SIZE])
{
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_(digest_freep) struct digest *digest = digest_new();
    uint64_t size = 0;
    ssize_t got;
    char buffer[65536];
    if (fd < 0 || !digest)
        return fd < 0 ? -errno : -ENOMEM;
    digest_begin(digest);
    while ((got = read(fd, buffer, sizeof(buffer))) > 0) {
        digest_add(digest, buffer, (size_t)got);
        size += (uint64_t)got;
    }
    *ret_size = size;
    return got < 0 ? -errno : digest_end(digest, ret_digest);
}

static int write_beside(struct json *json, const struct collect *collect, const char *name)
{
    uint64_t size;
    uint8_t digest[DIGEST_SIZE];
    char hex[DIGEST_HEX_MAX];
    int r = digest_file(collect->stage_fd, name, &size, digest);
    if (r < 0)
        return r;
    digest_format(digest, hex);
    json_begin(json);
    json_text(json, "file", name);
    json_number(json, "size", size);
    json_text(json, "sha256", hex);
    json_end(json);
    return 0;
}

static int write_head(struct json *json, const struct collect *collect)
{
    json_begin(json);
    json_number(json, "manifest", MANIFEST_VERSION);
    json_text(json, "name", collect->name);
    json_text(json, "version", collect->version);
    json_end(json);
    return 0;
}

static int write_all(struct manifest_writer *writer, struct collect *collect, const uint32_t *order, uint32_t count)
{
    struct json *json = writer->json;
    int r = write_head(json, collect);
    if (r == 0)
        r = write_packages(writer, collect);
    if (r == 0)
        r = languages_list(collect, writer);
    for (size_t i = 0; r == 0 && i < collect->words->count; i++)
        if (collect->words->items[i].kind == WORD_FILE)
            r = write_beside(json, collect, collect->words->items[i].name);
    if (r == 0)
        r = write_beside(json, collect, RECIPE_FILE_CHANGES);
    for (uint32_t i = 0; r == 0 && i < count; i++)
        write_entry(json, collect, order[i]);
    json_begin(json);
    json_number(json, "files", collect->files);
    json_number(json, "bytes", collect->bytes);
    json_end(json);
    return r;
}

static void tell(const struct collect *collect, const struct manifest_writer *writer, const uint8_t digest[DIGEST_SIZE])
{
    char hex[DIGEST_HEX_MAX];
    digest_format(digest, hex);
    say_count("files", collect->files);
    say_count("bytes", collect->bytes);
    say_count("packages", writer->packages);
    say_count("changed", collect->changes.paths.count);
    say_count("stray", collect->strays);
    say_count("stripped", collect->tree.stripped);
    say_digest(hex);
}

int manifest_write(struct collect *collect)
{
    uint32_t count = 0;
    uint8_t digest[DIGEST_SIZE];
    _cleanup_free_ uint32_t *order = tree_sort(&collect->tree, &count);
    _cleanup_free_ struct json *json = malloc(sizeof(*json));
    if (!order || !json)
        return error_errno(collect->error, ENOMEM, "the manifest");
    struct manifest_writer writer = {.json = json};
    int r = json_open(json, collect->stage_fd, RECIPE_FILE_MANIFEST);
    if (r == 0) {
        r = write_all(&writer, collect, order, count);
        int closed = json_close(json, digest);
        r = r < 0 ? r : closed;
    }
    if (r < 0)
        return error_errno(collect->error, -r, "write the manifest");
    tell(collect, &writer, digest);
    return 0;
}
