/* One build of a runtime, from its checked specification to its result: a state machine over the privileged channel.
 *
 *     waiting → host state → record stored → base → install → collect → publish → released, record stored, result
 *
 * A dry run ends after the install's words of phase 4. Whatever happens, what joblet has of it is released, and the
 * record says how it ended, before the result is told. */
#pragma once

#include "api/api.h"
#include "api/audit.h"
#include "api/build_report.h"
#include "api/task.h"
#include "runtime/description.h"
#include "runtime/host.h"
#include "runtime/spec.h"

struct build_result {
    bool success;
    bool cancelled;
    bool host_failed; /* nothing was looked at: the host cannot build now */
    const char *message;
    const char *install_path; /* "" when nothing was published */
    uint64_t size_bytes;
    uint64_t duration_ms;
};

/* Who is told. The last call is result; after build_forget there is none. */
struct build_sink {
    void (*phase)(void *user, unsigned number, const char *message);
    /* @level: "debug", "info", "warn", "error". */
    void (*log)(void *user, const char *level, const char *message);
    void (*result)(void *user, const struct build_result *result);
};

/* What is asked. The texts are copied. */
struct build_request {
    struct runtime_spec **spec_take; /* becomes NULL on success */
    const char *yaml;
    const char *setup_script; /* "" = none */
    const char *who;
    const char *role;
    const struct audit_facts *subject; /* audit.h: of the call */
    bool dry_run;
    bool force;
};

enum build_state {
    BUILD_WAITING,
    BUILD_HOST,
    BUILD_STORING,
    BUILD_INSTALLING,
    BUILD_COLLECTING,
    BUILD_PUBLISHING,
    BUILD_LOOKING, /* at what it changed, after it failed */
    BUILD_RELEASING,
    BUILD_RECORDING,
};

struct build {
    struct build *next; /* api->builds */
    struct api *api;
    const struct build_sink *sink; /* NULL: forgotten */
    void *user;
    enum build_state state;

    struct runtime_spec *spec;
    char *yaml;
    char *setup_script;
    char *who;
    char *role;
    bool dry_run;
    bool force;
    uint8_t id[16];
    char uuid[TEXT_UUID_MAX];
    char digest[RUNTIME_DIGEST_MAX];
    char fingerprint[RUNTIME_DIGEST_MAX];
    uint64_t free_bytes;
    int64_t begin_monotonic_ns;
    int64_t begin_unix_ns;
    struct runtime_host host;
    struct runtime_recipe recipe;
    bool expanded;
    bool waiting_told;
    bool stored;                /* the record is there */
    struct audit_facts subject; /* for the audit log: who and what */
    struct audit_facts details;
    unsigned storing;                /* the record and the intent, on their way */
    bool intended;                   /* the intent is in the audit log */
    char unrecorded[ERROR_TEXT_MAX]; /* why the end is not in it; "" = it is */

    struct task *base; /* of its packages, while it is made */
    bool base_sealed;
    bool has_base; /* what is installed now lies over it */
    uint8_t base_key[RUNTIME_BASE_KEY_SIZE];
    struct task *install;
    struct task *collect;
    int64_t install_unix_ns;       /* when it began */
    struct runtime_lines lines[2]; /* standard output, and the rest */
    bool trusted_stream;           /* of the line that is being read: standard output */
    struct build_report report;

    bool cancelled;
    bool unchanged;
    bool published;
    uint64_t size_bytes;
    bool failed;
    bool host_failed;
    char failure[BUILD_REPORT_TEXT_MAX * 2];
    uv_timer_t timer; /* the next try to store */
};

/* A new build, waiting, at the end of api->builds. It says phase 1 at once. 0; -ENOMEM. */
int build_new(struct api *api, const struct build_request *request, const struct build_sink *sink, void *user,
        struct build **ret_build);
/* Its turn has come. */
void build_begin(struct build *build);
/* Ends it; its result is told, unless it is forgotten too. */
void build_cancel(struct build *build, const char *why);
/* Nobody listens any more. */
void build_forget(struct build *build);
/* For builds.c: @text is said to who listens. */
void build_say(struct build *build, const char *level, const char *format, ...) __attribute__((format(printf, 3, 4)));
