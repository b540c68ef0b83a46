/* The audit log as joblet keeps it: it writes its own records and those that joblet-api asks for, and answers when they
 * are on the disk. A child waits for the disk, and never joblet: what comes meanwhile goes with the next time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "audit/log.h"
#include "broker/loop.h"
#include "channel/message.h"

struct broker;
struct job;
struct trail_wait;

struct trail {
    struct audit_log *log;      /* NULL: not open */
    struct loop_source settler; /* the child's socket */
    pid_t settler_pid;
    uint64_t asked;   /* up to here the child is putting it on the disk; 0: it has nothing to do */
    uint64_t settled; /* up to here it is there */
    struct loop_timer timer;
    struct trail_wait *first_wait;
    struct trail_wait *last_wait;
    double refusal_tokens;
    int64_t refusal_ns;
    uint64_t refusals_left_out;
    uint64_t lost; /* records of joblet's own that could not be written: the next one that can tells it */
    int syslog_fd;
};

/* Opens the log of the prefix and says what was found. 0 or -errno with @error: without it nothing is served. */
int trail_open(struct broker *broker, struct error *error);
/* The last record, and all of it on the disk. */
void trail_close(struct broker *broker);

/* Facts of joblet's own. What finds no room is left out. Begin with {0}. */
#define TRAIL_FACTS_MAX 4096U
struct trail_facts {
    char bytes[TRAIL_FACTS_MAX];
    size_t size;
};
/* An empty value is left out. */
void trail_add(struct trail_facts *facts, const char *name, const char *value);
void trail_addf(struct trail_facts *facts, const char *name, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* Writes a record of joblet's: it is in the file when this returns. 0 or -errno with @error; it is logged in any case.
 * @error NULL: it has happened and cannot be refused; a record that is lost is counted. */
int trail_write(struct broker *broker, const struct trail_facts *facts, struct error *error);

/* A record of joblet-api's: the sealed facts of CHANNEL_AUDIT_APPEND. Answers by itself. */
void trail_append(struct broker *broker, const struct channel_header *request, int facts_fd);

/* ---- what joblet records (trail_records.c) ---- */

void trail_service_started(struct broker *broker);
/* @error: why it failed, or NULL. */
void trail_service_ended(struct broker *broker, const struct error *error);
/* Before its command is executed, with what was seen of it from outside. 0 or -errno with @error: it must not be. */
int trail_job_started(struct job *job, struct error *error);
void trail_job_failed(const struct job *job);
void trail_job_ended(const struct job *job);
/* An operation was refused; many of them are counted instead. */
void trail_refused(struct broker *broker, const struct channel_header *request, const struct error *error);
/* joblet-api: "api.start", or "api.broken" and why. */
void trail_api(struct broker *broker, const char *action, const char *reason);
void trail_api_ended(struct broker *broker, bool clean, bool exited, int status);
/* "runtime.publish", "runtime.remove", "runtime.damaged" and so on. @job: 16 bytes of whose doing it is, or NULL. */
void trail_runtime(struct broker *broker, const char *action, const char *runtime, const uint8_t *job);
