#include "builder/lines.h"

#include <string.h>

void lines_init(struct lines *lines, lines_put *put, void *context, size_t stream)
{
    lines->put = put;
    lines->context = context;
    lines->stream = stream;
    lines->used = 0;
    lines->after_return = false;
}

static void keep(struct lines *lines, const char *data, size_t size)
{
    size_t room = sizeof(lines->text) - lines->used;
    if (size > room)
        size = room;
    memcpy(lines->text + lines->used, data, size);
    lines->used += size;
}

void lines_add(struct lines *lines, const char *data, size_t size)
{
    const char *end = data + size;
    while (data < end) {
        const char *stop = data;
        while (stop < end && *stop != '\n' && *stop != '\r')
            stop++;
        if (stop > data) {
            keep(lines, data, (size_t)(stop - data));
            lines->after_return = false;
        }
        if (stop == end)
            return;
        if (*stop == '\r' ? lines->used > 0 : !lines->after_return)
            lines->put(lines->context, lines->stream, lines->text, lines->used);
        lines->after_return = *stop == '\r';
        lines->used = 0;
        data = stop + 1;
    }
}

void lines_end(struct lines *lines)
{
    if (lines->used > 0)
        lines->put(lines->context, lines->stream, lines->text, lines->used);
    lines->used = 0;
}
