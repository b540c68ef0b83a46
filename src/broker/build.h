/* A build from its start until it is released, or until the collect of it has ended, whichever comes last: what several
 * jobs have in common. These are the id range, the disk (its files have the range's ids, so both jobs must have the
 * same), and the directory that the collect fills.
 *
 *     RUNNING --ended with 0--> ENDED --TOOL_START--> COLLECTING --ended with 0--> COLLECTED --PUBLISH--> PUBLISHED
 *                                 `--BASE_SEAL--> SEALING --------------------------------------------------^
 *
 * A collect that cannot start leads back to ENDED; one that ran and failed has used up the disk's second mount, so that
 * there is no other. Its directory is swept. Any other end of a build leads to FAILED; such a one can be collected once
 * to be looked at (CHANNEL_TOOL_LOOK), and stays FAILED. A build that an earlier joblet began has no such object: it is
 * ended at the adoption, and nothing can be made of it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/disks.h"
#include "broker/slots.h"
#include "broker/store.h"
#include "channel/message.h"

struct broker;
struct job;

enum build_state {
    BUILD_RUNNING,
    BUILD_ENDED,
    BUILD_COLLECTING,
    BUILD_COLLECTED,
    BUILD_SEALING, /* its disk becomes a base; then it is PUBLISHED too, and nothing more can be made of it */
    BUILD_PUBLISHED,
    BUILD_FAILED,
};

struct build {
    struct build *previous;
    struct build *next;
    struct broker *broker;
    unsigned references; /* of its jobs */
    enum build_state state;
    uint8_t id[16];
    struct channel_runtime runtime;
    char language[16];
    bool is_dry_run;
    bool has_slot;
    uint32_t slot_index;
    struct disk_grant disk;
    bool is_looked_at; /* it failed: its collect makes nothing of it */
    bool has_stage;
    char stage[STORE_NAME_MAX];
    uint32_t base_use; /* enum channel_base_use */
    uint8_t base_key[CHANNEL_BASE_KEY_SIZE];
    uint8_t fingerprint[32];     /* MAKE: of the host when it was started */
    int base_image_fd;           /* USE: with its lock; otherwise -EBADF */
    uint32_t base_id_base;       /* USE: whose files are on it */
    uint64_t base_token;         /* USE: its mounts are asked for by this; 0: not yet */
    uint32_t base_generation;    /* of joblet-scratch, which was asked */
    struct disk_grant base_disk; /* USE: the mounts, when they are there */
    struct error base_error;     /* USE: why they do not come */
    bool reads_cache;            /* its overlay has the cache as a lower */
    bool writes_cache;           /* its collect has */
};

/* The operations. Each checks its operands, and answers by a start's reply or its own. @spec_fd is borrowed. */
void build_start(struct broker *broker, const struct channel_build_start *request, int spec_fd);
void build_start_tool(struct broker *broker, const struct channel_tool_start *request, int spec_fd);
void build_seal(struct broker *broker, const struct channel_base_seal *request);
void build_publish(struct broker *broker, const struct channel_build_publish *request);
void build_remove_runtime(struct broker *broker, const struct channel_runtime_remove *request);

void build_ref(struct build *build);
/* The last one gives back what the build has. NULL is fine. */
void build_unref(struct build *build);

/* For its jobs: the build's slot, taken by the first. 0 or -errno with @error. */
int build_take_slot(struct build *build, struct slot *ret_slot, struct error *error);
/* Makes the directory for the collect. A descriptor or -errno with @error. */
int build_make_stage(struct build *build, struct store_id *ret_id, struct error *error);
/* True when @job, which belongs to a build, may have the downloads: nobody changes what is part of somebody's overlay.
 */
bool build_take_cache(const struct job *job);
/* The disks of a build that is to start: its own and, when it begins with a base, that one's. 0; 1: they are not there
 * yet; -errno with @error. */
int build_take_disks(struct build *build, struct error *error);
/* The mounts of a base came, or @error. @grant is taken when they are some build's; else false. */
bool build_on_base(struct broker *broker, uint64_t token, const struct disk_grant *grant, const struct error *error);
/* One of its jobs ended, or could not start. */
void build_job_over(const struct job *job, bool well);
