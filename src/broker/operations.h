/* The privileged operations, one row each. What is not in the table, or not as its row says, ends joblet-api. */
#pragma once

#include "channel/message.h"

struct broker;

/* Handles one received message; descriptors that it does not take stay in @message. 0; -EPROTO with @ret_reason (static
 * text) when joblet-api broke the protocol. */
int operations_handle(struct broker *broker, struct channel_received *message, const char **ret_reason);
