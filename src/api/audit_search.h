/* AuditService: what stands in the audit log, for administrators. The log is read in a thread (work.h), for one call
 * after the other: it can be large, and others have a use for the threads. The handlers' user is the struct api. */
#pragma once

#include "grpc/server.h"

/* ListRecords and GetRecord. */
void audit_search_list(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user);
void audit_search_get(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user);
