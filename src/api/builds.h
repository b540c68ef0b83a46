/* The builds of the server: BuildRuntime, how many run at the same time, and their end with the service. */
#pragma once

#include "api/build.h"

/* Those that wait, too. */
#define BUILDS_MAX 64U

/* BuildRuntime, for the method table. @user: the struct api. */
void builds_handle(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user);
/* As build_new, and begins it as soon as its turn comes. 0; -EAGAIN: too many wait; -ENOMEM. */
int builds_add(struct api *api, const struct build_request *request, const struct build_sink *sink, void *user,
        struct build **ret_build);

/* Builds of an earlier joblet-api that ended with it have their end in the audit log, too (build_audit.c). */
void builds_record_lost(struct api *api);
/* Ends all builds and all our own programs; @done is called when nothing of them is left. */
void builds_stop_all(struct api *api, void (*done)(struct api *api));
/* One of them is gone. */
void builds_on_gone(struct api *api);
