#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/config.h"

#define SECURITY                                                                                                       \
    "security:\n"                                                                                                      \
    "  serverCert: |\n    -----BEGIN CERTIFICATE-----\n    AAAA\n"                                                     \
    "  serverKey: |\n    -----BEGIN PRIVATE KEY-----\n    c2VjcmV0\n"                                                  \
    "  caCert: |\n    -----BEGIN CERTIFICATE-----\n    BBBB\n"
#define ISOLATION                                                                                                      \
    "isolation:\n  idRangeStart: 1879048192\n  idRangeCount: 10\n  diskIdStart: 2000027648\n"                          \
    "  apiUid: 990\n  apiGid: 991\n"
#define BASE SECURITY ISOLATION

static struct config *parse(const char *text, struct error *error)
{
    struct config *config = NULL;
    memset(error, 0, sizeof(*error));
    int r = config_parse(text, strlen(text), "joblet-config.yml", &config, error);
    assert_true((r == 0) == (config != NULL));
    if (r < 0)
        assert_int_equal(error->code, -r);
    return config;
}

static void test_presets(void **state)
{
    (void)state;
    struct error error;
    _cleanup_(config_freep) struct config *config = parse(BASE, &error);
    assert_non_null(config);
    assert_string_equal(config->version, "3.0");
    assert_string_equal(config->address, "0.0.0.0");
    assert_int_equal(config->port, 50051);
    assert_string_equal(config->node_id, "");
    assert_string_equal(config->server_key, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n");
    assert_int_equal(config->default_processes, 512);
    assert_int_equal(config->stop_grace_ns, 100000000);
    assert_int_equal(config->on_shutdown, CONFIG_ON_SHUTDOWN_KEEP);
    assert_int_equal(config->work_bytes, 256U << 20);
    assert_int_equal(config->tmp_bytes, 64U << 20);
    assert_int_equal(config->log_bytes, 1024U << 20);
    assert_int_equal(config->max_receive_bytes, 134217728);
    assert_int_equal(config->keepalive_ns, 10000000000);
    assert_int_equal(config->chunk_bytes, 1048576);
    assert_int_equal(config->command_id, 65534);
    assert_int_equal(config->id_range_count, 10);
    assert_int_equal(config->api_gid, 991);
    assert_int_equal(config->build_memory_bytes, 4096ULL << 20);
    assert_int_equal(config->build_timeout_ns, 3600000000000);
    assert_int_equal(config->build_processes, 4096);
    assert_int_equal(config->build_disk_bytes, 16384ULL << 20);
    assert_int_equal(config->runtime_bytes, 8192ULL << 20);
    assert_int_equal(config->max_builds, 4);
    assert_int_equal(config->cache_bytes, 4096ULL << 20);
    assert_string_equal(config->build_environment, "");
    assert_string_equal(config->build_hidden, "");
    assert_string_equal(config->build_shown, "");
    assert_string_equal(config->build_cidr, "");
}

/* Lines, in whichever form of a scalar they stand. */
static void test_lines(void **state)
{
    (void)state;
    static const char *const forms[] = {
            "runtime:\n  environment: |\n    A=1\n\n    b_2=x=y, z\n  hide: |-\n    /etc/a\n"
            "    /usr/b.c/d\n",
            "runtime:\n  environment: \"A=1\\nb_2=x=y, z\"\n  hide: \"/etc/a\\n\\n/usr/b.c/d\\n\\n\"\n"};
    for (size_t i = 0; i < ELEMENTS(forms); i++) {
        char text[2048];
        struct error error;
        (void)snprintf(text, sizeof(text), "%s%s", forms[i], BASE);
        _cleanup_(config_freep) struct config *config = parse(text, &error);
        assert_non_null(config);
        assert_string_equal(config->build_environment, "A=1\nb_2=x=y, z\n");
        assert_string_equal(config->build_hidden, "/etc/a\n/usr/b.c/d\n");
        _cleanup_free_ char *written = NULL;
        size_t size;
        assert_int_equal(config_format(config, &written, &size), 0);
        _cleanup_(config_freep) struct config *again = parse(written, &error);
        assert_non_null(again);
        assert_string_equal(again->build_environment, config->build_environment);
        assert_string_equal(again->build_hidden, config->build_hidden);
        assert_string_equal(again->build_shown, "");
    }
}

static void test_wrong_lines(void **state)
{
    (void)state;
    static const char *const rows[] = {"environment: A", "environment: 1A=1", "environment: \"A =1\"",
            "environment: \"A=1\\nB\"", "environment: \"A=a\\tb\"", "environment: \"=1\"", "hide: etc", "hide: /",
            "hide: /etc/", "hide: //etc", "hide: /etc//a", "hide: /etc/../a", "hide: /etc/.", "hide: /./etc",
            "hide: \"/a\\n/b\\n/c\\n/d\\n/e\\n/f\\n/g\\n/h\\n/i\"", "show: \"/etc/a\\nb\"", "show: \"/etc/\\x7f\""};
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        char text[2048];
        struct error error;
        (void)snprintf(text, sizeof(text), "runtime:\n  %s\n%s", rows[i], BASE);
        if (parse(text, &error))
            fail_msg("'%s' is read", rows[i]);
        assert_int_equal(error.code, EINVAL);
    }
    char path[160];
    char text[2048];
    struct error error;
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[CONFIG_PATH_MAX] = '\0';
    (void)snprintf(text, sizeof(text), "runtime:\n  hide: %s\n%s", path, BASE);
    assert_null(parse(text, &error));
    path[CONFIG_PATH_MAX - 1] = '\0';
    (void)snprintf(text, sizeof(text), "runtime:\n  hide: %s\n%s", path, BASE);
    _cleanup_(config_freep) struct config *config = parse(text, &error);
    assert_non_null(config);
}

/* A password in the address of a proxy. */
static void test_environment_is_secret(void **state)
{
    (void)state;
    struct error error;
    assert_null(parse("runtime:\n  environment: http://user:hunter2@proxy\n" BASE, &error));
    assert_string_equal(error.text, "joblet-config.yml:2: runtime.environment: '...' is not lines of NAME=VALUE, "
                                    "together at most 16 KiB");
}

static void test_networks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {{"10.0.0.0/8", true}, {"10.90.0.0/24", true}, {"172.16.0.0/12", true}, {"172.31.255.252/30", true},
            {"192.168.7.0/24", true}, {"", true}, {"10.0.0.1/8", false}, {"11.0.0.0/8", false},
            {"172.32.0.0/16", false}, {"172.0.0.0/8", false}, {"192.168.0.0/15", false}, {"8.8.8.0/24", false},
            {"10.0.0.0/31", false}, {"10.0.0.0/7", false}, {"10.0.0.0", false}, {"10.0.0.0/", false},
            {"10.0.0/24", false}, {"fd00::/64", false}, {"10.0.0.0/24/1", false}};
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        char text[2048];
        struct error error;
        (void)snprintf(text, sizeof(text), "network:\n  buildCidr: \"%s\"\n%s", rows[i].text, BASE);
        _cleanup_(config_freep) struct config *config = parse(text, &error);
        if ((config != NULL) != rows[i].valid)
            fail_msg("'%s' is %s", rows[i].text, config ? "read" : error.text);
        if (config)
            assert_string_equal(config->build_cidr, rows[i].text);
    }
}

static void test_values(void **state)
{
    (void)state;
    struct error error;
    _cleanup_(config_freep) struct config *config =
            parse("version: \"3.0\"\nserver: {address: '::1', port: 0, nodeId: 0f9e4b5c-1d2e-4f30-8a1b-2c3d4e5f6071}\n"
                  "joblet:\n  jobTimeout: 1h30m\n  onShutdown: stop\n  maxMemoryLimit: 2048 # MiB\n"
                  "logging:\n  level: warn\n  format: json\nbuffers:\n" BASE,
                    &error);
    assert_non_null(config);
    assert_string_equal(config->address, "::1");
    assert_int_equal(config->port, 0);
    assert_string_equal(config->node_id, "0f9e4b5c-1d2e-4f30-8a1b-2c3d4e5f6071");
    assert_int_equal(config->job_timeout_ns, 5400000000000);
    assert_int_equal(config->on_shutdown, CONFIG_ON_SHUTDOWN_STOP);
    assert_int_equal(config->max_memory_bytes, 2048ULL << 20);
    assert_int_equal(config->log_level, LOG_LEVEL_WARN);
    assert_int_equal(config->log_format, LOG_FORMAT_JSON);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *expected;
    } rows[] = {
            {"joblet:\n  maxConcurrentJobs: abc\n" BASE,
                    "joblet-config.yml:2: joblet.maxConcurrentJobs: 'abc' is not a whole number from 0 to 4096"},
            {"joblet:\n  maxConcurrentJobs: 4097\n" BASE,
                    "joblet-config.yml:2: joblet.maxConcurrentJobs: '4097' is not a whole number from 0 to 4096"},
            {"joblet:\n  defaultProcessLimit: 0\n" BASE,
                    "joblet-config.yml:2: joblet.defaultProcessLimit: '0' is not a whole number from 1 to 4194304"},
            {"joblet:\n  jobTimeout: -5s\n" BASE, "joblet-config.yml:2: joblet.jobTimeout: '-5s' is not a duration "
                                                  "like 1h30m or 250ms, from 0s to 87600h0m0s"},
            {"\n\nserver:\n  port:\n" BASE,
                    "joblet-config.yml:4: server.port: '' is not a whole number from 0 to 65535"},
            {"server:\n  address: example.org\n" BASE,
                    "joblet-config.yml:2: server.address: 'example.org' is not an IPv4 or IPv6 address"},
            {"server:\n  adress: ::\n" BASE, "joblet-config.yml:2: unknown key 'server.adress'"},
            {"sever:\n  address: ::\n" BASE, "joblet-config.yml:1: unknown key 'sever'"},
            {"version: \"1.0\"\n" BASE, "joblet-config.yml:1: version: '1.0' is not \"3.0\""},
            {"server:\n  port: 1\n  port: 2\n" BASE, "joblet-config.yml:3: server.port: stands in line 2 already"},
            {"server:\n  port: 1\nserver:\n  address: ::\n" BASE,
                    "joblet-config.yml:3: server: the section stands above already"},
            {"server: 5\n" BASE, "joblet-config.yml:1: server: expected keys below it"},
            {"server:\n  port: [1]\n" BASE, "joblet-config.yml:2: port: expected a single value"},
            {"server:\n  port: &a 1\n" BASE, "joblet-config.yml:2: port: anchors are not permitted"},
            {"server:\n  port: *a\n" BASE, "joblet-config.yml:2: port: aliases are not permitted"},
            {"server:\n  port: !!int 1\n" BASE, "joblet-config.yml:2: port: tags are not permitted"},
            {"server: &a\n  port: 1\n" BASE, "joblet-config.yml:1: server: expected keys below it"},
            {"server:\n  address: \"::\\0\"\n" BASE, "joblet-config.yml:2: address: holds a NUL character"},
            {"server:\n\tport: 1\n" BASE, "joblet-config.yml:2: found character that cannot start any token"},
            {"", "joblet-config.yml:1: expected keys; the file is empty"},
            {"- a\n", "joblet-config.yml:1: expected keys"},
            {BASE "---\nversion: \"3.0\"\n",
                    "joblet-config.yml:17: expected the end of the file: only one document is permitted"},
            {SECURITY, "joblet-config.yml: isolation.idRangeStart is missing; 'joblet setup' writes it"},
            {ISOLATION, "joblet-config.yml: security.serverCert is missing; 'joblet setup' writes it"},
            {ISOLATION "security:\n  serverKey: hunter2\n",
                    "joblet-config.yml:8: security.serverKey: '...' is not a PEM text (\"-----BEGIN ...\") of at most "
                    "64 KiB"},
            {"joblet:\n  maxConcurrentJobs: 11\n" BASE,
                    "joblet-config.yml:2: joblet.maxConcurrentJobs: 11 is more than isolation.idRangeCount, 10"},
            {"joblet:\n  maxMemoryLimit: 10\n  defaultMemoryLimit: 11\n" BASE,
                    "joblet-config.yml:3: joblet.defaultMemoryLimit: 11 is more than maxMemoryLimit, 10"},
            {SECURITY "isolation:\n  idRangeStart: 1879048193\n",
                    "joblet-config.yml:12: isolation.idRangeStart: '1879048193' is not a multiple of 65536 from 65536 "
                    "to 4294836224"},
            {SECURITY "isolation: {idRangeStart: 65536, diskIdStart: 131072, apiUid: 5, apiGid: 5}\n",
                    "joblet-config.yml:11: isolation.diskIdStart: 131072 lies in the ranges of jobs"},
            {SECURITY "isolation: {idRangeStart: 4294836224, diskIdStart: 131072, apiUid: 5, apiGid: 5, "
                      "idRangeCount: 2}\n",
                    "joblet-config.yml:11: isolation.idRangeCount: 2 ranges from 4294836224 on end above 4294901760"},
            {SECURITY "isolation: {idRangeStart: 655360, diskIdStart: 131072, apiUid: 5, apiGid: 131073}\n",
                    "joblet-config.yml:11: isolation.apiGid: 131073 lies in the ids of jobs or of their files"},
            {SECURITY "isolation: {idRangeStart: 655360, diskIdStart: 131072, apiUid: 0, apiGid: 1}\n",
                    "joblet-config.yml:11: isolation.apiUid: '0' is not a whole number from 1 to 4294901759"},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct error error;
        assert_null(parse(rows[i].text, &error));
        assert_string_equal(error.text, rows[i].expected);
    }
}

static void test_control_characters_are_not_shown(void **state)
{
    (void)state;
    struct error error;
    assert_null(parse("server:\n  port: \"\\e[31mred and very long, so long that nobody wants to read it\"\n", &error));
    assert_string_equal(error.text, "joblet-config.yml:2: server.port: '?[31mred and very long, so long that nob...' "
                                    "is not a whole number from 0 to 65535");
}

static void test_format_reads_back(void **state)
{
    (void)state;
    struct error error;
    _cleanup_(config_freep) struct config *config =
            parse("server: {port: 7, nodeId: 0f9e4b5c-1d2e-4f30-8a1b-2c3d4e5f6071}\n"
                  "joblet: {jobTimeout: 90s, onShutdown: stop, defaultMemoryLimit: 5}\n"
                  "logging: {level: error, format: json}\n" BASE,
                    &error);
    assert_non_null(config);
    _cleanup_free_ char *text = NULL;
    size_t size;
    assert_int_equal(config_format(config, &text, &size), 0);
    assert_int_equal(strlen(text), size);
    assert_non_null(strstr(text, "\n  serverKey: |\n    -----BEGIN PRIVATE KEY-----\n    c2VjcmV0\n"));
    _cleanup_(config_freep) struct config *again = parse(text, &error);
    assert_non_null(again);
    _cleanup_free_ char *text_again = NULL;
    assert_int_equal(config_format(again, &text_again, &size), 0);
    assert_string_equal(text, text_again);
    assert_int_equal(again->port, 7);
    assert_int_equal(again->job_timeout_ns, 90000000000);
    assert_int_equal(again->default_memory_bytes, 5U << 20);
    assert_string_equal(again->server_key, config->server_key);
}

static void test_size(void **state)
{
    (void)state;
    size_t size = CONFIG_FILE_SIZE_MAX + 1;
    _cleanup_free_ char *text = malloc(size);
    assert_non_null(text);
    memset(text, '#', size);
    struct config *config = NULL;
    struct error error;
    assert_int_equal(config_parse(text, size, "x", &config, &error), -EFBIG);
    /* A comment of exactly the permitted size: read, and found to hold nothing. */
    assert_int_equal(config_parse(text, size - 1, "x", &config, &error), -EINVAL);
}

static void write_file(const char *path, mode_t mode)
{
    (void)unlink(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(BASE, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_load_checks_the_file(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: not root\n");
        skip();
    }
    char prefix[] = "/tmp/test-config-XXXXXX";
    assert_non_null(mkdtemp(prefix));
    char directory[64];
    char path[96];
    char other[96];
    (void)snprintf(directory, sizeof(directory), "%s/config", prefix);
    (void)snprintf(path, sizeof(path), "%s/joblet-config.yml", directory);
    (void)snprintf(other, sizeof(other), "%s/other", directory);
    struct config *config = NULL;
    struct error error;
    assert_int_equal(config_load(prefix, &config, &error), -ENOENT);
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(config_load(prefix, &config, &error), -ENOENT);

    write_file(path, 0600);
    assert_int_equal(config_load(prefix, &config, &error), 0);
    config_freep(&config);
    write_file(path, 0640);
    assert_int_equal(config_load(prefix, &config, &error), -EPERM);
    assert_string_equal(error.text, "joblet-config.yml: mode 0640 is open to others; chmod 600 it");
    write_file(path, 0602);
    assert_int_equal(config_load(prefix, &config, &error), -EPERM);
    write_file(path, 0600);
    assert_int_equal(chown(path, 12345, 0), 0);
    assert_int_equal(config_load(prefix, &config, &error), -EPERM);
    assert_string_equal(error.text, "joblet-config.yml: belongs to user 12345, not to root");
    write_file(path, 0600);
    assert_int_equal(chmod(directory, 0777), 0);
    assert_int_equal(config_load(prefix, &config, &error), -EPERM);
    assert_int_equal(chmod(directory, 0700), 0);

    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink("other", path), 0);
    assert_int_equal(config_load(prefix, &config, &error), -ELOOP);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(config_load(prefix, &config, &error), -EPERM);
    assert_null(config);

    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(rmdir(prefix), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_presets),
            cmocka_unit_test(test_values),
            cmocka_unit_test(test_lines),
            cmocka_unit_test(test_wrong_lines),
            cmocka_unit_test(test_environment_is_secret),
            cmocka_unit_test(test_networks),
            cmocka_unit_test(test_errors),
            cmocka_unit_test(test_control_characters_are_not_shown),
            cmocka_unit_test(test_format_reads_back),
            cmocka_unit_test(test_size),
            cmocka_unit_test(test_load_checks_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
