#include "api/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/wire.h"
#include "base/fd.h"

/* Jobs are encoded by hand: Job and GetJobStatusResponse say nearly the same under different numbers, and a list of
 * thousands would be tens of thousands of small allocations. */
struct out {
    uint8_t *bytes;
    size_t used;
    size_t room;
    bool failed; /* no memory */
};

#define WIRE_VARINT 0U
#define WIRE_BYTES 2U

static void out_donep(struct out *out)
{
    free(out->bytes);
}

static uint8_t *out_reserve(struct out *out, size_t size)
{
    if (out->room - out->used < size) {
        size_t room = (out->used + size) * 2;
        uint8_t *bytes = out->failed ? NULL : realloc(out->bytes, room);
        if (!bytes) {
            out->failed = true;
            return NULL;
        }
        out->bytes = bytes;
        out->room = room;
    }
    return out->bytes + out->used;
}

static void out_varint(struct out *out, uint64_t value)
{
    uint8_t *at = out_reserve(out, 10);
    if (at)
        out->used += wire_put_varint(at, value);
}

static void out_key(struct out *out, unsigned number, unsigned type)
{
    out_varint(out, (uint64_t)number << 3 | type);
}

static void out_raw(struct out *out, const void *bytes, size_t size)
{
    uint8_t *at = out_reserve(out, size);
    if (!at || !size)
        return;
    memcpy(at, bytes, size);
    out->used += size;
}

/* Defaults are left out, as proto3 wants it; elements of repeated fields never are. */
static void out_element(struct out *out, unsigned number, const void *bytes, size_t size)
{
    out_key(out, number, WIRE_BYTES);
    out_varint(out, size);
    out_raw(out, bytes, size);
}

static void out_text(struct out *out, unsigned number, const char *text)
{
    if (number && *text)
        out_element(out, number, text, strlen(text));
}

static void out_number(struct out *out, unsigned number, int64_t value)
{
    if (!value)
        return;
    out_key(out, number, WIRE_VARINT);
    out_varint(out, (uint64_t)value);
}

static size_t varint_size(uint64_t value)
{
    uint8_t bytes[10];
    return wire_put_varint(bytes, value);
}

static void out_map_entry(struct out *out, unsigned number, const char *key, size_t key_size, const char *value)
{
    size_t value_size = strlen(value);
    out_key(out, number, WIRE_BYTES);
    out_varint(out, 1 + varint_size(key_size) + key_size + 1 + varint_size(value_size) + value_size);
    out_element(out, 1, key, key_size);
    out_element(out, 2, value, value_size);
}

/* The numbers of one message's fields; 0 = it has none. */
struct fields {
    unsigned uuid, command, args, max_cpu, cpu_cores, max_memory, max_io_bps, status, start_time, end_time, exit_code,
            environment, secrets, node_id, timeout, network, work_dir, runtime;
};
static const struct fields fields_job = {.uuid = 1,
        .command = 3,
        .args = 4,
        .max_cpu = 5,
        .cpu_cores = 6,
        .max_memory = 7,
        .max_io_bps = 8,
        .status = 9,
        .start_time = 10,
        .end_time = 11,
        .exit_code = 12,
        .runtime = 14,
        .environment = 15,
        .secrets = 16,
        .node_id = 20,
        .timeout = 21};
static const struct fields fields_status = {.uuid = 1,
        .command = 3,
        .args = 4,
        .max_cpu = 5,
        .cpu_cores = 6,
        .max_memory = 7,
        .max_io_bps = 8,
        .status = 9,
        .start_time = 10,
        .end_time = 11,
        .exit_code = 12,
        .environment = 14,
        .secrets = 15,
        .network = 16,
        .runtime = 18,
        .work_dir = 19,
        .node_id = 26,
        .timeout = 27};
/* Our own, the same in both. */
enum {
    FIELD_END_REASON = 1000,
    FIELD_END_SIGNAL,
    FIELD_ERROR,
    FIELD_MAX_PROCESSES,
    FIELD_MAX_OPEN_FILES,
    FIELD_WORK_BYTES,
    FIELD_TMP_BYTES,
    FIELD_LOG_BYTES
};
/* Of the status alone. */
enum { FIELD_KERNEL = 1010 };

static void format_time(int64_t unix_ns, char ret_text[TEXT_TIME_MAX])
{
    ret_text[0] = '\0';
    if (unix_ns)
        text_format_time(unix_ns, ret_text);
}

static void out_job(struct out *out, const struct fields *fields, const struct state_job *job)
{
    const struct state_progress *now = &job->now;
    char start[TEXT_TIME_MAX];
    char end[TEXT_TIME_MAX];
    char cpus[CPULIST_TEXT_MAX];
    format_time(job->accepted_unix_ns, start);
    format_time(now->ended_unix_ns, end);
    const char *command = state_texts_next(&job->arguments, NULL);
    out_text(out, fields->uuid, job->uuid);
    out_text(out, fields->command, command ? command : "");
    for (const char *text = command ? state_texts_next(&job->arguments, command) : NULL; text;
            text = state_texts_next(&job->arguments, text))
        out_element(out, fields->args, text, strlen(text));
    out_number(out, fields->max_cpu, job->cpu_percent);
    cpulist_format(&job->cpus, cpus);
    out_text(out, fields->cpu_cores, cpus);
    out_number(out, fields->max_memory, (int32_t)(job->memory_bytes >> 20));
    out_number(out, fields->max_io_bps, job->io_bps);
    out_text(out, fields->status, state_status_name(now->status));
    out_text(out, fields->start_time, start);
    out_text(out, fields->end_time, end);
    out_number(out, fields->exit_code, now->exit_code);
    for (const char *text = NULL; (text = state_texts_next(&job->environment, text));) {
        size_t name_size = strcspn(text, "=");
        out_map_entry(out, fields->environment, text, name_size, text[name_size] ? text + name_size + 1 : "");
    }
    for (const char *text = NULL; (text = state_texts_next(&job->secret_names, text));)
        out_map_entry(out, fields->secrets, text, strlen(text), "***");
    out_text(out, fields->network, job->network);
    out_text(out, fields->runtime, job->runtime);
    out_text(out, fields->work_dir, job->work_dir);
    out_text(out, fields->node_id, job->node_id);
    out_text(out, fields->timeout, job->timeout_text);
    out_text(out, FIELD_END_REASON, now->end_reason);
    out_number(out, FIELD_END_SIGNAL, now->end_signal);
    out_text(out, FIELD_ERROR, now->error);
    out_number(out, FIELD_MAX_PROCESSES, job->processes);
    out_number(out, FIELD_MAX_OPEN_FILES, job->open_files);
    out_number(out, FIELD_WORK_BYTES, (int64_t)job->work_bytes);
    out_number(out, FIELD_TMP_BYTES, (int64_t)job->tmp_bytes);
    out_number(out, FIELD_LOG_BYTES, (int64_t)job->log_quota_bytes);
}

static void reply_out(struct grpc_call *call, const struct out *out)
{
    static const uint8_t empty[1];
    if (out->failed || grpc_call_send(call, out->bytes ? out->bytes : empty, out->used) < 0)
        grpc_call_finish(call, GRPC_INTERNAL, "no memory for the answer");
    else
        grpc_call_finish(call, GRPC_OK, NULL);
}

void reply_message(struct grpc_call *call, const ProtobufCMessage *message)
{
    _cleanup_(out_donep) struct out out = {0};
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *at = out_reserve(&out, size + 1);
    if (at)
        out.used = protobuf_c_message_pack(message, at);
    reply_out(call, &out);
}

void reply_status(struct grpc_call *call, const struct state_job *job, const void *view, size_t view_size)
{
    _cleanup_(out_donep) struct out out = {0};
    out_job(&out, &fields_status, job);
    if (view)
        out_element(&out, FIELD_KERNEL, view, view_size);
    reply_out(call, &out);
}

void reply_list(struct grpc_call *call, const struct state *state)
{
    _cleanup_(out_donep) struct out out = {0};
    _cleanup_(out_donep) struct out one = {0};
    const struct state_job *job = state_newest(state);
    for (; job; job = job->older) {
        one.used = 0;
        out_job(&one, &fields_job, job);
        if (one.failed || out.used + one.used + 16 > REPLY_SIZE_MAX)
            break;
        out_element(&out, 1, one.bytes, one.used);
    }
    out.failed |= one.failed;
    out_number(&out, 1000, job != NULL);
    reply_out(call, &out);
}

void reply_stopped(struct grpc_call *call, const struct state_job *job)
{
    _cleanup_(out_donep) struct out out = {0};
    char end[TEXT_TIME_MAX];
    format_time(job->now.ended_unix_ns, end);
    out_text(&out, 1, job->uuid);
    out_text(&out, 2, state_status_name(job->now.status));
    out_text(&out, 3, end);
    out_number(&out, 4, job->now.exit_code);
    reply_out(call, &out);
}
