#include "builder/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>

struct digest {
    EVP_MD *type;
    EVP_MD_CTX *context;
    bool is_good;
};

static struct digest *new (const char *name)
{
    struct digest *digest = calloc(1, sizeof(*digest));
    if (!digest)
        return NULL;
    digest->type = EVP_MD_fetch(NULL, name, NULL);
    digest->context = EVP_MD_CTX_new();
    if (digest->type && digest->context)
        return digest;
    digest_free(digest);
    return NULL;
}

struct digest *digest_new(void)
{
    return new ("SHA256");
}

struct digest *digest_new_sha512(void)
{
    return new ("SHA512");
}

void digest_free(struct digest *digest)
{
    if (!digest)
        return;
    EVP_MD_CTX_free(digest->context);
    EVP_MD_free(digest->type);
    free(digest);
}

void digest_freep(struct digest **digest)
{
    digest_free(*digest);
}

void digest_begin(struct digest *digest)
{
    digest->is_good = EVP_DigestInit_ex(digest->context, digest->type, NULL) == 1;
}

void digest_add(struct digest *digest, const void *data, size_t size)
{
    digest->is_good = digest->is_good && EVP_DigestUpdate(digest->context, data, size) == 1;
}

int digest_end(struct digest *digest, uint8_t *ret_digest)
{
    return digest->is_good && EVP_DigestFinal_ex(digest->context, ret_digest, NULL) == 1 ? 0 : -EIO;
}

void digest_format_bytes(const uint8_t *bytes, size_t size, char *ret_hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        ret_hex[2 * i] = digits[bytes[i] >> 4];
        ret_hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_hex[2 * size] = '\0';
}

void digest_format(const uint8_t digest[DIGEST_SIZE], char ret_hex[DIGEST_HEX_MAX])
{
    digest_format_bytes(digest, DIGEST_SIZE, ret_hex);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int digest_parse(const char *hex, size_t size, uint8_t ret_digest[DIGEST_SIZE])
{
    uint8_t bytes[DIGEST_SIZE];
    if (size != 2 * DIGEST_SIZE)
        return -EINVAL;
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        int high = digit(hex[2 * i]);
        int low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        ret_digest[i] = bytes[i];
    return 0;
}
