#include "broker/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "audit/syslog.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/context.h"
#include "broker/trail_settler.h"

/* "joblet setup" has the log for a moment. */
#define OPEN_TRIES 100
#define OPEN_PAUSE_NS 100000000L
#define LATE_NS 100000000ULL

struct trail_wait {
    struct trail_wait *next;
    uint64_t sequence;
    struct channel_header request;
    uint32_t generation; /* of the joblet-api that asked */
};

/* ---- answers ---- */

/* Those up to @sequence. */
static void answer_waiting(struct broker *broker, uint64_t sequence, const struct error *error)
{
    struct trail *trail = &broker->trail;
    while (trail->first_wait && trail->first_wait->sequence <= sequence) {
        struct trail_wait *wait = trail->first_wait;
        trail->first_wait = wait->next;
        if (!trail->first_wait)
            trail->last_wait = NULL;
        api_reply(&broker->api, &wait->request, wait->generation, error);
        free(wait);
    }
}

/* ---- to the disk ---- */

static void settle(struct broker *broker)
{
    struct trail *trail = &broker->trail;
    struct error error = {0};
    uint64_t last = audit_log_last(trail->log);
    if (trail->asked || last == trail->settled)
        return;
    if (trail_ask_settler(broker, &error) == 0) {
        trail->asked = last;
        return;
    }
    log_event(LOG_LEVEL_ERROR, "the audit log cannot be put on the disk", "error", error.text, NULL);
    answer_waiting(broker, last, &error);
}

static void on_late(struct loop_timer *timer)
{
    settle(LOOP_OWNER(timer, struct broker, trail.timer));
}

/* Nobody waits for joblet's own records: they go along with the next that somebody waits for. */
static void settle_soon(struct broker *broker)
{
    struct trail *trail = &broker->trail;
    if (!trail->asked && trail->timer.deadline_ns == 0 && audit_log_last(trail->log) != trail->settled)
        loop_arm(broker->loop, &trail->timer, LATE_NS, on_late);
}

void trail_on_settled(struct loop_source *source, uint32_t events)
{
    struct broker *broker = LOOP_OWNER(source, struct broker, trail.settler);
    struct trail *trail = &broker->trail;
    struct error error = {0};
    int32_t code = -EIO;
    uint64_t asked = trail->asked;
    (void)events;
    int r = trail_take_answer(broker, &code);
    if (r == -EAGAIN)
        return;
    if (r < 0) {
        /* It was killed: the next one does its work. */
        trail_stop_settler(broker);
        settle(broker);
        return;
    }
    trail->asked = 0;
    if (code == 0) {
        trail->settled = asked;
        audit_log_settled(trail->log);
        answer_waiting(broker, asked, NULL);
    } else {
        (void)error_errno(&error, -code, "put the audit log on the disk");
        log_event(LOG_LEVEL_ERROR, "the audit log cannot be put on the disk", "error", error.text, NULL);
        answer_waiting(broker, asked, &error);
    }
    if (trail->first_wait)
        settle(broker);
    else if (code == 0) /* else it is tried again with the next record */
        settle_soon(broker);
}

/* ---- copies ---- */

static void copy_record(void *context, const char *line)
{
    struct trail *trail = context;
    if (audit_syslog_send(&trail->syslog_fd, line) < 0)
        log_event(LOG_LEVEL_WARN, "a record of the audit log was not copied to syslog", NULL);
}

/* ---- records ---- */

/* So that the loss stands in the chain, where it happened. */
static int tell_lost(struct trail *trail, struct error *error)
{
    struct trail_facts facts = {0};
    trail_add(&facts, "action", "audit.lost");
    trail_add(&facts, "result", "failed");
    trail_addf(&facts, "records", "%" PRIu64, trail->lost);
    int r = audit_log_append(trail->log, "joblet", facts.bytes, facts.size, error);
    if (r == 0)
        trail->lost = 0;
    return r;
}

static int write_record(struct broker *broker, const char *source, const char *facts, size_t size, struct error *error)
{
    struct trail *trail = &broker->trail;
    if (!trail->log)
        return error_text(error, EIO, "the audit log is not open");
    int r = trail->lost > 0 ? tell_lost(trail, error) : 0;
    return r < 0 ? r : audit_log_append(trail->log, source, facts, size, error);
}

void trail_add(struct trail_facts *facts, const char *name, const char *value)
{
    size_t name_size = strlen(name) + 1;
    size_t value_size = strlen(value) + 1;
    if (!*value || facts->size + name_size + value_size > sizeof(facts->bytes))
        return;
    memcpy(facts->bytes + facts->size, name, name_size);
    memcpy(facts->bytes + facts->size + name_size, value, value_size);
    facts->size += name_size + value_size;
}

void trail_addf(struct trail_facts *facts, const char *name, const char *format, ...)
{
    char value[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(value, sizeof(value), format, arguments);
    va_end(arguments);
    trail_add(facts, name, value);
}

int trail_write(struct broker *broker, const struct trail_facts *facts, struct error *error)
{
    struct error own = {0};
    struct error *told = error ? error : &own;
    int r = write_record(broker, "joblet", facts->bytes, facts->size, told);
    if (r < 0)
        log_event(LOG_LEVEL_ERROR, "the audit log cannot be written", "error", told->text, NULL);
    else
        settle_soon(broker);
    if (r < 0 && !error)
        broker->trail.lost++;
    return r;
}

static int append_sealed(struct broker *broker, int fd, struct error *error)
{
    size_t size;
    int r = fd_check_sealed(fd, AUDIT_FACTS_SIZE_MAX, &size);
    if (r < 0)
        return error_errno(error, -r, "the facts are not a sealed file of at most %u bytes", AUDIT_FACTS_SIZE_MAX);
    _cleanup_free_ char *facts = malloc(size + 1);
    if (!facts)
        return error_errno(error, ENOMEM, "read facts");
    ssize_t got = pread(fd, facts, size, 0);
    if (got != (ssize_t)size)
        return error_errno(error, got < 0 ? errno : EIO, "read facts");
    return write_record(broker, "joblet-api", facts, size, error);
}

void trail_append(struct broker *broker, const struct channel_header *request, int facts_fd)
{
    struct trail *trail = &broker->trail;
    struct error error = {0};
    struct trail_wait *wait = calloc(1, sizeof(*wait));
    int r = wait ? append_sealed(broker, facts_fd, &error) : error_errno(&error, ENOMEM, "write the audit log");
    if (r < 0) {
        free(wait);
        log_event(LOG_LEVEL_ERROR, "the audit log cannot be written", "error", error.text, NULL);
        api_reply(&broker->api, request, broker->api.generation, &error);
        return;
    }
    *wait = (struct trail_wait){
            .sequence = audit_log_last(trail->log), .request = *request, .generation = broker->api.generation};
    *(trail->last_wait ? &trail->last_wait->next : &trail->first_wait) = wait;
    trail->last_wait = wait;
    settle(broker);
}

/* ---- open and close ---- */

int trail_open(struct broker *broker, struct error *error)
{
    struct trail *trail = &broker->trail;
    const struct config *config = broker->config;
    const struct timespec pause = {.tv_nsec = OPEN_PAUSE_NS};
    const struct audit_options options = {.file_bytes = config->audit_file_bytes,
            .keep_files = config->audit_keep_files,
            .readers = config->api_gid,
            .on_record = config->audit_syslog ? copy_record : NULL,
            .context = trail};
    struct audit_opened opened;
    int r = audit_log_open(broker->prefix_fd, &options, &trail->log, &opened, error);
    for (int i = 0; r == -EBUSY && i < OPEN_TRIES; i++) {
        (void)nanosleep(&pause, NULL);
        r = audit_log_open(broker->prefix_fd, &options, &trail->log, &opened, error);
    }
    if (r < 0)
        return error_prefix(error, "the audit log");
    r = audit_log_tell(trail->log, "joblet", &opened, error);
    if (r < 0 && opened.damage.code != 0) {
        /* The next start tells it. */
        audit_log_close(trail->log);
        trail->log = NULL;
        return error_prefix(error, "the audit log was tampered with, and that cannot be recorded");
    }
    if (r < 0) {
        log_event(LOG_LEVEL_ERROR, "the audit log cannot be written", "error", error->text, NULL);
        trail->lost++;
    }
    trail_service_started(broker);
    return 0;
}

void trail_close(struct broker *broker)
{
    struct trail *trail = &broker->trail;
    struct error error = {0};
    if (broker->loop)
        loop_disarm(broker->loop, &trail->timer);
    if (broker->loop && trail->settler.fd >= 0)
        trail_stop_settler(broker);
    while (trail->first_wait) {
        struct trail_wait *wait = trail->first_wait;
        trail->first_wait = wait->next;
        free(wait);
    }
    trail->last_wait = NULL;
    if (trail->log && audit_log_flush(trail->log, &error) < 0)
        log_event(LOG_LEVEL_ERROR, "the end of the audit log", "error", error.text, NULL);
    if (trail->lost > 0)
        log_event(LOG_LEVEL_ERROR, "records of the audit log are lost, and no record says so", "records",
                LOG_NUMBER(trail->lost), NULL);
    audit_log_close(trail->log);
    trail->log = NULL;
    trail->syslog_fd = fd_close(trail->syslog_fd);
}
