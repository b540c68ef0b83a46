#include "broker/build.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/bases.h"
#include "broker/context.h"
#include "broker/host_state.h"
#include "broker/job.h"
#include "broker/limits.h"
#include "broker/sync.h"
#include "plan/plan.h"
#include "plan/recipe.h"
#include "plan/spec.h"

/* --- the object --- */

static struct build *build_new(struct broker *broker, const struct channel_build_start *request)
{
    char uuid[TEXT_UUID_MAX];
    struct build *build = calloc(1, sizeof(*build));
    if (!build)
        return NULL;
    build->broker = broker;
    build->references = 1;
    memcpy(build->id, request->build_id, sizeof(build->id));
    build->runtime = request->runtime;
    memcpy(build->language, request->language, sizeof(build->language));
    build->is_dry_run = request->dry_run != 0;
    build->disk.fd = build->disk.again_fd = build->disk.image_fd = -EBADF;
    build->base_disk.fd = build->base_disk.again_fd = build->base_disk.image_fd = -EBADF;
    build->base_image_fd = -EBADF;
    build->base_use = request->base;
    memcpy(build->base_key, request->base_key, sizeof(build->base_key));
    text_format_uuid(build->id, uuid);
    (void)snprintf(build->stage, sizeof(build->stage), STORE_STAGE_PREFIX "%s", uuid);
    build->next = broker->first_build;
    if (build->next)
        build->next->previous = build;
    broker->first_build = build;
    return build;
}

static void drop_stage(struct build *build)
{
    char trash[STORE_NAME_MAX];
    struct broker *broker = build->broker;
    if (!build->has_stage)
        return;
    build->has_stage = false;
    /* Under another name, so that the next collect of this build can have its own. */
    bool renamed = store_trash(&broker->store, build->stage, trash) == 0;
    sweep_add(&broker->sweep, renamed ? trash : build->stage);
}

void build_ref(struct build *build)
{
    if (build)
        build->references++;
}

void build_unref(struct build *build)
{
    if (!build || --build->references > 0)
        return;
    struct broker *broker = build->broker;
    disks_give_back(&broker->disks, &build->disk);
    disks_give_back(&broker->disks, &build->base_disk);
    (void)fd_close(build->base_image_fd);
    if (build->has_slot)
        slots_give(broker->slots, build->slot_index);
    *(build->previous ? &build->previous->next : &broker->first_build) = build->next;
    if (build->next)
        build->next->previous = build->previous;
    drop_stage(build);
    free(build);
}

static struct build *find(struct broker *broker, const uint8_t id[16])
{
    struct build *build = broker->first_build;
    while (build && memcmp(build->id, id, sizeof(build->id)) != 0)
        build = build->next;
    return build;
}

int build_take_slot(struct build *build, struct slot *ret_slot, struct error *error)
{
    struct slots *slots = build->broker->slots;
    if (build->has_slot)
        return slots_look(slots, build->slot_index, ret_slot) < 0
                       ? error_text(error, EINVAL, "the build's id range is gone")
                       : 0;
    int r = slots_take(slots, ret_slot, error);
    if (r < 0)
        return r;
    build->has_slot = true;
    build->slot_index = ret_slot->index;
    return 0;
}

static int ask_base(struct build *build, struct error *error)
{
    struct disks *disks = &build->broker->disks;
    static uint64_t last;
    if (build->base_token != 0 && build->base_generation == disks->generation)
        return 1;
    build->base_token = ++last;
    build->base_generation = disks->generation;
    int r = disks_ask_base(disks, build->base_image_fd, build->base_token);
    if (r == 0)
        return 1;
    build->base_token = 0; /* again, when joblet-scratch is there */
    return r == -EAGAIN ? 1 : error_errno(error, -r, "ask for the disk of a base");
}

int build_take_disks(struct build *build, struct error *error)
{
    if (build->base_error.code != 0) {
        *error = build->base_error;
        return -(int)error->code;
    }
    int r = build->disk.is_held ? 0 : disks_take_build(&build->broker->disks, &build->disk, error);
    if (r != 0 || build->base_use != CHANNEL_BASE_USE || build->base_disk.is_held)
        return r;
    return ask_base(build, error);
}

bool build_on_base(struct broker *broker, uint64_t token, const struct disk_grant *grant, const struct error *error)
{
    struct build *build = broker->first_build;
    while (build && (build->base_token != token || build->base_disk.is_held))
        build = build->next;
    if (!build)
        return false;
    build->base_error = *error;
    if (error->code != 0)
        (void)error_prefix(&build->base_error, "the base cannot be mounted");
    build->base_disk = *grant;
    return true;
}

int build_make_stage(struct build *build, struct store_id *ret_id, struct error *error)
{
    int fd = store_make_stage(&build->broker->store, build->stage, ret_id, error);
    build->has_stage = build->has_stage || fd >= 0;
    return fd;
}

/* "joblet gc" takes files away only while nobody holds the lock. */
static void unlock_cache(struct broker *broker)
{
    for (const struct build *build = broker->first_build; build; build = build->next)
        if (build->reads_cache || build->writes_cache)
            return;
    (void)flock(broker->cache_fd, LOCK_UN);
}

bool build_take_cache(const struct job *job)
{
    struct build *build = job->build;
    if (build->broker->cache_fd < 0)
        return false;
    bool writes = job->note.type == PLAN_TYPE_COLLECT;
    if (writes && build->is_looked_at)
        return false;
    for (const struct build *other = build->broker->first_build; other; other = other->next)
        if (other != build && (other->writes_cache || (writes && other->reads_cache)))
            return false;
    if (flock(build->broker->cache_fd, LOCK_SH | LOCK_NB) < 0)
        return false;
    *(writes ? &build->writes_cache : &build->reads_cache) = true;
    return true;
}

/* --- ends --- */

static void on_collected(struct build *build, bool well)
{
    build->writes_cache = false;
    unlock_cache(build->broker);
    if (build->is_looked_at)
        well = false;
    bool is_again = build->disk.again_fd >= 0 && !build->is_looked_at;
    build->state = well ? BUILD_COLLECTED : is_again ? BUILD_ENDED : BUILD_FAILED;
    if (!well)
        drop_stage(build);
}

static bool has_seen_a_change(const struct job *collect)
{
    const struct record *record = &collect->ended.record;
    return record->reason == RECORD_REASON_EXITED && record->exit_code == RECIPE_EXIT_HOST_CHANGED;
}

void build_job_over(const struct job *job, bool well)
{
    struct build *build = job->build;
    if (!build)
        return; /* of an earlier joblet */
    if (job->note.type == PLAN_TYPE_COLLECT) {
        on_collected(build, well);
        /* Perhaps while its base was made, which then is neither what the host was nor what it is. */
        if (build->base_use == CHANNEL_BASE_USE && has_seen_a_change(job))
            bases_drop(&build->broker->bases, build->base_key);
        return;
    }
    build->reads_cache = false;
    unlock_cache(build->broker);
    build->state = well ? BUILD_ENDED : BUILD_FAILED;
    /* Not of the host any more: joblet-init has seen it. */
    if (!well && build->base_use == CHANNEL_BASE_USE && job->failure.code == ESTALE)
        bases_drop(&build->broker->bases, build->base_key);
}

/* --- the operations --- */

static void refuse(struct broker *broker, const struct channel_header *header, const struct error *error)
{
    struct channel_start_reply reply = {.header = *header, .error = *error};
    reply.header.size = sizeof(reply);
    reply.error.stage = PLAN_STAGE_PREPARE;
    trail_refused(broker, header, &reply.error);
    api_send(&broker->api, &reply);
}

static int check_builder(const struct broker *broker, struct error *error)
{
    if (broker->builder_fd < 0)
        return error_text(error, ENOENT, "joblet-builder is not installed");
    return 0;
}

/* What all starts have to keep to. */
static int check_any(struct broker *broker, const uint8_t id[16], int spec_fd, struct error *error)
{
    int r = job_check_start(broker, id, spec_fd, error);
    return r < 0 ? r : check_builder(broker, error);
}

static bool is_name(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    for (size_t i = length; i < size; i++)
        if (text[i] != '\0')
            return false;
    return plan_name_is_valid(text, size);
}

static int check_rivals(struct broker *broker, const struct channel_build_start *request, struct error *error)
{
    char text[STORE_TEXT_MAX];
    unsigned running = 0;
    for (const struct build *build = broker->first_build; build; build = build->next) {
        running += build->state == BUILD_RUNNING;
        if (build->is_dry_run || request->dry_run ||
                memcmp(&build->runtime, &request->runtime, sizeof(build->runtime)) != 0)
            continue;
        if (build->state != BUILD_FAILED && build->state != BUILD_PUBLISHED) {
            store_describe(&request->runtime, text);
            return error_text(error, EBUSY, "runtime %s is being built already", text);
        }
    }
    if (running >= broker->config->max_builds)
        return error_text(error, EAGAIN, "%u builds run already", running);
    return 0;
}

static int check_base(struct broker *broker, const struct channel_build_start *request, struct error *error)
{
    static const uint8_t none[CHANNEL_BASE_KEY_SIZE];
    bool has_key = memcmp(request->base_key, none, sizeof(none)) != 0;
    if (request->base > CHANNEL_BASE_USE || has_key != (request->base != CHANNEL_BASE_NONE) ||
            (request->dry_run && has_key))
        return error_text(error, EINVAL, "a build's base is none of the three, or its key is not there");
    return request->base == CHANNEL_BASE_MAKE ? bases_check(&broker->bases, error) : 0;
}

/* What it needs to know of its base from the first moment on. */
static int take_base(struct broker *broker, struct build *build, struct error *error)
{
    if (build->base_use == CHANNEL_BASE_MAKE)
        host_state_fingerprint(build->fingerprint);
    if (build->base_use != CHANNEL_BASE_USE)
        return 0;
    const struct base *base = bases_find(&broker->bases, build->base_key, error);
    if (!base)
        return error_prefix(error, "the build's base is gone");
    build->base_id_base = base->record.id_base;
    build->base_image_fd = bases_open_image(&broker->bases, base, error);
    return build->base_image_fd < 0 ? build->base_image_fd : 0;
}

void build_start(struct broker *broker, const struct channel_build_start *request, int spec_fd)
{
    struct error error = {0};
    struct job_order order = {.type = PLAN_TYPE_BUILD,
            .operation = CHANNEL_BUILD_START,
            .sequence = request->header.sequence,
            .limits = request->limits};
    memcpy(order.id, request->build_id, sizeof(order.id));
    int r = check_any(broker, request->build_id, spec_fd, &error);
    if (r == 0)
        r = store_check_operand(&request->runtime, /* may_be_empty= */ false, &error);
    if (r == 0 && (!is_name(request->language, sizeof(request->language)) || request->dry_run > 1))
        r = error_text(&error, EINVAL, "a build's language is no name, or it has what is unknown");
    if (r == 0)
        r = limits_settle_build(broker, &order.limits, &error);
    if (r == 0)
        r = check_rivals(broker, request, &error);
    if (r == 0)
        r = check_base(broker, request, &error);
    if (r == 0 && !(order.build = build_new(broker, request)))
        r = error_text(&error, ENOMEM, "no memory for a build");
    if (r == 0)
        r = take_base(broker, order.build, &error);
    if (r < 0) {
        build_unref(order.build);
        refuse(broker, &request->header, &error);
        return;
    }
    job_start(broker, &order, spec_fd);
    build_unref(order.build);
}

static int check_collect(
        struct broker *broker, const struct channel_tool_start *request, struct build **ret_build, struct error *error)
{
    static const struct channel_runtime none;
    struct build *build = find(broker, request->build_id);
    if (memcmp(&request->runtime, &none, sizeof(none)) != 0)
        return error_text(error, EINVAL, "a collect names a build and no runtime");
    if (!build || build->is_dry_run || build->base_use == CHANNEL_BASE_MAKE)
        return error_text(
                error, build ? EINVAL : ESRCH, build ? "nothing is collected of a dry run or a base" : "no such build");
    const struct job *job = job_find(broker, request->build_id);
    if (!job)
        return error_text(error, ESRCH, "the build is released");
    bool is_look = request->tool == CHANNEL_TOOL_LOOK;
    if (build->state != (is_look ? BUILD_FAILED : BUILD_ENDED))
        return error_text(error, build->state == BUILD_COLLECTING ? EBUSY : EINVAL,
                build->state == BUILD_RUNNING      ? "the build has not ended"
                : build->state == BUILD_COLLECTING ? "the build is being collected"
                : build->state == BUILD_FAILED     ? "the build or its collect failed"
                : is_look                          ? "the build has not failed"
                                                   : "the build was collected");
    if (build->disk.again_fd < 0)
        return error_text(error, EINVAL, "the build's disk was looked at or collected");
    build->is_looked_at = is_look;
    *ret_build = build;
    return 0;
}

static int check_verify(struct broker *broker, const struct channel_tool_start *request, struct error *error)
{
    static const uint8_t none[16];
    struct store_id id;
    if (memcmp(request->build_id, none, sizeof(none)) != 0)
        return error_text(error, EINVAL, "a verification names a runtime and no build");
    int r = store_check_operand(&request->runtime, /* may_be_empty= */ false, error);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = store_find(&broker->store, &request->runtime, &id, error);
    return fd < 0 ? fd : 0;
}

void build_start_tool(struct broker *broker, const struct channel_tool_start *request, int spec_fd)
{
    struct error error = {0};
    struct job_order order = {.operation = CHANNEL_TOOL_START,
            .sequence = request->header.sequence,
            .limits = request->limits,
            .runtime = request->runtime};
    memcpy(order.id, request->job_id, sizeof(order.id));
    int r = check_any(broker, request->job_id, spec_fd, &error);
    if (r == 0 && request->reserved)
        r = error_text(&error, EINVAL, "a tool's start has what is unknown");
    if (r == 0)
        r = limits_settle_build(broker, &order.limits, &error);
    if (r == 0 && (request->tool == CHANNEL_TOOL_COLLECT || request->tool == CHANNEL_TOOL_LOOK)) {
        order.type = PLAN_TYPE_COLLECT;
        r = check_collect(broker, request, &order.build, &error);
    } else if (r == 0 && request->tool == CHANNEL_TOOL_VERIFY) {
        order.type = PLAN_TYPE_VERIFY;
        r = check_verify(broker, request, &error);
    } else if (r == 0) {
        r = error_text(&error, EINVAL, "there is no tool %u", request->tool);
    }
    if (r < 0) {
        refuse(broker, &request->header, &error);
        return;
    }
    if (order.build)
        order.build->state = BUILD_COLLECTING;
    job_start(broker, &order, spec_fd);
}

/* With joblet-init, process 1 of each, the kernel ended all of them; that its groups are empty says the same. */
static int check_nobody_left(struct broker *broker, const struct build *build, struct error *error)
{
    for (const struct job *job = broker->first_job; job; job = job->next) {
        pid_t pid;
        if (job->build != build)
            continue;
        if ((job->phase != CHANNEL_JOB_ENDED && !job->gone) ||
                (job->has_groups && cgroup_list_processes(job->cgroups, job->note.group, &pid, 1) > 0))
            return error_text(error, EBUSY, "a process of the build is left");
    }
    return 0;
}

static void answer(struct broker *broker, const struct channel_header *header, const struct error *error)
{
    trail_refused(broker, header, error);
    api_reply(&broker->api, header, broker->api.generation, error);
}

static int publish(struct broker *broker, const struct channel_build_publish *request,
        struct channel_runtime *ret_runtime, struct error *error)
{
    char trash[STORE_NAME_MAX];
    char text[STORE_TEXT_MAX];
    struct store_id old;
    struct build *build = find(broker, request->build_id);
    if (request->reserved || request->replace > 1)
        return error_text(error, EINVAL, "a publication has what is unknown");
    if (!build || !job_find(broker, request->build_id))
        return error_text(error, ESRCH, "there is no such build");
    if (build->state != BUILD_COLLECTED)
        return error_text(error, EINVAL,
                build->state == BUILD_PUBLISHED ? "the build is published" : "the build was not collected");
    int r = check_nobody_left(broker, build, error);
    if (r == 0)
        r = store_publish(&broker->store, build->stage, &build->runtime, request->replace != 0, trash, &old, error);
    if (r < 0)
        return r;
    build->state = BUILD_PUBLISHED;
    build->has_stage = false;
    store_describe(&build->runtime, text);
    log_event(LOG_LEVEL_INFO, "runtime published", "runtime", text, "replaced", trash[0] ? "yes" : "no", NULL);
    trail_runtime(broker, trash[0] ? "runtime.replace" : "runtime.publish", text, request->build_id);
    if (trash[0])
        sweep_add(&broker->sweep, trash);
    *ret_runtime = build->runtime;
    return 0;
}

static int check_seal(
        struct broker *broker, const struct channel_base_seal *request, struct build **ret_build, struct error *error)
{
    uint8_t fingerprint[32];
    struct build *build = find(broker, request->build_id);
    if (!build || !job_find(broker, request->build_id))
        return error_text(error, ESRCH, "there is no such build");
    if (build->base_use != CHANNEL_BASE_MAKE || build->state != BUILD_ENDED)
        return error_text(error, EINVAL, "the build was not begun as a base, or has not ended with 0");
    int r = check_nobody_left(broker, build, error);
    if (r < 0)
        return r;
    host_state_fingerprint(fingerprint);
    if (memcmp(fingerprint, build->fingerprint, sizeof(fingerprint)) != 0)
        return error_text(error, ESTALE, "the host's packages changed while the base was made");
    *ret_build = build;
    return bases_check(&broker->bases, error);
}

void build_seal(struct broker *broker, const struct channel_base_seal *request)
{
    struct error error = {0};
    struct build *build = NULL;
    if (check_seal(broker, request, &build, &error) < 0)
        answer(broker, &request->header, &error);
    else
        bases_seal(&broker->bases, build, request);
}

void build_publish(struct broker *broker, const struct channel_build_publish *request)
{
    struct error error = {0};
    struct channel_runtime runtime;
    if (publish(broker, request, &runtime, &error) < 0)
        answer(broker, &request->header, &error);
    else
        sync_reply(broker, &request->header, &runtime);
}

static int remove_runtime(struct broker *broker, const struct channel_runtime_remove *request, struct error *error)
{
    char trash[STORE_NAME_MAX];
    char text[STORE_TEXT_MAX];
    struct store_id id;
    int r = store_check_operand(&request->runtime, /* may_be_empty= */ false, error);
    if (r < 0)
        return r;
    store_describe(&request->runtime, text);
    _cleanup_close_ int fd = store_find(&broker->store, &request->runtime, &id, error);
    if (fd < 0)
        return fd;
    if (job_uses_runtime(broker, &id))
        return error_text(error, EBUSY, "a job uses runtime %s", text);
    r = store_remove(&broker->store, &request->runtime, trash, error);
    if (r < 0)
        return r;
    log_event(LOG_LEVEL_INFO, "runtime removed", "runtime", text, NULL);
    trail_runtime(broker, "runtime.remove", text, NULL);
    sweep_add(&broker->sweep, trash);
    return 0;
}

void build_remove_runtime(struct broker *broker, const struct channel_runtime_remove *request)
{
    struct error error = {0};
    if (remove_runtime(broker, request, &error) < 0)
        answer(broker, &request->header, &error);
    else
        sync_reply(broker, &request->header, &request->runtime);
}
