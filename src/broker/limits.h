/* What a request may ask for: defaults filled in, ceilings kept. */
#pragma once

#include "base/error.h"
#include "channel/message.h"

struct broker;

/* The limits of a job. 0 or -EINVAL with @error. */
int limits_settle_job(const struct broker *broker, struct channel_limits *limits, struct error *error);
/* Those of a build, and of our own programs that belong to one. */
int limits_settle_build(const struct broker *broker, struct channel_limits *limits, struct error *error);
