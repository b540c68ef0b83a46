/* The borders of a start in joblet: functions of ours that one object calls in another. */
#include <stdlib.h>

#include "broker/api.h"
#include "broker/context.h"
#include "broker/job.h"
#include "broker/slots.h"
#include "broker/trail.h"
#include "broker/trail_settler.h"
#include "channel/message.h"
#include "faults.h"

/* With no job there, the slots may as well be new: their user namespaces are then made by this start, too. */
static void renew_slots(struct broker *broker)
{
    const struct config *config = broker->config;
    struct slots *slots;
    if (job_count_running(broker) > 0 || slots_new(config->id_range_start, config->id_range_count,
                                                 config->max_concurrent_jobs, config->disk_id_start, &slots) < 0)
        abort();
    slots_free(broker->slots);
    broker->slots = slots;
}

void __real_job_start(struct broker *broker, const struct job_order *order, int spec_fd);
void __wrap_job_start(struct broker *broker, const struct job_order *order, int spec_fd)
{
    /* As where joblet could lower its score: then each child sets its own back. */
    broker->oom_lowered = true;
    if (faults_wants_new_slots()) {
        uint32_t role = faults_enter(ROLE_NONE);
        renew_slots(broker);
        faults_leave(role);
    }
    __real_job_start(broker, order, spec_fd);
}

int __real_slots_take(struct slots *slots, struct slot *ret_slot, struct error *error);
int __wrap_slots_take(struct slots *slots, struct slot *ret_slot, struct error *error)
{
    uint32_t role = faults_enter(ROLE_SLOT);
    int r = __real_slots_take(slots, ret_slot, error);
    faults_leave(role);
    return r;
}

/* The channel to joblet-api is not part of a start. When it fails joblet-api is ended and started again. */
int __real_channel_receive(int socket, struct channel_received *ret_message);
int __wrap_channel_receive(int socket, struct channel_received *ret_message)
{
    uint32_t role = faults_enter(ROLE_NONE);
    int r = __real_channel_receive(socket, ret_message);
    faults_leave(role);
    return r;
}

void __real_api_send(struct api *api, const void *message);
void __wrap_api_send(struct api *api, const void *message)
{
    const struct channel_header *header = message;
    if (header->operation == CHANNEL_JOB_START)
        (void)faults_enter(ROLE_NONE); /* the answer */
    __real_api_send(api, message);
}

/* The audit log has tests of its own (broker/trail, audit/log), and what it does at the same time as a start is chance.
 */
#define APART(NAME, RETURN, PARAMETERS, ...)                                                                           \
    RETURN __real_##NAME PARAMETERS;                                                                                   \
    RETURN __wrap_##NAME PARAMETERS                                                                                    \
    {                                                                                                                  \
        faults_set_apart(1);                                                                                           \
        RETURN result = __real_##NAME(__VA_ARGS__);                                                                    \
        faults_set_apart(-1);                                                                                          \
        return result;                                                                                                 \
    }

APART(trail_write, int, (struct broker * broker, const struct trail_facts *facts, struct error *error), broker, facts,
        error)
APART(trail_ask_settler, int, (struct broker * broker, struct error *error), broker, error)
APART(trail_take_answer, int, (struct broker * broker, int32_t *ret_code), broker, ret_code)

void __real_trail_append(struct broker *broker, const struct channel_header *request, int facts_fd);
void __wrap_trail_append(struct broker *broker, const struct channel_header *request, int facts_fd)
{
    faults_set_apart(1);
    __real_trail_append(broker, request, facts_fd);
    faults_set_apart(-1);
}
