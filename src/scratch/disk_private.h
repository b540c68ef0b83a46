/* Between disk.c and template.c. */
#pragma once

#include "scratch/disk.h"

/* Mounts what is in @image_fd (taken, also on failure). 0 or -errno with @error. */
int disk_mount(struct disk_place *place, int image_fd, struct disk *ret_disk, struct error *error);
/* A file without a name of @size. A descriptor or -errno with @error. */
int disk_new_image(const struct disk_place *place, uint64_t size, struct error *error);
