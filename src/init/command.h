/* The command's process, from the proof to the exec. It has no right and holds nothing but its standard descriptors. */
#pragma once

#include "base/error.h"

struct sandbox;

/* What the command's process tells joblet-init when the exec did not happen. */
struct command_failure {
    int32_t exit_code; /* 127 not found, 126 found but not executable; -1: it never was ready */
    struct error error;
};

/* Tells joblet (control socket) that it waits, waits for joblet-init's go, executes. Does not return. */
__attribute__((noreturn)) void command_run(struct sandbox *sandbox);
/* Tells joblet-init that a step failed, and ends. */
__attribute__((noreturn)) void command_fail(struct sandbox *sandbox, const struct error *error);
