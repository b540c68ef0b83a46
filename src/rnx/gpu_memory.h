/* The size in --gpu-memory. */
#pragma once

#include <stdint.h>

struct rnx_error;

/* "8GB", "1024MB", "2048" (megabytes), in either case, to megabytes. 0, or -EINVAL with @error. */
int gpu_memory_parse(const char *text, int32_t *ret_mb, struct rnx_error *error);
