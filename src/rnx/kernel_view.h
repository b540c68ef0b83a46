/* What the kernel says of a job, for "rnx job status". */
#pragma once

#include "joblet.pb-c.h"
#include "rnx/json.h"

/* The section for people. */
void kernel_view_print(const Joblet__KernelView *view);
/* The object, without its key. */
void kernel_view_put(struct json *json, const Joblet__KernelView *view);
