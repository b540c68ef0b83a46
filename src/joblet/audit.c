/* joblet audit list|show|verify: the audit log on the server itself, also while the service writes it or when it does
 * not run. Nothing is changed. */
#include "joblet/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/log.h"
#include "base/fd.h"
#include "base/text.h"
#include "base/visible.h"
#include "joblet/verbs.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 100000

static int usage(const char *problem, const char *value)
{
    (void)fprintf(stderr, "joblet audit: %s", problem);
    if (value) {
        (void)fputs(" '", stderr);
        visible_put(stderr, value);
        (void)fputs("'", stderr);
    }
    (void)fputs(
            "\nusage: joblet audit list [--since TIME] [--until TIME] [--job UUID] [--user NAME] [--action ACTION]\n"
            "                         [--result RESULT] [--limit N] [--json]\n"
            "       joblet audit show SEQUENCE [--json]\n"
            "       joblet audit verify [--key FILE] [--expect SEQUENCE:HASH] [--json]\n"
            "\n"
            "  TIME is 2026-01-31, '2026-01-31 15:00', RFC 3339, or 2h for two hours ago. ACTION is job.run, or\n"
            "  'job.*' for all of a kind. verify ends with 0 when all is right, 1 when something is not, 2 when it\n"
            "  could not look.\n",
            stderr);
    return AUDIT_EXIT_FAILED;
}

static int fail(const struct error *error)
{
    (void)fprintf(stderr, "joblet audit: %s\n", error->text);
    return AUDIT_EXIT_FAILED;
}

/* ---- options ---- */

enum verb { LIST = 1, SHOW = 2, VERIFY = 4 };

static bool parse_expect(const char *value, struct audit_verb_options *options)
{
    char digits[24];
    const char *colon = strchr(value, ':');
    size_t size = colon ? (size_t)(colon - value) : sizeof(digits);
    if (size >= sizeof(digits) || strlen(colon + 1) != 2 * AUDIT_HASH_SIZE)
        return false;
    memcpy(digits, value, size);
    digits[size] = '\0';
    options->has_expect = true;
    return text_parse_u64(digits, UINT64_MAX, &options->expect.sequence) == 0 && options->expect.sequence > 0 &&
           audit_hash_parse(colon + 1, options->expect.hash) == 0;
}

static bool take_option(const char *name, const char *value, struct audit_verb_options *options)
{
    struct audit_filter *filter = &options->filter;
    uint64_t limit;
    if (strcmp(name, "since") == 0)
        return text_parse_when(value, &filter->since_unix_ns) == 0;
    if (strcmp(name, "until") == 0)
        return text_parse_when(value, &filter->until_unix_ns) == 0;
    if (strcmp(name, "expect") == 0)
        return parse_expect(value, options);
    if (strcmp(name, "limit") == 0) {
        bool is_right = text_parse_u64(value, LIMIT_MAX, &limit) == 0 && limit > 0;
        options->limit = is_right ? (size_t)limit : options->limit;
        return is_right;
    }
    const struct {
        const char *name;
        const char **target;
    } texts[] = {{"job", &filter->job}, {"user", &filter->user}, {"action", &filter->action},
            {"result", &filter->result}, {"key", &options->key}};
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        if (strcmp(name, texts[i].name) == 0)
            *texts[i].target = value;
    return true;
}

/* "--NAME VALUE" or "--NAME=VALUE" at @at. 0, or the exit status of a usage error. */
static int parse_option(enum verb verb, int *at, int count, char **arguments, struct audit_verb_options *options)
{
    static const struct {
        const char *name;
        int verbs;
    } known[] = {{"since", LIST}, {"until", LIST}, {"job", LIST}, {"user", LIST}, {"action", LIST}, {"result", LIST},
            {"limit", LIST}, {"key", VERIFY}, {"expect", VERIFY}};
    const char *argument = arguments[*at];
    if (strcmp(argument, "--json") == 0) {
        options->json = true;
        return 0;
    }
    for (size_t i = 0; i < ELEMENTS(known); i++) {
        size_t size = strlen(known[i].name);
        if (strncmp(argument, "--", 2) != 0 || strncmp(argument + 2, known[i].name, size) != 0 ||
                !(known[i].verbs & (int)verb))
            continue;
        const char *value = argument[2 + size] == '=' ? argument + 3 + size : NULL;
        if (argument[2 + size] == '\0' && *at + 1 < count)
            value = arguments[++*at];
        if (value)
            return take_option(known[i].name, value, options) ? 0 : usage(known[i].name, value);
    }
    return usage("unknown or incomplete argument", argument);
}

static int parse(enum verb verb, int count, char **arguments, struct audit_verb_options *options)
{
    for (int i = 0; i < count; i++) {
        int r = 0;
        if (verb == SHOW && arguments[i][0] != '-' && options->filter.sequence == 0) {
            if (text_parse_u64(arguments[i], UINT64_MAX, &options->filter.sequence) < 0 ||
                    options->filter.sequence == 0)
                return usage("not the number of a record", arguments[i]);
        } else {
            r = parse_option(verb, &i, count, arguments, options);
        }
        if (r != 0)
            return r;
    }
    return verb == SHOW && options->filter.sequence == 0 ? usage("show: which record?", NULL) : 0;
}

/* ---- list ---- */

enum { ACTION, RESULT, USER, JOB, COLUMN_COUNT };
/* A column grows with its texts up to here. */
#define WIDTH_MAX 40
#define CELL_MAX 200

struct row {
    char cells[COLUMN_COUNT][CELL_MAX];
    char detail[CELL_MAX];
    int detail_rank;
};

static bool look_at_field(void *context, const char *name, const char *value)
{
    static const char *const names[COLUMN_COUNT] = {"action", "result", "user", "job"};
    /* Why it failed, or what was run. */
    static const char *const details[] = {"runtime", "command", "error"};
    struct row *row = context;
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (strcmp(name, names[i]) == 0 && *value)
            text_copy_cut(row->cells[i], CELL_MAX, value);
    for (int i = 0; i < (int)ELEMENTS(details); i++)
        if (strcmp(name, details[i]) == 0 && *value && i + 1 > row->detail_rank) {
            text_copy_cut(row->detail, CELL_MAX, value);
            row->detail_rank = i + 1;
        }
    return true;
}

static void row_fill(struct row *row, const struct audit_found *found)
{
    memset(row, 0, sizeof(*row));
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        row->cells[i][0] = '-';
    row->detail[0] = '-';
    (void)audit_fields(found->line, found->size, look_at_field, row);
}

static void widen(int widths[COLUMN_COUNT], const struct row *row)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        size_t size = strlen(row->cells[i]);
        if (size > (size_t)widths[i])
            widths[i] = size < WIDTH_MAX ? (int)size : WIDTH_MAX;
    }
}

static void print_row(const int widths[COLUMN_COUNT], const struct row *row)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        size_t size = strlen(row->cells[i]);
        visible_put(stdout, row->cells[i]);
        (void)printf("%*s", (size < (size_t)widths[i] ? widths[i] - (int)size : 0) + 2, "");
    }
    visible_put(stdout, row->detail);
    (void)putchar('\n');
}

static void print_table(const struct audit_list *list)
{
    static const struct row titles = {{"ACTION", "RESULT", "USER", "JOB"}, "DETAIL", 0};
    int widths[COLUMN_COUNT] = {0};
    struct row row;
    if (list->count == 0) {
        (void)puts("No records found");
        return;
    }
    widen(widths, &titles);
    for (size_t i = 0; i < list->count; i++) {
        row_fill(&row, &list->items[i]);
        widen(widths, &row);
    }
    (void)printf("%-10s  %-19s  ", "SEQUENCE", "TIME");
    print_row(widths, &titles);
    for (size_t i = 0; i < list->count; i++) {
        char when[TEXT_TIME_MAX];
        text_format_time(list->items[i].unix_ns, when);
        row_fill(&row, &list->items[i]);
        (void)printf("%-10" PRIu64 "  %.10s %.8s  ", list->items[i].sequence, when, when + 11);
        print_row(widths, &row);
    }
    if (list->truncated)
        (void)fputs("\nOlder records match too: --limit shows more.\n", stdout);
}

/* A line as it stands in the log, when it is one that was written by joblet: what anybody else put there shall not
 * reach the terminal as it is. */
static void print_line(const struct audit_found *found)
{
    visible_put_bytes(stdout, found->line, found->size);
}

static void print_json(const struct audit_list *list)
{
    (void)fputs("[", stdout);
    for (size_t i = 0; i < list->count; i++) {
        (void)printf("%s\n  ", i > 0 ? "," : "");
        print_line(&list->items[i]);
    }
    (void)puts(list->count > 0 ? "\n]" : "]");
}

/* ---- show ---- */

static bool print_field(void *context, const char *name, const char *value)
{
    (void)context;
    visible_put(stdout, name);
    (void)fputs(": ", stdout);
    visible_put_lines(stdout, value);
    (void)putchar('\n');
    return true;
}

static int show(const struct audit_list *list, const struct audit_verb_options *options)
{
    if (list->count == 0) {
        (void)fprintf(stderr, "joblet audit: there is no record %" PRIu64 "\n", options->filter.sequence);
        return AUDIT_EXIT_FOUND;
    }
    if (!options->json)
        return audit_fields(list->items[0].line, list->items[0].size, print_field, NULL) < 0 ? AUDIT_EXIT_FAILED : 0;
    print_line(&list->items[0]);
    (void)putchar('\n');
    return 0;
}

/* ---- the verb ---- */

static int find(int dir_fd, const struct audit_verb_options *options)
{
    struct audit_list list;
    struct error error = {0};
    int status = 0;
    if (audit_find(dir_fd, &options->filter, options->limit, &list, &error) < 0)
        return fail(&error);
    if (options->filter.sequence > 0)
        status = show(&list, options);
    else if (options->json)
        print_json(&list);
    else
        print_table(&list);
    audit_list_done(&list);
    return status;
}

int verb_audit(const char *prefix, int count, char **arguments)
{
    struct audit_verb_options options = {.limit = LIMIT_DEFAULT};
    struct error error = {0};
    const char *name = count > 0 ? arguments[0] : "";
    enum verb verb = strcmp(name, "list") == 0     ? LIST
                     : strcmp(name, "show") == 0   ? SHOW
                     : strcmp(name, "verify") == 0 ? VERIFY
                                                   : 0;
    if (!verb)
        return usage("list, show or verify?", NULL);
    int status = parse(verb, count - 1, arguments + 1, &options);
    if (status != 0)
        return status;
    _cleanup_close_ int prefix_fd = open(prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int dir_fd =
            prefix_fd < 0 ? -EBADF
                          : openat(prefix_fd, AUDIT_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir_fd < 0) {
        (void)error_errno(&error, errno, "open '%s/" AUDIT_DIRECTORY "'", prefix);
        return fail(&error);
    }
    status = verb == VERIFY ? audit_verb_verify(prefix, dir_fd, &options) : find(dir_fd, &options);
    return fflush(stdout) == 0 ? status : AUDIT_EXIT_FAILED;
}
