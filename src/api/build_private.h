/* What the parts of build.h share: build.c (to the install), build_base.c (its base), build_run.c (the
 * sandboxes), build_end.c (the end). */
#pragma once

#include "api/build.h"

#define BUILD_UNCHANGED                                                                                                \
    "unchanged: taken from the store (HIT: same specification, same packages and package sources on the host)"

/* Of joblet-builder: what another one builds is another runtime. Static. */
const char *build_builder_version(void);

void build_say_phase(struct build *build, unsigned number, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* The first failure stays. */
void build_fail(struct build *build, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "success", "cancelled", "failed", "unchanged"; "" while it goes on. Static. */
const char *build_outcome(const struct build *build);
/* Stores the record as it is now. 0 or -ENOMEM. */
int build_store(struct build *build, state_build_done done);

/* build_audit.c: what is said of it in the audit log. Once, when it is made: which build it is. */
void build_audit_begin(struct build *build);
/* The intent: 0 or -errno with @error. */
int build_audit_intend(struct build *build, audit_done done, struct error *error);
/* The end, in full. */
int build_audit_end(struct build *build, audit_done done, struct error *error);

/* The record is there: its base, and then the install. */
void build_base_find(struct build *build);
/* Not with a base after all: all in one go. */
void build_base_give_up(struct build *build);
/* The sandbox of @part, with which the build goes on: all, or the rest over its base. */
void build_install(struct build *build, enum runtime_part part);
/* The same with the events of the caller; @id: 16 bytes, NULL for a new one. On failure the build is released. */
void build_start_install(struct build *build, enum runtime_part part, const uint8_t *id,
        const struct task_events *events, struct task **ret_task);
/* What both have in common: their lines, and how they ended; false when not well, and then the build has failed. */
void build_on_output(struct task *task, const char *bytes, size_t size, uint32_t stream);
bool build_take_end(struct build *build, const struct task_end *end);
void build_fill(const struct build *build, struct runtime_build *ret_build);
/* It is over, in whatever way: all that joblet has of it is released, then the record is stored, then the result is
 * told, and the build is gone. */
void build_release(struct build *build);
void build_free(struct build *build);
