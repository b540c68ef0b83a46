/* Our tables of nftables: "inet NAME" and "bridge NAME". The text is constant but for what stands in struct ruleset;
 * all of it was made or checked by us.
 *
 * A drop of ours is final, an accept is not: what the host's own tables drop stays dropped. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "network/range.h"
#include "network/resolver.h"
#include "network/survey.h"

#define RULESET_NAME_MAX 24U
#define RULESET_IDENTITY_MAX 80U
#define RULESET_TEXT_MAX 65536U

/* The kernel has no generation of this number. */
#define RULESET_GENERATION_NONE 0U

struct nft_ctx;

struct ruleset {
    struct nft_ctx *nft;
    char name[RULESET_NAME_MAX];
    char identity[RULESET_IDENTITY_MAX]; /* the tables' comment */
    char bridge[NETLINK_NAME_MAX];
    char *loaded;        /* what we put in force last, NULL: nothing */
    uint32_t generation; /* of the host's rule set, when ours were seen to be there since */
};

void ruleset_done(struct ruleset *ruleset);

struct ruleset_values {
    struct plan_route network;
    uint32_t port_count; /* each with its one address */
    const struct survey *survey;
    const struct resolvers *resolvers;
    const char *switched; /* names of the links whose forwarding we switched on, separated by blanks */
};
/* Puts the rules in force, all in one step: as they were or as they should be, nothing between. Does nothing when they
 * are. 0; -EEXIST with @error: there are tables of that name that are not ours; -errno with @error. */
int ruleset_load(struct ruleset *ruleset, const struct ruleset_values *values, struct error *error);
/* True (1) when our tables are there as we loaded them, as far as can be seen from outside; 0 when not; -errno. */
int ruleset_is_intact(struct ruleset *ruleset);
/* Removes the tables that are ours, if there are any. 0 or -errno with @error. */
int ruleset_unload(struct ruleset *ruleset, struct error *error);
