#include "runtime/output.h"

#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"

/* Of a name; further bytes make the line no recipe's. */
#define NAME_MAX_BYTES 64U

/* Which parts follow the word, in this order: "n" number, "w" name, "u" time, "t" the rest as text, "s" exit or signal
 * with its number, "p" a phase's name up to ": ". */
static const struct {
    const char *word;
    enum runtime_output_kind kind;
    const char *parts;
} rows[] = {
        {"phase", RUNTIME_OUTPUT_PHASE, "np"},
        {"log", RUNTIME_OUTPUT_LOG, "wt"},
        {"begin", RUNTIME_OUTPUT_BEGIN, "wu"},
        {"end", RUNTIME_OUTPUT_END, "wus"},
        {"value", RUNTIME_OUTPUT_VALUE, "wt"},
        {"package", RUNTIME_OUTPUT_PACKAGE, "wt"},
        {"stripped", RUNTIME_OUTPUT_STRIPPED, "wt"},
        {"stray", RUNTIME_OUTPUT_STRAY, "t"},
        {"changed", RUNTIME_OUTPUT_CHANGED, "wt"},
        {"host-changed", RUNTIME_OUTPUT_HOST_CHANGED, "t"},
        {"count", RUNTIME_OUTPUT_COUNT, "wn"},
        {"digest", RUNTIME_OUTPUT_DIGEST, "t"},
        {"wrong", RUNTIME_OUTPUT_WRONG, "t"},
        {"fail", RUNTIME_OUTPUT_FAIL, "t"},
        {"done", RUNTIME_OUTPUT_DONE, ""},
};

/* The bytes of one well-formed character at @at, of @size that are left; 0 when there is none. */
static size_t character_size(const char *at, size_t size)
{
    unsigned char first = (unsigned char)*at;
    size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    return length <= size && text_is_utf8(at, length) ? length : 0;
}

/* What comes from here goes to terminals and into records. */
static void clean(char *line, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t length = character_size(line + i, size - i);
        unsigned char byte = (unsigned char)line[i];
        if (length == 0 || (length == 1 && ((byte < 0x20 && byte != '\t') || byte == 0x7f))) {
            line[i] = '?';
            length = 1;
        }
        i += length;
    }
}

/* Cuts the next word off; NULL when there is none. */
static char *take_word(char **rest)
{
    char *word = *rest;
    size_t length = strcspn(word, " ");
    if (length == 0 || length > NAME_MAX_BYTES)
        return NULL;
    *rest = word + length + (word[length] == ' ' ? 1 : 0);
    word[length] = '\0';
    return word;
}

static bool take_number(char **rest, uint64_t max, uint64_t *ret_number)
{
    const char *word = take_word(rest);
    return word && text_parse_u64(word, max, ret_number) == 0;
}

static bool take_status(char **rest, struct runtime_output *output)
{
    const char *word = take_word(rest);
    bool by_signal = word && strcmp(word, "signal") == 0;
    if (!word || (!by_signal && strcmp(word, "exit") != 0) || !take_number(rest, 255, &output->number))
        return false;
    output->number += by_signal ? 128 : 0;
    return true;
}

static bool take_phase(char **rest, struct runtime_output *output)
{
    char *colon = strstr(*rest, ": ");
    if (!colon || colon == *rest || (size_t)(colon - *rest) > NAME_MAX_BYTES)
        return false;
    *colon = '\0';
    output->name = *rest;
    output->text = colon + 2;
    *rest = colon + strlen(colon);
    return true;
}

static bool take_part(char part, char **rest, struct runtime_output *output)
{
    uint64_t number = 0;
    switch (part) {
    case 'n':
        return take_number(rest, UINT64_MAX, &output->number);
    case 'w':
        output->name = take_word(rest);
        return output->name != NULL;
    case 'u':
        if (!take_number(rest, INT64_MAX, &number))
            return false;
        output->unix_ns = (int64_t)number;
        return true;
    case 's':
        return take_status(rest, output);
    case 'p':
        return take_phase(rest, output);
    default:
        output->text = *rest;
        *rest += strlen(*rest);
        return true;
    }
}

static bool parse_recipe(char *line, size_t size, struct runtime_output *output)
{
    char *rest = line + 1;
    bool ends_blank = line[size - 1] == ' ';
    const char *word = take_word(&rest);
    for (size_t i = 0; word && i < ELEMENTS(rows); i++) {
        if (strcmp(rows[i].word, word) != 0)
            continue;
        /* Only a text can. */
        if (ends_blank && !strpbrk(rows[i].parts, "tp"))
            return false;
        output->kind = rows[i].kind;
        for (const char *part = rows[i].parts; *part; part++)
            if (!take_part(*part, &rest, output))
                return false;
        return *rest == '\0';
    }
    return false;
}

void runtime_output_parse(char *line, size_t size, struct runtime_output *ret_output)
{
    char copy[RECIPE_LINE_MAX + 1];
    clean(line, size);
    line[size] = '\0';
    struct runtime_output other = {RUNTIME_OUTPUT_OTHER, 0, 0, "", line};
    if (size > RECIPE_LINE_MAX || line[0] != RECIPE_MARK) {
        *ret_output = other;
        return;
    }
    memcpy(copy, line, size + 1);
    *ret_output = (struct runtime_output){.name = "", .text = ""};
    if (!parse_recipe(line, size, ret_output)) {
        memcpy(line, copy, size + 1);
        *ret_output = other;
    }
}

static void give(struct runtime_lines *lines, runtime_lines_each each, void *user)
{
    struct runtime_output output;
    runtime_output_parse(lines->buffer, lines->used, &output);
    lines->used = 0;
    lines->too_long = false;
    each(&output, user);
}

void runtime_lines_add(struct runtime_lines *lines, const char *bytes, size_t size, runtime_lines_each each, void *user)
{
    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        size_t length = end ? (size_t)(end - bytes) : size;
        size_t room = RECIPE_LINE_MAX - lines->used;
        size_t taken = length < room ? length : room;
        if (!lines->too_long) {
            memcpy(lines->buffer + lines->used, bytes, taken);
            lines->used += taken;
            lines->too_long = taken < length;
        }
        if (end)
            give(lines, each, user);
        bytes += length + (end ? 1 : 0);
        size -= length + (end ? 1 : 0);
    }
}

void runtime_lines_end(struct runtime_lines *lines, runtime_lines_each each, void *user)
{
    if (lines->used > 0)
        give(lines, each, user);
}
