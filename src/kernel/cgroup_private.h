/* Between cgroup.c (hierarchies and groups) and cgroup_apply.c (what is written into a group). */
#pragma once

#include "kernel/cgroup.h"

#define CGROUP_FILE_MAX 128U
/* "NAME/FILE" in @path, which holds any of ours. */
const char *cgroup_file(char path[CGROUP_FILE_MAX], const char *name, const char *file);
/* Writes a number. 0 or -errno. */
int cgroup_write(const struct cgroup_hierarchy *hierarchy, const char *name, const char *file, uint64_t value);
/* The number in a file that holds one, or that follows @key in a file of keys. False when it is not there. */
bool cgroup_read(const struct cgroup_hierarchy *hierarchy, const char *name, const char *file, const char *key,
        uint64_t *ret_value);

/* The hierarchy of a controller that cgroup_host_open made sure of. */
const struct cgroup_hierarchy *cgroup_with(const struct cgroup_host *host, enum cgroup_controller controller);
/* True when jobs have a group in @hierarchy only if they ask for CPUs. */
bool cgroup_is_on_demand(const struct cgroup_hierarchy *hierarchy);

/* Writes all limits of the group @name. 0 or -errno with @error, which names the limit. */
int cgroup_set_limits(
        const struct cgroup_host *host, const char *name, const struct cgroup_limits *limits, struct error *error);
