/* A RunJob message from anybody: it is refused, or becomes a job and a spec that joblet-init's decoder accepts; in
 * either case it becomes facts of the audit log. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/describe.h"
#include "api/request.h"
#include "api/wire.h"
#include "base/fd.h"
#include "plan/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* True when @name is among the reserved ones: no job may have it. */
static int is_reserved(const char *text)
{
    return strncmp(text, "JOB_", 4) == 0 || strncmp(text, "JOBLET_", 7) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct settings settings = {.max_memory_bytes = 1 << 30, .max_processes = 1000};
    struct error error = {0};
    ProtobufCMessage *message = wire_unpack(&joblet__run_job_request__descriptor, data, size, &error);
    if (!message)
        return 0;
    struct request request;
    struct audit_facts facts = {0};
    describe_job(&facts, (const Joblet__RunJobRequest *)(const void *)message);
    if (facts.size > AUDIT_FACTS_MAX || (facts.size > 0 && facts.bytes[facts.size - 1] != '\0'))
        abort();
    audit_facts_done(&facts);
    int r = request_read((const Joblet__RunJobRequest *)(const void *)message, &settings, NULL, &request, &error);
    protobuf_c_message_free_unpacked(message, NULL);
    if (r < 0)
        return 0;
    for (const char *text = NULL; (text = state_texts_next(&request.environment, text));)
        if (is_reserved(text) || !strchr(text, '='))
            abort();
    if (request.job->work_dir[0] != '/' || strstr(request.job->work_dir, "/../") || request.job->cpu_percent > 10000)
        abort();
    struct spec spec = {0};
    if (request_seal(&request, &error) == 0) {
        if (spec_decode(request.spec_fd, &spec, &error) < 0)
            abort();
        spec_done(&spec);
    }
    request_done(&request);
    return 0;
}
