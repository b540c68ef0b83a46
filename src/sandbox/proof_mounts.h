/* The mounts of this namespace, compared line by line with the table that the root was built from. */
#pragma once

struct error;
struct sandbox;

/* 0 when /proc/self/mountinfo holds exactly the mounts of the plan, each once, in its place, with its attributes and
 * sizes; -EPROTO with @error naming the first that differs; -errno. */
int proof_check_mounts(const struct sandbox *sandbox, struct error *error);
