/* The spec: what the client sent for one job (working directory, arguments, environment), in a sealed memfd written by
 * joblet-api. joblet passes it on unread; joblet-init parses it only after it has dropped all rights (A33).
 *
 * Format, all numbers little-endian u32: magic, version, total size, argument count, environment count; then the
 * texts, each ended by NUL: work_dir, arguments (the first is the command), environment ("NAME=value"). No byte may
 * be left over. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct error;

#define SPEC_SIZE_MAX (4U << 20)
#define SPEC_ARGUMENTS_MAX 65536U
#define SPEC_ENVIRONMENT_MAX 65536U

struct spec {
    char *work_dir;     /* absolute */
    char **arguments;   /* NULL-terminated, at least one; [0] is the command as the client gave it */
    char **environment; /* NULL-terminated "NAME=value" */
    void *memory;       /* what the above point into; owned */
    size_t memory_size;
};

/* Makes the encoded form in a new sealed memfd. 0 with the descriptor in @ret_fd; -E2BIG when over SPEC_SIZE_MAX or a
 * count's maximum; -EINVAL for no arguments, a relative work_dir or an environment text without '='; -errno. */
int spec_encode(
        const char *work_dir, char *const arguments[], char *const environment[], int *ret_fd, struct error *error);

/* Reads and checks the memfd @fd. The result owns its memory. 0, -EINVAL with @error for any malformed content,
 * -errno. Never trusts a count or length. */
int spec_decode(int fd, struct spec *ret_spec, struct error *error);
/* As spec_decode, over bytes in memory (copied): for tests and fuzzing. */
int spec_decode_bytes(const void *bytes, size_t size, struct spec *ret_spec, struct error *error);

/* Overwrites (the environment may hold secrets) and frees. Half-built or zeroed structs are fine. */
void spec_done(struct spec *spec);
