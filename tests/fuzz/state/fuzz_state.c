/* A job table's file of anybody's making: an error that says what is wrong, or valid jobs; never a crash, never a file
 * made anew in its place. Input: a list of changes (position u16, byte) to a good file, or, beginning with "SQLite
 * format 3", a whole file. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "state/database.h"
#include "state/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64];
static char *good;
static size_t good_size;

static void path_of(char path[128], const char *name)
{
    (void)snprintf(path, 128, "%s/%s", directory, name);
}

static void remove_all(void)
{
    static const char *const names[] = {"joblet.db", "joblet.db-wal", "joblet.db-shm", "joblet.db-journal"};
    char path[128];
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        path_of(path, names[i]);
        (void)unlink(path);
    }
}

static void clean(void)
{
    remove_all();
    (void)rmdir(directory);
    free(good);
}

static void fill(struct state_job *job)
{
    char **texts[] = {
            &job->work_dir, &job->network, &job->runtime, &job->timeout_text, &job->node_id, &job->owner, &job->role};
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        *texts[i] = strdup("text");
    (void)state_texts_add(&job->arguments, "true");
    (void)state_texts_add_pair(&job->environment, "A", "b");
    (void)state_texts_add(&job->secret_names, "S");
}

static void make_good(void)
{
    (void)snprintf(directory, sizeof(directory), "/tmp/fuzz-state-XXXXXX");
    struct state *state = NULL;
    if (!mkdtemp(directory) || state_open(directory, &state, NULL) < 0 || state_start(state, NULL) < 0)
        abort();
    for (unsigned i = 0; i < 3; i++) {
        struct state_job *job = NULL;
        if (state_job_new(&job) < 0)
            abort();
        fill(job);
        if (state_insert(state, job, NULL, NULL, NULL) < 0)
            abort();
    }
    state_close(state); /* the last connection puts the log into the file */
    char path[128];
    path_of(path, "joblet.db");
    if (fd_read_file_at(AT_FDCWD, path, 1 << 20, &good, &good_size) < 0)
        abort();
    (void)atexit(clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!good)
        make_good();
    char path[128];
    path_of(path, "joblet.db");
    remove_all();
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        abort();
    if (size > 15 && memcmp(data, "SQLite format 3", 15) == 0) {
        (void)fd_write_all(fd, data, size);
    } else {
        (void)fd_write_all(fd, good, good_size);
        for (; size >= 3; data += 3, size -= 3)
            (void)fd_pwrite_all(fd, data + 2, 1, (off_t)((size_t)(data[0] << 8 | data[1]) % good_size));
    }
    struct state *state = NULL;
    struct error error = {0};
    if (state_open(directory, &state, &error) < 0) {
        if (error.code == 0 || !error.text[0])
            abort();
        return 0;
    }
    for (const struct state_job *job = state_newest(state); job; job = job->older)
        if (job->arguments.count == 0 || job->now.status >= STATE_STATUS_COUNT || !job->work_dir)
            abort();
    state_close(state);
    return 0;
}
