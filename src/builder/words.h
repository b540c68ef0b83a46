/* A recipe: the words that joblet-api wrote (plan/recipe.h), read into a list of entries. All of it is looked at before
 * anything is done, so that a recipe of another version of ours fails as a whole. The texts are borrowed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum words_mode { WORDS_INSTALL = 1U, WORDS_COLLECT = 2U, WORDS_VERIFY = 4U, WORDS_SWEEP = 8U };

enum word_kind {
    WORD_PHASE,
    WORD_SAY,
    WORD_ENV,
    WORD_RUN,
    WORD_QUERY,
    WORD_PACKAGER,
    WORD_PACKAGE,
    WORD_BINARY,
    WORD_PATH,
    WORD_LIBRARY,
    WORD_KEEP,
    WORD_STEP,
    WORD_RUNTIME_DIR,
    WORD_FILE,
    WORD_LIMIT,
    WORD_CACHE,
    WORD_PRIVATE,
    WORD_SINCE,
    WORD_FAILED,
    WORD_DIGEST,
};

enum words_keep { KEEP_DOC = 1U, KEEP_MAN = 2U, KEEP_LOCALE = 4U, KEEP_HEADERS = 8U, KEEP_STATIC = 16U };

#define WORDS_PHASE_MAX 99U
/* Of one step. */
#define WORDS_TIMEOUT_NS_MAX (7ULL * 24 * 3600 * 1000000000U)

struct word {
    enum word_kind kind;
    uint64_t numbers[2]; /* PHASE: number; RUN, QUERY: timeout; STEP: begin, end; KEEP: one bit; LIMIT, CACHE, SINCE */
    const char *name;    /* the first argument that is no number; NULL when all are */
    const char *text;    /* the second: PHASE: message; SAY: text */
    char *const *texts;  /* RUN, QUERY: the command; FILE: what it is joined of */
    size_t count;        /* of them */
};

struct words {
    struct word *items;
    size_t count;
};

/* Reads @count texts at @texts (the mode's own name is not among them), which must live as long as the result. 0 (to be
 * ended with words_done); -EINVAL with @error that names the word; -ENOMEM. */
int words_parse(enum words_mode mode, char *const *texts, size_t count, struct words *ret_words, struct error *error);
void words_done(struct words *words);

/* The first word of @kind, or NULL. */
const struct word *words_find(const struct words *words, enum word_kind kind);
