#include "api/strangers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "api/audit.h"
#include "base/fd.h"
#include "base/log.h"

#define PAUSE_MS 1000U

struct strangers {
    struct api *api;
    uv_timer_t timer;   /* runs while no record may be made */
    uint64_t left_out;  /* since the last record */
    char *last_address; /* of those, the last; owned */
    char *last_why;
};

static void record(struct strangers *strangers, const char *address, const char *why)
{
    struct audit_facts facts = {0};
    struct error error = {0};
    log_event(LOG_LEVEL_WARN, "connection refused", "address", address, "error", why, NULL);
    audit_facts_add(&facts, "action", "connection.refuse");
    audit_facts_add(&facts, "result", "refused");
    audit_facts_add(&facts, "address", address);
    audit_facts_add(&facts, "error", why);
    if (strangers->left_out > 1)
        audit_facts_addf(&facts, "further", "%llu", (unsigned long long)strangers->left_out - 1);
    if (audit_append(strangers->api, &facts, NULL, NULL, &error) < 0)
        log_event(LOG_LEVEL_ERROR, "the audit log cannot be written", "error", error.text, NULL);
    audit_facts_done(&facts);
    strangers->left_out = 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct strangers *strangers = timer->data;
    if (strangers->left_out == 0)
        return;
    record(strangers, strangers->last_address ? strangers->last_address : "",
            strangers->last_why ? strangers->last_why : "");
    (void)uv_timer_start(timer, on_timer, PAUSE_MS, 0);
}

static void keep(char **at, const char *text)
{
    free(*at);
    *at = strdup(text);
}

void strangers_tell(const char *address, const char *why, void *user)
{
    struct api *api = user;
    struct strangers *strangers = api->strangers;
    if (uv_is_active((uv_handle_t *)&strangers->timer)) {
        strangers->left_out++;
        keep(&strangers->last_address, address);
        keep(&strangers->last_why, why);
        return;
    }
    record(strangers, address, why);
    (void)uv_timer_start(&strangers->timer, on_timer, PAUSE_MS, 0);
}

int strangers_new(struct api *api, struct strangers **ret_strangers, struct error *error)
{
    struct strangers *strangers = calloc(1, sizeof(*strangers));
    if (!strangers)
        return error_text(error, ENOMEM, "no memory");
    strangers->api = api;
    int r = uv_timer_init(&api->loop, &strangers->timer);
    if (r < 0) {
        free(strangers);
        return error_errno(error, -r, "event loop");
    }
    strangers->timer.data = strangers;
    *ret_strangers = strangers;
    return 0;
}
