/* What a request asks for, as facts of the audit log. No value of an environment is among them. */
#pragma once

#include "api/audit.h"
#include "joblet.pb-c.h"
#include "runtime/description.h"
#include "runtime/spec.h"

/* The runtime that is asked for, and which one it is, if there is one (or NULL). */
void describe_runtime(struct grpc_call *call, const char *asked, const struct runtime_description *runtime);
/* Before it is checked: what is refused is described, too. */
void describe_job(struct audit_facts *facts, const Joblet__RunJobRequest *message);
/* The secrets: @environment, which the configuration gives to builds, and all values of the specification's. */
void describe_secrets(
        struct audit_facts *facts, const struct runtime_spec *spec, const struct runtime_list *environment);
/* With them. */
void describe_spec(struct audit_facts *facts, const struct runtime_spec *spec, const struct runtime_list *environment);
