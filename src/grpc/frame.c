#include "grpc/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 4096U

void grpc_frame_init(struct grpc_frame_decoder *decoder, uint32_t max)
{
    *decoder = (struct grpc_frame_decoder){.max = max};
}

static uint32_t header_size(const uint8_t *header)
{
    return (uint32_t)header[1] << 24 | (uint32_t)header[2] << 16 | (uint32_t)header[3] << 8 | header[4];
}

/* Room for @more bytes of the message. The declared size is not believed before its bytes are there. */
static int reserve(struct grpc_frame_decoder *decoder, size_t more)
{
    size_t wanted = decoder->used + more;
    if (wanted <= decoder->capacity)
        return 0;
    size_t capacity = decoder->capacity ? decoder->capacity : FIRST_CAPACITY;
    while (capacity < wanted)
        capacity *= 2;
    if (capacity > decoder->size)
        capacity = decoder->size;
    uint8_t *message = realloc(decoder->message, capacity);
    if (!message)
        return -ENOMEM;
    decoder->message = message;
    decoder->capacity = capacity;
    return 0;
}

static void take_header(struct grpc_frame_decoder *decoder, const uint8_t *bytes, size_t size, size_t *ret_taken)
{
    size_t missing = GRPC_FRAME_HEADER_SIZE - decoder->header_used;
    size_t taken = size < missing ? size : missing;
    memcpy(decoder->header + decoder->header_used, bytes, taken);
    decoder->header_used += taken;
    *ret_taken = taken;
    if (decoder->header_used == GRPC_FRAME_HEADER_SIZE)
        decoder->size = header_size(decoder->header);
}

/* Asked for each time: a decoder that refused once never goes on. */
static int check_header(const struct grpc_frame_decoder *decoder)
{
    if (decoder->header_used < GRPC_FRAME_HEADER_SIZE)
        return 0;
    if (decoder->header[0] != 0)
        return -EPROTO;
    return decoder->size > decoder->max ? -EMSGSIZE : 0;
}

int grpc_frame_feed(struct grpc_frame_decoder *decoder, const uint8_t *bytes, size_t size, size_t *ret_taken)
{
    size_t taken = 0;
    if (decoder->header_used < GRPC_FRAME_HEADER_SIZE)
        take_header(decoder, bytes, size, &taken);
    *ret_taken = taken;
    int r = check_header(decoder);
    if (r < 0 || decoder->header_used < GRPC_FRAME_HEADER_SIZE)
        return r;
    size_t missing = decoder->size - decoder->used;
    size_t more = size - taken < missing ? size - taken : missing;
    r = reserve(decoder, more);
    if (r < 0)
        return r;
    if (more > 0)
        memcpy(decoder->message + decoder->used, bytes + taken, more);
    decoder->used += more;
    *ret_taken = taken + more;
    return decoder->used == decoder->size ? 1 : 0;
}

void grpc_frame_next(struct grpc_frame_decoder *decoder)
{
    decoder->header_used = 0;
    decoder->used = 0;
    decoder->size = 0;
}

bool grpc_frame_is_partial(const struct grpc_frame_decoder *decoder)
{
    return decoder->header_used > 0 && (decoder->header_used < GRPC_FRAME_HEADER_SIZE || decoder->used < decoder->size);
}

void grpc_frame_done(struct grpc_frame_decoder *decoder)
{
    free(decoder->message);
    *decoder = (struct grpc_frame_decoder){.max = decoder->max};
}

void grpc_frame_write_header(uint8_t ret_header[GRPC_FRAME_HEADER_SIZE], uint32_t size)
{
    ret_header[0] = 0;
    ret_header[1] = (uint8_t)(size >> 24);
    ret_header[2] = (uint8_t)(size >> 16);
    ret_header[3] = (uint8_t)(size >> 8);
    ret_header[4] = (uint8_t)size;
}
