#include "audit/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/files.h"
#include "audit/record.h"
#include "audit/scan.h"
#include "base/fd.h"
#include "base/text.h"

/* ---- the fields of a line ---- */

static int hex_value(const char *at, const char *end, unsigned *ret_value)
{
    *ret_value = 0;
    for (int i = 0; i < 4; i++, at++) {
        if (at >= end)
            return -EINVAL;
        if (*at >= '0' && *at <= '9')
            *ret_value = *ret_value << 4 | (unsigned)(*at - '0');
        else if (*at >= 'a' && *at <= 'f')
            *ret_value = *ret_value << 4 | ((unsigned)(*at - 'a') + 10);
        else
            return -EINVAL;
    }
    return 0;
}

/* The text after its first quote, with what audit_record_format escapes. @ret_end: behind the last quote. 0 or -EINVAL.
 */
static int read_text(const char *at, const char *end, char *text, const char **ret_end)
{
    unsigned value;
    for (; at < end && *at != '"'; at++) {
        if ((unsigned char)*at < 0x20)
            return -EINVAL;
        if (*at != '\\') {
            *text++ = *at;
        } else if (end - at < 2) {
            return -EINVAL;
        } else if (at[1] == '"' || at[1] == '\\') {
            *text++ = *++at;
        } else {
            if (at[1] != 'u' || hex_value(at + 2, end, &value) < 0 || value == 0 || value > 0x9f)
                return -EINVAL;
            if (value > 0x7f)
                *text++ = (char)0xc2; /* of two bytes in UTF-8, the second as it is */
            *text++ = (char)value;
            at += 5;
        }
    }
    *text = '\0';
    *ret_end = at + 1;
    return at < end ? 0 : -EINVAL;
}

/* A text, or a number as its digits. */
static int read_value(const char *at, const char *end, char *text, const char **ret_end)
{
    if (at < end && *at == '"')
        return read_text(at + 1, end, text, ret_end);
    size_t size = 0;
    while (at + size < end && at[size] >= '0' && at[size] <= '9')
        size++;
    memcpy(text, at, size);
    text[size] = '\0';
    *ret_end = at + size;
    return size > 0 ? 0 : -EINVAL;
}

static int read_fields(const char *at, const char *end, char *text, audit_field_put put, void *context)
{
    while (at < end && *at == '"') {
        char *name = text;
        int r = read_text(at + 1, end, name, &at);
        if (r < 0 || at >= end || *at != ':')
            return -EINVAL;
        char *value = name + strlen(name) + 1;
        r = read_value(at + 1, end, value, &at);
        if (r < 0)
            return r;
        if (!put(context, name, value))
            return 0;
        if (at == end)
            return 0;
        if (*at++ != ',')
            return -EINVAL;
    }
    return -EINVAL;
}

int audit_fields(const char *line, size_t size, audit_field_put put, void *context)
{
    if (size < 2 || line[0] != '{' || line[size - 1] != '}')
        return -EINVAL;
    /* What is read is never longer than what is written, but for the NUL of a number. */
    _cleanup_free_ char *text = malloc(size + 2);
    return text ? read_fields(line + 1, line + size - 1, text, put, context) : -ENOMEM;
}

/* ---- filters ---- */

struct match {
    const struct audit_filter *filter;
    bool job;
    bool user;
    bool action;
    bool result;
};

static bool is_set(const char *text)
{
    return text && *text;
}

static bool fits_action(const char *wanted, const char *value)
{
    size_t size = strlen(wanted);
    if (size >= 2 && strcmp(wanted + size - 2, ".*") == 0)
        return strncmp(wanted, value, size - 1) == 0;
    return strcmp(wanted, value) == 0;
}

static bool look_at_field(void *context, const char *name, const char *value)
{
    struct match *match = context;
    const struct audit_filter *filter = match->filter;
    if (strcmp(name, "job") == 0)
        match->job = match->job ||
                     strncmp(value, filter->job ? filter->job : "", strlen(filter->job ? filter->job : "")) == 0;
    else if (strcmp(name, "user") == 0)
        match->user = match->user || strcmp(value, filter->user ? filter->user : "") == 0;
    else if (strcmp(name, "action") == 0)
        match->action = match->action || fits_action(filter->action ? filter->action : "", value);
    else if (strcmp(name, "result") == 0)
        match->result = match->result || strcmp(value, filter->result ? filter->result : "") == 0;
    return true;
}

static bool has_text_filter(const struct audit_filter *filter)
{
    return is_set(filter->job) || is_set(filter->user) || is_set(filter->action) || is_set(filter->result);
}

/* Cheap, before the line is read: what is looked for must be somewhere in it, as it has nothing that is escaped. */
static bool may_fit(const struct audit_filter *filter, const char *line, size_t size)
{
    return !is_set(filter->job) || memmem(line, size, filter->job, strlen(filter->job));
}

static bool fits(const struct audit_filter *filter, const struct audit_record *record, const char *line, size_t size)
{
    if ((filter->since_unix_ns && record->unix_ns < filter->since_unix_ns) ||
            (filter->until_unix_ns && record->unix_ns > filter->until_unix_ns) ||
            (filter->sequence && record->sequence != filter->sequence))
        return false;
    if (!has_text_filter(filter))
        return true;
    if (!may_fit(filter, line, size))
        return false;
    struct match match = {.filter = filter,
            .job = !is_set(filter->job),
            .user = !is_set(filter->user),
            .action = !is_set(filter->action),
            .result = !is_set(filter->result)};
    return audit_fields(line, size, look_at_field, &match) == 0 && match.job && match.user && match.action &&
           match.result;
}

/* ---- finding ---- */

void audit_list_done(struct audit_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].line);
    free(list->items);
    *list = (struct audit_list){0};
}

/* The line that ends before @end (which is behind its line break), in @text. */
static const char *line_before(const char *text, const char *end, size_t *ret_size)
{
    const char *last = end - 1;
    const char *before = last > text ? memrchr(text, '\n', (size_t)(last - text)) : NULL;
    const char *begin = before ? before + 1 : text;
    *ret_size = (size_t)(last - begin);
    return begin;
}

/* Newest first. */
static int take(struct audit_list *list, size_t limit, const struct audit_record *record, const char *line, size_t size)
{
    if (list->count == limit) {
        list->truncated = true;
        return 1;
    }
    if ((list->count & (list->count - 1)) == 0) {
        struct audit_found *more = realloc(list->items, sizeof(*more) * (list->count ? 2 * list->count : 1));
        if (!more)
            return -ENOMEM;
        list->items = more;
    }
    char *copy = text_dup_bounded(line, size);
    if (!copy)
        return -ENOMEM;
    list->items[list->count++] = (struct audit_found){record->sequence, record->unix_ns, copy, size};
    return 0;
}

/* 0; 1: enough; -errno. */
static int find_in(
        const struct audit_scan *scan, const struct audit_filter *filter, size_t limit, struct audit_list *list)
{
    const char *end = scan->text ? memrchr(scan->text, '\n', scan->size) : NULL;
    int r = 0;
    if (!end)
        return 0;
    for (end++; r == 0 && end > scan->text;) {
        struct audit_record record;
        size_t size;
        const char *line = line_before(scan->text, end, &size);
        end = line;
        if (audit_record_peek(line, size, &record) == 0 && fits(filter, &record, line, size))
            r = take(list, limit, &record, line, size);
    }
    return r;
}

/* A file whose first record is older than all that is wanted ends the search. */
static bool is_before(const struct audit_scan *scan, const struct audit_filter *filter)
{
    struct audit_record record;
    const char *end = scan->text ? memchr(scan->text, '\n', scan->size) : NULL;
    return end && filter->since_unix_ns && audit_record_peek(scan->text, (size_t)(end - scan->text), &record) == 0 &&
           record.unix_ns < filter->since_unix_ns;
}

static void reverse(struct audit_list *list)
{
    for (size_t i = 0; i < list->count / 2; i++) {
        struct audit_found other = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = other;
    }
}

int audit_find(
        int dir_fd, const struct audit_filter *filter, size_t limit, struct audit_list *ret_list, struct error *error)
{
    _cleanup_free_ uint64_t *firsts = NULL;
    *ret_list = (struct audit_list){0};
    int count = audit_list_files(dir_fd, &firsts);
    if (count < 0)
        return error_errno(error, -count, "list the audit log");
    int r = 0;
    bool enough = false;
    for (int i = count - 1; i >= 0 && r == 0 && !enough; i--) {
        char name[AUDIT_NAME_MAX];
        struct audit_scan scan;
        audit_format_name(firsts[i], name);
        r = audit_scan_open(dir_fd, name, &scan, error);
        if (r == -ENOENT) { /* it has just been given up */
            r = 0;
            break;
        }
        if (r < 0)
            break;
        r = find_in(&scan, filter, limit, ret_list);
        enough = r > 0 || is_before(&scan, filter) || (filter->sequence && firsts[i] <= filter->sequence);
        audit_scan_done(&scan);
        if (r < 0)
            (void)error_errno(error, -r, "read the audit log");
        r = r > 0 ? 0 : r;
    }
    if (r < 0) {
        audit_list_done(ret_list);
        return r;
    }
    reverse(ret_list);
    return 0;
}
