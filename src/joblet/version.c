#include <stdio.h>

#include "joblet-version.h"
#include "joblet/verbs.h"

int verb_version(const char *prefix, int count, char **arguments)
{
    (void)prefix;
    if (count > 0) {
        (void)fprintf(stderr, "joblet version: unknown argument '%s'\n", arguments[0]);
        return 2;
    }
    return printf("joblet %s (%s)\n", JOBLET_VERSION, JOBLET_COMMIT) < 0;
}
