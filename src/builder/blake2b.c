#include "builder/blake2b.h"

#include <stdbool.h>
#include <string.h>

#define ROUNDS 12U

static const uint64_t start[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
        0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

/* The last two rounds take the first two rows again. */
static const uint8_t order[10][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
        {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
        {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
        {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
        {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
        {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint64_t rotate(uint64_t word, unsigned bits)
{
    return word >> bits | word << (64 - bits);
}

static void mix(uint64_t v[16], const unsigned at[4], uint64_t x, uint64_t y)
{
    uint64_t *a = &v[at[0]];
    uint64_t *b = &v[at[1]];
    uint64_t *c = &v[at[2]];
    uint64_t *d = &v[at[3]];
    *a += *b + x;
    *d = rotate(*d ^ *a, 32);
    *c += *d;
    *b = rotate(*b ^ *c, 24);
    *a += *b + y;
    *d = rotate(*d ^ *a, 16);
    *c += *d;
    *b = rotate(*b ^ *c, 63);
}

static void compress(struct blake2b *digest, bool is_last)
{
    static const unsigned at[8][4] = {{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15}, {0, 5, 10, 15},
            {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14}};
    uint64_t words[16];
    uint64_t v[16];
    for (size_t i = 0; i < 16; i++) {
        words[i] = 0;
        for (size_t byte = 8; byte > 0; byte--)
            words[i] = words[i] << 8 | digest->block[8 * i + byte - 1];
    }
    memcpy(v, digest->state, sizeof(digest->state));
    memcpy(v + 8, start, sizeof(start));
    v[12] ^= digest->bytes;
    if (is_last)
        v[14] = ~v[14];
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < 8; i++)
            mix(v, at[i], words[order[round % 10][2 * i]], words[order[round % 10][2 * i + 1]]);
    for (size_t i = 0; i < 8; i++)
        digest->state[i] ^= v[i] ^ v[i + 8];
}

void blake2b_begin(struct blake2b *digest)
{
    *digest = (struct blake2b){0};
    memcpy(digest->state, start, sizeof(start));
    digest->state[0] ^= 0x01010000 ^ BLAKE2B_SIZE;
}

void blake2b_add(struct blake2b *digest, const void *data, size_t size)
{
    const uint8_t *from = data;
    while (size > 0) {
        if (digest->used == BLAKE2B_BLOCK) { /* the last block of all is blake2b_end's */
            compress(digest, /* is_last= */ false);
            digest->used = 0;
        }
        size_t part = BLAKE2B_BLOCK - digest->used < size ? BLAKE2B_BLOCK - digest->used : size;
        memcpy(digest->block + digest->used, from, part);
        digest->used += part;
        digest->bytes += part;
        from += part;
        size -= part;
    }
}

void blake2b_end(struct blake2b *digest, uint8_t ret_digest[BLAKE2B_SIZE])
{
    memset(digest->block + digest->used, 0, BLAKE2B_BLOCK - digest->used);
    compress(digest, /* is_last= */ true);
    for (size_t i = 0; i < BLAKE2B_SIZE; i++)
        ret_digest[i] = (uint8_t)(digest->state[i / 8] >> (8 * (i % 8)));
}
