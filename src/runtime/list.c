#include "runtime/list.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int take(struct runtime_list *list, char *text)
{
    char **items = text ? reallocarray(list->items, list->count + 1, sizeof(*items)) : NULL;
    if (!items) {
        free(text);
        return -ENOMEM;
    }
    items[list->count++] = text;
    list->items = items;
    return 0;
}

int runtime_list_add(struct runtime_list *list, const char *text)
{
    return take(list, strdup(text));
}

int runtime_list_addf(struct runtime_list *list, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    return size < 0 ? -ENOMEM : take(list, text);
}

bool runtime_list_has(const struct runtime_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

void runtime_list_done(struct runtime_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct runtime_list){0};
}
