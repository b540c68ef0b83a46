#include "api/mask.h"

#include <string.h>

#include "base/text.h"

#define MASK "***"

struct secret {
    const char *text;
    size_t size;
};

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

void mask_text(const struct runtime_list *environment, const char *text, char *ret_text, size_t size)
{
    text_copy_cut(ret_text, size, text);
    for (size_t i = 0; i < environment->count; i++) {
        const char *equals = strchr(environment->items[i], '=');
        if (!equals)
            continue;
        const char *value = equals + 1;
        struct secret credentials = find_credentials(value);
        if (strlen(value) >= MASK_VALUE_MIN)
            replace(ret_text, (struct secret){value, strlen(value)});
        replace(ret_text, credentials);
        /* A password alone, without its user. */
        const char *colon = credentials.size > 0 ? memchr(credentials.text, ':', credentials.size) : NULL;
        if (colon)
            replace(ret_text, (struct secret){colon + 1, credentials.size - (size_t)(colon + 1 - credentials.text)});
    }
}
