/* What the parts of joblet-api share: one loop, one thread (but for those that write to the disk). */
#pragma once

#include <uv.h>

#include "api/link.h"
#include "api/logs.h"
#include "config/settings.h"
#include "grpc/server.h"
#include "runtime/list.h"
#include "state/state.h"

struct build;
struct monitor;
struct search;
struct store;
struct strangers;
struct task;
struct verification;
struct work;

struct api {
    uv_loop_t loop;
    struct settings settings;
    struct state *state;
    struct link *link;
    struct logs *logs;
    struct work *work;
    struct grpc_server *server;
    struct monitor *monitor;
    int jobs_fd;                             /* PREFIX/state/jobs */
    uint32_t jobs_max;                       /* how many joblet can run at the same time */
    uint32_t jobs_live;                      /* accepted and not released yet */
    struct task *tasks;                      /* task.h: all */
    void (*builds_stopped)(struct api *api); /* called when no build and no task is left, if set */
    struct build *builds;                    /* builds.h: all, the oldest first */
    struct verification *verifications;      /* verify.h: all */
    struct store *store;
    struct strangers *strangers;
    struct runtime_list build_environment; /* what the configuration gives to builds: holds secrets */
    uint32_t looks;                        /* look.h: on their way */
    uint32_t audit_waiting;                /* audit.h: records on their way */
    uint64_t audit_calls;                  /* numbered since the start */
    struct search *searches;               /* audit_search.h: running and waiting */
    bool serving;                          /* calls are answered */
    bool shutting_down;
    void (*drained)(struct api *api); /* called when jobs_live becomes 0, if set */
    int exit_status;
};
