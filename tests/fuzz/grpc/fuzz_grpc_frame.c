/* Any bytes, cut at any place: the decoder takes them, or says why not, and never holds more than twice what arrived.
 */
#include <stdint.h>
#include <stdlib.h>

#include "grpc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t piece = (size_t)data[0] + 1;
    struct grpc_frame_decoder decoder;
    grpc_frame_init(&decoder, 1 << 16);
    for (size_t at = 1; at < size;) {
        size_t part = size - at < piece ? size - at : piece;
        size_t taken = 0;
        int r = grpc_frame_feed(&decoder, data + at, part, &taken);
        if (r < 0)
            break;
        if (taken > part || decoder.capacity > 2 * size + 4096 || (r == 1 && decoder.used != decoder.size))
            abort();
        at += taken;
        if (r == 1)
            grpc_frame_next(&decoder);
        else if (taken == 0)
            abort();
    }
    grpc_frame_done(&decoder);
    return 0;
}
