/* The framing of gRPC messages: one byte of flags, four bytes of length (big-endian), the message. A pure decoder:
 * bytes in, whole messages out; it never holds more than one message, and never more memory than bytes that arrived
 * (twice). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRPC_FRAME_HEADER_SIZE 5U

struct grpc_frame_decoder {
    uint8_t header[GRPC_FRAME_HEADER_SIZE];
    size_t header_used;
    uint8_t *message; /* owned; @used bytes of it have arrived */
    size_t capacity;
    size_t used;
    uint32_t size; /* of the whole message, once the header is complete */
    uint32_t max;  /* the largest size that is accepted */
};

void grpc_frame_init(struct grpc_frame_decoder *decoder, uint32_t max);
/* Feeds bytes. @ret_taken says how many were used: decoding stops behind a whole message. 1: a whole message is there
 * (message, size); call grpc_frame_next before feeding on. 0: more bytes are needed. -EMSGSIZE: larger than max, with
 * decoder->size set. -EPROTO: the compressed flag, or another one, is set. -ENOMEM. */
int grpc_frame_feed(struct grpc_frame_decoder *decoder, const uint8_t *bytes, size_t size, size_t *ret_taken);
/* Forgets the message (its memory is kept for the next). */
void grpc_frame_next(struct grpc_frame_decoder *decoder);
/* True when a message has begun and is not complete. */
bool grpc_frame_is_partial(const struct grpc_frame_decoder *decoder);
void grpc_frame_done(struct grpc_frame_decoder *decoder);

void grpc_frame_write_header(uint8_t ret_header[GRPC_FRAME_HEADER_SIZE], uint32_t size);
