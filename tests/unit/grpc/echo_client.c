/* Our client, for tests/grpc/test_grpc.py: echo_client ADDRESS CERT KEY CA DEADLINE_MS VERB [NUMBER] [NUMBER]. Prints
 * what came, or "error STATUS TEXT". */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "grpc/client.h"

static struct grpc_client *client;
static struct grpc_result result;
static uint64_t deadline_ns;
static unsigned long first;
static unsigned long second;

static int report(int r)
{
    if (r == -EREMOTEIO)
        printf("error %s %s\n", grpc_status_name(result.status), result.message);
    else if (r < 0)
        printf("broken %s\n", strerror(-r));
    return 0;
}

/* @first calls with @second bytes each; each answer is compared. */
static int run_echo(void)
{
    _cleanup_free_ uint8_t *request = malloc(second + 1);
    for (size_t i = 0; i < second; i++)
        request[i] = (uint8_t)(i * 7);
    int64_t start = text_now_monotonic_ns();
    for (unsigned long i = 0; i < first; i++) {
        _cleanup_free_ uint8_t *message = NULL;
        size_t size;
        int r = grpc_client_call(client, "/t.Test/Echo", request, second, deadline_ns, &message, &size, &result);
        if (r < 0)
            return report(r);
        if (size != second || memcmp(message, request, size) != 0) {
            printf("another answer\n");
            return 1;
        }
    }
    printf("echo %lu %.0f/s\n", first, (double)first * 1e9 / (double)(text_now_monotonic_ns() - start));
    return 0;
}

/* @first messages of @second bytes, numbered. */
static int run_stream(void)
{
    const uint32_t request[2] = {(uint32_t)first, (uint32_t)second};
    int64_t start = text_now_monotonic_ns();
    int r = grpc_client_stream_open(client, "/t.Test/Stream", request, sizeof(request), deadline_ns, &result);
    unsigned long messages = 0;
    const uint8_t *message;
    size_t size;
    while (r >= 0 && (r = grpc_client_stream_next(client, &message, &size, &result)) == 1) {
        uint32_t number = (uint32_t)messages;
        if (size != second || (size >= 4 && memcmp(message, &number, 4) != 0))
            return 1;
        messages++;
    }
    if (r < 0)
        return report(r);
    double seconds = (double)(text_now_monotonic_ns() - start) / 1e9;
    printf("stream %lu %.0f MB/s\n", messages, (double)messages * (double)second / 1e6 / seconds);
    return 0;
}

/* Opens a stream, takes one message, cancels, and calls on the same connection; @first times. */
static int run_cancel(void)
{
    const uint32_t request[2] = {10000, 65536};
    for (unsigned long i = 0; i < first; i++) {
        const uint8_t *message;
        size_t size;
        int r = grpc_client_stream_open(client, "/t.Test/Stream", request, sizeof(request), deadline_ns, &result);
        if (r == 0)
            r = grpc_client_stream_next(client, &message, &size, &result);
        if (r < 0)
            return report(r);
        grpc_client_stream_cancel(client);
    }
    first = 1;
    second = 1 << 20;
    return run_echo();
}

/* status @first with a text. */
static int run_fail(void)
{
    static const char text[] = "\x01nö 100%\nend";
    char request[sizeof(text)];
    memcpy(request, text, sizeof(text));
    request[0] = (char)first;
    uint8_t *message;
    size_t size;
    return report(
            grpc_client_call(client, "/t.Test/Fail", request, sizeof(text) - 1, deadline_ns, &message, &size, &result));
}

static int run_hold(void)
{
    uint8_t *message;
    size_t size;
    return report(grpc_client_call(client, "/t.Test/Hold", NULL, 0, deadline_ns, &message, &size, &result));
}

static const struct {
    const char *name;
    int (*run)(void);
} verbs[] = {
        {"echo", run_echo}, {"stream", run_stream}, {"cancel", run_cancel}, {"fail", run_fail}, {"hold", run_hold}};

static char *read_text(const char *path)
{
    char *text = NULL;
    size_t size;
    if (fd_read_file_at(AT_FDCWD, path, 1 << 16, &text, &size) < 0)
        exit(2);
    return text;
}

int main(int count, char **arguments)
{
    if (count < 7)
        return 2;
    _cleanup_free_ char *cert = read_text(arguments[2]);
    _cleanup_free_ char *key = read_text(arguments[3]);
    _cleanup_free_ char *ca = read_text(arguments[4]);
    const struct grpc_client_options options = {.address = arguments[1],
            .server_name = "joblet",
            .cert_pem = cert,
            .key_pem = key,
            .ca_pem = ca,
            .interrupt_fd = -EBADF};
    deadline_ns = strtoull(arguments[5], NULL, 10) * 1000000;
    first = count > 7 ? strtoul(arguments[7], NULL, 10) : 1;
    second = count > 8 ? strtoul(arguments[8], NULL, 10) : 0;
    struct error error = {0};
    if (grpc_client_new(&options, &client, &error) < 0) {
        printf("%s\n", error.text);
        return 1;
    }
    int r = 2;
    for (size_t i = 0; i < ELEMENTS(verbs); i++)
        if (strcmp(arguments[6], verbs[i].name) == 0)
            r = verbs[i].run();
    grpc_client_free(client);
    return r;
}
