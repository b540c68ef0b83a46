/* All jobs in memory: sorted by id for exact and prefix lookup, and chained in the order of their acceptance. Owns its
 * jobs. */
#pragma once

#include "base/error.h"
#include "state/job.h"

struct table {
    struct state_job **by_id; /* sorted */
    size_t count;
    size_t room;
    struct state_job *newest;
    struct state_job *oldest;
    uint64_t memory_bytes;
};

/* Frees the jobs too. */
void table_done(struct table *table);
/* Takes @job as the newest. 0, -EEXIST, -ENOMEM. */
int table_add(struct table *table, struct state_job *job_take);
/* Takes @job out; the caller owns it again. */
void table_remove(struct table *table, struct state_job *job);
struct state_job *table_find(const struct table *table, const uint8_t id[16]);

/* The job that @text names: the whole id, or a prefix of at least TABLE_PREFIX_MIN characters that only one has. 0;
 * -EINVAL or -ENOENT with @error, which names candidates when there are several. */
#define TABLE_PREFIX_MIN 4
int table_lookup(const struct table *table, const char *text, struct state_job **ret_job, struct error *error);
