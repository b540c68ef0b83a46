/* What a build said of itself, in bounded memory: for its record, for what follows on it, and for the text that says
 * why it failed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/build.h"
#include "runtime/output.h"

#define BUILD_REPORT_STEPS_MAX 64U
#define BUILD_REPORT_COUNTS_MAX 16U
#define BUILD_REPORT_TEXT_MAX 512U

struct build_report_list {
    struct runtime_list items;
    size_t bytes;
    uint64_t left_out;
};

struct build_report {
    struct {
        int64_t begin_unix_ns; /* 0 = not reached */
        int64_t end_unix_ns;
    } phases[RUNTIME_PHASE_COUNT];
    unsigned phase; /* the current one; 0 = none */
    bool failed;    /* in that phase */
    struct runtime_step steps[BUILD_REPORT_STEPS_MAX];
    size_t step_count;
    bool in_step;
    int step_status; /* of the last step that ended: exit status, or 128 + signal */
    struct {
        char name[32];
        uint64_t number;
    } counts[BUILD_REPORT_COUNTS_MAX];
    size_t count_count;
    struct build_report_list stripped;     /* "KIND PATH" */
    struct build_report_list stray;        /* paths */
    struct build_report_list changed;      /* by a failed build: "KIND ORIGIN PATH" */
    struct build_report_list host_changed; /* paths */
    struct build_report_list wrong;        /* "PATH TEXT" */
    struct runtime_list packages;          /* selected */
    char base[BUILD_REPORT_TEXT_MAX];      /* "HIT: ..." or "MISS: ...": of the packages of the language */
    char version[64];                      /* of the language's package */
    char digest[65];                       /* of the manifest */
    char warning[BUILD_REPORT_TEXT_MAX];   /* the last one of the current step */
    char failure[BUILD_REPORT_TEXT_MAX];   /* what joblet-builder says */
};

void build_report_done(struct build_report *report);
/* The phase begins, the one before it has ended. False, and nothing happens, when it is none or not later than the
 * current one. */
bool build_report_phase(struct build_report *report, unsigned number, int64_t unix_ns);
/* The current phase has ended. */
void build_report_end(struct build_report *report, bool failed, int64_t unix_ns);
/* Takes what the line says; phases are left to the caller. */
void build_report_add(struct build_report *report, const struct runtime_output *output);
/* 0 when it was not told. */
uint64_t build_report_count(const struct build_report *report, const char *name);
/* The JSON of the record, the caller's, at most STATE_BUILD_DETAILS_MAX. NULL without memory. */
char *build_report_format(const struct build_report *report, bool dry_run);
