/* Answers to requests that must have reached the disk before they are given. Writing out can take as long as the disk
 * is busy with what jobs write, so a child process waits for it, and never joblet. */
#pragma once

#include "broker/loop.h"
#include "channel/message.h"

struct broker;

struct sync {
    struct sync *previous;
    struct sync *next;
    struct broker *broker;
    struct loop_source process; /* pidfd */
    struct channel_header request;
    uint32_t generation; /* of the joblet-api that asked */
};

/* Answers @request when what was renamed at @runtime's place in the store is on the disk. */
void sync_reply(struct broker *broker, const struct channel_header *request, const struct channel_runtime *runtime);
/* Lets go of those that are on their way. */
void sync_forget_all(struct broker *broker);
