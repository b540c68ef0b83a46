#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "grpc/frame.h"

/* Two messages, an empty one between them, cut into pieces of each size. */
static void test_all_cuts(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0, 0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 'd', 'e'};
    static const char *const expected[] = {"abc", "", "de"};
    for (size_t piece = 1; piece <= sizeof(bytes); piece++) {
        struct grpc_frame_decoder decoder;
        grpc_frame_init(&decoder, 100);
        size_t messages = 0;
        for (size_t at = 0; at < sizeof(bytes);) {
            size_t size = sizeof(bytes) - at < piece ? sizeof(bytes) - at : piece;
            size_t taken;
            int r = grpc_frame_feed(&decoder, bytes + at, size, &taken);
            assert_true(r >= 0 && taken <= size);
            at += taken;
            if (r == 1) {
                assert_true(messages < 3);
                assert_int_equal(decoder.size, strlen(expected[messages]));
                assert_true(decoder.size == 0 || memcmp(decoder.message, expected[messages], decoder.size) == 0);
                messages++;
                grpc_frame_next(&decoder);
            }
        }
        assert_int_equal(messages, 3);
        assert_false(grpc_frame_is_partial(&decoder));
        grpc_frame_done(&decoder);
    }
}

static void test_limit(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0, 0xff, 0xff, 0xff, 0xff, 'x'};
    struct grpc_frame_decoder decoder;
    size_t taken;
    grpc_frame_init(&decoder, 1000);
    assert_int_equal(grpc_frame_feed(&decoder, bytes, sizeof(bytes), &taken), -EMSGSIZE);
    assert_int_equal(decoder.capacity, 0);
    /* It stays so, whatever comes. */
    assert_int_equal(grpc_frame_feed(&decoder, bytes, sizeof(bytes), &taken), -EMSGSIZE);
    assert_int_equal(decoder.capacity, 0);
    grpc_frame_done(&decoder);
}

/* A declared size costs nothing before its bytes are there. */
static void test_declared_size_is_not_allocated(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0, 0x07, 0xff, 0xff, 0xff, 'x'};
    struct grpc_frame_decoder decoder;
    size_t taken;
    grpc_frame_init(&decoder, 128U << 20);
    assert_int_equal(grpc_frame_feed(&decoder, bytes, sizeof(bytes), &taken), 0);
    assert_int_equal(taken, sizeof(bytes));
    assert_true(decoder.capacity <= 4096);
    assert_true(grpc_frame_is_partial(&decoder));
    grpc_frame_done(&decoder);
}

static void test_flags(void **state)
{
    (void)state;
    for (unsigned flag = 1; flag < 256; flag++) {
        const uint8_t bytes[] = {(uint8_t)flag, 0, 0, 0, 0};
        struct grpc_frame_decoder decoder;
        size_t taken;
        grpc_frame_init(&decoder, 10);
        assert_int_equal(grpc_frame_feed(&decoder, bytes, sizeof(bytes), &taken), -EPROTO);
        grpc_frame_done(&decoder);
    }
}

static void test_header(void **state)
{
    (void)state;
    uint8_t header[GRPC_FRAME_HEADER_SIZE];
    grpc_frame_write_header(header, 0x01020304);
    static const uint8_t expected[] = {0, 1, 2, 3, 4};
    assert_memory_equal(header, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_all_cuts),
            cmocka_unit_test(test_limit),
            cmocka_unit_test(test_declared_size_is_not_allocated),
            cmocka_unit_test(test_flags),
            cmocka_unit_test(test_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
