#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/key.h"
#include "audit/log.h"
#include "audit/verify.h"
#include "base/fd.h"
#include "base/text.h"
#include "base/visible.h"
#include "joblet/audit.h"

/* Names of files are anybody's bytes. */
static void put_json_text(const char *text)
{
    const char *from = text_is_utf8(text, strlen(text)) ? text : "?";
    (void)putchar('"');
    for (; *from; from++) {
        if (*from == '"' || *from == '\\')
            (void)printf("\\%c", *from);
        else if ((unsigned char)*from < 0x20 || *from == 0x7f)
            (void)printf("\\u%04x", (unsigned char)*from);
        else
            (void)putchar(*from);
    }
    (void)putchar('"');
}

static uint32_t told(const struct audit_verdict *verdict)
{
    return verdict->count < AUDIT_PROBLEMS_MAX ? verdict->count : AUDIT_PROBLEMS_MAX;
}

static void print_json(const struct audit_verdict *verdict)
{
    (void)printf("{\"ok\":%s,\"files\":%" PRIu64 ",\"records\":%" PRIu64 ",\"first\":%" PRIu64 ",\"last\":%" PRIu64
                 ",\"sealed\":%" PRIu64 ",\"problem_count\":%" PRIu32 ",\"problems\":[",
            verdict->count == 0 ? "true" : "false", verdict->files, verdict->records, verdict->first, verdict->last,
            verdict->sealed, verdict->count);
    for (uint32_t i = 0; i < told(verdict); i++) {
        const struct audit_problem *problem = &verdict->problems[i];
        (void)fputs(i > 0 ? ",{\"file\":" : "{\"file\":", stdout);
        put_json_text(problem->file);
        (void)printf(",\"line\":%" PRIu64 ",\"text\":", problem->line);
        put_json_text(problem->text);
        (void)putchar('}');
    }
    (void)puts("]}");
}

static void print_problems(const struct audit_verdict *verdict)
{
    for (uint32_t i = 0; i < told(verdict); i++) {
        const struct audit_problem *problem = &verdict->problems[i];
        visible_put(stdout, *problem->file ? problem->file : "log");
        if (problem->line > 0)
            (void)printf(":%" PRIu64, problem->line);
        (void)fputs(": ", stdout);
        visible_put(stdout, problem->text);
        (void)putchar('\n');
    }
    if (verdict->count > told(verdict))
        (void)printf("and %" PRIu32 " more\n", verdict->count - told(verdict));
    (void)printf("%" PRIu64 " records in %" PRIu64 " files, %" PRIu64 " to %" PRIu64 ", signed up to %" PRIu64 ": %s\n",
            verdict->records, verdict->files, verdict->first, verdict->last, verdict->sealed,
            verdict->count == 0 ? "all as it was written" : "NOT as it was written");
}

int audit_verb_verify(const char *prefix, int dir_fd, const struct audit_verb_options *options)
{
    struct error error = {0};
    _cleanup_free_ char *pem = NULL;
    _cleanup_close_ int prefix_fd = open(prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *key = options->key ? options->key : AUDIT_PUBLIC_FILE;
    int r = fd_read_file_at(options->key ? AT_FDCWD : prefix_fd, key, AUDIT_PEM_MAX, &pem, NULL);
    if (r < 0) {
        (void)error_errno(&error, -r, "read the public key '%s'", key);
        (void)fprintf(stderr, "joblet audit: %s\n", error.text);
        return AUDIT_EXIT_FAILED;
    }
    _cleanup_free_ struct audit_verdict *verdict = calloc(1, sizeof(*verdict));
    r = verdict ? audit_verify(dir_fd, pem, options->has_expect ? &options->expect : NULL, verdict, &error)
                : error_errno(&error, ENOMEM, "look at the audit log");
    if (r < 0) {
        (void)fprintf(stderr, "joblet audit: %s\n", error.text);
        return AUDIT_EXIT_FAILED;
    }
    if (options->json)
        print_json(verdict);
    else
        print_problems(verdict);
    return verdict->count == 0 ? 0 : AUDIT_EXIT_FOUND;
}
