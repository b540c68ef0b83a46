/* What `joblet verify` found: rows of promise, what was tried, what was seen, and the verdict. Much of the text comes
 * out of a sandbox that may lie, so each text is made plain when a row is added: well-formed UTF-8 without control
 * characters, of bounded length. Whatever prints a row need only escape for its own format. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define REPORT_PROMISES 10U
#define REPORT_TEXT_MAX 240U
/* More rows are counted and not kept; the report says so, and is no longer one of kept promises. */
#define REPORT_ROWS_MAX 1024U

enum report_verdict {
    REPORT_KEPT,
    REPORT_BROKEN,
    REPORT_LEFT_OUT, /* not tried on purpose: the row says why */
    REPORT_UNABLE,   /* could not be tried: the row says why */
};

/* Who says so. Of a sandbox's own word no row of another source can be made. */
enum report_source {
    REPORT_INSIDE_JOB,
    REPORT_INSIDE_BUILD,
    REPORT_OUTSIDE, /* our own eyes on the host */
    REPORT_ESCAPE,  /* attempts to get out, made in a job */
    REPORT_CLIENT,  /* what the service answers to a client */
    REPORT_SOURCES,
};

struct report_row {
    unsigned promise; /* 1 to REPORT_PROMISES */
    enum report_source source;
    enum report_verdict verdict;
    char tried[REPORT_TEXT_MAX];
    char seen[REPORT_TEXT_MAX];
};

struct report {
    struct report_row *rows;
    size_t count;
    size_t capacity;
    size_t lost; /* rows that found no room */
    long duration_ms;
    char prefix[REPORT_TEXT_MAX];
    char kernel[REPORT_TEXT_MAX];
    char time[REPORT_TEXT_MAX];
};

/* Adds a row; the text of @format is what was seen. Texts are copied and made plain. @promise out of range counts as
 * lost. */
void report_add(struct report *report, unsigned promise, enum report_source source, enum report_verdict verdict,
        const char *tried, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* The same with a fact: kept when @holds, else broken. */
#define report_fact(report, promise, source, holds, tried, ...)                                                        \
    report_add(report, promise, source, (holds) ? REPORT_KEPT : REPORT_BROKEN, tried, __VA_ARGS__)
void report_done(struct report *report);

/* Copies @text to @ret_text as one plain line: control characters and what is no UTF-8 become "?". @size > 0. */
void report_make_plain(const char *text, char *ret_text, size_t size);

/* 0: all tried and kept; 1: a promise is broken; 2: something could not be tried. */
int report_status(const struct report *report);
/* The worst of a promise: broken, unable, kept; left out when nothing else is said of it. */
enum report_verdict report_promise(const struct report *report, unsigned promise);

struct report_count {
    size_t kept;
    size_t broken;
    size_t left_out;
    size_t unable;
};
/* Over the rows of @promise (0: all) from @source (REPORT_SOURCES: all). */
struct report_count report_count(const struct report *report, unsigned promise, enum report_source source);

/* "kept", "BROKEN", "not tried", "could not be tried"; "inside a job"; what promise 1 to 10 says, in a few words. */
const char *report_verdict_name(enum report_verdict verdict);
const char *report_source_name(enum report_source source);
const char *report_promise_text(unsigned promise);

/* Print the report. 0 or -EIO. */
int report_write_text(const struct report *report, FILE *file, bool colours);
int report_write_json(const struct report *report, FILE *file);
int report_write_html(const struct report *report, FILE *file);
