/* A prefix of its own with an audit log, and what is done to it by hand. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/log.h"
#include "audit/verify.h"
#include "base/fd.h"

#define FIRST_FILE "00000000000000000001.jsonl"

struct fixture {
    char path[64];
    int prefix_fd;
    int dir_fd; /* of the log, once it is there */
    struct audit_options options;
};

static inline int fixture_set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (!fixture)
        return -1;
    (void)snprintf(fixture->path, sizeof(fixture->path), "/tmp/test-audit-XXXXXX");
    if (!mkdtemp(fixture->path))
        return -1;
    fixture->prefix_fd = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fixture->dir_fd = -EBADF;
    fixture->options =
            (struct audit_options){.file_bytes = 1 << 20, .keep_files = 100, .owner = geteuid(), .readers = getegid()};
    *state = fixture;
    return fixture->prefix_fd < 0 || mkdirat(fixture->prefix_fd, "config", 0700) < 0 ||
           mkdirat(fixture->prefix_fd, "state", 0700) < 0;
}

static inline void fixture_empty(int prefix_fd, const char *path)
{
    int fd = openat(prefix_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory)
        (void)closedir(directory);
    (void)unlinkat(prefix_fd, path, AT_REMOVEDIR);
}

static inline int fixture_tear_down(void **state)
{
    struct fixture *fixture = *state;
    fixture_empty(fixture->prefix_fd, AUDIT_DIRECTORY);
    fixture_empty(fixture->prefix_fd, "state");
    fixture_empty(fixture->prefix_fd, "config");
    (void)fd_close(fixture->dir_fd);
    (void)fd_close(fixture->prefix_fd);
    int r = rmdir(fixture->path);
    free(fixture);
    return r;
}

static inline struct audit_log *fixture_open(struct fixture *fixture, struct audit_opened *opened)
{
    struct audit_log *log = NULL;
    struct error error = {0};
    if (audit_log_open(fixture->prefix_fd, &fixture->options, &log, opened, &error) < 0)
        fail_msg("%s", error.text);
    if (fixture->dir_fd < 0)
        fixture->dir_fd = openat(fixture->prefix_fd, AUDIT_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return log;
}

static inline void fixture_append(struct audit_log *log, unsigned count)
{
    static const char facts[] = "action\0job.run\0result\0ok\0user\0developer\0job\0"
                                "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
    struct error error = {0};
    for (unsigned i = 0; i < count; i++)
        if (audit_log_append(log, "joblet", facts, sizeof(facts), &error) < 0)
            fail_msg("%s", error.text);
}

static inline void fixture_flush(struct audit_log *log)
{
    struct error error = {0};
    if (audit_log_flush(log, &error) < 0)
        fail_msg("%s", error.text);
}

/* A log of @count records, closed; it rotates every @per_file records when that is not 0. */
static inline void fixture_fill(struct fixture *fixture, unsigned count, unsigned per_file)
{
    struct audit_opened opened;
    const uint64_t file_bytes = fixture->options.file_bytes;
    for (unsigned at = 0; at < count;) {
        unsigned now = per_file && per_file < count - at ? per_file : count - at;
        struct audit_log *log = fixture_open(fixture, &opened);
        assert_int_equal(opened.damage.code, 0);
        fixture_append(log, now);
        fixture_flush(log);
        at += now;
        audit_log_close(log);
        if (per_file)
            fixture->options.file_bytes = 300ULL * per_file; /* a record has some more */
    }
    fixture->options.file_bytes = file_bytes;
}

/* Not inline: gcc takes what it returns for a pointer to its variable. */
__attribute__((noinline, unused)) static char *fixture_read(
        const struct fixture *fixture, const char *name, size_t *ret_size)
{
    char *text = NULL;
    assert_int_equal(fd_read_file_at(fixture->dir_fd, name, 64 << 20, &text, ret_size), 0);
    return text;
}

static inline void fixture_write(const struct fixture *fixture, const char *name, const char *text, size_t size)
{
    int fd = openat(fixture->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, size), 0);
    assert_int_equal(close(fd), 0);
}

static inline char *fixture_public_key(const struct fixture *fixture)
{
    char *pem = NULL;
    assert_int_equal(fd_read_file_at(fixture->prefix_fd, AUDIT_PUBLIC_FILE, 4096, &pem, NULL), 0);
    return pem;
}

static inline void fixture_verify(const struct fixture *fixture, struct audit_verdict *verdict)
{
    struct error error = {0};
    char *pem = fixture_public_key(fixture);
    int r = audit_verify(fixture->dir_fd, pem, NULL, verdict, &error);
    free(pem);
    if (r < 0)
        fail_msg("%s", error.text);
}

/* The names in the log's directory that contain @part. */
static inline unsigned fixture_count(const struct fixture *fixture, const char *part)
{
    unsigned count = 0;
    DIR *directory = fdopendir(openat(fixture->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert_non_null(directory);
    const struct dirent *entry;
    while ((entry = readdir(directory)))
        count += strstr(entry->d_name, part) != NULL;
    (void)closedir(directory);
    return count;
}
