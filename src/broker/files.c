#include "broker/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "joblog/format.h"

#define RUN_MAGIC 0x4e55524aU /* "JRUN" */
#define RUN_VERSION 3U
#define GROUPS_MAGIC 0x5052474aU /* "JGRP" */
#define GROUPS_FILE "groups"
#define NAME_MAX_OURS 64U

static const char *const job_files[] = {"log", "log.index", "record", "run", "run.new"};
/* A job's directory while it is not there as a whole. */
#define MAKING_SUFFIX ".new"
#define REMOVING_SUFFIX ".old"

/* What "run" holds. */
struct run_file {
    uint32_t magic;
    uint32_t version;
    struct run_note note;
    uint32_t sum;
    uint32_t reserved;
};

void files_close(struct files *files)
{
    files->log_fd = fd_close(files->log_fd);
    files->index_fd = fd_close(files->index_fd);
    files->record_fd = fd_close(files->record_fd);
}

static int make_file(int dir_fd, const char *name, gid_t gid)
{
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    if (fchown(fd, 0, gid) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int open_directory(int jobs_fd, const char *id)
{
    int fd = openat(jobs_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int remove_directory(int jobs_fd, const char *name)
{
    _cleanup_close_ int dir_fd = open_directory(jobs_fd, name);
    if (dir_fd < 0)
        return dir_fd == -ENOENT ? 0 : dir_fd;
    for (unsigned i = 0; i < ELEMENTS(job_files); i++)
        if (unlinkat(dir_fd, job_files[i], 0) < 0 && errno != ENOENT)
            return -errno;
    return unlinkat(jobs_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* With its name only when it is whole: a joblet that is killed meanwhile leaves nothing that looks like a job. */
int files_make(int jobs_fd, const char *id, gid_t gid, struct files *ret_files, struct error *error)
{
    struct files files = {-EBADF, -EBADF, -EBADF};
    char making[NAME_MAX_OURS];
    (void)snprintf(making, sizeof(making), "%s" MAKING_SUFFIX, id);
    if (mkdirat(jobs_fd, making, 0750) < 0)
        return error_errno(error, errno, "make the job's directory");
    _cleanup_close_ int dir_fd = open_directory(jobs_fd, making);
    int r = dir_fd < 0 ? dir_fd : 0;
    if (r == 0 && fchown(dir_fd, 0, gid) < 0)
        r = -errno;
    int *const fds[] = {&files.log_fd, &files.index_fd, &files.record_fd};
    for (unsigned i = 0; r == 0 && i < ELEMENTS(fds); i++) {
        *fds[i] = make_file(dir_fd, job_files[i], gid);
        r = *fds[i] < 0 ? *fds[i] : 0;
    }
    if (r == 0 && renameat2(jobs_fd, making, jobs_fd, id, RENAME_NOREPLACE) < 0)
        r = -errno;
    if (r < 0) {
        files_close(&files);
        (void)remove_directory(jobs_fd, making);
        return error_errno(error, -r, "make the job's files");
    }
    *ret_files = files;
    return 0;
}

int files_make_nameless(struct files *ret_files, struct error *error)
{
    struct files files = {-EBADF, -EBADF, -EBADF};
    int *const fds[] = {&files.log_fd, &files.index_fd, &files.record_fd};
    for (unsigned i = 0; i < ELEMENTS(fds); i++) {
        *fds[i] = memfd_create(job_files[i], MFD_CLOEXEC);
        if (*fds[i] < 0) {
            int code = errno;
            files_close(&files);
            return error_errno(error, code, "make the files of a job of our own");
        }
    }
    *ret_files = files;
    return 0;
}

int files_open(int jobs_fd, const char *id, struct files *ret_files)
{
    struct files files = {-EBADF, -EBADF, -EBADF};
    _cleanup_close_ int dir_fd = open_directory(jobs_fd, id);
    int r = dir_fd < 0 ? dir_fd : 0;
    int *const fds[] = {&files.log_fd, &files.index_fd, &files.record_fd};
    for (unsigned i = 0; r == 0 && i < ELEMENTS(fds); i++) {
        *fds[i] = openat(dir_fd, job_files[i], O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        r = *fds[i] < 0 ? -errno : 0;
    }
    if (r < 0)
        files_close(&files);
    else
        *ret_files = files;
    return r;
}

int files_remove(int jobs_fd, const char *id)
{
    char removing[NAME_MAX_OURS];
    (void)snprintf(removing, sizeof(removing), "%s" REMOVING_SUFFIX, id);
    int r = remove_directory(jobs_fd, removing); /* of an earlier try */
    if (r < 0)
        return r;
    if (renameat(jobs_fd, id, jobs_fd, removing) < 0)
        return errno == ENOENT ? 0 : -errno;
    return remove_directory(jobs_fd, removing);
}

void files_tidy(int jobs_fd, const char *name)
{
    const char *dot = strrchr(name, '.');
    if (dot && (strcmp(dot, MAKING_SUFFIX) == 0 || strcmp(dot, REMOVING_SUFFIX) == 0))
        (void)remove_directory(jobs_fd, name);
}

/* FNV-1a: finds a torn file; nobody else can write it. */
static uint32_t sum_of(const void *content, size_t size)
{
    const uint8_t *bytes = content;
    uint32_t sum = 2166136261U;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ bytes[i]) * 16777619U;
    return sum;
}

static const char *run_path(char path[NAME_MAX_OURS], const char *id, const char *name)
{
    (void)snprintf(path, NAME_MAX_OURS, "%s/%s", id, name);
    return path;
}

int files_write_run(int jobs_fd, const char *id, const struct run_note *note)
{
    char path[NAME_MAX_OURS];
    struct run_file file = {
            .magic = RUN_MAGIC, .version = RUN_VERSION, .note = *note, .sum = sum_of(note, sizeof(*note))};
    char new_path[NAME_MAX_OURS];
    /* A write in pieces would lose the running job whose note it is when we are killed in between. */
    _cleanup_close_ int fd = openat(
            jobs_fd, run_path(new_path, id, "run.new"), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : fd_pwrite_all(fd, &file, sizeof(file), 0);
    if (r == 0 && renameat(jobs_fd, new_path, jobs_fd, run_path(path, id, "run")) < 0)
        r = -errno;
    return r;
}

int files_read_run(int jobs_fd, const char *id, struct run_note *ret_note)
{
    char path[NAME_MAX_OURS];
    struct run_file file;
    _cleanup_close_ int fd = openat(jobs_fd, run_path(path, id, "run"), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fd_read_exact(fd, &file, sizeof(file));
    if (r < 0)
        return r == -ENODATA ? -EBADMSG : r;
    if (file.magic != RUN_MAGIC || file.version != RUN_VERSION || file.sum != sum_of(&file.note, sizeof(file.note)) ||
            file.note.groups.count > CGROUP_HIERARCHIES_MAX)
        return -EBADMSG;
    *ret_note = file.note;
    return 0;
}

int files_remove_run(int jobs_fd, const char *id)
{
    char path[NAME_MAX_OURS];
    return unlinkat(jobs_fd, run_path(path, id, "run"), 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* What "groups" holds. */
struct groups_file {
    uint32_t magic;
    uint32_t version;
    struct run_groups groups;
    uint32_t sum;
    uint32_t reserved;
};

int files_write_groups(int run_fd, const struct run_groups *groups)
{
    const struct groups_file file = {
            .magic = GROUPS_MAGIC, .version = RUN_VERSION, .groups = *groups, .sum = sum_of(groups, sizeof(*groups))};
    return fd_replace_file_at(run_fd, GROUPS_FILE, &file, sizeof(file), 0600);
}

int files_read_groups(int run_fd, struct run_groups *ret_groups)
{
    struct groups_file file;
    _cleanup_close_ int fd = openat(run_fd, GROUPS_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fd_read_exact(fd, &file, sizeof(file));
    if (r < 0)
        return r == -ENODATA ? -EBADMSG : r;
    if (file.magic != GROUPS_MAGIC || file.version != RUN_VERSION ||
            file.sum != sum_of(&file.groups, sizeof(file.groups)) || file.groups.count > CGROUP_HIERARCHIES_MAX)
        return -EBADMSG;
    *ret_groups = file.groups;
    return 0;
}

/* Where the index ends: the end of its last whole entry in the log, and in the index itself. */
static int find_index_end(int index_fd, uint64_t *ret_log_end, off_t *ret_index_end)
{
    struct stat status;
    struct joblog_entry last = {0};
    if (fstat(index_fd, &status) < 0)
        return -errno;
    off_t end = status.st_size - status.st_size % (off_t)sizeof(last);
    if (end > 0 && pread(index_fd, &last, sizeof(last), end - (off_t)sizeof(last)) != (ssize_t)sizeof(last))
        return -EIO;
    *ret_log_end = last.offset + last.size;
    *ret_index_end = end;
    return 0;
}

static int add_entry(int index_fd, off_t *index_end, uint64_t offset, uint32_t size, uint32_t stream)
{
    const struct joblog_entry entry = {.offset = offset, .size = size, .stream = stream, .unix_ns = text_now_unix_ns()};
    int r = fd_pwrite_all(index_fd, &entry, sizeof(entry), *index_end);
    *index_end += (off_t)sizeof(entry);
    return r;
}

/* Bytes that were written and never told. */
static int tell_unknown(const struct files *files, uint64_t log_end, uint64_t log_size, off_t *index_end)
{
    int r = 0;
    while (r == 0 && log_end < log_size) {
        uint64_t size = log_size - log_end < UINT32_MAX ? log_size - log_end : UINT32_MAX;
        r = add_entry(files->index_fd, index_end, log_end, (uint32_t)size, JOBLOG_STREAM_UNKNOWN);
        log_end += size;
    }
    return r;
}

int files_drain(const struct files *files, int pipe_fd, uint32_t stream, uint64_t quota_bytes, uint64_t *left_out_bytes)
{
    struct stat status;
    uint64_t log_end = 0;
    off_t index_end = 0;
    /* The description is shared with nobody alive; a writer that is alive all the same must not stop us. */
    if (fcntl(pipe_fd, F_SETFL, O_NONBLOCK) < 0 || fstat(files->log_fd, &status) < 0)
        return -errno;
    uint64_t log_size = (uint64_t)status.st_size;
    int r = find_index_end(files->index_fd, &log_end, &index_end);
    if (r == 0)
        r = tell_unknown(files, log_end, log_size, &index_end);
    while (r == 0) {
        char bytes[16384];
        ssize_t got = read(pipe_fd, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 || errno == EAGAIN ? 0 : -errno;
        uint64_t size = (uint64_t)got;
        if (quota_bytes > 0 && log_size + size > quota_bytes)
            size = log_size < quota_bytes ? quota_bytes - log_size : 0;
        *left_out_bytes += (uint64_t)got - size;
        if (size == 0)
            continue;
        r = fd_pwrite_all(files->log_fd, bytes, size, (off_t)log_size);
        if (r == 0)
            r = add_entry(files->index_fd, &index_end, log_size, (uint32_t)size, stream);
        log_size += size;
    }
    return r;
}
