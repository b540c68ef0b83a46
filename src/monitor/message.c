#include "monitor/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

int message_set_text(char **field, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    if (!text_is_utf8(copy, strlen(copy)))
        for (char *byte = copy; *byte; byte++)
            if ((unsigned char)*byte >= 0x80)
                *byte = '?';
    *field = copy;
    return 0;
}

void *message_add(void ***list, size_t *count, size_t size)
{
    void **larger = reallocarray(*list, *count + 1, sizeof(void *));
    if (!larger)
        return NULL;
    *list = larger;
    void *item = calloc(1, size);
    if (item)
        larger[(*count)++] = item;
    return item;
}

int message_add_text(char ***list, size_t *count, const char *text)
{
    char **larger = reallocarray(*list, *count + 1, sizeof(char *));
    if (!larger)
        return -ENOMEM;
    *list = larger;
    int r = message_set_text(&larger[*count], text);
    if (r == 0)
        (*count)++;
    return r;
}

int message_set_numbers(double **list, size_t *ret_count, const double numbers[], size_t count)
{
    if (count == 0)
        return 0;
    double *copy = reallocarray(NULL, count, sizeof(double));
    if (!copy)
        return -ENOMEM;
    memcpy(copy, numbers, count * sizeof(double));
    *list = copy;
    *ret_count = count;
    return 0;
}
