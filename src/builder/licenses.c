#include "builder/licenses.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fd.h"
#include "builder/dpkg.h"
#include "builder/root.h"
#include "builder/say.h"

#define DOCUMENTS "/usr/share/doc"
#define COPYRIGHT_SIZE_MAX (2U << 20)
/* What is longer is the text of a license and not its name. */
#define NAME_SIZE_MAX 120U

static bool has_line(const char *text, const char *name)
{
    size_t size = strlen(name);
    while (*text) {
        size_t length = strcspn(text, "\n");
        if (length == size && memcmp(text, name, size) == 0)
            return true;
        text += length + (text[length] == '\n');
    }
    return false;
}

void licenses_add(char text[LICENSES_TEXT_MAX], const char *name, size_t size)
{
    char line[NAME_SIZE_MAX + 1];
    size_t used = strlen(text);
    while (size > 0 && strchr(" \t\r", *name)) {
        name++;
        size--;
    }
    while (size > 0 && strchr(" \t\r", name[size - 1]))
        size--;
    if (size == 0 || size > NAME_SIZE_MAX || used + size + 2 > LICENSES_TEXT_MAX)
        return;
    memcpy(line, name, size);
    line[size] = '\0';
    say_sanitize(line, size);
    if (!has_line(text, line))
        (void)snprintf(text + used, LICENSES_TEXT_MAX - used, "%s%s", used > 0 ? "\n" : "", line);
}

/* The value when the line of @size bytes is the field. */
static const char *field_of(const char *line, size_t size, const char *field)
{
    size_t length = strlen(field);
    return size > length && strncasecmp(line, field, length) == 0 && line[length] == ':' ? line + length + 1 : NULL;
}

/* The first line of each field "License" has its short name; what follows is the text. */
void licenses_read_copyright(const char *text, char ret_text[LICENSES_TEXT_MAX])
{
    *ret_text = '\0';
    const char *format = field_of(text, strcspn(text, "\n"), "Format");
    if (!format || !memmem(format, strcspn(format, "\n"), "copyright-format", strlen("copyright-format")))
        return;
    while (*text) {
        size_t size = strcspn(text, "\n");
        const char *name = field_of(text, size, "License");
        if (name)
            licenses_add(ret_text, name, size - (size_t)(name - text));
        text += size + (text[size] == '\n');
    }
}

void licenses_of_debian(int root_fd, const char *package, char ret_text[LICENSES_TEXT_MAX])
{
    char path[PATH_MAX];
    char target[PATH_MAX];
    _cleanup_free_ char *text = NULL;
    size_t size;
    *ret_text = '\0';
    if (!dpkg_name_is_valid(package, strlen(package)))
        return;
    (void)snprintf(path, sizeof(path), DOCUMENTS "/%s", package);
    /* Packages of one source share a directory. */
    if (root_read_link(root_fd, path, target) == 0) {
        if (!dpkg_name_is_valid(target, strlen(target)))
            return;
        package = target;
    }
    if ((size_t)snprintf(path, sizeof(path), DOCUMENTS "/%s/copyright", package) < sizeof(path) &&
            root_read_file(root_fd, path, COPYRIGHT_SIZE_MAX, &text, &size) == 0)
        licenses_read_copyright(text, ret_text);
}

/* "License :: OSI Approved :: MIT License": the last part, when it is no family of others. */
static void add_classifier(char text[LICENSES_TEXT_MAX], const char *value, size_t size)
{
    static const char family[] = "License :: ";
    while (size > 0 && *value == ' ') {
        value++;
        size--;
    }
    if (size < sizeof(family) - 1 || memcmp(value, family, sizeof(family) - 1) != 0)
        return;
    const char *name = value;
    for (const char *at = value; at + 4 <= value + size; at++)
        if (memcmp(at, " :: ", 4) == 0)
            name = at + 4;
    size_t length = size - (size_t)(name - value);
    if (length != strlen("OSI Approved") || memcmp(name, "OSI Approved", length) != 0)
        licenses_add(text, name, length);
}

void licenses_read_metadata(const char *text, char ret_text[LICENSES_TEXT_MAX])
{
    char license[LICENSES_TEXT_MAX] = "";
    char expression[LICENSES_TEXT_MAX] = "";
    char classifiers[LICENSES_TEXT_MAX] = "";
    while (*text && *text != '\n' && *text != '\r') {
        size_t size = strcspn(text, "\n");
        bool goes_on = text[size] == '\n' && strchr(" \t", text[size + 1]) && text[size + 1];
        const char *value;
        if ((value = field_of(text, size, "License-Expression")))
            licenses_add(expression, value, size - (size_t)(value - text));
        else if ((value = field_of(text, size, "License")) && !goes_on)
            licenses_add(license, value, size - (size_t)(value - text));
        else if ((value = field_of(text, size, "Classifier")))
            add_classifier(classifiers, value, size - (size_t)(value - text));
        text += size + (text[size] == '\n');
    }
    if (strcasecmp(license, "UNKNOWN") == 0)
        *license = '\0';
    (void)snprintf(ret_text, LICENSES_TEXT_MAX, "%s", *expression ? expression : *license ? license : classifiers);
}
