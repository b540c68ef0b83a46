/* Messages to and from joblet, until the command runs: struct plan_message over a SOCK_SEQPACKET pair. */
#pragma once

#include <stdint.h>

#include "plan/plan.h"

/* Sends one message; @error may be NULL. 0 or -errno (-EPIPE: joblet is gone). */
int control_send(int fd, enum plan_message_type type, int64_t started_unix_ns, const struct error *error);
/* Receives the go, waiting. 0; -EPIPE when joblet closed or is gone; -EPROTO for anything else; -errno. */
int control_receive_go(int fd);
