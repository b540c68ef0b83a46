#include "state/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

/* How many candidates an error names. */
#define CANDIDATES_MAX 3

void table_done(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        state_job_free(table->by_id[i]);
    free(table->by_id);
    memset(table, 0, sizeof(*table));
}

/* The first position whose id is not below @id. */
static size_t table_position(const struct table *table, const uint8_t id[16])
{
    size_t low = 0;
    size_t high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(table->by_id[middle]->id, id, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int table_add(struct table *table, struct state_job *job_take)
{
    struct state_job *job = job_take;
    size_t position = table_position(table, job->id);
    if (position < table->count && memcmp(table->by_id[position]->id, job->id, 16) == 0)
        return -EEXIST;
    if (table->count == table->room) {
        size_t room = table->room ? table->room * 2 : 64;
        struct state_job **by_id = reallocarray(table->by_id, room, sizeof(struct state_job *));
        if (!by_id)
            return -ENOMEM;
        table->by_id = by_id;
        table->room = room;
    }
    memmove(&table->by_id[position + 1], &table->by_id[position],
            (table->count - position) * sizeof(struct state_job *));
    table->by_id[position] = job;
    table->count++;
    job->newer = NULL;
    job->older = table->newest;
    if (table->newest)
        table->newest->newer = job;
    else
        table->oldest = job;
    table->newest = job;
    table->memory_bytes += state_job_memory(job);
    return 0;
}

void table_remove(struct table *table, struct state_job *job)
{
    size_t position = table_position(table, job->id);
    if (position >= table->count || table->by_id[position] != job)
        return;
    table->count--;
    memmove(&table->by_id[position], &table->by_id[position + 1],
            (table->count - position) * sizeof(struct state_job *));
    if (job->older)
        job->older->newer = job->newer;
    else
        table->oldest = job->newer;
    if (job->newer)
        job->newer->older = job->older;
    else
        table->newest = job->older;
    job->older = job->newer = NULL;
    table->memory_bytes -= state_job_memory(job);
}

struct state_job *table_find(const struct table *table, const uint8_t id[16])
{
    size_t position = table_position(table, id);
    if (position < table->count && memcmp(table->by_id[position]->id, id, 16) == 0)
        return table->by_id[position];
    return NULL;
}

/* The lowest id that begins with @prefix: the prefix, filled up with zeros. */
static int prefix_lowest(const char *prefix, uint8_t ret_id[16])
{
    char text[TEXT_UUID_MAX] = "00000000-0000-0000-0000-000000000000";
    size_t size = strlen(prefix);
    if (size >= sizeof(text))
        return -EINVAL;
    memcpy(text, prefix, size);
    return text_parse_uuid(text, ret_id);
}

/* "; it could be 1234..., 1235..." */
static int candidates_error(const struct table *table, size_t first, const char *prefix, struct error *error)
{
    char names[CANDIDATES_MAX * (TEXT_UUID_MAX + 1) + 8] = "";
    size_t used = 0;
    size_t size = strlen(prefix);
    size_t i = first;
    for (; i < table->count && strncmp(table->by_id[i]->uuid, prefix, size) == 0; i++) {
        if (i - first == CANDIDATES_MAX) {
            (void)snprintf(names + used, sizeof(names) - used, ", ...");
            break;
        }
        used += (size_t)snprintf(
                names + used, sizeof(names) - used, "%s%s", i == first ? "" : ", ", table->by_id[i]->uuid);
    }
    return error_text(error, ENOENT, "job not found: %s is ambiguous: %s", prefix, names);
}

int table_lookup(const struct table *table, const char *text, struct state_job **ret_job, struct error *error)
{
    size_t size = strlen(text);
    if (size == 0)
        return error_text(error, EINVAL, "job uuid is required");
    uint8_t id[16];
    /* What is no id and no prefix of one names no job. */
    if (prefix_lowest(text, id) < 0)
        return error_text(error, ENOENT, "job not found: %.64s", text);
    if (size < TABLE_PREFIX_MIN)
        return error_text(
                error, ENOENT, "job not found: %s (a short id has at least %d characters)", text, TABLE_PREFIX_MIN);
    size_t position = table_position(table, id);
    if (position >= table->count || strncmp(table->by_id[position]->uuid, text, size) != 0)
        return error_text(error, ENOENT, "job not found: %s", text);
    if (position + 1 < table->count && strncmp(table->by_id[position + 1]->uuid, text, size) == 0)
        return candidates_error(table, position, text, error);
    *ret_job = table->by_id[position];
    return 0;
}
