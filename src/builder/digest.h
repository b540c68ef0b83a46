/* SHA-256, by OpenSSL. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE 32U
#define DIGEST_HEX_MAX 65U

struct digest;

/* NULL without memory. Any thread; one thread at a time for each. */
struct digest *digest_new(void);
void digest_free(struct digest *digest);
void digest_freep(struct digest **digest);
/* Starts anew, also after an end. Failures are told by digest_end. */
void digest_begin(struct digest *digest);
void digest_add(struct digest *digest, const void *data, size_t size);
/* 0 or -EIO. */
int digest_end(struct digest *digest, uint8_t ret_digest[DIGEST_SIZE]);

void digest_format(const uint8_t digest[DIGEST_SIZE], char ret_hex[DIGEST_HEX_MAX]);
/* Exactly 64 small hexadecimal digits. 0 or -EINVAL. */
int digest_parse(const char *hex, size_t size, uint8_t ret_digest[DIGEST_SIZE]);
