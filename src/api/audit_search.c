#include "api/audit_search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/reply.h"
#include "api/wire.h"
#include "api/work.h"
#include "audit/reader.h"
#include "base/fd.h"
#include "joblet_ext.pb-c.h"

#define LIMIT_DEFAULT 100U
#define LIMIT_MAX 1000U
/* Calls that wait for their turn. */
#define SEARCHES_MAX 16U
/* Of one text of the filter. */
#define TEXT_MAX 256U

struct search {
    struct work_item work;
    struct search *next; /* api->searches: the first one runs */
    struct api *api;
    struct grpc_call *call;    /* NULL when the client went */
    ProtobufCMessage *message; /* the request: the filter's texts */
    struct audit_filter filter;
    size_t limit;
    struct audit_list list;
    struct error error;
    int result;
};

/* ---- the answer ---- */

/* The fields of one record. protobuf-c's messages have no const; the names are copied, the values too. */
struct fields {
    Joblet__Ext__AuditRecord *record;
    size_t room;
};

static bool put_field(void *context, const char *name, const char *value)
{
    struct fields *fields = context;
    Joblet__Ext__AuditRecord *record = fields->record;
    if (record->n_fields == fields->room) {
        size_t room = fields->room ? fields->room * 2 : 32;
        void *array = realloc(record->fields, room * sizeof(void *));
        if (!array)
            return false;
        record->fields = array;
        fields->room = room;
    }
    Joblet__Ext__AuditField *field = malloc(sizeof(*field));
    if (!field)
        return false;
    joblet__ext__audit_field__init(field);
    field->name = strdup(name);
    field->value = strdup(value);
    record->fields[record->n_fields++] = field;
    return field->name && field->value;
}

/* As protobuf_c_message_free_unpacked takes it. NULL without memory. */
static Joblet__Ext__AuditRecord *new_record(struct audit_found *found)
{
    Joblet__Ext__AuditRecord *record = malloc(sizeof(*record));
    if (!record)
        return NULL;
    joblet__ext__audit_record__init(record);
    struct fields fields = {.record = record};
    record->sequence = (int64_t)found->sequence;
    record->time = found->unix_ns;
    int r = audit_fields(found->line, found->size, put_field, &fields);
    record->line = TAKE_PTR(found->line);
    if (r == 0)
        return record;
    joblet__ext__audit_record__free_unpacked(record, NULL);
    return NULL;
}

/* From the newest on, as many as clients take in one message. */
static int fill_list(struct search *search, Joblet__Ext__ListRecordsResponse *response)
{
    size_t bytes = 0;
    size_t first = search->list.count;
    response->truncated = search->list.truncated;
    response->records = calloc(search->list.count + 1, sizeof(void *));
    if (!response->records)
        return -ENOMEM;
    while (first > 0) {
        Joblet__Ext__AuditRecord *record = new_record(&search->list.items[first - 1]);
        if (!record)
            return -ENOMEM;
        bytes += joblet__ext__audit_record__get_packed_size(record) + 16;
        if (bytes > REPLY_SIZE_MAX) {
            joblet__ext__audit_record__free_unpacked(record, NULL);
            response->truncated = true;
            break;
        }
        /* Backwards, moved to the front below. */
        response->records[--first] = record;
        response->n_records++;
    }
    memmove(response->records, response->records + first, response->n_records * sizeof(void *));
    return 0;
}

static void answer_list(struct search *search)
{
    Joblet__Ext__ListRecordsResponse *response = malloc(sizeof(*response));
    if (response)
        joblet__ext__list_records_response__init(response);
    int r = response ? fill_list(search, response) : -ENOMEM;
    if (r == 0)
        reply_message(search->call, &response->base);
    else
        grpc_call_finish(search->call, GRPC_RESOURCE_EXHAUSTED, "no memory");
    if (response) {
        response->n_records = r == 0 ? response->n_records : 0;
        joblet__ext__list_records_response__free_unpacked(response, NULL);
    }
}

static void answer_record(struct search *search)
{
    Joblet__Ext__AuditRecord *record = search->list.count > 0 ? new_record(&search->list.items[0]) : NULL;
    if (record)
        reply_message(search->call, &record->base);
    else if (search->list.count > 0)
        grpc_call_finish(search->call, GRPC_RESOURCE_EXHAUSTED, "no memory");
    else
        grpc_call_finish(
                search->call, GRPC_NOT_FOUND, "there is no record %llu", (unsigned long long)search->filter.sequence);
    if (record)
        joblet__ext__audit_record__free_unpacked(record, NULL);
}

/* ---- the search ---- */

static void on_run(struct work_item *work)
{
    struct search *search = (void *)work;
    search->result = audit_find(SETTINGS_FD_AUDIT, &search->filter, search->limit, &search->list, &search->error);
}

static void search_free(struct search *search)
{
    if (search->result == 0)
        audit_list_done(&search->list);
    protobuf_c_message_free_unpacked(search->message, NULL);
    free(search);
}

static void run_next(struct api *api)
{
    if (api->searches)
        work_add(api->work, &api->searches->work);
}

static void on_done(struct work_item *work)
{
    struct search *search = (void *)work;
    struct api *api = search->api;
    if (search->call && search->result < 0)
        grpc_call_finish(search->call, GRPC_INTERNAL, "the audit log cannot be read: %s", search->error.text);
    else if (search->call && search->filter.sequence > 0)
        answer_record(search);
    else if (search->call)
        answer_list(search);
    api->searches = search->next;
    search_free(search);
    run_next(api);
}

/* One that waits goes with its client; the one that runs goes on. */
static void on_cancel(struct grpc_call *call)
{
    struct search *search = grpc_call_user(call);
    search->call = NULL;
    if (search->api->searches == search)
        return;
    struct search **at = &search->api->searches;
    while (*at != search)
        at = &(*at)->next;
    *at = search->next;
    search_free(search);
}

/* Takes @message. */
static void begin(struct api *api, struct grpc_call *call, ProtobufCMessage *message, const struct audit_filter *filter,
        size_t limit)
{
    struct search **at = &api->searches;
    size_t count = 0;
    for (; *at; at = &(*at)->next)
        count++;
    struct search *search = count < SEARCHES_MAX ? malloc(sizeof(*search)) : NULL;
    if (!search) {
        protobuf_c_message_free_unpacked(message, NULL);
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "too many calls search the audit log");
        return;
    }
    *search = (struct search){.work = {.run = on_run, .done = on_done},
            .api = api,
            .call = call,
            .message = message,
            .filter = *filter,
            .limit = limit};
    *at = search;
    grpc_call_set_user(call, search);
    grpc_call_on_cancel(call, on_cancel);
    if (count == 0)
        run_next(api);
}

/* ---- the requests ---- */

static const char *too_long(const Joblet__Ext__ListRecordsRequest *request)
{
    const struct {
        const char *name;
        const char *text;
    } texts[] = {
            {"job", request->job}, {"user", request->user}, {"action", request->action}, {"result", request->result}};
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        if (strlen(texts[i].text) > TEXT_MAX)
            return texts[i].name;
    return NULL;
}

void audit_search_list(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    struct error error = {0};
    ProtobufCMessage *message = wire_unpack(&joblet__ext__list_records_request__descriptor, bytes, size, &error);
    const Joblet__Ext__ListRecordsRequest *request = (const void *)message;
    if (!message) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", error.text);
        return;
    }
    const char *wrong = too_long(request);
    bool is_range = request->since >= 0 && request->until >= 0;
    bool is_limit = request->limit >= 0 && request->limit <= (int32_t)LIMIT_MAX;
    if (!wrong && is_range && is_limit) {
        const struct audit_filter filter = {.since_unix_ns = request->since,
                .until_unix_ns = request->until,
                .job = request->job,
                .user = request->user,
                .action = request->action,
                .result = request->result};
        begin(user, call, message, &filter, request->limit ? (size_t)request->limit : LIMIT_DEFAULT);
        return;
    }
    if (wrong)
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s is too long: at most %u bytes", wrong, TEXT_MAX);
    else if (!is_range)
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "since and until must not be negative");
    else
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "limit must be between 0 and %u: %d", LIMIT_MAX, request->limit);
    protobuf_c_message_free_unpacked(message, NULL);
}

void audit_search_get(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    struct error error = {0};
    ProtobufCMessage *message = wire_unpack(&joblet__ext__get_record_request__descriptor, bytes, size, &error);
    const Joblet__Ext__GetRecordRequest *request = (const void *)message;
    const struct audit_filter filter = {
            .job = "", .user = "", .action = "", .result = "", .sequence = message ? (uint64_t)request->sequence : 0};
    if (message && request->sequence > 0) {
        begin(user, call, message, &filter, 1);
        return;
    }
    grpc_call_finish(
            call, GRPC_INVALID_ARGUMENT, "%s", message ? "sequence must be the number of a record" : error.text);
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}
