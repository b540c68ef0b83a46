/* The host-protection suite's answer (tests/test_host_protection.sh), in the Test Anything Protocol. It comes out of a
 * sandbox: every byte is an attacker's. Lines are taken only in the exact form that the suite writes, in order, each
 * number once; the plan must come last and agree; anything else makes the whole answer wrong, but comments, and lines
 * before the version, which are the service's own. The one directive is "# SKIP no TOOL" behind a line that is ok: it
 * could not be tried. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "verify/report.h"

#define TAP_LINES_MAX 256U
#define TAP_LINE_MAX 1024U

struct tap_line {
    bool ok;
    bool skipped; /* ok, but for want of a tool; @comment says so */
    unsigned promise;
    char text[REPORT_TEXT_MAX];    /* "environment: JOB_ID is set" */
    char comment[REPORT_TEXT_MAX]; /* the first line of what was seen when it failed, or "" */
};

struct tap {
    bool begun; /* the version was seen */
    bool complete;
    char wrong[REPORT_TEXT_MAX]; /* why the answer cannot be believed, or "" */
    size_t count;
    struct tap_line lines[TAP_LINES_MAX];
};

/* Parses @text of @size bytes, which need not end with a line break. Texts are plain (report_make_plain). */
void tap_parse(const char *text, size_t size, struct tap *ret_tap);
/* A row for each line, all from @source, which is one of the two inside. Without a complete answer a row for each of
 * the promises that the suite looks at says so. */
void tap_report(const struct tap *tap, enum report_source source, struct report *report);
