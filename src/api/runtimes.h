/* RuntimeService but for builds: what is there, what a specification would be. The YAML is parsed here, in the process
 * without rights; joblet never sees it. The handlers' user is the struct api. */
#pragma once

#include "grpc/server.h"

/* Of a request beside its texts. */
#define RUNTIMES_REQUEST_ROOM 4096U

/* ValidateRuntimeYAML (validation.c): what is wrong with a specification is an answer (valid = false), not an error;
 * INVALID_ARGUMENT is left for what is no such message. A right one goes through a dry run of its build. */
void runtimes_validate(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user);
/* ListRuntimes, GetRuntimeInfo, RemoveRuntime. */
void runtimes_list(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user);
void runtimes_info(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user);
void runtimes_remove(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user);
/* TestRuntime (runtime_test.c). */
void runtimes_test(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user);
