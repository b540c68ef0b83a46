#include "rnx/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/* The name that every server certificate carries, whatever its address. */
#define RPC_SERVER_NAME "joblet"

static int client_prepare(struct rpc *rpc, int interrupt_fd, struct rnx_error *error)
{
    const struct rnxconfig_node *node = rpc->node;
    if (!*node->cert || !*node->key || !*node->ca)
        return rnx_error_set(error, EINVAL, "client certificates are not configured for node");
    if (!*node->address)
        return rnx_error_set(error, EINVAL, "no address is configured for node '%s'", node->name);
    if (!strstr(node->ca, "-----BEGIN "))
        return rnx_error_set(error, EINVAL, "failed to parse CA certificate");
    /* Taking OpenSSL's tables apart at the end costs more time than all of our own work. */
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    const struct grpc_client_options options = {
            .address = node->address,
            .server_name = RPC_SERVER_NAME,
            .cert_pem = node->cert,
            .key_pem = node->key,
            .ca_pem = node->ca,
            .interrupt_fd = interrupt_fd,
    };
    struct error cause = {0};
    int r = grpc_client_new(&options, &rpc->client, &cause);
    if (r < 0)
        return rnx_error_set(error, -r, "failed to load client certificate: %s", cause.text);
    return 0;
}

int rpc_prepare(
        const struct rnx *rnx, int interrupt_fd, struct rpc *ret_rpc, bool *ret_config_failed, struct rnx_error *error)
{
    struct rpc rpc = {0};
    int r = rnxconfig_load(rnx->global.config_path, &rpc.config, error);
    *ret_config_failed = r < 0;
    if (r < 0)
        return r;
    struct rnx_error cause = {0};
    r = rnxconfig_select(&rpc.config, rnx->global.node, &rpc.node, &cause);
    if (r < 0 && *rnx->global.node)
        (void)rnx_error_set(error, -r, "failed to get node configuration for '%s': %s", rnx->global.node, cause.text);
    else if (r < 0)
        *error = cause;
    else
        r = client_prepare(&rpc, interrupt_fd, error);
    if (r < 0) {
        rpc_close(&rpc);
        return r;
    }
    *ret_rpc = rpc;
    return 0;
}

static void config_fail(const struct rnx_error *error)
{
    (void)rnx_fail("%s", error->text);
    (void)fputs("\nPlease create a rnx-config.yml file with embedded certificates.\n"
                "Use 'rnx config-help' for examples.\n",
            stderr);
}

bool rpc_open(const struct rnx *rnx, const char *prefix, int interrupt_fd, struct rpc *ret_rpc)
{
    struct rnx_error error = {0};
    bool config_failed;
    if (rpc_prepare(rnx, interrupt_fd, ret_rpc, &config_failed, &error) == 0)
        return true;
    if (config_failed)
        config_fail(&error);
    else
        (void)rnx_fail("%s: %s", prefix, error.text);
    return false;
}

void rpc_close(struct rpc *rpc)
{
    grpc_client_free(rpc->client);
    rnxconfig_done(&rpc->config);
    *rpc = (struct rpc){0};
}

bool rpc_load_config(const struct rnx *rnx, struct rnxconfig *ret_config)
{
    struct rnx_error error = {0};
    if (rnxconfig_load(rnx->global.config_path, ret_config, &error) == 0)
        return true;
    config_fail(&error);
    return false;
}

/* A failure on our side gets a status too, so that a caller has one thing to print. */
static int result_fill(struct grpc_result *result, int r)
{
    if (r == -EREMOTEIO)
        return r;
    result->status = r == -EINTR ? GRPC_CANCELLED : GRPC_INTERNAL;
    (void)snprintf(result->message, sizeof(result->message), "%s", r == -EINTR ? "interrupted" : strerror(-r));
    return r;
}

static uint8_t *request_pack(const ProtobufCMessage *request, size_t *ret_size)
{
    *ret_size = protobuf_c_message_get_packed_size(request);
    /* One byte more: an empty message has no bytes, but malloc(0) may be NULL. */
    uint8_t *data = malloc(*ret_size + 1);
    if (data)
        (void)protobuf_c_message_pack(request, data);
    return data;
}

int rpc_call(struct rpc *rpc, const char *path, const ProtobufCMessage *request,
        const ProtobufCMessageDescriptor *answer_type, uint64_t deadline_ns, ProtobufCMessage **ret_answer,
        struct grpc_result *ret_result)
{
    size_t size;
    uint8_t *data = request_pack(request, &size);
    if (!data)
        return result_fill(ret_result, -ENOMEM);
    uint8_t *answer = NULL;
    size_t answer_size = 0;
    int r = grpc_client_call(rpc->client, path, data, size, deadline_ns, &answer, &answer_size, ret_result);
    explicit_bzero(data, size); /* it may hold secrets */
    free(data);
    if (r < 0)
        return result_fill(ret_result, r);
    *ret_answer = protobuf_c_message_unpack(answer_type, NULL, answer_size, answer);
    free(answer);
    if (*ret_answer)
        return 0;
    ret_result->status = GRPC_INTERNAL;
    (void)snprintf(ret_result->message, sizeof(ret_result->message), "the server's answer is malformed");
    return -EBADMSG;
}

int rpc_stream_open(struct rpc *rpc, const char *path, const ProtobufCMessage *request, struct grpc_result *ret_result)
{
    size_t size;
    uint8_t *data = request_pack(request, &size);
    if (!data)
        return result_fill(ret_result, -ENOMEM);
    int r = grpc_client_stream_open(rpc->client, path, data, size, /* deadline_ns= */ 0, ret_result);
    free(data);
    return r < 0 ? result_fill(ret_result, r) : 0;
}

void rpc_format_error(const struct grpc_result *result, char ret_text[RPC_TEXT_MAX])
{
    (void)snprintf(ret_text, RPC_TEXT_MAX, "rpc error: code = %s desc = %s", grpc_status_name(result->status),
            result->message);
}

int rpc_fail(const char *prefix, const struct grpc_result *result)
{
    char text[RPC_TEXT_MAX];
    rpc_format_error(result, text);
    return rnx_fail("%s: %s", prefix, text);
}

int rpc_fail_change(const char *prefix, const char *doing, const struct grpc_result *result)
{
    if (result->status != GRPC_DEADLINE_EXCEEDED)
        return rpc_fail(prefix, result);
    return rnx_fail("timeout while %s: server may still be processing the request", doing);
}

int rpc_ask(const struct rnx *rnx, const struct rpc_question *question,
        void (*take)(const struct rnx *rnx, const ProtobufCMessage *answer))
{
    struct rpc rpc;
    struct grpc_result result;
    ProtobufCMessage *answer;
    int status = RNX_EXIT_OK;
    if (!rpc_open(rnx, "failed to create client", -EBADF, &rpc))
        return RNX_EXIT_FAILED;
    if (rpc_call(&rpc, question->path, question->request, question->answer_type, question->deadline_ns, &answer,
                &result) < 0) {
        status = rpc_fail(question->failure, &result);
    } else {
        take(rnx, answer);
        protobuf_c_message_free_unpacked(answer, NULL);
    }
    rpc_close(&rpc);
    return status;
}
