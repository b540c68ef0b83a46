/* Networks as numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "network/range.h"

static struct plan_route range_of(const char *text)
{
    struct plan_route range;
    if (range_parse(text, &range) < 0)
        fail_msg("'%s'", text);
    return range;
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {"0.0.0.0/0", "10.0.0.0/8", "255.255.255.255/32", "192.168.1.128/25"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[RANGE_TEXT_MAX];
        const struct plan_route range = range_of(texts[i]);
        range_format(&range, text);
        assert_string_equal(text, texts[i]);
    }
}

static void test_overlaps(void **state)
{
    (void)state;
    const struct plan_route all = range_of("0.0.0.0/0");
    const struct plan_route ten = range_of("10.0.0.0/8");
    const struct plan_route inner = range_of("10.200.0.0/16");
    const struct plan_route other = range_of("11.0.0.0/8");
    assert_true(range_contains(&all, &ten) && range_contains(&ten, &inner) && range_contains(&ten, &ten));
    assert_false(range_contains(&inner, &ten));
    assert_true(range_overlaps(&inner, &ten) && range_overlaps(&ten, &inner) && range_overlaps(&all, &other));
    assert_false(range_overlaps(&ten, &other) || range_overlaps(&inner, &other));
}

static bool covers(const struct ranges *ranges, uint32_t address)
{
    const struct plan_route one = {address, 32};
    unsigned count = 0;
    for (uint32_t i = 0; i < ranges->count; i++)
        count += range_contains(&ranges->at[i], &one);
    assert_true(count <= 1); /* none within another */
    return count == 1;
}

/* Whatever was added is covered, but the holes; against a plain map of 2^10 addresses. */
static void test_lists_against_a_map(void **state)
{
    (void)state;
    srandom(4711);
    for (unsigned round = 0; round < 300; round++) {
        struct ranges ranges = {0};
        bool map[1024] = {0};
        uint32_t holes[3];
        unsigned hole_count = (unsigned)random() % 4;
        for (unsigned i = 0; i < hole_count; i++)
            holes[i] = 0x0a000000 + (uint32_t)random() % 1024;
        for (unsigned i = 0; i < 8; i++) {
            const uint32_t length = 22 + (uint32_t)random() % 11;
            const uint32_t address = (0x0a000000 + (uint32_t)random() % 1024) & range_mask(length);
            assert_int_equal(ranges_add(&ranges, (struct plan_route){address, length}, holes, hole_count), 0);
            for (uint32_t j = 0; j < 1U << (32 - length); j++)
                map[address - 0x0a000000 + j] = true;
        }
        for (unsigned i = 0; i < hole_count; i++)
            map[holes[i] - 0x0a000000] = false;
        for (uint32_t i = 0; i < 1024; i++)
            assert_int_equal(covers(&ranges, 0x0a000000 + i), map[i]);
        assert_false(covers(&ranges, 0x09ffffff) || covers(&ranges, 0x0a000400));
    }
}

static void test_a_full_list_is_an_error(void **state)
{
    (void)state;
    struct ranges ranges = {0};
    for (uint32_t i = 0; i < PLAN_ROUTES_MAX; i++)
        assert_int_equal(ranges_add(&ranges, (struct plan_route){i * 2, 32}, NULL, 0), 0);
    assert_int_equal(ranges_add(&ranges, (struct plan_route){1, 32}, NULL, 0), -E2BIG);
    assert_int_equal(ranges_add(&ranges, (struct plan_route){4, 32}, NULL, 0), 0);
    assert_int_equal(ranges_add(&ranges, range_of("0.0.0.0/8"), NULL, 0), 0);
    assert_int_equal(ranges.count, 1);
    const uint32_t hole = 0;
    ranges.count = 0;
    assert_int_equal(ranges_add(&ranges, range_of("0.0.0.0/0"), &hole, 1), 0);
    assert_int_equal(ranges.count, 32);
    assert_int_equal(ranges_add(&ranges, (struct plan_route){hole, 32}, &hole, 1), 0);
    assert_int_equal(ranges.count, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_texts),
            cmocka_unit_test(test_overlaps),
            cmocka_unit_test(test_lists_against_a_map),
            cmocka_unit_test(test_a_full_list_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
