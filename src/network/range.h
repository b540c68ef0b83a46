/* Networks of IPv4 as numbers: a first address and a length, host byte order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plan/plan.h"

uint32_t range_mask(uint32_t prefix_length);
bool range_overlaps(const struct plan_route *one, const struct plan_route *other);
/* True when @inner lies in @outer, or is it. */
bool range_contains(const struct plan_route *outer, const struct plan_route *inner);
/* "10.0.0.0/8", strictly: four decimal numbers and a length, no bit set behind it. 0 or -EINVAL. */
int range_parse(const char *text, struct plan_route *ret_range);
#define RANGE_TEXT_MAX 20U
void range_format(const struct plan_route *range, char ret_text[RANGE_TEXT_MAX]);
void range_format_address(uint32_t address, char ret_text[RANGE_TEXT_MAX]);

/* A list of ranges, none within another. */
struct ranges {
    uint32_t count;
    struct plan_route at[PLAN_ROUTES_MAX];
};
/* Adds @range without the addresses @holes: in as many parts as that takes. What lies within one that is there is not
 * added; what lies within @range is taken out. 0 or -E2BIG. */
int ranges_add(struct ranges *ranges, struct plan_route range, const uint32_t holes[], unsigned hole_count);
