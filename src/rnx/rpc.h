/* Calls to the server: the connection for the node that the user named, messages packed and unpacked, and the error
 * texts that users of other clients know ("rpc error: code = NotFound desc = ..."). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "grpc/client.h"
#include "rnx/rnx.h"
#include "rnx/rnxconfig.h"

/* protobuf-c's messages have no const; nothing changes or frees a text of a request. */
static inline char *rpc_borrow(const char *text)
{
    union {
        const char *given;
        char *borrowed;
    } both = {.given = text};
    return both.borrowed;
}

#define RPC_SECOND_NS 1000000000ULL
/* Deadlines of a call that the user waits for, and of one that may take longer on the server. */
#define RPC_SHORT_NS (10 * RPC_SECOND_NS)
#define RPC_LONG_NS (30 * RPC_SECOND_NS)

struct rpc {
    struct rnxconfig config;
    const struct rnxconfig_node *node;
    struct grpc_client *client;
};

/* Reads the configuration and prepares the connection; nothing is sent yet. @interrupt_fd: readable = give up, or
 * -EBADF. 0, or -errno with @error ("failed to get node configuration for ...", "failed to load client certificate:
 * ..."); -ENOENT and -EINVAL with *ret_config_failed set when the configuration itself could not be loaded. */
int rpc_prepare(
        const struct rnx *rnx, int interrupt_fd, struct rpc *ret_rpc, bool *ret_config_failed, struct rnx_error *error);
/* The same for a verb: says what went wrong, after @prefix ("failed to create client"). True when it is ready. */
bool rpc_open(const struct rnx *rnx, const char *prefix, int interrupt_fd, struct rpc *ret_rpc);
void rpc_close(struct rpc *rpc);

/* Loads the configuration for a verb that makes no connection; says what went wrong. True when it is there. */
bool rpc_load_config(const struct rnx *rnx, struct rnxconfig *ret_config);

/* One unary call. 0 with the answer, to be freed with protobuf_c_message_free_unpacked; otherwise -errno, and
 * @ret_result holds status and text in any case. */
int rpc_call(struct rpc *rpc, const char *path, const ProtobufCMessage *request,
        const ProtobufCMessageDescriptor *answer_type, uint64_t deadline_ns, ProtobufCMessage **ret_answer,
        struct grpc_result *ret_result);
/* What a verb asks for that makes one call and prints the answer. */
struct rpc_question {
    const char *path;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *answer_type;
    uint64_t deadline_ns;
    const char *failure; /* before what went wrong: "failed to list jobs" */
};
/* Connects, asks, and hands the answer to @take, which prints it. The exit status; what went wrong is said. */
int rpc_ask(const struct rnx *rnx, const struct rpc_question *question,
        void (*take)(const struct rnx *rnx, const ProtobufCMessage *answer));
/* Opens a server stream; no deadline. 0, or -errno with @ret_result. */
int rpc_stream_open(struct rpc *rpc, const char *path, const ProtobufCMessage *request, struct grpc_result *ret_result);

/* "rpc error: code = NotFound desc = ..." */
#define RPC_TEXT_MAX 1200
void rpc_format_error(const struct grpc_result *result, char ret_text[RPC_TEXT_MAX]);
/* Says "PREFIX: rpc error: ...". Returns RNX_EXIT_FAILED. */
int rpc_fail(const char *prefix, const struct grpc_result *result);
/* The same for a change on the server, which may have happened although the deadline passed: then says
 * "timeout while DOING: server may still be processing the request". */
int rpc_fail_change(const char *prefix, const char *doing, const struct grpc_result *result);
