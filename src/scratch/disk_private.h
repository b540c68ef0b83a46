/* Between disk.c and template.c. */
#pragma once

#include "scratch/disk.h"

/* Mounts what is in @image_fd (taken, also on failure), with MOUNT_ATTR_* @attributes beside the usual ones. 0 or
 * -errno with @error. */
int disk_mount(struct disk_place *place, int image_fd, uint64_t attributes, struct disk *ret_disk, struct error *error);
/* A file without a name of @size, that can never have one, or that its holder can give one. A descriptor or -errno with
 * @error. */
int disk_new_image(const struct disk_place *place, uint64_t size, bool can_be_named, struct error *error);
