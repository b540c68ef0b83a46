/* FNV-1a over 64 bits: tells one content from another one, finds what is torn, fills tables. Not against anybody who
 * wants two contents alike. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HASH_BEGIN 14695981039346656037ULL

/* Goes on from @sum, HASH_BEGIN at first. */
static inline uint64_t hash_add(uint64_t sum, const void *content, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)content;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ bytes[i]) * 1099511628211ULL;
    return sum;
}
