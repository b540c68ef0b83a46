/* A file of the audit log: as a line, as facts, as a log with that file and that head. Nothing may be read
 * beyond its end, and what is taken must be the one way to write it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/files.h"
#include "audit/key.h"
#include "audit/log.h"
#include "audit/reader.h"
#include "audit/record.h"
#include "audit/verify.h"
#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool take(void *context, const char *name, const char *value)
{
    *(size_t *)context += strlen(name) + strlen(value);
    return true;
}

static void try_line(const char *line, size_t size)
{
    struct audit_record record;
    struct audit_record peeked;
    size_t total = 0;
    struct error error = {0};
    (void)audit_fields(line, size, take, &total);
    if (total > size)
        abort();
    if (audit_record_read(line, size, &record, &error) < 0)
        return;
    if (audit_record_peek(line, size, &peeked) < 0 || peeked.sequence != record.sequence)
        abort();
}

static void try_facts(const char *facts, size_t size)
{
    const struct audit_position start = {0};
    struct audit_position next;
    struct audit_record record;
    struct error error = {0};
    char *line = NULL;
    size_t line_size;
    if (audit_facts_check(facts, size, &error) < 0)
        return;
    if (audit_record_format(&start, 1, "joblet", facts, size, &line, &line_size, &next) < 0)
        return;
    if (audit_record_read(line, line_size - 1, &record, &error) < 0 || !record.hash_fits)
        abort();
    if (audit_fields(line, line_size - 1, take, &(size_t){0}) < 0)
        abort();
    free(line);
}

/* In a directory of this process, as the newest file and as the head. */
static void try_log(const uint8_t *data, size_t size)
{
    static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
                              "-----END PUBLIC KEY-----\n";
    static struct audit_verdict verdict;
    char path[] = "/tmp/fuzz-audit-XXXXXX";
    char name[AUDIT_NAME_MAX];
    struct error error = {0};
    struct audit_list list;
    const struct audit_filter filter = {.action = "job.*", .job = "1b"};
    if (!mkdtemp(path))
        return;
    int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    audit_format_name(1, name);
    if (fd_replace_file_at(dir_fd, name, data, size, 0600) < 0 ||
            fd_replace_file_at(dir_fd, AUDIT_HEAD_FILE, data, size, 0600) < 0)
        abort();
    if (audit_verify(dir_fd, pem, NULL, &verdict, &error) == 0 && verdict.count == 0)
        abort(); /* nobody has the key */
    if (audit_find(dir_fd, &filter, 3, &list, &error) == 0)
        audit_list_done(&list);
    (void)unlinkat(dir_fd, name, 0);
    (void)unlinkat(dir_fd, AUDIT_HEAD_FILE, 0);
    (void)close(dir_fd);
    (void)rmdir(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Exactly as long as it is: a read beyond it is seen. */
    char *copy = malloc(size > 0 ? size : 1);
    if (!copy)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    try_line(copy, size);
    try_facts(copy, size);
    try_log(data, size);
    free(copy);
    return 0;
}
