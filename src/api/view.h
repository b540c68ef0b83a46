/* From what joblet saw of a job to the message KernelView: the form in which it is kept and sent. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "channel/view.h"

/* Packs @view. The bytes are the caller's. 0 or -ENOMEM. */
int view_pack(const struct channel_kernel_view *view, uint8_t **ret_bytes, size_t *ret_size);
