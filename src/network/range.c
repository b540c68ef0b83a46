#include "network/range.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

uint32_t range_mask(uint32_t prefix_length)
{
    return prefix_length == 0 ? 0 : UINT32_MAX << (32 - prefix_length);
}

bool range_contains(const struct plan_route *outer, const struct plan_route *inner)
{
    return outer->prefix_length <= inner->prefix_length &&
           (inner->address & range_mask(outer->prefix_length)) == outer->address;
}

bool range_overlaps(const struct plan_route *one, const struct plan_route *other)
{
    return range_contains(one, other) || range_contains(other, one);
}

int range_parse(const char *text, struct plan_route *ret_range)
{
    char address[RANGE_TEXT_MAX];
    const char *slash = strchr(text, '/');
    struct in_addr parsed;
    uint64_t length;
    if (!slash || (size_t)(slash - text) >= sizeof(address))
        return -EINVAL;
    (void)snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
    if (inet_pton(AF_INET, address, &parsed) != 1 || text_parse_u64(slash + 1, 32, &length) < 0)
        return -EINVAL;
    const struct plan_route range = {.address = ntohl(parsed.s_addr), .prefix_length = (uint32_t)length};
    if (range.address & ~range_mask(range.prefix_length))
        return -EINVAL;
    *ret_range = range;
    return 0;
}

void range_format_address(uint32_t address, char ret_text[RANGE_TEXT_MAX])
{
    (void)snprintf(ret_text, RANGE_TEXT_MAX, "%u.%u.%u.%u", address >> 24, (address >> 16) & 255, (address >> 8) & 255,
            address & 255);
}

void range_format(const struct plan_route *range, char ret_text[RANGE_TEXT_MAX])
{
    char address[RANGE_TEXT_MAX];
    range_format_address(range->address, address);
    (void)snprintf(
            ret_text, RANGE_TEXT_MAX, "%.15s/%u", address, range->prefix_length > 32 ? 32 : range->prefix_length);
}

static int add_whole(struct ranges *ranges, const struct plan_route *range)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ranges->count; i++) {
        if (range_contains(&ranges->at[i], range))
            return 0; /* then nothing was taken out: no range lies within another */
        if (!range_contains(range, &ranges->at[i]))
            ranges->at[kept++] = ranges->at[i];
    }
    ranges->count = kept;
    if (kept == PLAN_ROUTES_MAX)
        return -E2BIG;
    ranges->at[ranges->count++] = *range;
    return 0;
}

int ranges_add(struct ranges *ranges, struct plan_route range, const uint32_t holes[], unsigned hole_count)
{
    /* The halves that are still to be looked at; each is one bit longer than the one before it. */
    struct plan_route left[34];
    unsigned count = 0;
    left[count++] = range;
    while (count > 0) {
        const struct plan_route part = left[--count];
        bool has_hole = false;
        for (unsigned i = 0; i < hole_count && !has_hole; i++)
            has_hole = (holes[i] & range_mask(part.prefix_length)) == part.address;
        if (!has_hole) {
            int r = add_whole(ranges, &part);
            if (r < 0)
                return r;
        } else if (part.prefix_length < 32) {
            const uint32_t length = part.prefix_length + 1;
            left[count++] = (struct plan_route){part.address, length};
            left[count++] = (struct plan_route){part.address | (1U << (32 - length)), length};
        }
    }
    return 0;
}
