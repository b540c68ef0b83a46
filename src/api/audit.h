/* What joblet-api says for the audit log: who asked for what, and what became of it. joblet writes it, numbers, dates
 * and chains it; nothing that stands there can be changed from here.
 *
 * A call that changes something has two records: the intent, before anything is done, and the result, before the client
 * hears of it. A call that is refused has the second alone. What cannot be recorded is not done (intent) or not
 * confirmed (result): the client gets UNAVAILABLE.
 *
 * No value of a fact holds a secret: all go through mask.h. */
#pragma once

#include "api/api.h"
#include "api/roles.h"

/* Of one fact. */
#define AUDIT_VALUE_MAX 16384U
/* Of all facts of one record, with their names: joblet takes 64 KiB. */
#define AUDIT_FACTS_MAX (60U << 10)
/* Records that wait for joblet. With half as many nothing new is taken on. */
#define AUDIT_WAITING_MAX 4096U
/* Known secrets of one record. With more of them texts that may hold one are left out. */
#define AUDIT_SECRETS_MAX 512U

/* Before the reason, when an intent cannot be recorded. */
#define AUDIT_UNAVAILABLE "nothing was done, because the audit log cannot be written: "

/* Texts of a record on their way. Zeroed = empty. */
struct audit_facts {
    char *bytes; /* NAME\0VALUE\0... */
    size_t size;
    size_t room;
    bool failed;                 /* no memory: it cannot be recorded */
    struct runtime_list secrets; /* "NAME=VALUE" */
};
void audit_facts_done(struct audit_facts *facts);
/* @value is masked, and cut where it is too long; an empty one is left out. */
void audit_facts_add(struct audit_facts *facts, const char *name, const char *value);
void audit_facts_addf(struct audit_facts *facts, const char *name, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* The command and its arguments, quoted as a shell reads them. */
void audit_facts_add_command(struct audit_facts *facts, const char *command, char *const *arguments, size_t count);
/* From here on no value shows @value, and what stands in it between "://" and "@". */
void audit_facts_hide(struct audit_facts *facts, const char *name, const char *value);
void audit_facts_hide_pair(struct audit_facts *facts, const char *pair); /* "NAME=VALUE" */
/* A copy of all of it. */
void audit_facts_copy(struct audit_facts *facts, const struct audit_facts *from);

/* @error: NULL when it is in the log for good. */
typedef void (*audit_done)(const struct error *error, void *user);
/* Appends a record of @facts (borrowed) to the log. @done (may be NULL) is called once, never from within, unless the
 * channel is closed before: then the process ends. 0, or -errno with @error and @done is not called. */
int audit_append(struct api *api, const struct audit_facts *facts, audit_done done, void *user, struct error *error);

/* ---- calls ---- */

/* The call of @method (in its authorize): when it changes something or is @refused, it is not answered before it is
 * recorded. False without memory. */
bool audit_watch(struct api *api, struct grpc_call *call, const struct role_method *method, bool refused);
/* Whom and what the call is about, in all its records: "job", "runtime". Masked and so on as in audit_facts_add;
 * nothing happens, here and below, when the call is not watched. */
void audit_set(struct grpc_call *call, const char *name, const char *value);
/* What is asked, in detail: in the first record alone. Added after it, what came of it: in the second alone. */
void audit_add(struct grpc_call *call, const char *name, const char *value);
/* Where audit_set and audit_add put it, or NULL. Borrowed until the call is finished. */
struct audit_facts *audit_subject(struct grpc_call *call);
struct audit_facts *audit_details(struct grpc_call *call);
/* An answer that is OK for gRPC says in its message that it failed. */
void audit_fail(struct grpc_call *call, const char *error);
/* Other records say what becomes of it: those of the build. */
void audit_leave(struct grpc_call *call);

/* Records the intent. @go is called once: with the call when it may go on; with NULL (also from within) when it is
 * gone, or was answered because the intent cannot be recorded. */
void audit_intend(struct grpc_call *call, void (*go)(struct grpc_call *call, void *user), void *user);
/* The same for whoever goes on without the call, too. 0, or -errno with @error: @done is not called. */
int audit_intend_apart(struct grpc_call *call, audit_done done, void *user, struct error *error);
/* The same for whoever holds the facts himself. @details are empty afterwards. */
int audit_append_intent(struct api *api, const struct audit_facts *subject, struct audit_facts *details,
        audit_done done, void *user, struct error *error);
