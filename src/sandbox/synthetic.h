/* Files of a builder root that are made for it: put into the upper directories. */
#pragma once

struct error;
struct masks;
struct sandbox;

/* Puts those that belong into the layer of @masks, whose upper directory is the layer's own here. With a base, only
 * those that differ from one sandbox to the next: the others the base has, perhaps changed. 0 or -errno with @error. */
int synthetic_fill(const struct masks *masks, struct error *error);
/* Hides, in the upper directory of @masks (here the one of the marks), files of /etc that hold hashes of passwords and
 * may not be there yet, and what would delete a build's downloads. 0 or -errno. */
int synthetic_hide_names(const struct masks *masks);
/* /opt/joblet as a build sees it, in the directory @opt_fd: its own runtime's directory, and nothing of the host's.
 * 0 or -errno with @error. */
int synthetic_make_prefix(const struct sandbox *sandbox, int opt_fd, struct error *error);
