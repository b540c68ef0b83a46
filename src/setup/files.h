/* The texts of the files that setup writes beside joblet-config.yml, and the change of certificates in that file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "config/config.h"
#include "setup/certificate.h"

struct files_node {
    const char *name;
    const struct certificate *certificate; /* the client's */
};

/* True when setup writes a file of this name into PREFIX/config. */
bool files_is_ours(const char *name);

/* A client configuration with @count nodes, all at @address ("HOST:PORT"); the first is the default. Layout: indented
 * by 2 and 4, PEM texts as literal blocks, which scripts rely on. Owned by the caller, who overwrites it. 0 or -errno.
 */
int files_format_client(const char *address, const char *node_id, const char *ca_cert, const struct files_node *nodes,
        size_t count, char **ret_text, size_t *ret_size);

/* The address of the first node of a client configuration that files_format_client wrote: a new text, or NULL when
 * there is none. */
char *files_find_address(const char *text);

/* @text (a valid joblet-config.yml) with other PEM texts and everything else as it was, comments too; checked by
 * reading it back. Owned by the caller, who overwrites it. 0; -EINVAL with @error when the keys do not stand on lines
 * of their own; -ENOMEM. */
int files_replace_certificates(const char *text, const struct certificate *server, const char *ca_cert, char **ret_text,
        size_t *ret_size, struct error *error);
