/* Connections that were refused for their certificate, in the audit log. Whoever reaches the port can make them, so
 * there is one record a second at the most; it counts the others. */
#pragma once

#include "base/error.h"

struct api;
struct strangers;

/* 0 or -errno with @error. */
int strangers_new(struct api *api, struct strangers **ret_strangers, struct error *error);
/* For grpc_server_options.stranger. @user: the struct api. */
void strangers_tell(const char *address, const char *why, void *user);
