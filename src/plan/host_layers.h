/* The directories of the host that a builder root is made of: what the software of an operating system lies in, and
 * nothing else. /home, /root, /srv, /run, /boot and the rest of /var start empty (A11). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define HOST_LAYERS_MAX 48U

/* Their paths, without a leading slash; a directory stands behind those that it lies in. */
extern const char *const host_layers[];
extern const size_t host_layers_count;

/* The number of the layer @path, or -1. */
int host_layers_find(const char *path);
/* True for the directory that is replaced by the downloads of earlier builds: it is none of the host's. */
bool host_layers_is_cache(const char *path);
