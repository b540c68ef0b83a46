#include "runtime/manifest.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "runtime/license.h"

#define PACKAGES_MAX 20000U

static void json_donep(json_t **value)
{
    json_decref(*value);
}

/* The object of one line, or NULL. */
static json_t *parse_line(const char *line, size_t size)
{
    if (size == 0 || size > RUNTIME_MANIFEST_LINE_MAX)
        return NULL;
    json_t *value = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
    if (value && !json_is_object(value)) {
        json_decref(value);
        return NULL;
    }
    return value;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int number_of(const json_t *object, const char *key, uint64_t *ret_number)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return -EINVAL;
    *ret_number = (uint64_t)json_integer_value(value);
    return 0;
}

int runtime_manifest_totals(const char *text, size_t size, struct runtime_manifest_totals *ret_totals)
{
    if (size < 2 || text[size - 1] != '\n')
        return -EINVAL;
    size_t end = size - 1;
    size_t start = end;
    while (start > 0 && text[start - 1] != '\n')
        start--;
    _cleanup_(json_donep) json_t *line = parse_line(text + start, end - start);
    struct runtime_manifest_totals totals;
    if (!line || number_of(line, "files", &totals.files) < 0 || number_of(line, "bytes", &totals.bytes) < 0)
        return -EINVAL;
    *ret_totals = totals;
    return 0;
}

/* ---- the bill of materials ---- */

/* What package URLs may hold as it is. */
static void put_escaped(FILE *file, const char *text)
{
    for (const unsigned char *byte = (const unsigned char *)text; *byte; byte++) {
        bool plain = (*byte >= 'a' && *byte <= 'z') || (*byte >= 'A' && *byte <= 'Z') ||
                     (*byte >= '0' && *byte <= '9') || strchr(".-_~/", (char)*byte);
        if (plain)
            (void)fputc(*byte, file);
        else
            (void)fprintf(file, "%%%02X", *byte);
    }
}

/* "pkg:deb/debian/openssl@3.0.15-1?arch=amd64". NULL without memory. */
static char *package_address(const char *type, const char *family, const json_t *package)
{
    static const struct {
        const char *type;
        const char *scheme;
        bool of_distribution;
    } schemes[] = {{"apt", "deb", true}, {"dnf", "rpm", true}, {"apk", "apk", true}, {"pip", "pypi", false},
            {"npm", "npm", false}};
    const char *scheme = "generic";
    bool of_distribution = false;
    for (size_t i = 0; i < ELEMENTS(schemes); i++)
        if (strcmp(schemes[i].type, type) == 0) {
            scheme = schemes[i].scheme;
            of_distribution = schemes[i].of_distribution;
        }
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return NULL;
    (void)fprintf(file, "pkg:%s/", scheme);
    if (of_distribution) {
        put_escaped(file, family);
        (void)fputc('/', file);
    }
    put_escaped(file, text_of(package, "package"));
    (void)fputc('@', file);
    put_escaped(file, text_of(package, "version"));
    if (of_distribution && *text_of(package, "architecture")) {
        (void)fputs("?arch=", file);
        put_escaped(file, text_of(package, "architecture"));
    }
    bool failed = ferror(file);
    if (fclose(file) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

/* Of the lines of @text. A single one may be an expression, which CycloneDX has alone or not at all. */
static json_t *new_licenses(const char *text)
{
    if (!strchr(text, '\n') && !license_find(text) && license_is_expression(text))
        return json_pack("[{s:s}]", "expression", text);
    json_t *licenses = json_array();
    _cleanup_free_ char *lines = strdup(text);
    char *next = lines;
    while (next) {
        const char *line = strsep(&next, "\n");
        const char *id = license_find(line);
        if (*line)
            (void)json_array_append_new(
                    licenses, json_pack("{s:{s:s}}", "license", id ? "id" : "name", id ? id : line));
    }
    return licenses;
}

static json_t *new_component(const struct runtime_description *description, const json_t *package)
{
    char family[32];
    (void)snprintf(family, sizeof(family), "%.31s", description->platform);
    family[strcspn(family, "-")] = '\0';
    const char *type = *text_of(package, "type") ? text_of(package, "type") : "apt";
    _cleanup_free_ char *address = package_address(type, family, package);
    if (!address)
        return NULL;
    json_t *component = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "library", "bom-ref", address, "name",
            text_of(package, "package"), "version", text_of(package, "version"), "purl", address);
    const char *license = text_of(package, "license");
    if (component && *license)
        (void)json_object_set_new(component, "licenses", new_licenses(license));
    const char *source = text_of(package, "source");
    if (component && *source)
        (void)json_object_set_new(
                component, "properties", json_pack("[{s:s, s:s}]", "name", "joblet:source", "value", source));
    return component;
}

static json_t *new_bill(const struct runtime_description *description, json_t *components)
{
    char serial[80];
    (void)snprintf(serial, sizeof(serial), "urn:uuid:%.40s", description->build_id);
    return json_pack("{s:s, s:s, s:s, s:i, s:{s:s, s:{s:[{s:s, s:s, s:s}]}, s:{s:s, s:s, s:s, s:s, s:s}}, s:O}",
            "bomFormat", "CycloneDX", "specVersion", "1.5", "serialNumber", serial, "version", 1, "metadata",
            "timestamp", description->built_at, "tools", "components", "type", "application", "name",
            description->built_with, "version", description->builder_version, "component", "type", "container",
            "bom-ref", "runtime", "name", description->name, "version", description->version, "description",
            description->description, "components", components);
}

/* The package lines, which stand between the first line and the first path. 0 or -errno with @error. */
static int add_components(const struct runtime_description *description, const char *text, size_t size,
        json_t *components, struct error *error)
{
    bool first = true;
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        if (!end)
            break;
        size_t length = (size_t)(end - text);
        _cleanup_(json_donep) json_t *line = parse_line(text, length);
        if (!line || (first && json_integer_value(json_object_get(line, "manifest")) != 1))
            return error_text(error, EINVAL, "the manifest of %.64s is damaged", description->name);
        if (!first && !json_object_get(line, "package"))
            break;
        if (!first) {
            json_t *component = new_component(description, line);
            if (!component || json_array_append_new(components, component) < 0)
                return error_text(error, ENOMEM, "no memory");
            if (json_array_size(components) > PACKAGES_MAX)
                return error_text(error, EINVAL, "the manifest of %.64s names too many packages", description->name);
        }
        first = false;
        text = end + 1;
        size -= length + 1;
    }
    return first ? error_text(error, EINVAL, "the manifest of %.64s is damaged", description->name) : 0;
}

int runtime_manifest_sbom(const struct runtime_description *description, const char *text, size_t size, char **ret_text,
        struct error *error)
{
    _cleanup_(json_donep) json_t *components = json_array();
    if (!components)
        return error_text(error, ENOMEM, "no memory");
    int r = add_components(description, text, size, components, error);
    if (r < 0)
        return r;
    _cleanup_(json_donep) json_t *bill = new_bill(description, components);
    char *packed = bill ? json_dumps(bill, JSON_INDENT(2)) : NULL;
    if (!packed)
        return error_text(error, ENOMEM, "no memory");
    *ret_text = packed;
    return 0;
}
