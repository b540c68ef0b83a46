#include "rnx/json.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rnx/output.h"

void json_init(struct json *json, FILE *file, bool compact)
{
    *json = (struct json){.file = file, .compact = compact};
}

void json_done(struct json *json)
{
    assert(json->depth == 0);
    (void)fputc('\n', json->file);
}

static void json_newline(struct json *json)
{
    if (json->compact)
        return;
    (void)fputc('\n', json->file);
    for (unsigned i = 0; i < json->depth; i++)
        (void)fputs("  ", json->file);
}

/* What stands between the last thing and the next member. */
static void json_separate(struct json *json)
{
    if (json->after_key) {
        json->after_key = false;
        return;
    }
    if (json->depth == 0)
        return;
    if (json->filled[json->depth - 1])
        (void)fputc(',', json->file);
    json->filled[json->depth - 1] = true;
    json_newline(json);
}

static void json_begin(struct json *json, char bracket)
{
    assert(json->depth < JSON_DEPTH_MAX);
    json_separate(json);
    (void)fputc(bracket, json->file);
    json->filled[json->depth++] = false;
}

static void json_end(struct json *json, char bracket)
{
    assert(json->depth > 0);
    json->depth--;
    if (json->filled[json->depth])
        json_newline(json);
    (void)fputc(bracket, json->file);
}

void json_begin_object(struct json *json)
{
    json_begin(json, '{');
}

void json_end_object(struct json *json)
{
    json_end(json, '}');
}

void json_begin_list(struct json *json)
{
    json_begin(json, '[');
}

void json_end_list(struct json *json)
{
    json_end(json, ']');
}

void json_key(struct json *json, const char *key)
{
    json_text(json, key);
    (void)fputs(json->compact ? ":" : ": ", json->file);
    json->after_key = true;
}

static void escape_byte(FILE *file, unsigned char byte)
{
    static const char *const named[128] = {['"'] = "\\\"",
            ['\\'] = "\\\\",
            ['\b'] = "\\b",
            ['\f'] = "\\f",
            ['\n'] = "\\n",
            ['\r'] = "\\r",
            ['\t'] = "\\t"};
    if (named[byte])
        (void)fputs(named[byte], file);
    else if (byte < 0x20 || byte == '<' || byte == '>' || byte == '&')
        (void)fprintf(file, "\\u%04x", byte);
    else
        (void)fputc(byte, file);
}

static void escape_character(FILE *file, const unsigned char *bytes, size_t size)
{
    if (size == 3 && memcmp(bytes, "\xe2\x80\xa8", 3) == 0)
        (void)fputs("\\u2028", file);
    else if (size == 3 && memcmp(bytes, "\xe2\x80\xa9", 3) == 0)
        (void)fputs("\\u2029", file);
    else
        (void)fwrite(bytes, 1, size, file);
}

void json_bytes(struct json *json, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    json_separate(json);
    (void)fputc('"', json->file);
    for (size_t i = 0; i < size;) {
        if (bytes[i] < 0x80) {
            escape_byte(json->file, bytes[i++]);
            continue;
        }
        size_t length = output_character_size(bytes + i, size - i);
        if (length == 0) {
            (void)fputs("\\ufffd", json->file);
            i++;
            continue;
        }
        escape_character(json->file, bytes + i, length);
        i += length;
    }
    (void)fputc('"', json->file);
}

void json_text(struct json *json, const char *text)
{
    json_bytes(json, text, strlen(text));
}

void json_integer(struct json *json, int64_t value)
{
    json_separate(json);
    (void)fprintf(json->file, "%lld", (long long)value);
}

/* As Go: plain digits from 1e-6 to below 1e21, otherwise with an exponent that has no leading zero. */
void json_number(struct json *json, double value)
{
    json_separate(json);
    if (!isfinite(value) || fpclassify(value) == FP_ZERO) {
        (void)fputc('0', json->file);
        return;
    }
    char text[32];
    int digits = 0;
    do
        (void)snprintf(text, sizeof(text), "%.*e", digits, value);
    while (strtod(text, NULL) != value && ++digits < 17);
    char *exponent_text = strchr(text, 'e');
    int exponent = atoi(exponent_text + 1);
    if (exponent >= -6 && exponent < 21) {
        int decimals = digits - exponent;
        (void)fprintf(json->file, "%.*f", decimals > 0 ? decimals : 0, value);
        return;
    }
    *exponent_text = '\0';
    (void)fprintf(json->file, "%se%s%d", text, exponent > 0 ? "+" : "", exponent);
}

void json_bool(struct json *json, bool value)
{
    json_separate(json);
    (void)fputs(value ? "true" : "false", json->file);
}

void json_null(struct json *json)
{
    json_separate(json);
    (void)fputs("null", json->file);
}

void json_put_text(struct json *json, const char *key, const char *text)
{
    json_key(json, key);
    json_text(json, text);
}

void json_put_text_set(struct json *json, const char *key, const char *text)
{
    if (*text)
        json_put_text(json, key, text);
}

void json_put_integer(struct json *json, const char *key, int64_t value)
{
    json_key(json, key);
    json_integer(json, value);
}

void json_put_integer_set(struct json *json, const char *key, int64_t value)
{
    if (value != 0)
        json_put_integer(json, key, value);
}

void json_put_number(struct json *json, const char *key, double value)
{
    json_key(json, key);
    json_number(json, value);
}

void json_put_number_set(struct json *json, const char *key, double value)
{
    if (fpclassify(value) != FP_ZERO)
        json_put_number(json, key, value);
}

void json_put_bool(struct json *json, const char *key, bool value)
{
    json_key(json, key);
    json_bool(json, value);
}

void json_put_texts(struct json *json, const char *key, char *const *texts, size_t count)
{
    json_key(json, key);
    if (count == 0) {
        json_null(json);
        return;
    }
    json_begin_list(json);
    for (size_t i = 0; i < count; i++)
        json_text(json, texts[i]);
    json_end_list(json);
}

void json_put_texts_set(struct json *json, const char *key, char *const *texts, size_t count)
{
    if (count > 0)
        json_put_texts(json, key, texts, count);
}
