/* The keys of joblet-config.yml: one row each with type, range, preset and comment. Reading, presets, errors and the
 * file that setup writes all come from this table, so they cannot part. */
#include "config/field.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fd.h"
#include "base/text.h"
#include "config/config.h"

#define PEM_SIZE_MAX (64U << 10)
#define MIB_MAX (1ULL << 24)
#define ENVIRONMENT_SIZE_MAX (16U << 10)

/* The kinds of values. */

static int read_copy(const char *text, size_t max, char **target)
{
    if (strlen(text) > max)
        return -ERANGE;
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    free(*target);
    *target = copy;
    return 0;
}

static void write_text(const struct config_field *field, const void *source, char *ret_text, size_t size)
{
    (void)field;
    const char *const *text = source;
    (void)snprintf(ret_text, size, "%s", *text);
}

static int read_version(const struct config_field *field, const char *text, void *target)
{
    (void)field;
    /* The layout that this program knows; upstream's files of other versions have other keys. */
    return strcmp(text, "3.0") == 0 ? read_copy(text, 3, target) : -EINVAL;
}

static void describe_version(const struct config_field *field, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "\"3.0\"");
}

static int read_address(const struct config_field *field, const char *text, void *target)
{
    (void)field;
    struct in6_addr address;
    if (inet_pton(AF_INET, text, &address) != 1 && inet_pton(AF_INET6, text, &address) != 1)
        return -EINVAL;
    return read_copy(text, INET6_ADDRSTRLEN, target);
}

static void describe_address(const struct config_field *field, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "an IPv4 or IPv6 address");
}

static int read_uuid(const struct config_field *field, const char *text, void *target)
{
    (void)field;
    uint8_t id[16];
    if (*text && text_parse_uuid(text, id) < 0)
        return -EINVAL;
    return read_copy(text, TEXT_UUID_MAX, target);
}

static void describe_uuid(const struct config_field *field, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "a UUID in lower case");
}

static int read_pem(const struct config_field *field, const char *text, void *target)
{
    (void)field;
    if (strncmp(text, "-----BEGIN ", 11) != 0)
        return -EINVAL;
    return read_copy(text, PEM_SIZE_MAX, target);
}

static void describe_pem(const struct config_field *field, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "a PEM text (\"-----BEGIN ...\") of at most 64 KiB");
}

/* Calls @check with each line of @text that is not empty. 0, or the first error of it. */
static int check_lines(const char *text, int (*check)(const char *line))
{
    unsigned count = 0;
    while (*text) {
        size_t length = strcspn(text, "\n");
        _cleanup_free_ char *line = text_dup_bounded(text, length);
        if (!line)
            return -ENOMEM;
        int r = length > 0 ? check(line) : 0;
        explicit_bzero(line, length);
        if (r < 0)
            return r;
        count += length > 0;
        text += length + (text[length] == '\n');
    }
    return (int)count;
}

/* @text without its empty lines and with a line break at the end of each. */
static int copy_lines(const char *text, char **target)
{
    size_t size = strlen(text);
    char *copy = calloc(1, size + 2);
    if (!copy)
        return -ENOMEM;
    size_t used = 0;
    for (const char *at = text; *at; at++)
        if (*at != '\n' || (used > 0 && copy[used - 1] != '\n'))
            copy[used++] = *at;
    if (used > 0 && copy[used - 1] != '\n')
        copy[used] = '\n';
    free(*target);
    *target = copy;
    return 0;
}

static int check_variable(const char *line)
{
    const char *equals = strchr(line, '=');
    _cleanup_free_ char *name = equals ? text_dup_bounded(line, (size_t)(equals - line)) : NULL;
    if (!name)
        return equals ? -ENOMEM : -EINVAL;
    for (const char *at = equals; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return -EINVAL;
    return text_is_environment_name(name) ? 0 : -EINVAL;
}

static int read_environment(const struct config_field *field, const char *text, void *target)
{
    (void)field;
    if (strlen(text) > ENVIRONMENT_SIZE_MAX)
        return -ERANGE;
    int r = check_lines(text, check_variable);
    return r < 0 ? r : copy_lines(text, target);
}

static void describe_environment(const struct config_field *field, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "lines of NAME=VALUE, together at most 16 KiB");
}

/* Absolute, and in the one spelling of it. */
static int check_path(const char *line)
{
    if (line[0] != '/' || line[1] == '\0' || strlen(line) >= CONFIG_PATH_MAX)
        return -EINVAL;
    for (const char *at = line; *at; at += strcspn(at, "/")) {
        at++;
        size_t length = strcspn(at, "/");
        if (length == 0 || strncmp(at, ".", length) == 0 || strncmp(at, "..", length) == 0)
            return -EINVAL;
        for (size_t i = 0; i < length; i++)
            if ((unsigned char)at[i] < ' ' || at[i] == 0x7f)
                return -EINVAL;
    }
    return 0;
}

static int read_paths(const struct config_field *field, const char *text, void *target)
{
    (void)field;
    int r = check_lines(text, check_path);
    if (r < 0 || r > (int)CONFIG_PATHS_MAX)
        return r < 0 ? r : -ERANGE;
    return copy_lines(text, target);
}

static void describe_paths(const struct config_field *field, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "at most %u lines, each an absolute path of at most %u bytes", CONFIG_PATHS_MAX,
            CONFIG_PATH_MAX - 1);
}

static bool is_private(uint32_t address, uint64_t length)
{
    static const struct {
        uint32_t address;
        uint32_t length;
    } rows[] = {{0x0a000000, 8}, {0xac100000, 12}, {0xc0a80000, 16}};
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        if (length >= rows[i].length && (address ^ rows[i].address) >> (32 - rows[i].length) == 0)
            return true;
    return false;
}

/* "" or a private network of IPv4, without bits behind the prefix. */
static int read_cidr(const struct config_field *field, const char *text, void *target)
{
    (void)field;
    char address_text[INET_ADDRSTRLEN];
    struct in_addr address;
    uint64_t length;
    const char *slash = strchr(text, '/');
    if (!*text)
        return read_copy(text, 0, target);
    if (!slash || (size_t)(slash - text) >= sizeof(address_text))
        return -EINVAL;
    memcpy(address_text, text, (size_t)(slash - text));
    address_text[slash - text] = '\0';
    if (inet_pton(AF_INET, address_text, &address) != 1 || text_parse_u64(slash + 1, 30, &length) < 0 || length < 8)
        return -EINVAL;
    if (ntohl(address.s_addr) & (UINT32_MAX >> length) || !is_private(ntohl(address.s_addr), length))
        return -EINVAL;
    return read_copy(text, INET_ADDRSTRLEN + 3, target);
}

static void describe_cidr(const struct config_field *field, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "empty or a private IPv4 network like 10.90.0.0/24, from /8 to /30");
}

static int read_number(const struct config_field *field, const char *text, uint64_t *ret_value)
{
    uint64_t value;
    int r = text_parse_u64(text, field->max, &value);
    if (r < 0)
        return r;
    if (value < field->min)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

static int read_u16(const struct config_field *field, const char *text, void *target)
{
    uint64_t value;
    int r = read_number(field, text, &value);
    if (r == 0)
        *(uint16_t *)target = (uint16_t)value;
    return r;
}

static int read_u32(const struct config_field *field, const char *text, void *target)
{
    uint64_t value;
    int r = read_number(field, text, &value);
    if (r == 0)
        *(uint32_t *)target = (uint32_t)value;
    return r;
}

static int read_mib(const struct config_field *field, const char *text, void *target)
{
    uint64_t value;
    int r = read_number(field, text, &value);
    if (r == 0)
        *(uint64_t *)target = value << 20;
    return r;
}

static int read_range(const struct config_field *field, const char *text, void *target)
{
    uint64_t value;
    int r = read_number(field, text, &value);
    if (r < 0)
        return r;
    if (value % CONFIG_ID_RANGE_SIZE != 0)
        return -EINVAL;
    *(uint32_t *)target = (uint32_t)value;
    return 0;
}

static void describe_number(const struct config_field *field, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "a whole number from %" PRIu64 " to %" PRIu64, field->min, field->max);
}

static void describe_mib(const struct config_field *field, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "a whole number of MiB from %" PRIu64 " to %" PRIu64, field->min, field->max);
}

static void describe_range(const struct config_field *field, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "a multiple of 65536 from %" PRIu64 " to %" PRIu64, field->min, field->max);
}

static void write_u16(const struct config_field *field, const void *source, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "%u", (unsigned)*(const uint16_t *)source);
}

static void write_u32(const struct config_field *field, const void *source, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "%" PRIu32, *(const uint32_t *)source);
}

static void write_mib(const struct config_field *field, const void *source, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "%" PRIu64, *(const uint64_t *)source >> 20);
}

static int read_duration(const struct config_field *field, const char *text, void *target)
{
    uint64_t value;
    int r = text_parse_duration(text, &value);
    if (r < 0)
        return r;
    if (value < field->min || value > field->max)
        return -ERANGE;
    *(uint64_t *)target = value;
    return 0;
}

static void describe_duration(const struct config_field *field, char *ret_text, size_t size)
{
    char low[TEXT_DURATION_MAX];
    char high[TEXT_DURATION_MAX];
    text_format_duration(field->min, low);
    text_format_duration(field->max, high);
    (void)snprintf(ret_text, size, "a duration like 1h30m or 250ms, from %s to %s", low, high);
}

static void write_duration(const struct config_field *field, const void *source, char *ret_text, size_t size)
{
    (void)field;
    char text[TEXT_DURATION_MAX];
    text_format_duration(*(const uint64_t *)source, text);
    (void)snprintf(ret_text, size, "%s", text);
}

static int read_choice(const char *text, const char *const *choices, unsigned count, unsigned *ret_choice)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcasecmp(text, choices[i]) == 0) {
            *ret_choice = i;
            return 0;
        }
    }
    return -EINVAL;
}

static const char *const levels[] = {"DEBUG", "INFO", "WARN", "ERROR"};
static const char *const formats[] = {"text", "json"};
static const char *const shutdowns[] = {"keep", "stop"};
static const char *const switches[] = {"off", "on"};

static int read_level(const struct config_field *field, const char *text, void *target)
{
    (void)field;
    return log_parse_level(text, target);
}

static void describe_level(const struct config_field *field, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "one of DEBUG, INFO, WARN, ERROR");
}

static void write_level(const struct config_field *field, const void *source, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "%s", levels[*(const enum log_level *)source]);
}

static int read_format(const struct config_field *field, const char *text, void *target)
{
    (void)field;
    unsigned choice;
    int r = read_choice(text, formats, ELEMENTS(formats), &choice);
    if (r == 0)
        *(enum log_format *)target = choice == 0 ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    return r;
}

static void describe_format(const struct config_field *field, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "text or json");
}

static void write_format(const struct config_field *field, const void *source, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "%s", formats[*(const enum log_format *)source]);
}

static int read_shutdown(const struct config_field *field, const char *text, void *target)
{
    (void)field;
    unsigned choice;
    int r = read_choice(text, shutdowns, ELEMENTS(shutdowns), &choice);
    if (r == 0)
        *(enum config_on_shutdown *)target = choice == 0 ? CONFIG_ON_SHUTDOWN_KEEP : CONFIG_ON_SHUTDOWN_STOP;
    return r;
}

static void describe_shutdown(const struct config_field *field, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "keep or stop");
}

static void write_shutdown(const struct config_field *field, const void *source, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "%s", shutdowns[*(const enum config_on_shutdown *)source]);
}

static int read_switch(const struct config_field *field, const char *text, void *target)
{
    (void)field;
    unsigned choice;
    int r = read_choice(text, switches, ELEMENTS(switches), &choice);
    if (r == 0)
        *(bool *)target = choice == 1;
    return r;
}

static void describe_switch(const struct config_field *field, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "off or on");
}

static void write_switch(const struct config_field *field, const void *source, char *ret_text, size_t size)
{
    (void)field;
    (void)snprintf(ret_text, size, "%s", switches[*(const bool *)source ? 1 : 0]);
}

static const struct config_kind kind_switch = {read_switch, describe_switch, write_switch};
static const struct config_kind kind_version = {read_version, describe_version, write_text, .quoted = true};
static const struct config_kind kind_address = {read_address, describe_address, write_text, .quoted = true};
static const struct config_kind kind_uuid = {read_uuid, describe_uuid, write_text, .quoted = true};
static const struct config_kind kind_pem = {read_pem, describe_pem, write_text, .secret = true, .block = true};
static const struct config_kind kind_environment = {
        read_environment, describe_environment, write_text, .secret = true, .block = true};
static const struct config_kind kind_paths = {read_paths, describe_paths, write_text, .block = true};
static const struct config_kind kind_cidr = {read_cidr, describe_cidr, write_text, .quoted = true};
static const struct config_kind kind_u16 = {read_u16, describe_number, write_u16};
static const struct config_kind kind_u32 = {read_u32, describe_number, write_u32};
static const struct config_kind kind_mib = {read_mib, describe_mib, write_mib};
static const struct config_kind kind_range = {read_range, describe_range, write_u32};
static const struct config_kind kind_duration = {read_duration, describe_duration, write_duration};
static const struct config_kind kind_level = {read_level, describe_level, write_level};
static const struct config_kind kind_format = {read_format, describe_format, write_format};
static const struct config_kind kind_shutdown = {read_shutdown, describe_shutdown, write_shutdown};

#define MS 1000000ULL
#define DAY (24ULL * 3600 * 1000 * MS)
#define AT(member) offsetof(struct config, member)

const struct config_field config_fields[] = {
        {"", "version", &kind_version, AT(version), 0, 0, "3.0", NULL},

        {"server", "address", &kind_address, AT(address), 0, 0, "0.0.0.0", "Where to listen."},
        {"server", "port", &kind_u16, AT(port), 0, 65535, "50051", "0 = any free one."},
        {"server", "nodeId", &kind_uuid, AT(node_id), 0, 0, "", "Shown to clients."},

        {"security", "serverCert", &kind_pem, AT(server_cert), 0, 0, NULL, NULL},
        {"security", "serverKey", &kind_pem, AT(server_key), 0, 0, NULL, NULL},
        {"security", "caCert", &kind_pem, AT(ca_cert), 0, 0, NULL, "Signs the certificates of clients."},

        {"joblet", "defaultCpuLimit", &kind_u32, AT(default_cpu_limit), 0, 100000, "0",
                "Of a job that asks for none: percent of one core, 0 = no limit."},
        {"joblet", "maxCpuLimit", &kind_u32, AT(max_cpu_limit), 0, 100000, "0", "The most a job may have, 0 = any."},
        {"joblet", "defaultMemoryLimit", &kind_mib, AT(default_memory_bytes), 0, MIB_MAX, "0", "MiB, 0 = no limit."},
        {"joblet", "maxMemoryLimit", &kind_mib, AT(max_memory_bytes), 0, MIB_MAX, "0", "MiB, 0 = any."},
        {"joblet", "defaultProcessLimit", &kind_u32, AT(default_processes), 1, 4194304, "512",
                "Processes and threads; a job always has a limit."},
        {"joblet", "maxProcessLimit", &kind_u32, AT(max_processes), 0, 4194304, "0", "0 = any."},
        {"joblet", "defaultOpenFileLimit", &kind_u32, AT(default_open_files), 64, 1048576, "1024",
                "Of each process; a job always has a limit."},
        {"joblet", "maxOpenFileLimit", &kind_u32, AT(max_open_files), 0, 1048576, "0",
                "0 = as many as the service itself may have."},
        {"joblet", "defaultIoLimit", &kind_u32, AT(default_io_bps), 0, 2147483647, "0",
                "Bytes a second read from and written to the jobs' disk, 0 = no limit; cgroup version 2 only."},
        {"joblet", "maxIoLimit", &kind_u32, AT(max_io_bps), 0, 2147483647, "0", "0 = any."},
        {"joblet", "maxConcurrentJobs", &kind_u32, AT(max_concurrent_jobs), 0, 4096, "0",
                "0 = as many as there are id ranges."},
        {"joblet", "jobTimeout", &kind_duration, AT(job_timeout_ns), 0, 3650 * DAY, "0s",
                "Of a job that names none, 0s = none."},
        {"joblet", "stopGracePeriod", &kind_duration, AT(stop_grace_ns), 0, 3600000 * MS, "100ms",
                "Between TERM and KILL when a job is stopped."},
        {"joblet", "onShutdown", &kind_shutdown, AT(on_shutdown), 0, 0, "keep",
                "keep: jobs run on while the service is stopped; stop: they are stopped with it."},

        {"filesystem", "workSize", &kind_mib, AT(work_bytes), 1, MIB_MAX, "256",
                "/work of a job, MiB; on disk, else in memory as /tmp: see 'joblet doctor'."},
        {"filesystem", "tmpSize", &kind_mib, AT(tmp_bytes), 1, MIB_MAX, "64",
                "/tmp of a job, MiB; counts as the job's memory."},
        {"filesystem", "logSize", &kind_mib, AT(log_bytes), 0, MIB_MAX, "1024",
                "Kept of one job's output, MiB, 0 = all."},

        {"runtime", "buildMemoryLimit", &kind_mib, AT(build_memory_bytes), 0, MIB_MAX, "4096",
                "Of a build that asks for none, and the most it may have; MiB, 0 = no limit."},
        {"runtime", "buildTimeout", &kind_duration, AT(build_timeout_ns), 1000 * MS, 365 * DAY, "1h",
                "Of a whole build."},
        {"runtime", "buildProcessLimit", &kind_u32, AT(build_processes), 16, 4194304, "4096", "Of a build."},
        {"runtime", "buildDiskSize", &kind_mib, AT(build_disk_bytes), 64, MIB_MAX, "16384",
                "All that a build writes, MiB; taken as it is used, and gone with the build."},
        {"runtime", "runtimeSize", &kind_mib, AT(runtime_bytes), 1, MIB_MAX, "8192",
                "The largest finished runtime, MiB."},
        {"runtime", "maxBuilds", &kind_u32, AT(max_builds), 1, 64, "4", "At the same time."},
        {"runtime", "cacheSize", &kind_mib, AT(cache_bytes), 0, MIB_MAX, "4096",
                "What apt, pip and npm download, kept for later builds, MiB, 0 = nothing."},
        {"runtime", "cacheAge", &kind_duration, AT(cache_age_ns), 0, 3650 * DAY, "720h",
                "'joblet gc' removes older ones, 0 = of any age."},
        {"runtime", "environment", &kind_environment, AT(build_environment), 0, 0, "",
                "For builds: lines NAME=VALUE after a '|', for proxies and package indexes. Not shown in logs."},
        {"runtime", "hide", &kind_paths, AT(build_hidden), 0, 0, "",
                "What builds must not see of the host's software: lines of absolute paths after a '|'."},
        {"runtime", "show", &kind_paths, AT(build_shown), 0, 0, "",
                "Files that builds need although not everybody may read them, in the same form."},

        {"network", "buildCidr", &kind_cidr, AT(build_cidr), 0, 0, "",
                "Addresses of builds, such as 10.90.0.0/24; empty: a range that is free on this host."},

        {"grpc", "maxRecvMsgSize", &kind_u32, AT(max_receive_bytes), 65536, 1U << 30, "134217728", "Bytes."},
        {"grpc", "maxSendMsgSize", &kind_u32, AT(max_send_bytes), 65536, 1U << 30, "134217728", "Bytes."},
        {"grpc", "maxHeaderListSize", &kind_u32, AT(max_header_bytes), 4096, 16U << 20, "65536", "Bytes."},
        {"grpc", "keepAliveTime", &kind_duration, AT(keepalive_ns), 1000 * MS, DAY, "10s", NULL},
        {"grpc", "keepAliveTimeout", &kind_duration, AT(keepalive_timeout_ns), 100 * MS, DAY, "3s", NULL},
        {"grpc", "maxConcurrentStreams", &kind_u32, AT(max_concurrent_streams), 1, 100000, "1000",
                "Of one connection."},
        {"grpc", "connectionTimeout", &kind_duration, AT(connection_timeout_ns), 100 * MS, 3600000 * MS, "10s",
                "For the TLS handshake."},

        {"logging", "level", &kind_level, AT(log_level), 0, 0, "INFO", "DEBUG, INFO, WARN, ERROR."},
        {"logging", "format", &kind_format, AT(log_format), 0, 0, "text", "text or json."},

        {"audit", "fileSize", &kind_mib, AT(audit_file_bytes), 1, 512, "16",
                "A file of the audit log that is as large is followed by a new one, MiB."},
        {"audit", "keepFiles", &kind_u32, AT(audit_keep_files), 2, 10000, "16", "Of them; the oldest of more go."},
        {"audit", "syslog", &kind_switch, AT(audit_syslog), 0, 0, "off", "on: a copy of each record to syslog."},

        {"buffers", "chunk_size", &kind_u32, AT(chunk_bytes), 4096, 1U << 20, "1048576",
                "Of a log on its way to a client, bytes."},

        {"isolation", "idRangeStart", &kind_range, AT(id_range_start), CONFIG_ID_RANGE_SIZE,
                CONFIG_ID_END - CONFIG_ID_RANGE_SIZE, NULL, "Host ids of jobs, 65536 for each: used by nobody else."},
        {"isolation", "idRangeCount", &kind_u32, AT(id_range_count), 1, 4096, "1000", "Jobs at the same time."},
        {"isolation", "diskIdStart", &kind_range, AT(disk_id_start), CONFIG_ID_RANGE_SIZE,
                CONFIG_ID_END - CONFIG_ID_RANGE_SIZE, NULL,
                "Owners on disk of what jobs see as root's; not to be changed."},
        {"isolation", "commandId", &kind_u32, AT(command_id), 1, 65534, "65534", "User and group id in a job."},
        {"isolation", "apiUid", &kind_u32, AT(api_uid), 1, CONFIG_ID_END - 1, NULL, "Who joblet-api runs as."},
        {"isolation", "apiGid", &kind_u32, AT(api_gid), 1, CONFIG_ID_END - 1, NULL, NULL},
};
