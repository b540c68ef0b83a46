#include "api/audit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/mask.h"
#include "api/service.h"
#include "base/fd.h"
#include "base/log.h"

/* ---- facts ---- */

void audit_facts_done(struct audit_facts *facts)
{
    for (size_t i = 0; i < facts->secrets.count; i++)
        explicit_bzero(facts->secrets.items[i], strlen(facts->secrets.items[i]));
    runtime_list_done(&facts->secrets);
    free(facts->bytes);
    *facts = (struct audit_facts){0};
}

static void put(struct audit_facts *facts, const char *text, size_t size)
{
    if (facts->room - facts->size < size) {
        size_t room = (facts->size + size) * 2;
        char *bytes = realloc(facts->bytes, room);
        if (!bytes) {
            facts->failed = true;
            return;
        }
        facts->bytes = bytes;
        facts->room = room;
    }
    memcpy(facts->bytes + facts->size, text, size);
    facts->size += size;
}

/* What finds no room is left out: names and the texts that matter come first. */
static void put_fact(struct audit_facts *facts, const char *name, const char *value)
{
    size_t name_size = strlen(name) + 1;
    size_t value_size = strlen(value) + 1;
    if (facts->size + name_size + value_size > AUDIT_FACTS_MAX)
        return;
    put(facts, name, name_size);
    if (!facts->failed)
        put(facts, value, value_size);
}

void audit_facts_add(struct audit_facts *facts, const char *name, const char *value)
{
    if (!*value)
        return;
    _cleanup_free_ char *masked = facts->secrets.count > AUDIT_SECRETS_MAX
                                          ? strdup(MASK)
                                          : mask_words(&facts->secrets, value, AUDIT_VALUE_MAX);
    if (masked)
        put_fact(facts, name, masked);
    else
        facts->failed = true;
}

void audit_facts_addf(struct audit_facts *facts, const char *name, const char *format, ...)
{
    _cleanup_free_ char *value = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&value, format, arguments) < 0)
        value = NULL;
    va_end(arguments);
    if (value)
        audit_facts_add(facts, name, value);
    else
        facts->failed = true;
}

static void put_quoted(FILE *file, const char *text)
{
    if (*text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%*")]) {
        (void)fputs(text, file);
        return;
    }
    (void)fputc('\'', file);
    for (; *text; text++)
        if (*text == '\'')
            (void)fputs("'\\''", file);
        else
            (void)fputc(*text, file);
    (void)fputc('\'', file);
}

void audit_facts_add_command(struct audit_facts *facts, const char *command, char *const *arguments, size_t count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    const char *previous = NULL;
    bool hidden = facts->secrets.count > AUDIT_SECRETS_MAX;
    for (size_t i = 0; file && i <= count && ftello(file) < AUDIT_VALUE_MAX; i++) {
        const char *argument = i == 0 ? command : arguments[i - 1];
        _cleanup_free_ char *masked =
                hidden ? strdup(MASK) : mask_argument(&facts->secrets, previous, argument, AUDIT_VALUE_MAX);
        if (i > 0)
            (void)fputc(' ', file);
        put_quoted(file, masked ? masked : MASK);
        previous = argument;
    }
    char *copy = file && fclose(file) == 0 ? malloc(AUDIT_VALUE_MAX) : NULL;
    if (copy) {
        text_copy_cut(copy, AUDIT_VALUE_MAX, text);
        put_fact(facts, "command", copy);
        audit_facts_addf(facts, "arguments", "%zu", count);
    } else {
        facts->failed = true;
    }
    free(copy);
    free(text);
}

void audit_facts_hide_pair(struct audit_facts *facts, const char *pair)
{
    /* One beyond the most says that there are too many. */
    const char *value = strchr(pair, '=');
    if (!value || strlen(value + 1) < MASK_VALUE_MIN || facts->secrets.count > AUDIT_SECRETS_MAX)
        return;
    if (runtime_list_add(&facts->secrets, pair) < 0)
        facts->failed = true;
}

void audit_facts_hide(struct audit_facts *facts, const char *name, const char *value)
{
    _cleanup_free_ char *pair = NULL;
    if (asprintf(&pair, "%s=%s", name, value) < 0) {
        pair = NULL;
        facts->failed = true;
        return;
    }
    audit_facts_hide_pair(facts, pair);
    explicit_bzero(pair, strlen(pair));
}

static void copy_secrets(struct audit_facts *facts, const struct audit_facts *from)
{
    for (size_t i = 0; i < from->secrets.count; i++)
        if (runtime_list_add(&facts->secrets, from->secrets.items[i]) < 0)
            facts->failed = true;
}

static void copy_texts(struct audit_facts *facts, const struct audit_facts *from)
{
    const char *end = from->size > 0 ? from->bytes + from->size : NULL;
    for (const char *name = from->bytes; end && name < end;) {
        const char *value = name + strlen(name) + 1;
        put_fact(facts, name, value);
        name = value + strlen(value) + 1;
    }
    facts->failed = facts->failed || from->failed;
}

void audit_facts_copy(struct audit_facts *facts, const struct audit_facts *from)
{
    copy_texts(facts, from);
    copy_secrets(facts, from);
}

/* ---- records ---- */

struct appending {
    struct api *api;
    audit_done done;
    void *user;
};

static void on_appended(const struct channel_received *reply, void *user)
{
    struct appending *appending = user;
    const struct error *error = link_reply_error(reply);
    appending->api->audit_waiting--;
    if (error->code)
        log_event(LOG_LEVEL_ERROR, "the audit log cannot be written", "error", error->text, NULL);
    if (appending->done)
        appending->done(error->code ? error : NULL, appending->user);
    free(appending);
}

int audit_append(struct api *api, const struct audit_facts *facts, audit_done done, void *user, struct error *error)
{
    struct channel_header message = {.operation = CHANNEL_AUDIT_APPEND, .size = sizeof(message)};
    if (facts->failed)
        return error_text(error, ENOMEM, "no memory");
    if (api->audit_waiting >= AUDIT_WAITING_MAX)
        return error_text(error, EAGAIN, "%u records wait for it", api->audit_waiting);
    struct appending *appending = malloc(sizeof(*appending));
    if (!appending)
        return error_text(error, ENOMEM, "no memory");
    *appending = (struct appending){api, done, user};
    int fd = fd_new_sealed("audit", facts->bytes, facts->size);
    int r = fd < 0 ? fd : link_request(api->link, &message, fd, on_appended, appending);
    if (r < 0) {
        free(appending);
        return error_errno(error, -r, "hand over the record");
    }
    api->audit_waiting++;
    return 0;
}

/* ---- calls ---- */

struct watched {
    struct api *api;
    struct grpc_call *call; /* NULL when it is gone */
    bool left;
    bool intended;
    bool finished;
    unsigned waits; /* appends that have this as their user */
    enum grpc_status status;
    char *message; /* of the status */
    char *failure; /* of audit_fail */
    struct audit_facts subject;
    struct audit_facts details;
    void (*go)(struct grpc_call *call, void *user);
    void *go_user;
};

static void watched_free(struct watched *watched)
{
    audit_facts_done(&watched->subject);
    audit_facts_done(&watched->details);
    free(watched->message);
    free(watched->failure);
    free(watched);
}

static void unref(struct watched *watched)
{
    if (!watched->call && watched->waits == 0)
        watched_free(watched);
}

/* @intended: it was begun, so it cannot be refused any more; what does not fit then is the client's own fault. */
static const char *result_name(enum grpc_status status, bool intended)
{
    static const enum grpc_status refusals[] = {GRPC_INVALID_ARGUMENT, GRPC_NOT_FOUND, GRPC_ALREADY_EXISTS,
            GRPC_RESOURCE_EXHAUSTED, GRPC_FAILED_PRECONDITION, GRPC_OUT_OF_RANGE};
    if (status == GRPC_OK)
        return "ok";
    if (status == GRPC_CANCELLED || status == GRPC_DEADLINE_EXCEEDED)
        return "cancelled";
    for (size_t i = 0; i < ELEMENTS(refusals); i++)
        if (refusals[i] == status)
            return "refused";
    return intended ? "failed" : "refused";
}

/* One record: the subject, @result, the details. */
static int append(struct watched *watched, const char *result, const char *status, const char *failure, audit_done done,
        void *user, struct error *error)
{
    struct audit_facts facts = {0};
    copy_secrets(&facts, &watched->details);
    copy_texts(&facts, &watched->subject);
    audit_facts_add(&facts, "result", result);
    audit_facts_add(&facts, "status", status);
    audit_facts_add(&facts, "error", failure);
    copy_texts(&facts, &watched->details);
    int r = audit_append(watched->api, &facts, done, user, error);
    audit_facts_done(&facts);
    return r;
}

static void answer(struct watched *watched, const struct error *error)
{
    char text[ERROR_TEXT_MAX + 256];
    enum grpc_status status = watched->status;
    if (!error) {
        grpc_call_answer(watched->call, GRPC_OK, NULL);
        return;
    }
    if (status == GRPC_OK)
        (void)snprintf(text, sizeof(text), "it was done, but the audit log cannot be written: %s", error->text);
    else
        (void)snprintf(text, sizeof(text), "%.200s; the audit log cannot be written: %s",
                watched->message ? watched->message : "", error->text);
    grpc_call_answer(watched->call, GRPC_UNAVAILABLE, text);
}

static void on_result(const struct error *error, void *user)
{
    struct watched *watched = user;
    watched->waits--;
    if (watched->call)
        answer(watched, error);
    else
        unref(watched);
}

static void on_finished(struct grpc_call *call, enum grpc_status status, const char *message, void *user)
{
    struct watched *watched = user;
    struct error error = {0};
    watched->finished = true;
    watched->status = status;
    watched->message = strdup(message);
    if (watched->left) {
        grpc_call_answer(call, GRPC_OK, NULL);
        return;
    }
    bool told = status == GRPC_OK && watched->failure;
    const char *result = result_name(told ? GRPC_UNKNOWN : status, watched->intended);
    const char *failure = told ? watched->failure : message;
    if (append(watched, result, grpc_status_name((int)status), failure, on_result, watched, &error) == 0)
        watched->waits++;
    else
        answer(watched, &error);
}

/* What was begun has its end in the log, although nobody is told. */
static void on_gone(struct grpc_call *call, void *user)
{
    struct watched *watched = user;
    struct error error = {0};
    (void)call;
    watched->call = NULL;
    if (watched->intended && !watched->finished && !watched->left &&
            append(watched, "cancelled", grpc_status_name(GRPC_CANCELLED), "the client went before it was answered",
                    NULL, NULL, &error) < 0)
        log_event(LOG_LEVEL_ERROR, "the audit log cannot be written", "error", error.text, NULL);
    unref(watched);
}

static const struct grpc_watch call_watch = {.finished = on_finished, .gone = on_gone};

static void add_peer(struct watched *watched, const struct grpc_call *call, const struct role_method *method)
{
    struct audit_facts *facts = &watched->subject;
    audit_facts_add(facts, "action", method->action);
    audit_facts_add(facts, "method", method->path);
    audit_facts_addf(facts, "call", "%llu", (unsigned long long)++watched->api->audit_calls);
    audit_facts_add(facts, "user", grpc_call_peer_name(call));
    audit_facts_add(facts, "role", role_name(service_role(call)));
    audit_facts_add(facts, "certificate", grpc_call_peer_fingerprint(call));
    audit_facts_add(facts, "serial", grpc_call_peer_serial(call));
    audit_facts_add(facts, "address", grpc_call_peer_address(call));
}

bool audit_watch(struct api *api, struct grpc_call *call, const struct role_method *method, bool refused)
{
    if (!method->changes && !refused)
        return true;
    struct watched *watched = calloc(1, sizeof(*watched));
    if (!watched)
        return false;
    *watched = (struct watched){.api = api, .call = call};
    add_peer(watched, call, method);
    grpc_call_watch(call, &call_watch, watched);
    return true;
}

struct audit_facts *audit_subject(struct grpc_call *call)
{
    struct watched *watched = grpc_call_watcher(call);
    return watched ? &watched->subject : NULL;
}

struct audit_facts *audit_details(struct grpc_call *call)
{
    struct watched *watched = grpc_call_watcher(call);
    return watched ? &watched->details : NULL;
}

void audit_set(struct grpc_call *call, const char *name, const char *value)
{
    struct audit_facts *facts = audit_subject(call);
    if (facts)
        audit_facts_add(facts, name, value);
}

void audit_add(struct grpc_call *call, const char *name, const char *value)
{
    struct audit_facts *facts = audit_details(call);
    if (facts)
        audit_facts_add(facts, name, value);
}

void audit_fail(struct grpc_call *call, const char *error)
{
    struct watched *watched = grpc_call_watcher(call);
    if (watched && !watched->failure && !(watched->failure = strdup(error)))
        watched->details.failed = true;
}

void audit_leave(struct grpc_call *call)
{
    struct watched *watched = grpc_call_watcher(call);
    if (watched)
        watched->left = true;
}

/* ---- intents ---- */

int audit_append_intent(struct api *api, const struct audit_facts *subject, struct audit_facts *details,
        audit_done done, void *user, struct error *error)
{
    struct audit_facts facts = {0};
    if (api->audit_waiting >= AUDIT_WAITING_MAX / 2)
        return error_text(error, EAGAIN, "%u records wait for it", api->audit_waiting);
    copy_texts(&facts, subject);
    audit_facts_add(&facts, "result", "intent");
    copy_texts(&facts, details);
    int r = audit_append(api, &facts, done, user, error);
    audit_facts_done(&facts);
    /* Said once. */
    if (r == 0)
        details->size = 0;
    return r;
}

int audit_intend_apart(struct grpc_call *call, audit_done done, void *user, struct error *error)
{
    struct watched *watched = grpc_call_watcher(call);
    int r = audit_append_intent(watched->api, &watched->subject, &watched->details, done, user, error);
    watched->intended = r == 0;
    return r;
}

static void refuse(struct grpc_call *call, const struct error *error)
{
    grpc_call_finish(call, GRPC_UNAVAILABLE, AUDIT_UNAVAILABLE "%s", error->text);
}

static void on_intended(const struct error *error, void *user)
{
    struct watched *watched = user;
    bool is_open = watched->call && !watched->finished;
    watched->waits--;
    if (is_open && error) {
        watched->intended = false;
        refuse(watched->call, error);
    }
    watched->go(is_open && !error ? watched->call : NULL, watched->go_user);
    unref(watched);
}

void audit_intend(struct grpc_call *call, void (*go)(struct grpc_call *call, void *user), void *user)
{
    struct watched *watched = grpc_call_watcher(call);
    struct error error = {0};
    watched->go = go;
    watched->go_user = user;
    if (audit_intend_apart(call, on_intended, watched, &error) < 0) {
        refuse(call, &error);
        go(NULL, user);
        return;
    }
    watched->waits++;
}
