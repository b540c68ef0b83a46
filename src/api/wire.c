#include "api/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/text.h"

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct cursor {
    const uint8_t *next;
    const uint8_t *end;
};

struct walk {
    unsigned fields;
    struct error *error;
};

static bool cursor_varint(struct cursor *cursor, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (cursor->next == cursor->end)
            return false;
        uint8_t byte = *cursor->next++;
        /* The tenth byte holds the highest bit alone. */
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* Takes @size bytes as a cursor of their own. */
static bool cursor_take(struct cursor *cursor, uint64_t size, struct cursor *ret_bytes)
{
    if (size > (uint64_t)(cursor->end - cursor->next))
        return false;
    *ret_bytes = (struct cursor){cursor->next, cursor->next + size};
    cursor->next += size;
    return true;
}

static bool cursor_field(struct cursor *cursor, uint32_t *ret_number, unsigned *ret_type, struct cursor *ret_bytes)
{
    uint64_t key;
    uint64_t value;
    if (!cursor_varint(cursor, &key) || key >> 3 == 0 || key >> 3 > 536870911)
        return false;
    *ret_number = (uint32_t)(key >> 3);
    *ret_type = (unsigned)(key & 7);
    switch (*ret_type) {
    case WIRE_VARINT:
        return cursor_varint(cursor, &value);
    case WIRE_64:
        return cursor_take(cursor, 8, ret_bytes);
    case WIRE_BYTES:
        return cursor_varint(cursor, &value) && cursor_take(cursor, value, ret_bytes);
    case WIRE_32:
        return cursor_take(cursor, 4, ret_bytes);
    default: /* groups: not in proto3 */
        return false;
    }
}

static int check_string(const struct walk *walk, const char *name, const struct cursor *bytes)
{
    size_t size = (size_t)(bytes->end - bytes->next);
    if (size && memchr(bytes->next, '\0', size))
        return error_text(walk->error, EINVAL, "field '%s' contains a NUL byte", name);
    if (!text_is_utf8((const char *)bytes->next, size))
        return error_text(walk->error, EINVAL, "field '%s' is not valid UTF-8", name);
    return 0;
}

/* Recursion is bounded by WIRE_DEPTH_MAX. */
static int check_message(struct walk *walk, const ProtobufCMessageDescriptor *descriptor, struct cursor bytes,
        const char *name, unsigned depth)
{
    if (depth > WIRE_DEPTH_MAX)
        return error_text(walk->error, EINVAL, "malformed request: nested too deeply");
    while (bytes.next < bytes.end) {
        uint32_t number;
        unsigned type;
        struct cursor value = {0};
        if (!cursor_field(&bytes, &number, &type, &value))
            return error_text(walk->error, EINVAL, "malformed request");
        if (++walk->fields > WIRE_FIELDS_MAX)
            return error_text(walk->error, EINVAL, "malformed request: more than %u values", WIRE_FIELDS_MAX);
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(descriptor, number);
        if (!field || type != WIRE_BYTES)
            continue;
        /* The entries of a map are messages with "key" and "value": the map's name says more. */
        const char *field_name = name ? name : field->name;
        int r = 0;
        if (field->type == PROTOBUF_C_TYPE_STRING)
            r = check_string(walk, field_name, &value);
        else if (field->type == PROTOBUF_C_TYPE_MESSAGE)
            r = check_message(walk, field->descriptor, value, field_name, depth + 1);
        if (r < 0)
            return r;
    }
    return 0;
}

int wire_check(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size, struct error *error)
{
    struct walk walk = {.error = error};
    return size ? check_message(&walk, descriptor, (struct cursor){bytes, bytes + size}, NULL, 1) : 0;
}

ProtobufCMessage *wire_unpack(
        const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size, struct error *error)
{
    static const uint8_t empty[1];
    if (wire_check(descriptor, bytes, size, error) < 0)
        return NULL;
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, NULL, size, bytes ? bytes : empty);
    if (!message)
        (void)error_text(error, EINVAL, "malformed request");
    return message;
}

size_t wire_put_varint(uint8_t *out, uint64_t value)
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        out[size++] = (uint8_t)(value | 0x80);
    out[size++] = (uint8_t)value;
    return size;
}
