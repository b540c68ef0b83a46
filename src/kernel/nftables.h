/* What nftables has, asked of the kernel directly: one question, one answer, however many rules the host has. Rules are
 * made elsewhere, with libnftables. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* NFT_NAME_MAXLEN of the kernel. */
#define NFTABLES_NAME_MAX 256U

/* A netfilter socket of the calling thread's network namespace, close-on-exec. A descriptor or -errno. */
int nftables_open(void);
/* The number of the rule set's generation: another one after each change of anything in it. 0 or -errno. */
int nftables_get_generation(int socket, uint32_t *ret_generation);
/* Whether the table @name of @family (NFPROTO_*) is there, and with the comment @comment. 1: it is; 0: there is none of
 * that name; -EEXIST: it has another comment or none; -errno. */
int nftables_find_table(int socket, uint8_t family, const char *name, const char *comment);

/* How many rules that table has. A number or -errno (-ENOENT: there is no such table). */
int nftables_count_rules(int socket, uint8_t family, const char *name);

struct nftables_rule {
    uint8_t family;  /* NFPROTO_* */
    uint64_t handle; /* of its table */
    uint64_t digest; /* of what it does, without what it has counted: not against somebody who wants them alike */
    char table[NFTABLES_NAME_MAX];
    char chain[NFTABLES_NAME_MAX];
};
/* Calls @found for each rule of all tables until it returns another value than 0, which is returned. 0; -EINTR: they
 * changed meanwhile; -errno. */
int nftables_each_rule(int socket, int (*found)(const struct nftables_rule *rule, void *user), void *user);

/* A netfilter socket for nftables_set_watching, non-blocking. A descriptor or -errno. */
int nftables_watch(void);
/* While @is_watching, @watch becomes readable when the rule set changes. 0 or -errno. */
int nftables_set_watching(int watch, bool is_watching);
/* Reads away what is there. */
void nftables_drain(int watch);
