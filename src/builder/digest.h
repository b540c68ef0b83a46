/* SHA-256, and SHA-512 where somebody else's names are made of it, by OpenSSL. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE 32U
#define DIGEST_HEX_MAX 65U
#define DIGEST_SHA512_SIZE 64U
#define DIGEST_SHA512_HEX_MAX 129U

struct digest;

/* NULL without memory. Any thread; one thread at a time for each. */
struct digest *digest_new(void);
/* Its digest_end gives DIGEST_SHA512_SIZE bytes. */
struct digest *digest_new_sha512(void);
void digest_free(struct digest *digest);
void digest_freep(struct digest **digest);
/* Starts anew, also after an end. Failures are told by digest_end. */
void digest_begin(struct digest *digest);
void digest_add(struct digest *digest, const void *data, size_t size);
/* 0 or -EIO. */
int digest_end(struct digest *digest, uint8_t *ret_digest);

void digest_format(const uint8_t digest[DIGEST_SIZE], char ret_hex[DIGEST_HEX_MAX]);
/* Any number of bytes; @ret_hex has room for two digits each and a NUL. */
void digest_format_bytes(const uint8_t *bytes, size_t size, char *ret_hex);
/* Exactly 64 small hexadecimal digits. 0 or -EINVAL. */
int digest_parse(const char *hex, size_t size, uint8_t ret_digest[DIGEST_SIZE]);
