#include "verify/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

extern char **environ;

static _Noreturn void become(const char *const words[], int output)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (null >= 0 && dup2(null, 0) >= 0 && dup2(output, 1) >= 0 && dup2(output, 2) >= 0)
        (void)execve(words[0], (char *const *)(uintptr_t)words, environ);
    _exit(127);
}

int client_start(const char *const words[], struct client *ret_client, struct error *error)
{
    int ends[2];
    *ret_client = (struct client){.output_fd = -EBADF};
    ret_client->output = calloc(1, CLIENT_OUTPUT_MAX + 1);
    if (!ret_client->output)
        return error_errno(error, ENOMEM, "start '%s'", words[0]);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(error, errno, "make a pipe");
    _cleanup_close_ int output = ends[1];
    ret_client->output_fd = ends[0];
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(error, errno, "start '%s'", words[0]);
    if (pid == 0)
        become(words, output);
    ret_client->pid = pid;
    return 0;
}

static int left_ms(int64_t deadline_ns)
{
    int64_t left = (deadline_ns - text_now_monotonic_ns()) / 1000000;
    return left < 0 ? 0 : left > 600000 ? 600000 : (int)left;
}

/* Reads what is there. 1: something or nothing yet; 0: the end. */
static int read_some(struct client *client)
{
    char rest[4096];
    size_t room = CLIENT_OUTPUT_MAX - client->size;
    ssize_t got =
            read(client->output_fd, room > 0 ? client->output + client->size : rest, room > 0 ? room : sizeof(rest));
    if (got < 0)
        return errno == EINTR;
    if (room > 0)
        client->size += (size_t)got;
    else
        client->cut = client->cut || got > 0;
    client->output[client->size] = '\0';
    return got > 0;
}

static bool has_line(const struct client *client, const char *line)
{
    size_t length = strlen(line);
    const char *end = client->output + client->size;
    for (const char *at = client->output; (at = memmem(at, (size_t)(end - at), line, length)) != NULL; at++)
        if ((at == client->output || at[-1] == '\n') && at + length < end && at[length] == '\n')
            return true;
    return false;
}

bool client_read_until(struct client *client, const char *line, int64_t deadline_ns)
{
    for (;;) {
        struct pollfd poll_fd = {.fd = client->output_fd, .events = POLLIN};
        if (line && has_line(client, line))
            return true;
        int left = left_ms(deadline_ns);
        int r = client->output_fd < 0 ? -1 : poll(&poll_fd, 1, left);
        if (r < 0 && client->output_fd >= 0 && errno == EINTR)
            continue;
        /* Whoever writes without end is not read without end. */
        if (r <= 0 || left == 0)
            return false;
        if (read_some(client) == 0) {
            client->output_fd = fd_close(client->output_fd);
            return !line || has_line(client, line);
        }
    }
}

int client_end(struct client *client, int64_t deadline_ns)
{
    int status = 0;
    if (client->pid == 0)
        return CLIENT_ENDED;
    (void)client_read_until(client, NULL, deadline_ns);
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, client->pid, 0);
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
    while (pidfd >= 0 && poll(&poll_fd, 1, left_ms(deadline_ns)) < 0 && errno == EINTR)
        continue;
    if (!(poll_fd.revents & POLLIN))
        (void)kill(client->pid, SIGKILL);
    while (waitpid(client->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    client->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : CLIENT_ENDED;
}

const char *client_why(const struct client *client, int status, const struct error *error)
{
    if (status < CLIENT_ENDED || !client->output)
        return error->text;
    return status == CLIENT_ENDED ? "no answer within the time" : client->output;
}

void client_done(struct client *client)
{
    if (client->pid > 0)
        (void)client_end(client, 0);
    client->output_fd = fd_close(client->output_fd);
    free(client->output);
    client->output = NULL;
}

int client_run(const char *const words[], int64_t deadline_ns, struct client *ret_client, struct error *error)
{
    int r = client_start(words, ret_client, error);
    return r < 0 ? r - 1 : client_end(ret_client, deadline_ns);
}
