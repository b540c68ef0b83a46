/* A look at the bytes of a message before protobuf-c gets them. protobuf-c ends a string at its first NUL, does not
 * look at its encoding, and turns two bytes of an empty message into a hundred of memory; so these bytes are walked
 * first, by the same descriptors. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Fields in one message, those of its submessages included: arguments and environment at their maxima, and room. */
#define WIRE_FIELDS_MAX 400000U
#define WIRE_DEPTH_MAX 8U

/* 0; -EINVAL with @error when @bytes is not a well-formed message of @descriptor, a string is not UTF-8 or holds NUL
 * (the field is named, the value is not: it may be a secret), or a maximum is passed. Any thread. */
int wire_check(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size, struct error *error);

/* Checks and unpacks. NULL with @error. The caller frees it with protobuf_c_message_free_unpacked. */
ProtobufCMessage *wire_unpack(
        const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size, struct error *error);

/* A varint of @value at @out (at most 10 bytes). Returns how many bytes it has. */
size_t wire_put_varint(uint8_t *out, uint64_t value);
