#include "audit/key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "audit/log.h"
#include "base/fd.h"

struct audit_key {
    EVP_PKEY *pkey;
};

void audit_key_free(struct audit_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

void audit_key_freep(struct audit_key **key)
{
    audit_key_free(*key);
}

static int take(EVP_PKEY *pkey, struct audit_key **ret_key, struct error *error)
{
    if (!pkey || EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519) {
        EVP_PKEY_free(pkey);
        return error_text(error, EINVAL, "this is no Ed25519 key in PEM form");
    }
    struct audit_key *key = malloc(sizeof(*key));
    if (!key) {
        EVP_PKEY_free(pkey);
        return error_errno(error, ENOMEM, "keep a key");
    }
    key->pkey = pkey;
    *ret_key = key;
    return 0;
}

/* Another's passphrase is not asked for. */
static int no_passphrase(char *buffer, int size, int writing, void *user)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static int write_pem(int config_fd, const char *path, EVP_PKEY *pkey, bool is_private, mode_t mode)
{
    const char *name = strrchr(path, '/') + 1;
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    int r = -ENOMEM;
    if (bio && (is_private ? PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL)
                           : PEM_write_bio_PUBKEY(bio, pkey)) == 1) {
        long size = BIO_get_mem_data(bio, &text);
        r = fd_replace_file_at(config_fd, name, text, (size_t)size, mode);
    }
    (void)BIO_free(bio);
    return r;
}

int audit_key_new(struct audit_key **ret_key, struct error *error)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return pkey ? take(pkey, ret_key, error) : error_text(error, EIO, "no Ed25519 key can be made");
}

int audit_key_write(const struct audit_key *key, int prefix_fd, struct error *error)
{
    _cleanup_close_ int config_fd = openat(prefix_fd, "config", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (config_fd < 0)
        return error_errno(error, errno, "open 'config'");
    /* The public half first: with the private one there, nothing is made any more. */
    int r = write_pem(config_fd, AUDIT_PUBLIC_FILE, key->pkey, /* is_private= */ false, 0644);
    if (r == 0)
        r = write_pem(config_fd, AUDIT_KEY_FILE, key->pkey, /* is_private= */ true, 0600);
    return r < 0 ? error_errno(error, -r, "write '%s'", AUDIT_KEY_FILE) : 0;
}

int audit_key_load(int prefix_fd, struct audit_key **ret_key, struct error *error)
{
    char *text = NULL;
    size_t size = 0;
    int r = fd_read_file_at(prefix_fd, AUDIT_KEY_FILE, AUDIT_PEM_MAX, &text, &size);
    if (r < 0)
        return error_errno(error, -r, "read '%s'", AUDIT_KEY_FILE);
    BIO *bio = BIO_new_mem_buf(text, (int)size);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    (void)BIO_free(bio);
    explicit_bzero(text, size);
    free(text);
    r = take(pkey, ret_key, error);
    if (r < 0)
        (void)error_prefix(error, "'%s'", AUDIT_KEY_FILE);
    return r;
}

int audit_key_parse_public(const char *pem, struct audit_key **ret_key, struct error *error)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL) : NULL;
    (void)BIO_free(bio);
    return take(pkey, ret_key, error);
}

int audit_key_sign(struct audit_key *key, const void *data, size_t size, uint8_t ret_signature[AUDIT_SIGNATURE_SIZE])
{
    size_t room = AUDIT_SIGNATURE_SIZE;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestSignInit(context, NULL, NULL, NULL, key->pkey) == 1 &&
                EVP_DigestSign(context, ret_signature, &room, data, size) == 1 && room == AUDIT_SIGNATURE_SIZE;
    EVP_MD_CTX_free(context);
    return good ? 0 : -EIO;
}

int audit_key_check(struct audit_key *key, const void *data, size_t size, const uint8_t signature[AUDIT_SIGNATURE_SIZE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->pkey) == 1 &&
                EVP_DigestVerify(context, signature, AUDIT_SIGNATURE_SIZE, data, size) == 1;
    EVP_MD_CTX_free(context);
    return good ? 0 : -EBADMSG;
}
