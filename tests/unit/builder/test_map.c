#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/fd.h"
#include "builder/map.h"

static void test_map(void **state)
{
    (void)state;
    struct map map;
    assert_int_equal(map_init(&map, 100000), 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 100000; i++) {
            char text[32];
            uint32_t number;
            int size = snprintf(text, sizeof(text), "/%u/%u", i % 7, i);
            assert_int_equal(map_add(&map, text, (size_t)size, &number), 0);
            assert_int_equal(number, i);
        }
    }
    uint32_t number;
    assert_int_equal(map_add(&map, "more", 4, &number), -E2BIG);
    assert_int_equal(map_find(&map, "more", 4), MAP_NONE);
    assert_int_equal(map_find(&map, "/0/0xyz", 4), 0);
    assert_string_equal(map.texts[99999], "/4/99999");
    map_done(&map);
    assert_int_equal(map_find(&map, "/0/0", 4), MAP_NONE);
}

/* Sizes around the words of the hash, a NUL in the text, and texts larger than a block. */
static void test_sizes(void **state)
{
    (void)state;
    struct map map;
    char *text = calloc(1, 200000);
    assert_int_equal(map_init(&map, 1000), 0);
    for (uint32_t size = 0; size < 64; size++) {
        uint32_t number;
        assert_int_equal(map_add(&map, text, size, &number), 0);
        assert_int_equal(number, size);
        assert_int_equal(map_find(&map, text, size), size);
    }
    uint32_t number;
    assert_int_equal(map_add(&map, text, 200000, &number), 0);
    assert_int_equal(map_find(&map, text, 200000), 64);
    assert_int_equal(map_find(&map, text, 199999), MAP_NONE);
    free(text);
    map_done(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_map),
            cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
