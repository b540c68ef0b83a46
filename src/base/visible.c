#include "base/visible.h"

#include <string.h>

#include "base/text.h"

size_t visible_character_size(const unsigned char *bytes, size_t size)
{
    if (*bytes < 0x80)
        return 1;
    size_t want = *bytes >= 0xf0 ? 4 : *bytes >= 0xe0 ? 3 : 2;
    return want <= size && text_is_utf8((const char *)bytes, want) ? want : 0;
}

/* U+2028 to U+202E and U+2066 to U+2069: ends of lines, and what makes a terminal write the other way round. */
static bool is_direction(const unsigned char *bytes)
{
    return bytes[0] == 0xe2 && ((bytes[1] == 0x80 && bytes[2] >= 0xa8 && bytes[2] <= 0xae) ||
                                       (bytes[1] == 0x81 && bytes[2] >= 0xa6 && bytes[2] <= 0xa9));
}

/* C1 controls are two bytes of UTF-8; some terminals obey them. */
static bool is_control(const unsigned char *bytes, size_t length)
{
    if (length == 3)
        return is_direction(bytes);
    return (length == 1 && (*bytes < 0x20 || *bytes == 0x7f)) || (length == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0);
}

static void put_escaped(FILE *file, unsigned char byte)
{
    switch (byte) {
    case '\n':
        (void)fputs("\\n", file);
        return;
    case '\r':
        (void)fputs("\\r", file);
        return;
    case '\t':
        (void)fputs("\\t", file);
        return;
    default:
        (void)fprintf(file, "\\x%02x", byte);
    }
}

void visible_put_bytes(FILE *file, const char *text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0; i < size;) {
        size_t length = visible_character_size(bytes + i, size - i);
        if (length > 0 && !is_control(bytes + i, length)) {
            (void)fwrite(bytes + i, 1, length, file);
            i += length;
            continue;
        }
        for (size_t end = i + (length > 0 ? length : 1); i < end; i++)
            put_escaped(file, bytes[i]);
    }
}

void visible_put(FILE *file, const char *text)
{
    visible_put_bytes(file, text, strlen(text));
}

void visible_put_lines(FILE *file, const char *text)
{
    size_t size = strlen(text);
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
        size--;
    for (size_t start = 0; start < size;) {
        const char *end = memchr(text + start, '\n', size - start);
        size_t length = end ? (size_t)(end - (text + start)) : size - start;
        (void)fputs(start > 0 ? "\n  " : "", file);
        visible_put_bytes(file, text + start, length);
        start += length + 1;
    }
}
