#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "api/request.h"
#include "api/wire.h"
#include "base/fd.h"
#include "plan/spec.h"

static const struct settings settings = {.default_memory_bytes = 128 << 20,
        .max_memory_bytes = 1 << 30,
        .job_timeout_ns = 90000000000,
        .default_cpu_percent = 50,
        .max_cpu_percent = 400,
        .default_processes = 512,
        .max_processes = 1000,
        .default_open_files = 512,
        .max_open_files = 2000,
        .default_io_bps = 1 << 20,
        .max_io_bps = 1 << 30,
        .work_bytes = 1 << 28,
        .cpus = {{0xf}}};

static Joblet__RunJobRequest message_new(char *command)
{
    Joblet__RunJobRequest message;
    joblet__run_job_request__init(&message);
    message.command = command;
    return message;
}

static bool has(const struct state_texts *texts, const char *wanted)
{
    for (const char *text = NULL; (text = state_texts_next(texts, text));)
        if (strcmp(text, wanted) == 0)
            return true;
    return false;
}

static void test_defaults(void **state)
{
    (void)state;
    char command[] = "true";
    Joblet__RunJobRequest message = message_new(command);
    struct request request;
    struct error error = {0};
    assert_int_equal(request_read(&message, &settings, NULL, &request, &error), 0);
    const struct state_job *job = request.job;
    assert_int_equal(job->memory_bytes, 128 << 20);
    assert_int_equal(job->cpu_percent, 50);
    assert_int_equal(job->processes, 512);
    assert_int_equal(job->open_files, 512);
    assert_int_equal(job->io_bps, 1 << 20);
    assert_int_equal(job->work_bytes, 1 << 28);
    assert_true(cpulist_is_empty(&job->cpus));
    assert_true(job->timeout_ns == 90000000000);
    assert_string_equal(job->timeout_text, "1m30s");
    assert_string_equal(job->work_dir, "/work");
    assert_int_equal(request.environment.count, 4);
    assert_true(has(&request.environment, "HOME=/work"));
    assert_true(has(&request.environment, "USER=nobody"));
    assert_int_equal(job->environment.size, 0);
    assert_int_equal(request.spec_fd, -EBADF);
    request_done(&request);
}

/* Defaults above a ceiling are the administrator's own; only what is asked for is measured. */
static void test_ceilings(void **state)
{
    (void)state;
    char command[] = "true";
    struct settings tight = settings;
    tight.default_memory_bytes = 4ULL << 30;
    Joblet__RunJobRequest message = message_new(command);
    struct request request;
    struct error error = {0};
    assert_int_equal(request_read(&message, &tight, NULL, &request, &error), 0);
    request_done(&request);
    message.max_memory = 1025;
    assert_int_equal(request_read(&message, &tight, NULL, &request, &error), -EINVAL);
    assert_non_null(strstr(error.text, "1024: 1025"));
    message.max_memory = 1024;
    assert_int_equal(request_read(&message, &tight, NULL, &request, &error), 0);
    request_done(&request);
    message.max_processes = 1001;
    assert_int_equal(request_read(&message, &tight, NULL, &request, &error), -EINVAL);
    message.max_processes = INT32_MAX;
    tight.max_processes = 0;
    assert_int_equal(request_read(&message, &tight, NULL, &request, &error), 0);
    request_done(&request);
}

static void test_environment(void **state)
{
    (void)state;
    char command[] = "true";
    static char names[][16] = {"A", "A", "PATH", "API_TOKEN", "A", "SECRET_X", "B"};
    static char values[][16] = {"first", "second", "/bin", "t0ken", "secret", "s3cret", ""};
    Joblet__RunJobRequest__EnvironmentEntry open[6];
    Joblet__RunJobRequest__EnvironmentEntry *open_list[6];
    static const size_t open_rows[] = {0, 1, 2, 3, 5, 6};
    for (size_t i = 0; i < 6; i++) {
        joblet__run_job_request__environment_entry__init(&open[i]);
        open[i].key = names[open_rows[i]];
        open[i].value = values[open_rows[i]];
        open_list[i] = &open[i];
    }
    Joblet__RunJobRequest__SecretEnvironmentEntry secret;
    Joblet__RunJobRequest__SecretEnvironmentEntry *secret_list[] = {&secret};
    joblet__run_job_request__secret_environment_entry__init(&secret);
    secret.key = names[4];
    secret.value = values[4];
    Joblet__RunJobRequest message = message_new(command);
    message.n_environment = 5;
    message.environment = open_list;
    struct request request;
    struct error error = {0};
    /* One map: the later of two wins. */
    assert_int_equal(request_read(&message, &settings, NULL, &request, &error), 0);
    assert_true(has(&request.environment, "A=second"));
    assert_false(has(&request.environment, "A=first"));
    assert_true(has(&request.environment, "PATH=/bin"));
    assert_true(has(&request.environment, "API_TOKEN=t0ken"));
    assert_true(has(&request.job->environment, "A=second"));
    assert_true(has(&request.job->environment, "API_TOKEN=***"));
    assert_true(has(&request.job->environment, "SECRET_X=***"));
    request_done(&request);
    /* Both maps: the secret wins, and is nowhere else. */
    message.n_environment = 6;
    message.n_secret_environment = 1;
    message.secret_environment = secret_list;
    assert_int_equal(request_read(&message, &settings, NULL, &request, &error), 0);
    assert_true(has(&request.environment, "A=secret"));
    assert_false(has(&request.environment, "A=second"));
    assert_true(has(&request.environment, "B="));
    assert_true(has(&request.job->secret_names, "A"));
    assert_false(has(&request.job->environment, "A=second"));
    assert_int_equal(request.job->secret_names.count, 1);
    request_done(&request);
}

static void set_variables(struct runtime_description *runtime, const char *const texts[], size_t count)
{
    runtime_list_done(&runtime->environment);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(runtime_list_add(&runtime->environment, texts[i]), 0);
}

/* Above the client's, below the service's; PATH_PREPEND stands before whatever path counts. */
static void test_runtime(void **state)
{
    (void)state;
    char command[] = "true";
    static char name[] = "a";
    static char version[] = "1.2.3";
    static char keys[][8] = {"A", "PATH"};
    static char values[][8] = {"client", "/client"};
    static const char *const first[] = {"A=runtime", "B=x=y", "PATH=/runtime", "PATH_PREPEND=/first"};
    static const char *const second[] = {"PATH_PREPEND=/first"};
    struct runtime_description runtime = {.name = name, .version = version};
    Joblet__RunJobRequest__EnvironmentEntry entries[2];
    Joblet__RunJobRequest__EnvironmentEntry *list[2];
    Joblet__RunJobRequest message = message_new(command);
    for (size_t i = 0; i < ELEMENTS(entries); i++) {
        joblet__run_job_request__environment_entry__init(&entries[i]);
        entries[i].key = keys[i];
        entries[i].value = values[i];
        list[i] = &entries[i];
    }
    message.environment = list;
    message.n_environment = 2;
    struct request request;
    struct error error = {0};
    set_variables(&runtime, first, ELEMENTS(first));
    assert_int_equal(request_read(&message, &settings, &runtime, &request, &error), 0);
    assert_string_equal(request.job->runtime, "a@1.2.3");
    assert_true(has(&request.environment, "A=runtime"));
    assert_true(has(&request.environment, "B=x=y"));
    assert_true(has(&request.environment, "PATH=/first:/runtime"));
    assert_true(has(&request.environment, "JOB_RUNTIME=a@1.2.3"));
    assert_false(has(&request.environment, "PATH_PREPEND=/first"));
    request_done(&request);
    set_variables(&runtime, second, ELEMENTS(second));
    assert_int_equal(request_read(&message, &settings, &runtime, &request, &error), 0);
    assert_true(has(&request.environment, "PATH=/first:/client"));
    assert_true(has(&request.environment, "A=client"));
    request_done(&request);
    message.n_environment = 0;
    assert_int_equal(request_read(&message, &settings, &runtime, &request, &error), 0);
    assert_true(has(&request.environment, "PATH=/first:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    request_done(&request);
    assert_int_equal(request_read(&message, &settings, NULL, &request, &error), 0);
    assert_string_equal(request.job->runtime, "");
    assert_false(has(&request.environment, "JOB_RUNTIME="));
    request_done(&request);
    /* The service's own names are the service's, whoever says them. */
    static const char *const reserved[] = {"JOB_ID=x"};
    set_variables(&runtime, reserved, 1);
    assert_int_equal(request_read(&message, &settings, &runtime, &request, &error), -EINVAL);
    runtime_list_done(&runtime.environment);
}

static void test_spec(void **state)
{
    (void)state;
    char command[] = "/bin/echo";
    char one[] = "";
    char two[] = "gr\xc3\xbcn";
    char *arguments[] = {one, two};
    char work_dir[] = "//tmp///x/";
    Joblet__RunJobRequest message = message_new(command);
    message.n_args = 2;
    message.args = arguments;
    message.work_dir = work_dir;
    struct request request;
    struct error error = {0};
    assert_int_equal(request_read(&message, &settings, NULL, &request, &error), 0);
    assert_int_equal(request_seal(&request, &error), 0);
    struct spec spec;
    assert_int_equal(spec_decode(request.spec_fd, &spec, &error), 0);
    assert_string_equal(spec.work_dir, "/tmp/x");
    assert_string_equal(spec.arguments[0], command);
    assert_string_equal(spec.arguments[1], "");
    assert_string_equal(spec.arguments[2], two);
    assert_null(spec.arguments[3]);
    spec_done(&spec);
    request_done(&request);
}

static void test_work_dir(void **state)
{
    (void)state;
    char command[] = "true";
    static const struct {
        const char *text;
        const char *normal; /* NULL: refused */
    } cases[] = {{"/", "/"}, {"//", "/"}, {"/a/", "/a"}, {"/a//b", "/a/b"}, {"/...", "/..."}, {"/.a", "/.a"},
            {"a", NULL}, {".", NULL}, {"/.", NULL}, {"/..", NULL}, {"/a/../b", NULL}, {"/a/.", NULL}, {"../a", NULL}};
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%s", cases[i].text);
        Joblet__RunJobRequest message = message_new(command);
        message.work_dir = text;
        struct request request;
        struct error error = {0};
        int r = request_read(&message, &settings, NULL, &request, &error);
        assert_int_equal(r, cases[i].normal ? 0 : -EINVAL);
        if (r < 0)
            continue;
        assert_string_equal(request.job->work_dir, cases[i].normal);
        request_done(&request);
    }
}

struct bytes {
    const char *bytes;
    size_t size;
    int result;
};
#define BYTES(text, result)                                                                                            \
    {                                                                                                                  \
        text, sizeof(text) - 1, result                                                                                 \
    }

static void test_wire(void **state)
{
    (void)state;
    static const struct bytes cases[] = {
            BYTES("", 0),
            BYTES("\x12\x01"
                  "a",
                    0),
            BYTES("\x12\x00", 0),
            BYTES("\x12\x02"
                  "a",
                    -EINVAL), /* cut */
            BYTES("\x12\x02"
                  "a\0",
                    -EINVAL),                       /* NUL in a text */
            BYTES("\x12\x01\xff", -EINVAL),         /* no UTF-8 */
            BYTES("\x12\x03\xed\xa0\x80", -EINVAL), /* surrogate */
            BYTES("\x72\x06\x0a\x01"
                  "A\x12\x01\0",
                    -EINVAL), /* in the value of a map */
            BYTES("\x72\x06\x0a\x01"
                  "A\x12\x01"
                  "b",
                    0),
            BYTES("\x42\x06\x12\x04\0\0\0\0", 0),                           /* bytes may be anything */
            BYTES("\x0b\x0c", -EINVAL),                                     /* groups */
            BYTES("\x00\x00", -EINVAL),                                     /* field 0 */
            BYTES("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0),       /* -1 */
            BYTES("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", -EINVAL), /* more than 64 bits */
            BYTES("\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", -EINVAL),
            BYTES("\xfa\x3e\x02\0\0", 0),                                   /* unknown field 1007 */
            BYTES("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", -EINVAL), /* huge size */
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct error error = {0};
        int r = wire_check(
                &joblet__run_job_request__descriptor, (const uint8_t *)cases[i].bytes, cases[i].size, &error);
        if (r != cases[i].result)
            fail_msg("case %zu: %d %s", i, r, error.text);
        /* What is accepted protobuf-c reads as well. */
        ProtobufCMessage *message = wire_unpack(
                &joblet__run_job_request__descriptor, (const uint8_t *)cases[i].bytes, cases[i].size, &error);
        assert_true((message != NULL) == (r == 0));
        if (message)
            protobuf_c_message_free_unpacked(message, NULL);
    }
}

/* Two bytes for a message that takes a hundred: refused before memory is spent on it. */
static void test_wire_amplification(void **state)
{
    (void)state;
    size_t size = 2 * (WIRE_FIELDS_MAX + 1);
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i += 2) {
        bytes[i] = 0x42;
        bytes[i + 1] = 0;
    }
    struct error error = {0};
    assert_int_equal(wire_check(&joblet__run_job_request__descriptor, bytes, size, &error), -EINVAL);
    assert_int_equal(wire_check(&joblet__run_job_request__descriptor, bytes, size - 2, &error), 0);
    free(bytes);
}

static void test_varint(void **state)
{
    (void)state;
    uint8_t bytes[10];
    assert_int_equal(wire_put_varint(bytes, 0), 1);
    assert_int_equal(wire_put_varint(bytes, 127), 1);
    assert_int_equal(wire_put_varint(bytes, 128), 2);
    assert_memory_equal(bytes, "\x80\x01", 2);
    assert_int_equal(wire_put_varint(bytes, UINT64_MAX), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_defaults),
            cmocka_unit_test(test_ceilings),
            cmocka_unit_test(test_environment),
            cmocka_unit_test(test_runtime),
            cmocka_unit_test(test_spec),
            cmocka_unit_test(test_work_dir),
            cmocka_unit_test(test_wire),
            cmocka_unit_test(test_wire_amplification),
            cmocka_unit_test(test_varint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
