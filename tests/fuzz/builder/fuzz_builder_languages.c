/* What pip and npm leave beside their packages, written by anybody; and lines of steps, cut in two places. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "builder/languages.h"
#include "builder/lines.h"
#include "builder/say.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_line(void *context, size_t stream, const char *text, size_t size)
{
    char copy[RECIPE_LINE_MAX];
    (void)context;
    (void)stream;
    require(size <= sizeof(copy) && !memchr(text, '\n', size));
    memcpy(copy, text, size);
    say_sanitize(copy, size);
    require(text_is_utf8(copy, size) && !memchr(copy, 0x1b, size));
}

static void require_licenses(const char *text)
{
    require(strlen(text) < LICENSES_TEXT_MAX && text_is_utf8(text, strlen(text)) && !strchr(text, 0x1b));
    require(*text != '\n' && !strstr(text, "\n\n"));
}

static void require_package(const struct languages_package *package)
{
    require(strlen(package->name) < LANGUAGES_TEXT_MAX && strlen(package->version) < LANGUAGES_TEXT_MAX);
    require_licenses(package->license);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct languages_package package;
    char licenses[LICENSES_TEXT_MAX];
    struct lines lines;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    languages_read_metadata(text, &package);
    require_package(&package);
    languages_read_package_json(text, size, &package);
    require_package(&package);
    licenses_read_copyright(text, licenses);
    require_licenses(licenses);
    lines_init(&lines, check_line, NULL, 0);
    lines_add(&lines, text, size / 2);
    lines_add(&lines, text + size / 2, size - size / 2);
    lines_end(&lines);
    free(text);
    return 0;
}
