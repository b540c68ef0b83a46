/* The child that waits for the disk. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "broker/loop.h"

struct broker;

/* Has all that is written now put on the disk, and the head after it; a child is started when there is none. 0 or
 * -errno with @error. */
int trail_ask_settler(struct broker *broker, struct error *error);
/* What became of it: 0 and @ret_code (0 or -errno of the disk's); -EAGAIN; -errno when the child is gone. */
int trail_take_answer(struct broker *broker, int32_t *ret_code);
void trail_stop_settler(struct broker *broker);

/* trail.c: the child has said something. */
void trail_on_settled(struct loop_source *source, uint32_t events);
