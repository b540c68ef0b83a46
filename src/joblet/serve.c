#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "broker/broker.h"
#include "joblet/verbs.h"

int verb_serve(const char *prefix, int count, char **arguments)
{
    struct broker_options options = {.prefix = prefix};
    const struct {
        const char *name;
        const char **value;
    } known[] = {{"--init", &options.init_path}, {"--api", &options.api_path}};
    for (int i = 0; i < count; i++) {
        size_t k = 0;
        while (k < ELEMENTS(known) && strcmp(arguments[i], known[k].name) != 0)
            k++;
        if (k == ELEMENTS(known) || i + 1 == count) {
            (void)fprintf(stderr, "joblet serve: %s '%s'\n", k == ELEMENTS(known) ? "unknown argument" : "no value for",
                    arguments[i]);
            return 2;
        }
        *known[k].value = arguments[++i];
    }
    return broker_run(&options);
}
