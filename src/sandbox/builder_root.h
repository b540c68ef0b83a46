/* The roots of the sandboxes that are not standard. Each attaches what it needs at the places of the old root
 * (root_table.h) and leaves the new root, detached, in sandbox->root_fd. */
#pragma once

struct error;
struct sandbox;

/* Build: the disk with a fresh root, and its layers ready to be mounted. 0 or -errno with @error. */
int builder_root_make(struct sandbox *sandbox, struct error *error);
/* Collect, verify, sweep: a root of mount points alone. 0 or -errno with @error. */
int tool_root_make(struct sandbox *sandbox, struct error *error);
