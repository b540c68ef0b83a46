/* The methods of the contract: decode, look up, hand over. */
#pragma once

#include "api/api.h"
#include "api/roles.h"

/* The table for the server; static. Methods without a handler are known and not offered. The handlers' user is the
 * struct api. */
const struct grpc_method *service_methods(size_t *ret_count);

/* For grpc_server_options.authorize: the role of the certificate against the table of roles.h; refusals are logged. */
int service_authorize(struct grpc_call *call, const char *path, char *ret_message, void *user);
/* The role of the call's certificate. */
enum role service_role(const struct grpc_call *call);
