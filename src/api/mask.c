#include "api/mask.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fd.h"
#include "base/text.h"

struct secret {
    const char *text;
    size_t size;
};

bool mask_name_is_secret(const char *name)
{
    static const char *const patterns[] = {"SECRET_*", "*_TOKEN", "*_KEY", "*_PASSWORD", "*_SECRET"};
    for (size_t i = 0; i < ELEMENTS(patterns); i++)
        if (fnmatch(patterns[i], name, 0) == 0)
            return true;
    return false;
}

/* ---- known values ---- */

/* The user and password of an address, or nothing. */
static struct secret find_credentials(const char *value)
{
    const char *start = strstr(value, "://");
    if (!start)
        return (struct secret){"", 0};
    start += 3;
    size_t authority = strcspn(start, "/");
    const char *end = memrchr(start, '@', authority);
    return end ? (struct secret){start, (size_t)(end - start)} : (struct secret){"", 0};
}

/* Replaces in place: what comes in is never longer than what goes. */
static void replace(char *text, struct secret secret)
{
    size_t mask_size = strlen(MASK);
    if (secret.size < mask_size)
        return;
    for (char *at = text; (at = memmem(at, strlen(at), secret.text, secret.size)); at += mask_size) {
        memcpy(at, MASK, mask_size);
        memmove(at + mask_size, at + secret.size, strlen(at + secret.size) + 1);
    }
}

/* The secret's beginning at the end of a text that was cut there goes. */
static void replace_cut(char *text, struct secret secret)
{
    size_t size = strlen(text);
    for (size_t part = secret.size < size ? secret.size : size; part >= strlen(MASK); part--) {
        if (memcmp(text + size - part, secret.text, part) != 0)
            continue;
        memcpy(text + size - part, MASK, sizeof(MASK));
        return;
    }
}

static void hide(char *text, struct secret secret, bool is_cut)
{
    replace(text, secret);
    if (is_cut)
        replace_cut(text, secret);
}

void mask_text(const struct runtime_list *environment, const char *text, char *ret_text, size_t size)
{
    bool is_cut = strlen(text) >= size;
    text_copy_cut(ret_text, size, text);
    for (size_t i = 0; i < environment->count; i++) {
        const char *equals = strchr(environment->items[i], '=');
        if (!equals)
            continue;
        const char *value = equals + 1;
        struct secret credentials = find_credentials(value);
        if (strlen(value) >= MASK_VALUE_MIN)
            hide(ret_text, (struct secret){value, strlen(value)}, is_cut);
        hide(ret_text, credentials, is_cut);
        /* A password alone, without its user. */
        const char *colon = credentials.size > 0 ? memchr(credentials.text, ':', credentials.size) : NULL;
        if (colon)
            hide(ret_text, (struct secret){colon + 1, credentials.size - (size_t)(colon + 1 - credentials.text)},
                    is_cut);
    }
}

/* ---- words ---- */

/* A name in whatever spelling: "--api-key", "apiToken", "DB_PASSWORD". */
static bool word_is_secret(const char *name, size_t size)
{
    static const char *const ends[] = {
            "token", "key", "password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials"};
    while (size > 0 && *name == '-') {
        name++;
        size--;
    }
    if (size >= 7 && strncasecmp(name, "secret", 6) == 0 && (name[6] == '_' || name[6] == '-'))
        return true;
    if ((size == 4 && strncasecmp(name, "pass", 4) == 0) || (size > 4 && strncasecmp(name + size - 5, "_pass", 5) == 0))
        return true;
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        size_t length = strlen(ends[i]);
        if (size >= length && strncasecmp(name + size - length, ends[i], length) == 0)
            return true;
    }
    return false;
}

static size_t name_size(const char *text)
{
    size_t size = 0;
    while (isalnum((unsigned char)text[size]) || text[size] == '_' || text[size] == '-' || text[size] == '.')
        size++;
    return size;
}

static size_t blanks_size(const char *text)
{
    return strspn(text, " \t");
}

static size_t quote_size(const char *text)
{
    size_t escaped = *text == '\\' ? 1 : 0;
    return text[escaped] == '\'' || text[escaped] == '"' ? escaped + 1 : 0;
}

/* With its quotes; what is quoted and not closed goes to the end. */
static size_t value_size(const char *text)
{
    size_t quote = quote_size(text);
    if (quote > 0) {
        const char *end = memmem(text + quote, strlen(text + quote), text, quote);
        return end ? (size_t)(end - text) + quote : strlen(text);
    }
    return strcspn(text, " \t\r\n'\";&|<>");
}

static bool word_is(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

/* What stands between the name at @text and its secret value; 0 when none follows. */
static size_t gap_size(const char *text, size_t name)
{
    const char *after = text + name;
    if (word_is(text, name, "bearer") || word_is(text, name, "basic"))
        return blanks_size(after);
    if (!word_is_secret(text, name))
        return 0;
    /* "key": "value" */
    size_t quote = quote_size(after);
    size_t blanks = blanks_size(after + quote);
    if (after[quote + blanks] == ':' || (after[quote + blanks] == '=' && blanks == 0))
        return quote + blanks + 1 + blanks_size(after + quote + blanks + 1);
    return *text == '-' ? blanks_size(after) : 0;
}

/* "://user:password@": how much of the text behind "://" it is. */
static size_t credentials_size(const char *text, bool is_cut)
{
    size_t authority = strcspn(text, "/ \t\r\n'\"");
    const char *at = memrchr(text, '@', authority);
    if (at)
        return (size_t)(at - text);
    /* Nobody knows what stood behind the cut. */
    return is_cut && !text[authority] ? authority : 0;
}

/* Longer by two bytes for each value at the most. */
static void scan(const char *text, bool is_cut, char *out)
{
    while (*text) {
        size_t name = name_size(text);
        size_t copied = name;
        size_t hidden = 0;
        if (name > 0) {
            copied += gap_size(text, name);
            hidden = copied > name ? value_size(text + copied) : 0;
        } else if (strncmp(text, "://", 3) == 0) {
            copied = 3;
            hidden = credentials_size(text + 3, is_cut);
        } else {
            copied = 1;
        }
        if (hidden == 0 && name > 0)
            copied = name;
        out = mempcpy(out, text, copied);
        if (hidden > 0)
            out = stpcpy(out, MASK);
        text += copied + hidden;
    }
    *out = '\0';
}

/* Cut to @size; at most that much is looked at. */
static char *mask_all(const struct runtime_list *environment, const char *text, size_t size)
{
    static const struct runtime_list none;
    _cleanup_free_ char *masked = malloc(size);
    char *out = malloc(3 * size);
    if (!masked || !out) {
        free(out);
        return NULL;
    }
    mask_text(environment ? environment : &none, text, masked, size);
    scan(masked, strlen(text) >= size, out);
    return out;
}

static char *cut(char *text, size_t size)
{
    _cleanup_free_ char *whole = text;
    char *copy = whole ? malloc(size) : NULL;
    if (copy)
        text_copy_cut(copy, size, whole);
    return copy;
}

char *mask_words(const struct runtime_list *environment, const char *text, size_t size)
{
    return cut(mask_all(environment, text, size), size);
}

char *mask_argument(const struct runtime_list *environment, const char *previous, const char *text, size_t size)
{
    bool is_value =
            previous && *previous == '-' && !strchr(previous, '=') && word_is_secret(previous, strlen(previous));
    if (is_value)
        return strdup(MASK);
    size_t name = name_size(text);
    if (text[name] != '=' || !word_is_secret(text, name) || !text[name + 1])
        return mask_words(environment, text, size);
    char *masked = NULL;
    return asprintf(&masked, "%.*s=%s", (int)(name < 256 ? name : 256), text, MASK) < 0 ? NULL : masked;
}
