/* joblet-api's life: started, watched, started again when it ends. It is the process that strangers talk to, so nothing
 * that it does may stop joblet: what contradicts the channel's protocol, or a peer that does not read, ends it, and the
 * next one is told what it missed. The listening socket stays ours: while joblet-api is away, clients wait in its
 * queue. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "broker/loop.h"
#include "channel/message.h"

struct broker;

/* Messages that wait for joblet-api to read; one more ends it. */
#define API_QUEUE_MAX 4096U

struct api_message {
    struct api_message *next;
    uint8_t bytes[CHANNEL_MESSAGE_MAX];
};

/* A token bucket: how often an operation may be asked for. */
struct api_bucket {
    int64_t filled_ns;
    double tokens;
};

struct api {
    struct broker *broker;
    int exec_fd; /* O_PATH of joblet-api */
    int listen_fd;
    int database_fd;          /* PREFIX/state/db */
    int settings_fd;          /* sealed: struct settings */
    int pem_fds[3];           /* sealed: certificate, key, authority */
    int build_environment_fd; /* sealed: settings.h */

    uint32_t generation; /* counts the processes; 0: none yet */
    pid_t pid;
    struct loop_source process; /* pidfd */
    struct loop_source channel;
    bool greeted; /* HELLO came */
    bool listed;  /* LIST_JOBS was read to its end: ends are sent as they happen */
    bool leaving; /* was told to shut down */
    int64_t started_ns;
    uint64_t backoff_ns;
    struct loop_timer timer; /* the next start, or the limit of a shutdown */
    struct api_bucket buckets[CHANNEL_OPERATION_COUNT];

    struct api_message *first; /* waiting */
    struct api_message *last;
    unsigned queued;
    bool broken; /* to be ended as soon as nobody looks at it */
};

/* Opens what joblet-api is handed: sockets, directories, settings and keys. 0 or -errno with @error. */
int api_prepare(struct api *api, struct broker *broker, const char *path, struct error *error);
void api_done(struct api *api);

/* Starts joblet-api. 0 or -errno with @error. */
int api_start(struct api *api, struct error *error);
/* Sends @message (its header says how long it is), or queues it. Without a joblet-api it is dropped: the next one asks.
 */
void api_send(struct api *api, const void *message);
/* Answers @request with @error (NULL: done), when the joblet-api that asked (its generation) is still there. */
void api_reply(struct api *api, const struct channel_header *request, uint32_t generation, const struct error *error);
/* Ends joblet-api for @reason; a new one is started. */
void api_fail(struct api *api, const char *reason);
/* Asks joblet-api to end; after @limit_ns it is killed. broker_api_ended tells. */
void api_shut_down(struct api *api, uint64_t limit_ns);
