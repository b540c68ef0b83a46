/* The sizes of the file systems that a sandbox writes to, asked of the file systems themselves. The promise is a limit:
 * a smaller one keeps it. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>

#include "verify/run.h"

/* Of a disk: its own directories. */
#define OVERHEAD_BYTES (1U << 20)
/* /dev/shm is as large as /tmp, and not larger than this. */
#define SHM_BYTES_MAX (64ULL << 20)

static void check_size(
        struct run *run, const struct seen_sandbox *sandbox, const char *path, uint64_t most, const char *tried)
{
    char place[64];
    struct statfs space;
    (void)snprintf(place, sizeof(place), "/proc/%d/root%s", sandbox->command, path);
    if (statfs(place, &space) < 0)
        return report_add(&run->report, 8, REPORT_OUTSIDE, errno == ENOENT ? REPORT_BROKEN : REPORT_UNABLE, tried, "%s",
                strerror(errno));
    /* Some blocks of a disk the kernel keeps for itself. */
    uint64_t blocks = (uint64_t)space.f_blocks - ((uint64_t)space.f_bfree - (uint64_t)space.f_bavail);
    uint64_t bytes = blocks * (uint64_t)space.f_bsize;
    report_fact(&run->report, 8, REPORT_OUTSIDE, most > 0 && bytes > 0 && bytes <= most + OVERHEAD_BYTES, tried,
            "%llu KiB, promised: %llu", (unsigned long long)bytes >> 10, (unsigned long long)most >> 10);
}

static uint64_t size_of(const json_t *status, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(status, key));
    return value > 0 ? (uint64_t)value : 0;
}

void look_at_sizes(struct run *run, const struct seen_sandbox *sandbox, const char *status)
{
    json_t *root = json_loads(status, 0, NULL);
    uint64_t tmp_bytes = size_of(root, "tmpBytes");
    run->log_bytes = size_of(root, "logBytes");
    check_size(run, sandbox, "/work", size_of(root, "workBytes"), "a job: the size of /work");
    check_size(run, sandbox, "/tmp", tmp_bytes, "a job: the size of /tmp");
    check_size(run, sandbox, "/dev/shm", tmp_bytes < SHM_BYTES_MAX ? tmp_bytes : SHM_BYTES_MAX,
            "a job: the size of /dev/shm");
    json_decref(root);
}

void look_at_build_disk(struct run *run, const struct seen_sandbox *sandbox, uint64_t bytes)
{
    check_size(run, sandbox, "/", bytes, "a build: the size of its disk");
}
