#include "builder/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

int json_open(struct json *json, int dir_fd, const char *name)
{
    json->fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (json->fd < 0)
        return -errno;
    json->result = 0;
    json->used = 0;
    json->digest = digest_new();
    if (!json->digest) {
        json->fd = fd_close(json->fd);
        return -ENOMEM;
    }
    digest_begin(json->digest);
    return 0;
}

static void flush(struct json *json)
{
    int r = json->result == 0 ? fd_write_all(json->fd, json->buffer, json->used) : 0;
    if (r < 0)
        json->result = r;
    digest_add(json->digest, json->buffer, json->used);
    json->used = 0;
}

static void put(struct json *json, const char *text, size_t size)
{
    while (size > 0) {
        size_t part = sizeof(json->buffer) - json->used;
        if (part > size)
            part = size;
        memcpy(json->buffer + json->used, text, part);
        json->used += part;
        text += part;
        size -= part;
        if (json->used == sizeof(json->buffer))
            flush(json);
    }
}

static size_t sequence(const char *text, size_t size)
{
    for (size_t length = 1; length <= 4 && length <= size; length++)
        if (text_is_utf8(text, length))
            return length;
    return 0;
}

static void put_byte(struct json *json, unsigned char byte)
{
    char escape[8];
    (void)snprintf(escape, sizeof(escape), byte < 0x80 ? "\\u00%02x" : "\\udc%02x", byte);
    put(json, escape, 6);
}

static void put_text(struct json *json, const char *text)
{
    put(json, "\"", 1);
    for (size_t left = strlen(text); left > 0;) {
        size_t length = sequence(text, left);
        unsigned char byte = (unsigned char)*text;
        if (length == 0 || byte < 0x20 || byte == 0x7f) {
            put_byte(json, byte);
            length = 1;
        } else {
            if (byte == '"' || byte == '\\')
                put(json, "\\", 1);
            put(json, text, length);
        }
        text += length;
        left -= length;
    }
    put(json, "\"", 1);
}

void json_begin(struct json *json)
{
    json->is_first = true;
    put(json, "{", 1);
}

static void put_key(struct json *json, const char *key)
{
    if (!json->is_first)
        put(json, ",", 1);
    json->is_first = false;
    put_text(json, key);
    put(json, ":", 1);
}

void json_text(struct json *json, const char *key, const char *value)
{
    put_key(json, key);
    put_text(json, value);
}

void json_number(struct json *json, const char *key, uint64_t value)
{
    char text[24];
    put_key(json, key);
    int size = snprintf(text, sizeof(text), "%" PRIu64, value);
    put(json, text, (size_t)size);
}

void json_bool(struct json *json, const char *key, bool value)
{
    put_key(json, key);
    put(json, value ? "true" : "false", value ? 4 : 5);
}

void json_end(struct json *json)
{
    put(json, "}\n", 2);
}

int json_close(struct json *json, uint8_t *ret_digest)
{
    uint8_t digest[DIGEST_SIZE];
    flush(json);
    int r = digest_end(json->digest, digest);
    if (json->result == 0)
        json->result = r;
    if (json->result == 0 && fsync(json->fd) < 0)
        json->result = -errno;
    digest_free(json->digest);
    json->fd = fd_close(json->fd);
    if (json->result == 0 && ret_digest)
        memcpy(ret_digest, digest, sizeof(digest));
    return json->result;
}

struct reader {
    char *next;
    char *end;
};

static bool take(struct reader *reader, char c)
{
    if (reader->next == reader->end || *reader->next != c)
        return false;
    reader->next++;
    return true;
}

/* "u00XX" or "udcXX" behind a backslash: the byte, or -1. Only bytes that must be escaped are. */
static int read_escape(struct reader *reader)
{
    if (reader->end - reader->next < 5)
        return -1;
    bool is_control = strncmp(reader->next, "u00", 3) == 0;
    if (!is_control && strncmp(reader->next, "udc", 3) != 0)
        return -1;
    char digits[3] = {reader->next[3], reader->next[4], '\0'};
    if (strspn(digits, "0123456789abcdef") != 2)
        return -1;
    reader->next += 5;
    int byte = (int)strtoul(digits, NULL, 16);
    bool fits = is_control ? (byte > 0 && byte < 0x20) || byte == 0x7f : byte >= 0x80;
    return fits ? byte : -1;
}

/* Reads a text in place; it becomes no longer. NULL when it is none. */
static char *read_text(struct reader *reader)
{
    if (!take(reader, '"'))
        return NULL;
    char *text = reader->next;
    char *to = text;
    while (reader->next < reader->end && *reader->next != '"') {
        unsigned char byte = (unsigned char)*reader->next++;
        if (byte < 0x20 || byte == 0x7f)
            return NULL;
        if (byte == '\\') {
            if (take(reader, '"')) {
                byte = '"';
            } else if (take(reader, '\\')) {
                byte = '\\';
            } else {
                int escaped = read_escape(reader);
                if (escaped < 0)
                    return NULL;
                byte = (unsigned char)escaped;
            }
        }
        *to++ = (char)byte;
    }
    if (!take(reader, '"'))
        return NULL;
    *to = '\0';
    return text;
}

static bool take_word(struct reader *reader, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(reader->end - reader->next) < size || memcmp(reader->next, word, size) != 0)
        return false;
    reader->next += size;
    return true;
}

static int read_number(struct reader *reader, uint64_t *ret_number)
{
    char digits[24];
    size_t count = 0;
    while (reader->next < reader->end && *reader->next >= '0' && *reader->next <= '9' && count < sizeof(digits) - 1)
        digits[count++] = *reader->next++;
    digits[count] = '\0';
    if (count > 1 && digits[0] == '0')
        return -EINVAL;
    return text_parse_u64(digits, UINT64_MAX, ret_number);
}

static int read_value(struct reader *reader, struct json_member *member)
{
    if (reader->next < reader->end && *reader->next == '"') {
        member->text = read_text(reader);
        return member->text ? 0 : -EINVAL;
    }
    if (take_word(reader, "true")) {
        member->number = 1;
        return 0;
    }
    if (take_word(reader, "false"))
        return 0;
    return read_number(reader, &member->number);
}

int json_read(char *line, size_t size, struct json_member members[JSON_MEMBERS_MAX])
{
    struct reader reader = {line, line + size};
    int count = 0;
    if (!take(&reader, '{'))
        return -EINVAL;
    do {
        if (count == (int)JSON_MEMBERS_MAX)
            return -EINVAL;
        struct json_member *member = &members[count++];
        *member = (struct json_member){.key = read_text(&reader)};
        if (!member->key || !take(&reader, ':') || read_value(&reader, member) < 0)
            return -EINVAL;
    } while (take(&reader, ','));
    return take(&reader, '}') && reader.next == reader.end ? count : -EINVAL;
}

const char *json_find_text(const struct json_member *members, int count, const char *key)
{
    for (int i = 0; i < count; i++)
        if (strcmp(members[i].key, key) == 0)
            return members[i].text;
    return NULL;
}

int json_find_number(const struct json_member *members, int count, const char *key, uint64_t *ret_number)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(members[i].key, key) == 0 && !members[i].text) {
            *ret_number = members[i].number;
            return 0;
        }
    }
    return -ENOENT;
}
