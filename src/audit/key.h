/* The key that signs the head of the audit log: Ed25519. Its PEM texts lie below the prefix (log.h). */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define AUDIT_SIGNATURE_SIZE 64U
#define AUDIT_PEM_MAX 4096U

struct audit_key;

/* A new key, in memory. 0 or -errno with @error. */
int audit_key_new(struct audit_key **ret_key, struct error *error);
/* Writes the public half, then the private one. 0 or -errno with @error. */
int audit_key_write(const struct audit_key *key, int prefix_fd, struct error *error);
/* Reads the private key. 0 or -errno with @error. */
int audit_key_load(int prefix_fd, struct audit_key **ret_key, struct error *error);
/* The PEM text of a public key. 0 or -EINVAL with @error. */
int audit_key_parse_public(const char *pem, struct audit_key **ret_key, struct error *error);
void audit_key_free(struct audit_key *key);
void audit_key_freep(struct audit_key **key);
/* 0 or -EIO. */
int audit_key_sign(struct audit_key *key, const void *data, size_t size, uint8_t ret_signature[AUDIT_SIGNATURE_SIZE]);
/* 0; -EBADMSG: it is not this key's. */
int audit_key_check(
        struct audit_key *key, const void *data, size_t size, const uint8_t signature[AUDIT_SIGNATURE_SIZE]);
