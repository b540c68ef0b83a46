/* What joblet finds or makes on the host when it starts: directories, lock, programs, its own limits and rights. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "kernel/cgroup.h"

struct broker;

/* Opens the directories of the prefix, takes its lock (a second joblet is refused) and writes the pid file. 0 or -errno
 * with @error. */
int world_open(struct broker *broker, struct error *error);
/* The same in parts. Opens PREFIX/run (/run/joblet with the default prefix), with @make made where it is missing. A
 * descriptor; -ENOENT; -errno, with @error. */
int world_open_run(const char *prefix, int prefix_fd, bool make, struct error *error);
/* A descriptor that holds the lock; -EBUSY: somebody has it; -errno, with @error. */
int world_take_lock(int run_fd, const char *prefix, struct error *error);
int world_read_boot_id(uint8_t ret_id[16], struct error *error);
/* What the parent of our groups is called: two services with different prefixes have groups of different names. */
void world_name_groups(const char *prefix, char ret_name[CGROUP_NAME_MAX]);

/* Opens the store of runtimes and the cache of downloads, made where they are missing, and finds out how large the disk
 * of a build can be and what no build may see. 0 or -errno with @error. */
int world_open_store(struct broker *broker, struct error *error);
/* Removes the pid file. */
void world_close(struct broker *broker);

/* Finds @name beside this program, else where it is installed, into @ret_path. 0 or -errno with @error. */
#define WORLD_PATH_MAX 512U
int world_find_program(const char *name, char ret_path[WORLD_PATH_MAX], struct error *error);

/* Default signals, as many descriptors as permitted, a lower score for the host's out-of-memory killer, no capability
 * that nothing here needs. Remembers in @broker what children undo. 0 or -errno with @error. */
int world_limit_self(struct broker *broker, struct error *error);

/* Binds and listens on the configured address; writes the address into PREFIX/run/address. A descriptor or -errno with
 * @error. */
int world_listen(struct broker *broker, struct error *error);
