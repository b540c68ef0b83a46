#include "runtime/rule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fd.h"
#include "base/text.h"

#define DIGITS "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ALNUM DIGITS LOWER UPPER

#define VERSION_DIGITS_MAX 9U
#define LANGUAGE_VERSION_MAX 32U
#define MEMORY_MAX (1ULL << 50)

static bool is_one_of(char character, const char *set)
{
    return character && strchr(set, character);
}

/* All of @text is of @set, the first character of @first, @max at most. */
static bool is_word(const char *text, const char *first, const char *set, size_t max)
{
    size_t length = strlen(text);
    return length > 0 && length <= max && is_one_of(*text, first) && text[strspn(text, set)] == '\0';
}

bool rule_is_name(const char *text)
{
    return is_word(text, DIGITS LOWER, DIGITS LOWER ".-", RUNTIME_NAME_MAX);
}

bool rule_is_version(const char *text)
{
    for (unsigned part = 0; part < 3; part++) {
        size_t digits = strspn(text, DIGITS);
        if (digits == 0 || digits > VERSION_DIGITS_MAX || (*text == '0' && digits > 1))
            return false;
        text += digits;
        if (part < 2 && *text++ != '.')
            return false;
    }
    return *text == '\0';
}

bool rule_is_language_version(const char *text)
{
    return is_word(text, ALNUM, ALNUM ".+-", LANGUAGE_VERSION_MAX);
}

/* True when the character at @bytes (well-formed UTF-8) has no business in a text: controls of ASCII and Latin 1, line
 * and paragraph separators, and what turns the writing direction, so that a text reads as something else. */
static bool is_control(const unsigned char *bytes)
{
    if (bytes[0] < 0x20 || bytes[0] == 0x7f)
        return true;
    if (bytes[0] == 0xc2)
        return bytes[1] < 0xa0;
    if (bytes[0] != 0xe2)
        return false;
    bool separators_directions = bytes[1] == 0x80 && bytes[2] >= 0xa8 && bytes[2] <= 0xae;
    bool isolates = bytes[1] == 0x81 && bytes[2] >= 0xa6 && bytes[2] <= 0xa9;
    return separators_directions || isolates;
}

static bool is_clean(const char *text, const char *permitted)
{
    if (!text_is_utf8(text, strlen(text)))
        return false;
    for (const unsigned char *byte = (const unsigned char *)text; *byte; byte++)
        if (is_control(byte) && !strchr(permitted, (char)*byte))
            return false;
    return true;
}

bool rule_is_line(const char *text, size_t max)
{
    return *text && strlen(text) <= max && is_clean(text, "");
}

bool rule_is_block(const char *text, size_t max)
{
    return strlen(text) <= max && is_clean(text, "\n\t");
}

/* pip and npm take what ends so for a file. */
static bool is_archive(const char *text)
{
    static const char *const endings[] = {
            ".whl", ".zip", ".tar", ".gz", ".bz2", ".xz", ".tgz", ".tbz", ".txz", ".tlz", ".lzma"};
    size_t length = strlen(text);
    for (size_t i = 0; i < ELEMENTS(endings); i++) {
        size_t size = strlen(endings[i]);
        if (length >= size && strcasecmp(text + length - size, endings[i]) == 0)
            return true;
    }
    return false;
}

/* The length of a name of Python's index at @text, 0 = none. */
static size_t pip_name(const char *text)
{
    size_t length = strspn(text, ALNUM "._-");
    return length > 0 && is_one_of(text[0], ALNUM) && is_one_of(text[length - 1], ALNUM) ? length : 0;
}

/* After "[": names and the closing bracket. NULL when malformed. */
static const char *pip_extras(const char *text)
{
    for (;;) {
        size_t length = pip_name(text);
        if (length == 0)
            return NULL;
        text += length;
        if (*text == ']')
            return text + 1;
        if (*text++ != ',')
            return NULL;
    }
}

static bool is_pip_clauses(const char *text)
{
    static const char *const operators[] = {"===", "==", "~=", "!=", "<=", ">=", "<", ">"};
    for (;;) {
        size_t operator_length = 0;
        for (size_t i = 0; i < ELEMENTS(operators) && operator_length == 0; i++)
            if (strncmp(text, operators[i], strlen(operators[i])) == 0)
                operator_length = strlen(operators[i]);
        text += operator_length;
        size_t length = strspn(text, ALNUM ".*+!_-");
        if (operator_length == 0 || length == 0 || !is_one_of(*text, ALNUM))
            return false;
        text += length;
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            return false;
    }
}

bool rule_is_pip(const char *text)
{
    if (strlen(text) > RUNTIME_PACKAGE_MAX || is_archive(text))
        return false;
    size_t length = pip_name(text);
    if (length == 0)
        return false;
    text += length;
    if (*text == '[')
        text = pip_extras(text + 1);
    return text && (*text == '\0' || is_pip_clauses(text));
}

static size_t npm_name(const char *text)
{
    return is_one_of(*text, ALNUM) ? strspn(text, ALNUM "._-") : 0;
}

bool rule_is_npm(const char *text)
{
    if (strlen(text) > RUNTIME_PACKAGE_MAX || is_archive(text))
        return false;
    if (*text == '@') {
        size_t scope = npm_name(text + 1);
        if (scope == 0 || text[1 + scope] != '/')
            return false;
        text += scope + 2;
    }
    size_t length = npm_name(text);
    if (length == 0)
        return false;
    text += length;
    if (*text == '\0')
        return true;
    /* A version that begins with "." would be a directory. */
    return *text == '@' && is_word(text + 1, ALNUM "^~<>=*", ALNUM "^~<>=*.+-", RUNTIME_PACKAGE_MAX);
}

static bool has_parent(const char *path)
{
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/' ? 1 : 0;
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
            return true;
    }
    return false;
}

bool rule_is_library(const char *text)
{
    size_t length = strlen(text);
    /* No "-" and no "!" in front. */
    if (!is_word(text, ALNUM "/._*?[", ALNUM "/._*?[]!+-@", RUNTIME_LIBRARY_MAX))
        return false;
    return text[length - 1] != '/' && !has_parent(text);
}

bool rule_is_address(const char *text)
{
    static const char scheme[] = "https://";
    if (strlen(text) > RUNTIME_PACKAGE_MAX || strncmp(text, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *host = text + sizeof(scheme) - 1;
    size_t length = strspn(host, ALNUM ".-");
    if (length == 0 || !is_one_of(*host, ALNUM))
        return false;
    const char *rest = host + length;
    if (*rest == ':') {
        size_t digits = strspn(rest + 1, DIGITS);
        if (digits == 0 || digits > 5)
            return false;
        rest += digits + 1;
    }
    return *rest == '\0' || (*rest == '/' && rest[strspn(rest, ALNUM "/._~+-%")] == '\0');
}

bool rule_is_cuda_version(const char *text)
{
    text += strncmp(text, ">=", 2) == 0 ? 2 : 0;
    for (unsigned part = 0; part < 3; part++) {
        size_t digits = strspn(text, DIGITS);
        if (digits == 0 || digits > 4)
            return false;
        text += digits;
        if (*text == '\0')
            return true;
        if (*text++ != '.')
            return false;
    }
    return false;
}

bool rule_is_reserved_variable(const char *name)
{
    return strncmp(name, "JOB_", 4) == 0 || strncmp(name, "JOBLET_", 7) == 0 ||
           strcmp(name, "RUNTIME_MANAGER_PATH") == 0 || strcmp(name, "NETWORK_READY_FILE") == 0;
}

static unsigned memory_shift(const char *unit)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = {{"KB", 10}, {"MB", 20}, {"GB", 30}, {"TB", 40}};
    for (size_t i = 0; i < ELEMENTS(units); i++)
        if (strcasecmp(unit, units[i].name) == 0)
            return units[i].shift;
    return 0;
}

int rule_parse_memory(const char *text, uint64_t *ret_bytes)
{
    size_t whole_digits = strspn(text, DIGITS);
    if (whole_digits == 0 || whole_digits > 12)
        return -EINVAL;
    uint64_t thousandths = strtoull(text, NULL, 10) * 1000;
    text += whole_digits;
    if (*text == '.') {
        size_t digits = strspn(++text, DIGITS);
        if (digits == 0 || digits > 3)
            return -EINVAL;
        static const uint64_t weights[] = {0, 100, 10, 1};
        thousandths += strtoull(text, NULL, 10) * weights[digits];
        text += digits;
    }
    unsigned shift = memory_shift(text);
    if (shift == 0 || thousandths == 0 || thousandths > (MEMORY_MAX >> shift) * 1000)
        return -EINVAL;
    /* At most 2^50 * 1000, which is below 2^60. */
    *ret_bytes = (thousandths << shift) / 1000;
    return 0;
}

int rule_parse_bool(const char *text, bool *ret_value)
{
    /* YAML 1.1's "yes" and "on" mean something else to other readers: not guessed. */
    static const char *const words[] = {"false", "False", "FALSE", "true", "True", "TRUE"};
    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *ret_value = i >= 3;
            return 0;
        }
    return -EINVAL;
}
