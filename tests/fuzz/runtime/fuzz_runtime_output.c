/* A log that a build wrote: however it is cut into pieces, each line is one of a recipe or text, all of it printable.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "runtime/output.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_text(const char *text)
{
    size_t size = strlen(text);
    require(size <= RECIPE_LINE_MAX && text_is_utf8(text, size));
    for (size_t i = 0; i < size; i++)
        require((unsigned char)text[i] >= 0x20 || text[i] == '\t');
    require(!strchr(text, 0x7f));
}

struct seen {
    uint64_t lines;
    uint64_t sum; /* of what they hold */
};

static void on_line(const struct runtime_output *output, void *user)
{
    struct seen *seen = user;
    check_text(output->name);
    check_text(output->text);
    require(output->unix_ns >= 0);
    require(output->kind != RUNTIME_OUTPUT_END || output->number <= 128 + 255);
    require(output->kind != RUNTIME_OUTPUT_PHASE || *output->name);
    seen->lines++;
    for (const char *at = output->text; *at; at++)
        seen->sum = seen->sum * 31 + (unsigned char)*at;
    seen->sum = seen->sum * 31 + (uint64_t)output->kind + output->number + (uint64_t)output->unix_ns;
}

static struct seen read_in_pieces(const char *bytes, size_t size, size_t piece)
{
    struct seen seen = {0};
    struct runtime_lines *lines = calloc(1, sizeof(*lines));
    require(lines != NULL);
    for (size_t at = 0; at < size; at += piece)
        runtime_lines_add(lines, bytes + at, size - at < piece ? size - at : piece, on_line, &seen);
    runtime_lines_end(lines, on_line, &seen);
    free(lines);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 7, 4096, SIZE_MAX / 2};
    struct seen first = read_in_pieces((const char *)data, size, 3);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct seen other = read_in_pieces((const char *)data, size, pieces[i]);
        require(other.lines == first.lines && other.sum == first.sum);
    }
    return 0;
}
