/* BLAKE2b-256 (RFC 7693, without a key). OpenSSL before 3.2 has only the digest of 64 bytes, which is another one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BLAKE2B_SIZE 32U
#define BLAKE2B_BLOCK 128U

struct blake2b {
    uint64_t state[8];
    uint64_t bytes; /* that went in */
    size_t used;    /* of the block */
    uint8_t block[BLAKE2B_BLOCK];
};

void blake2b_begin(struct blake2b *digest);
void blake2b_add(struct blake2b *digest, const void *data, size_t size);
void blake2b_end(struct blake2b *digest, uint8_t ret_digest[BLAKE2B_SIZE]);
