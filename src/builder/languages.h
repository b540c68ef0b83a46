/* Packages of the languages' own managers (pip, npm) in the runtime's tree, from what they left beside their files.
 * Written by anybody: bounded, and only a name, a version and a license are read. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "builder/licenses.h"

#define LANGUAGES_PACKAGES_MAX 10000U
#define LANGUAGES_TEXT_MAX 200U

struct collect;
struct json;

struct manifest_writer {
    struct json *json;
    uint64_t packages;
};

/* Writes a line for each. 0 or -errno. */
int languages_list(struct collect *collect, struct manifest_writer *writer);

/* All borrowed; "" for what is not known. */
struct manifest_package {
    const char *type;
    const char *name;
    const char *version;
    const char *architecture;
    const char *source;
    const char *license; /* names, one a line (licenses.h) */
};

/* manifest_write.c: one package, told too. */
void manifest_write_package(struct manifest_writer *writer, const struct manifest_package *package);

struct languages_package {
    char name[LANGUAGES_TEXT_MAX];
    char version[LANGUAGES_TEXT_MAX];
    char license[LICENSES_TEXT_MAX];
};

/* The pure parts. Texts are copied, cut at LANGUAGES_TEXT_MAX - 1; "" when not there. @text ends with a NUL. */
void languages_read_metadata(const char *text, struct languages_package *ret_package);
void languages_read_package_json(const char *text, size_t size, struct languages_package *ret_package);
