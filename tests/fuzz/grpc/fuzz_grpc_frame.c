/* A stream of framed messages, cut into pieces as the first byte says. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t piece = (size_t)data[0] + 1;
    struct grpc_frame_decoder decoder;
    grpc_frame_init(&decoder, 1U << 16);
    for (size_t at = 1; at < size;) {
        size_t part = size - at < piece ? size - at : piece;
        size_t taken = 0;
        int r = grpc_frame_feed(&decoder, data + at, part, &taken);
        assert(taken <= part);
        assert(decoder.used <= decoder.capacity && decoder.capacity <= 2 * (size + 2048));
        if (r < 0) {
            assert(decoder.message == NULL || decoder.used == 0);
            break;
        }
        assert(taken > 0);
        at += taken;
        if (r == 1) {
            assert(decoder.used == decoder.size && !grpc_frame_is_partial(&decoder));
            grpc_frame_next(&decoder);
        }
    }
    grpc_frame_done(&decoder);
    return 0;
}
