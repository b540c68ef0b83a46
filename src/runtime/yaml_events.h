/* YAML as a stream of events in bounded depth and number. Nothing can be made to expand: anchors, aliases and tags are
 * refused at the event that shows them, no document is ever built. Directives are refused before libyaml sees the text,
 * because it compares each with all others: 256 KiB of them would take it a second. For this folder only. */
#pragma once

#include <stdbool.h>
#include <yaml.h>

#include "runtime/problem.h"

#define RUNTIME_YAML_DEPTH_MAX 8U
#define RUNTIME_YAML_EVENTS_MAX 20000U

struct runtime_yaml {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; owned */
    unsigned depth;     /* after the current event */
    unsigned events;
    bool refused; /* the current event was reported already: its value is not to be used */
    bool broken;  /* not YAML, or beyond a maximum: reported, and nothing can follow */
    struct runtime_problems *problems;
};

/* Borrows @text and @problems. 0; -EINVAL with the problem added, when there is a directive; -ENOMEM. */
int runtime_yaml_init(struct runtime_yaml *yaml, const char *text, size_t size, struct runtime_problems *problems);
void runtime_yaml_done(struct runtime_yaml *yaml);

/* Goes to the next event. 0; -EINVAL when broken (the problem is added); -ENOMEM. */
int runtime_yaml_next(struct runtime_yaml *yaml);
/* From the first event of a node to its last, whatever is in it. As runtime_yaml_next. */
int runtime_yaml_skip(struct runtime_yaml *yaml);

/* Of the current event: its line, from 1. */
unsigned runtime_yaml_line(const struct runtime_yaml *yaml);
/* Its text when it is a scalar that was not refused, or NULL. Valid until the next event. */
const char *runtime_yaml_text(const struct runtime_yaml *yaml);
/* True when it is an unquoted nothing: "key:", "~" or "null". */
bool runtime_yaml_is_null(const struct runtime_yaml *yaml);
