/* Between the parts of the joblet-api that was taken over. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "channel/message.h"

#define SECOND_NS 1000000000LL

/* Sends a request and waits for its reply; the code of the error in it. */
int32_t hostile_ask(void *message, uint16_t operation, size_t size, int fd);
/* Counts a refusal; complains when @code is none. */
void hostile_must_refuse(int32_t code, const char *what);

/* Operands that are right, so that what is changed in them is all that can be refused. */
struct channel_build_start hostile_good_build(void);
/* Everything out of range must be refused. @spec: a descriptor that is right. */
void hostile_try_builds(const uint8_t running[16], const uint8_t ended[16], const uint8_t nobody[16], int spec);
