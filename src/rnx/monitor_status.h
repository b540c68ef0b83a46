/* The two forms of `monitor status`. */
#pragma once

#include <stdint.h>

#include "joblet.pb-c.h"

/* 0 when there is nothing to have a part of. */
double monitor_percent(int64_t part, int64_t whole);

/* The JSON form, with the keys that readers of upstream's know, on standard output. Parts that the server left out are
 * written as if they were empty. */
void monitor_print_json(const Joblet__SystemStatusResponse *status);
