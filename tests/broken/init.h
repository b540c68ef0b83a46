/* Between the two halves of the broken joblet-init: the steps that leave something out, and the proof that is told
 * otherwise. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broken.h"
#include "sandbox/sandbox.h"

/* Who looks: only then is anything told. */
enum asking { ASKING_NOBODY, ASKING_START, ASKING_PROOF, ASKING_COMMAND, ASKING_LAST };
extern enum asking asking;
/* Set by the first step. */
extern struct sandbox *box;

/* A descriptor of the host that stays open. */
#define LEAKED_FD 60

/* True for jobs and builds; our own tools in a sandbox stay whole. */
bool left_out(const char *protection);
/* True for jobs alone. */
bool left_out_of_jobs(const char *protection);
/* What is added to each id: the first of the range where there is no user namespace that would do so. */
uint32_t id_shift(void);
