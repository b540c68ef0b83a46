/* A RunJob request, checked: from the client's message to the job that is stored and the spec that joblet-init reads.
 * What cannot be had here is refused with the field's name; nothing is ignored. */
#pragma once

#include "base/error.h"
#include "config/settings.h"
#include "joblet.pb-c.h"
#include "runtime/description.h"
#include "state/job.h"

/* The kernel refuses one argument above 128 KiB and all of them above 2 MiB (with an 8 MiB stack): better said here. */
#define REQUEST_TEXT_MAX 131071U
#define REQUEST_TEXTS_MAX (2U << 20)
#define REQUEST_COUNT_MAX 65000U
#define REQUEST_VALUE_MAX 32768U
#define REQUEST_WORK_DIR_MAX 4095U
#define REQUEST_CPU_MAX 10000

struct request {
    struct state_job *job; /* owned; without owner, role, node id */
    int spec_fd;           /* sealed memfd of plan/spec.h; owned; -EBADF before request_seal */
    /* What the command sees, secrets included: wiped by request_done. */
    struct state_texts environment;
};

/* @runtime: what message->runtime means, borrowed; NULL when it is empty. 0; -EINVAL for what is wrong, -EOPNOTSUPP for
 * what is not offered, with @error naming the field; -ENOMEM. */
int request_read(const Joblet__RunJobRequest *message, const struct settings *settings,
        const struct runtime_description *runtime, struct request *ret_request, struct error *error);
/* Makes the spec. 0 or -errno with @error. */
int request_seal(struct request *request, struct error *error);
void request_done(struct request *request);
