/* The operands of builds, of our own programs and of runtimes, each out of its range once. */
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "hostile_api.h"

struct channel_build_start hostile_good_build(void)
{
    struct channel_build_start message = {
            .runtime = {.name = "a", .version = "1"}, .language = "python", .limits = {.processes = 100}};
    (void)text_new_uuid(message.build_id);
    return message;
}

static const char *const bad_names[] = {
        "", ".", "..", "-a", ".a", "_a", "A", "a/b", "a b", "a\n", "/", "../../etc", "a\x7f", "\xc3\xa9", "a:b", "a@b"};

static void try_runtime(const struct channel_runtime *bad, const char *what, int spec)
{
    struct channel_job_start job = {.runtime = *bad};
    struct channel_build_start build = hostile_good_build();
    struct channel_tool_start tool = {.tool = CHANNEL_TOOL_VERIFY, .runtime = *bad};
    struct channel_runtime_remove remove = {.runtime = *bad};
    static const struct channel_runtime none;
    build.runtime = *bad;
    (void)text_new_uuid(job.job_id);
    (void)text_new_uuid(tool.job_id);
    hostile_must_refuse(hostile_ask(&build, CHANNEL_BUILD_START, sizeof(build), spec), what);
    hostile_must_refuse(hostile_ask(&tool, CHANNEL_TOOL_START, sizeof(tool), spec), what);
    hostile_must_refuse(hostile_ask(&remove, CHANNEL_RUNTIME_REMOVE, sizeof(remove), -EBADF), what);
    if (memcmp(bad, &none, sizeof(none)) != 0) /* a job without one has the base root */
        hostile_must_refuse(hostile_ask(&job, CHANNEL_JOB_START, sizeof(job), spec), what);
}

/* Names that are none, that do not end, or have something behind their end: with every operation that takes them. */
static void try_runtimes(int spec)
{
    for (unsigned i = 0; i < ELEMENTS(bad_names); i++)
        for (unsigned in_version = 0; in_version < 2; in_version++) {
            struct channel_runtime bad = {.name = "a", .version = "1"};
            char what[64];
            char *target = in_version ? bad.version : bad.name;
            memset(target, 0, 2);
            memcpy(target, bad_names[i], strlen(bad_names[i]));
            (void)snprintf(what, sizeof(what), "runtime name %u", i);
            try_runtime(&bad, what, spec);
        }
    struct channel_runtime bad = {.version = "1"};
    memset(bad.name, 'a', sizeof(bad.name));
    try_runtime(&bad, "a name without an end", spec);
    bad = (struct channel_runtime){.name = "a"};
    memset(bad.version, '1', sizeof(bad.version));
    try_runtime(&bad, "a version without an end", spec);
    bad = (struct channel_runtime){.name = "a\0b", .version = "1"};
    try_runtime(&bad, "a name with more behind its end", spec);
    bad = (struct channel_runtime){.name = "a", .version = "1\0\0/"};
    try_runtime(&bad, "a version with more behind its end", spec);
    bad = (struct channel_runtime){.name = "a", .version = "1", .reserved = {[5] = 1}};
    try_runtime(&bad, "a runtime with more", spec);
    bad = (struct channel_runtime){.name = "a"};
    try_runtime(&bad, "a runtime without a version", spec);
    bad = (struct channel_runtime){.name = "a", .version = "1"};
    struct channel_runtime_remove remove = {.runtime = bad};
    hostile_must_refuse(
            hostile_ask(&remove, CHANNEL_RUNTIME_REMOVE, sizeof(remove), -EBADF), "removal of what is not there");
}

static void try_operands(const uint8_t running[16], const uint8_t ended[16], int spec)
{
    struct channel_build_start builds[8];
    for (unsigned i = 0; i < ELEMENTS(builds); i++)
        builds[i] = hostile_good_build();
    memcpy(builds[0].language, "A", 2);
    memset(builds[1].language, 'a', sizeof(builds[1].language));
    memcpy(builds[2].language, "a\0b", 3);
    builds[3].dry_run = 2;
    builds[4].base = CHANNEL_BASE_USE + 1;
    memset(builds[5].build_id, 0, sizeof(builds[5].build_id));
    memcpy(builds[6].build_id, running, sizeof(builds[6].build_id));
    memcpy(builds[7].build_id, ended, sizeof(builds[7].build_id));
    for (unsigned i = 0; i < ELEMENTS(builds); i++) {
        char what[64];
        (void)snprintf(what, sizeof(what), "build %u", i);
        hostile_must_refuse(hostile_ask(&builds[i], CHANNEL_BUILD_START, sizeof(builds[i]), spec), what);
    }
    const struct channel_limits limits[] = {{.memory_bytes = UINT64_MAX}, {.memory_bytes = (4096ULL << 20) + 1},
            {.timeout_ns = 3600ULL * SECOND_NS + 1}, {.timeout_ns = UINT64_MAX}, {.processes = 4097},
            {.processes = UINT32_MAX}, {.cpu_percent = 401}, {.open_files = 1}, {.open_files = UINT32_MAX},
            {.reserved = 1}};
    for (unsigned i = 0; i < ELEMENTS(limits); i++) {
        struct channel_build_start message = hostile_good_build();
        char what[64];
        message.limits = limits[i];
        (void)snprintf(what, sizeof(what), "limits %u of a build", i);
        hostile_must_refuse(hostile_ask(&message, CHANNEL_BUILD_START, sizeof(message), spec), what);
    }
}

/* A job that is no build is none for these either. */
static void try_tools(const uint8_t running[16], const uint8_t ended[16], const uint8_t nobody[16], int spec)
{
    const uint8_t *const ids[] = {running, ended, nobody, (const uint8_t[16]){0}};
    for (unsigned i = 0; i < ELEMENTS(ids); i++) {
        struct channel_tool_start collect = {.tool = CHANNEL_TOOL_COLLECT};
        struct channel_build_publish publish = {.replace = i % 2};
        (void)text_new_uuid(collect.job_id);
        memcpy(collect.build_id, ids[i], sizeof(collect.build_id));
        memcpy(publish.build_id, ids[i], sizeof(publish.build_id));
        hostile_must_refuse(hostile_ask(&collect, CHANNEL_TOOL_START, sizeof(collect), spec), "collect of no build");
        collect.tool = CHANNEL_TOOL_LOOK;
        hostile_must_refuse(hostile_ask(&collect, CHANNEL_TOOL_START, sizeof(collect), spec), "a look at no build");
        hostile_must_refuse(
                hostile_ask(&publish, CHANNEL_BUILD_PUBLISH, sizeof(publish), -EBADF), "publication of no build");
        publish.reserved = 1;
        hostile_must_refuse(
                hostile_ask(&publish, CHANNEL_BUILD_PUBLISH, sizeof(publish), -EBADF), "publication with more");
    }
    const uint32_t tools[] = {0, 4, 5, 0x10003, UINT32_MAX};
    for (unsigned i = 0; i < ELEMENTS(tools); i++) {
        struct channel_tool_start message = {.tool = tools[i], .runtime = {.name = "a", .version = "1"}};
        (void)text_new_uuid(message.job_id);
        hostile_must_refuse(hostile_ask(&message, CHANNEL_TOOL_START, sizeof(message), spec), "a tool that is none");
        message.tool = CHANNEL_TOOL_VERIFY;
        message.build_id[15] = 1;
        hostile_must_refuse(
                hostile_ask(&message, CHANNEL_TOOL_START, sizeof(message), spec), "a verification with a build");
    }
}

void hostile_try_builds(const uint8_t running[16], const uint8_t ended[16], const uint8_t nobody[16], int spec)
{
    try_runtimes(spec);
    try_operands(running, ended, spec);
    try_tools(running, ended, nobody, spec);
}
