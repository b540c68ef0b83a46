#include "runtime/reference.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "runtime/rule.h"

#define DIGITS "0123456789"
#define IDENTIFIER DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"

/* Compares runs of digits as numbers, however long. */
static int compare_numbers(const char *left, size_t left_length, const char *right, size_t right_length)
{
    for (; left_length > 0 && *left == '0'; left_length--)
        left++;
    for (; right_length > 0 && *right == '0'; right_length--)
        right++;
    if (left_length != right_length)
        return left_length < right_length ? -1 : 1;
    return strncmp(left, right, left_length);
}

static int compare_texts(const char *left, size_t left_length, const char *right, size_t right_length)
{
    int order = strncmp(left, right, left_length < right_length ? left_length : right_length);
    return order != 0 ? order : (left_length > right_length) - (left_length < right_length);
}

/* One identifier of a pre-release: numbers below words. */
static int compare_identifiers(const char *left, size_t left_length, const char *right, size_t right_length)
{
    bool left_number = strspn(left, DIGITS) >= left_length;
    bool right_number = strspn(right, DIGITS) >= right_length;
    if (left_number && right_number)
        return compare_numbers(left, left_length, right, right_length);
    if (left_number != right_number)
        return left_number ? -1 : 1;
    return compare_texts(left, left_length, right, right_length);
}

/* From behind the "-" to the "+" or the end; the shorter one is the lower of two that begin alike. */
static int compare_prereleases(const char *left, const char *right)
{
    for (;;) {
        size_t left_length = strspn(left, IDENTIFIER);
        size_t right_length = strspn(right, IDENTIFIER);
        int order = compare_identifiers(left, left_length, right, right_length);
        if (order != 0)
            return order;
        left += left_length;
        right += right_length;
        if (*left != '.' || *right != '.')
            return (*left == '.') - (*right == '.');
        left++;
        right++;
    }
}

/* The end of "X[.Y[.Z]]", or NULL; *ret_count is how many numbers there are. */
static const char *skip_numbers(const char *text, unsigned *ret_count)
{
    for (*ret_count = 1;; (*ret_count)++) {
        size_t digits = strspn(text, DIGITS);
        if (digits == 0)
            return NULL;
        text += digits;
        if (*text != '.' || *ret_count == 3)
            return text;
        text++;
    }
}

/* The end of identifiers with dots between them, or NULL. */
static const char *skip_identifiers(const char *text)
{
    for (;;) {
        size_t length = strspn(text, IDENTIFIER);
        if (length == 0)
            return NULL;
        text += length;
        if (*text != '.')
            return text;
        text++;
    }
}

/* True for versions of one to three numbers; *ret_tail is what follows the numbers. */
static bool is_version_like(const char *text, const char **ret_tail, unsigned *ret_count)
{
    const char *tail = skip_numbers(text, ret_count);
    *ret_tail = tail;
    if (tail && *tail == '-')
        tail = skip_identifiers(tail + 1);
    if (tail && *tail == '+')
        tail = skip_identifiers(tail + 1);
    return tail && *tail == '\0';
}

bool runtime_version_is_valid(const char *text)
{
    const char *tail;
    unsigned count;
    return is_version_like(text, &tail, &count) && count == 3;
}

/* What follows a number of @length digits: the next number, of no digits when there are no more. */
static const char *skip_number(const char *number, size_t length)
{
    number += length;
    return length > 0 && *number == '.' ? number + 1 : number;
}

int runtime_version_compare(const char *left, const char *right)
{
    const char *left_tail;
    const char *right_tail;
    unsigned count;
    bool left_valid = is_version_like(left, &left_tail, &count);
    bool right_valid = is_version_like(right, &right_tail, &count);
    if (!left_valid || !right_valid)
        return left_valid != right_valid ? (left_valid ? 1 : -1) : strcmp(left, right);
    for (unsigned i = 0; i < 3; i++) {
        size_t left_length = strspn(left, DIGITS);
        size_t right_length = strspn(right, DIGITS);
        int order = compare_numbers(left, left_length, right, right_length);
        if (order != 0)
            return order;
        left = skip_number(left, left_length);
        right = skip_number(right, right_length);
    }
    bool left_pre = *left_tail == '-';
    bool right_pre = *right_tail == '-';
    if (left_pre && right_pre)
        return compare_prereleases(left_tail + 1, right_tail + 1);
    return right_pre - left_pre;
}

static bool is_loose_version(const char *text)
{
    return *text && text[strspn(text, IDENTIFIER ".+")] == '\0';
}

int runtime_reference_parse(const char *text, struct runtime_reference *ret_reference, struct error *error)
{
    static const char right[] =
            "NAME, NAME@X.Y.Z, NAME@latest or LANGUAGE:VERSION is right, NAME of a-z, 0-9, '.', '-'";
    if (strlen(text) > RUNTIME_REFERENCE_MAX)
        return error_text(error, EINVAL, "runtime: longer than %u characters", RUNTIME_REFERENCE_MAX);
    struct runtime_reference reference = {0};
    size_t length = strcspn(text, "@:");
    memcpy(reference.name, text, length);
    if (!rule_is_name(reference.name))
        return error_text(error, EINVAL, "runtime: the name is malformed; %s", right);
    if (text[length] == ':') {
        reference.by_language = true;
        memcpy(reference.version, text + length + 1, strlen(text + length + 1));
        if (!is_loose_version(reference.version))
            return error_text(error, EINVAL, "runtime: the version is malformed; %s", right);
        reference.version[strcspn(reference.version, "+")] = '\0';
    } else if (text[length] == '@' && strcmp(text + length + 1, "latest") != 0) {
        memcpy(reference.version, text + length + 1, strlen(text + length + 1));
        if (!runtime_version_is_valid(reference.version))
            return error_text(error, EINVAL, "runtime: the version is malformed; %s", right);
    }
    if (reference.by_language && !*reference.version)
        return error_text(error, EINVAL, "runtime: the version is malformed; %s", right);
    *ret_reference = reference;
    return 0;
}

static const struct runtime_candidate *higher(
        const struct runtime_candidate *best, const struct runtime_candidate *candidate)
{
    return !best || runtime_version_compare(candidate->version, best->version) > 0 ? candidate : best;
}

static const struct runtime_candidate *resolve_name(
        const struct runtime_reference *reference, const struct runtime_candidate candidates[], size_t count)
{
    const struct runtime_candidate *best = NULL;
    for (size_t i = 0; i < count; i++) {
        bool version = !*reference->version || strcmp(candidates[i].version, reference->version) == 0;
        if (version && strcmp(candidates[i].name, reference->name) == 0)
            best = higher(best, &candidates[i]);
    }
    return best;
}

static const struct runtime_candidate *resolve_language(const char *language, size_t length, const char *version,
        const struct runtime_candidate candidates[], size_t count)
{
    const struct runtime_candidate *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct runtime_candidate *candidate = &candidates[i];
        const char *texts[] = {candidate->name, candidate->language};
        bool named = false;
        for (size_t j = 0; j < ELEMENTS(texts); j++)
            named = named || (strlen(texts[j]) == length && strncmp(texts[j], language, length) == 0);
        if (named && (strcmp(candidate->version, version) == 0 || strcmp(candidate->language_version, version) == 0))
            best = higher(best, candidate);
    }
    return best;
}

const struct runtime_candidate *runtime_reference_resolve(
        const struct runtime_reference *reference, const struct runtime_candidate candidates[], size_t count)
{
    const char *name = reference->name;
    if (reference->by_language)
        return resolve_language(name, strlen(name), reference->version, candidates, count);
    const struct runtime_candidate *found = resolve_name(reference, candidates, count);
    if (found || *reference->version)
        return found;
    /* LANGUAGE-VERSION has exactly two parts. */
    const char *dash = strchr(name, '-');
    if (!dash || strchr(dash + 1, '-') || !dash[1])
        return NULL;
    return resolve_language(name, (size_t)(dash - name), dash + 1, candidates, count);
}
