/* Bases: PREFIX/cache/base, root's alone. A base is the disk of a build that installed the packages of a language and
 * nothing else: no hook, no package of pip or npm had run when it was sealed. Later builds with the same packages begin
 * with it, each with a read-only mount of its own.
 *
 *     UUID.image     the disk, by the id of the build that it is; ext4, its owners are that build's range of host ids
 *     UUID.record    struct base_record
 *
 * A name appears when what it names is whole and on the host's disk, the record last: an image without one goes at the
 * next start. No path of a sandbox leads here, and an image is opened for reading only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "broker/loop.h"
#include "channel/message.h"

struct broker;
struct build;

#define BASE_RECORD_MAGIC 0x5342424aU /* "JBBS" */
#define BASE_RECORD_VERSION 1U

struct base_record {
    uint32_t magic;
    uint32_t version;
    uint8_t key[CHANNEL_BASE_KEY_SIZE];
    uint8_t build_id[16];
    uint8_t fingerprint[32]; /* of the host, as HOST_STATE has it, when it was begun and when it was sealed */
    uint64_t policy;         /* what the configuration hides and shows, and how a disk is laid out */
    uint32_t id_base;        /* first host id of the range that its files belong to */
    uint32_t reserved;
    uint64_t inode; /* of the image */
    uint64_t bytes; /* that it takes */
    int64_t made_unix_ns;
    uint8_t notes[CHANNEL_BASE_NOTES_SIZE];
    uint64_t check; /* over all before it: a record that was torn is none */
};

struct base {
    struct base *next;
    struct base_record record;
    char uuid[TEXT_UUID_MAX];
};

/* The disk of one build on its way. */
struct base_seal {
    struct base_seal *next;
    struct loop_source process; /* pidfd */
    struct broker *broker;
    struct build *build; /* counted */
    struct channel_header request;
    uint32_t generation; /* of the joblet-api that asked */
    struct base_record record;
};

struct bases {
    struct broker *broker;
    int fd; /* -EBADF: nothing is kept (runtime.cacheSize is 0) */
    struct base *first;
    struct base_seal *first_seal;
};

/* For the record's own check and its tests. */
uint64_t base_record_sum(const struct base_record *record);
/* True when it is whole, and of this version. */
bool base_record_is_valid(const struct base_record *record);

/* Opens the directory, made when it is not there, reads what is in it and removes what is left of half-made ones. 0 or
 * -errno with @error. */
int bases_open(struct bases *bases, struct broker *broker, struct error *error);
/* Lets go of all; what is being sealed is not told any more. */
void bases_done(struct bases *bases);

/* The base with the key @key for the host as it is now. NULL, with @error of ENOENT or ESTALE, which says why; one that
 * is of no use any more is removed. It stays until the loop goes on. */
const struct base *bases_find(struct bases *bases, const uint8_t key[CHANNEL_BASE_KEY_SIZE], struct error *error);
/* Opens its image for a build, which holds a shared lock as long as it has the descriptor: then "joblet gc" leaves it.
 * A descriptor or -errno with @error. */
int bases_open_image(const struct bases *bases, const struct base *base, struct error *error);
/* Removes the base with this key, if there is one. */
void bases_drop(struct bases *bases, const uint8_t key[CHANNEL_BASE_KEY_SIZE]);

/* 0; -ENOTSUP with @error: no bases are kept. */
int bases_check(const struct bases *bases, struct error *error);
/* Makes a base of the disk of @build, to which nothing writes any more; @request is answered when it is there, or not.
 */
void bases_seal(struct bases *bases, struct build *build, const struct channel_base_seal *request);
