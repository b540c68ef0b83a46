/* RuntimeService, as far as it is there: specifications are validated, nothing is built. The YAML is parsed here, in
 * the process without rights; joblet never sees it. */
#pragma once

#include "grpc/server.h"

/* ValidateRuntimeYAML: what is wrong with a specification is an answer (valid = false), not an error; INVALID_ARGUMENT
 * is left for what is no such message. @user is not used. */
void runtimes_validate(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user);
