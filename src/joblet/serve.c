#include <stdio.h>

#include "broker/broker.h"
#include "joblet/verbs.h"

int verb_serve(const char *prefix, int count, char **arguments)
{
    if (count > 0) {
        (void)fprintf(stderr, "joblet serve: unknown argument '%s'\n", arguments[0]);
        return 2;
    }
    return broker_run(prefix);
}
