/* Stands in for joblet-api: started by joblet with the descriptors of config/settings.h, plays the scenario named in
 * state/db/scenario over the privileged channel, and writes what it saw to state/db/result. Some scenarios break the
 * rules, and are killed for it; the next start then finds state/db/broken and writes "ended by joblet". */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "channel/message.h"
#include "config/settings.h"
#include "plan/spec.h"

static uint32_t sequence;
static char result[8192];
static size_t result_used;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(result + result_used, sizeof(result) - result_used, format, arguments);
    va_end(arguments);
    if (size > 0 && result_used + (size_t)size < sizeof(result))
        result_used += (size_t)size;
}

/* The result is there as a whole or not at all. Then waits for joblet to go. */
__attribute__((noreturn)) static void finish(void)
{
    struct channel_received message;
    (void)fd_replace_file_at(SETTINGS_FD_DATABASE, "result", result, result_used, 0644);
    for (;;) {
        struct pollfd entry = {.fd = SETTINGS_FD_CHANNEL, .events = POLLIN};
        (void)poll(&entry, 1, -1);
        int r = channel_receive(SETTINGS_FD_CHANNEL, &message);
        if (r == -ENODATA || (r == 0 && message.header.operation == CHANNEL_EVENT_SHUTDOWN))
            exit(0);
        channel_received_done(&message);
    }
}

static void receive(struct channel_received *message)
{
    struct pollfd entry = {.fd = SETTINGS_FD_CHANNEL, .events = POLLIN};
    (void)poll(&entry, 1, -1);
    int r = channel_receive(SETTINGS_FD_CHANNEL, message);
    if (r == 0)
        return;
    if (r == -ENODATA)
        exit(0);
    say("receive: %s\n", strerror(-r));
    finish();
}

static void send_request(void *message, uint16_t operation, size_t size, int fd)
{
    struct channel_header header = {.operation = operation, .size = (uint16_t)size, .sequence = ++sequence};
    memcpy(message, &header, sizeof(header));
    int r = channel_send(SETTINGS_FD_CHANNEL, message, &fd, fd >= 0 ? 1 : 0);
    if (r < 0)
        say("send: %s\n", strerror(-r));
}

/* Receives until the reply to the last request is there; ends of jobs on the way are told. */
static void receive_reply(struct channel_received *message)
{
    do
        receive(message);
    while (message->header.sequence != sequence);
}

static void hello(void)
{
    struct channel_received reply;
    struct channel_hello message = {.version = CHANNEL_VERSION};
    send_request(&message, CHANNEL_HELLO, sizeof(message), -EBADF);
    receive_reply(&reply);
}

/* Reads the list to its end, and tells each job of it. */
static void list(void)
{
    struct channel_list_jobs message = {.cursor = 0};
    for (;;) {
        struct channel_received reply;
        struct channel_job_reply job;
        send_request(&message, CHANNEL_LIST_JOBS, sizeof(message), -EBADF);
        receive_reply(&reply);
        memcpy(&job, reply.bytes, sizeof(job));
        if (job.next == 0)
            return;
        say("listed phase=%u\n", job.phase);
        message.cursor = job.next;
    }
}

static int make_spec(const char *command)
{
    char shell[] = "/bin/sh";
    char option[] = "-c";
    char text[1024];
    char path[] = "PATH=/usr/bin:/bin";
    (void)snprintf(text, sizeof(text), "%s", command);
    char *const arguments[] = {shell, option, text, NULL};
    char *const environment[] = {path, NULL};
    int fd = -EBADF;
    struct error error = {0};
    if (spec_encode("/work", arguments, environment, &fd, &error) < 0)
        say("spec: %s\n", error.text);
    return fd;
}

static void start(const char *command, const struct channel_limits *limits, struct channel_job_start *ret_start,
        struct channel_start_reply *ret_reply)
{
    struct channel_received reply;
    struct channel_job_start message = {.limits = limits ? *limits : (struct channel_limits){0}};
    int spec = make_spec(command);
    (void)text_new_uuid(message.job_id);
    send_request(&message, CHANNEL_JOB_START, sizeof(message), spec);
    (void)fd_close(spec);
    receive_reply(&reply);
    *ret_start = message;
    memcpy(ret_reply, reply.bytes, sizeof(*ret_reply));
}

static void receive_end(struct channel_job_ended *ret_ended)
{
    struct channel_received message;
    do
        receive(&message);
    while (message.header.operation != CHANNEL_EVENT_JOB_ENDED);
    memcpy(ret_ended, message.bytes, sizeof(*ret_ended));
}

static int32_t job_id_request(uint16_t operation, const uint8_t id[16])
{
    struct channel_received reply;
    struct channel_reply answer;
    struct channel_job_id message = {0};
    memcpy(message.job_id, id, sizeof(message.job_id));
    send_request(&message, operation, sizeof(message), -EBADF);
    receive_reply(&reply);
    memcpy(&answer, reply.bytes, sizeof(answer));
    return answer.error.code;
}

static int compare(const void *one, const void *other)
{
    const int64_t difference = *(const int64_t *)one - *(const int64_t *)other;
    return difference < 0 ? -1 : difference > 0;
}

static void say_figures(const char *name, int64_t values[], unsigned count)
{
    qsort(values, count, sizeof(values[0]), compare);
    say("%s: median %lld us, p99 %lld us, least %lld us\n", name, (long long)values[count / 2] / 1000,
            (long long)values[count * 99 / 100] / 1000, (long long)values[0] / 1000);
}

/* --- scenarios --- */

static void play_bench(void)
{
    enum { JOBS = 500 };
    static int64_t started[JOBS];
    static int64_t ended[JOBS];
    for (unsigned i = 0; i < JOBS; i++) {
        struct channel_job_start job;
        struct channel_start_reply reply;
        struct channel_job_ended end;
        int64_t from = text_now_monotonic_ns();
        start("true", NULL, &job, &reply);
        if (reply.error.code) {
            say("start: %s\n", reply.error.text);
            return;
        }
        started[i] = text_now_monotonic_ns() - from;
        receive_end(&end);
        ended[i] = text_now_monotonic_ns() - from;
        if (job_id_request(CHANNEL_JOB_RELEASE, job.job_id) || job_id_request(CHANNEL_JOB_REMOVE, job.job_id))
            say("release or remove failed\n");
    }
    say_figures("request to started", started, JOBS);
    say_figures("request to ended", ended, JOBS);
}

static void play_job(void)
{
    struct channel_job_start job;
    struct channel_start_reply reply;
    struct channel_job_ended end;
    start("echo out; echo err >&2; exit 5", NULL, &job, &reply);
    say("start code=%d processes=%u\n", reply.error.code, reply.limits.processes);
    receive_end(&end);
    say("end reason=%u exit=%d log=%llu\n", end.record.reason, end.record.exit_code,
            (unsigned long long)end.record.log_bytes);
    say("remove before release=%d\n", job_id_request(CHANNEL_JOB_REMOVE, job.job_id));
    say("release=%d\n", job_id_request(CHANNEL_JOB_RELEASE, job.job_id));
    say("remove=%d\n", job_id_request(CHANNEL_JOB_REMOVE, job.job_id));
    say("remove again=%d\n", job_id_request(CHANNEL_JOB_REMOVE, job.job_id));
}

/* A started command is only executed: what it does first takes it a moment. */
static void wait_for_output(const uint8_t id[16], off_t size)
{
    char path[TEXT_UUID_MAX + 8];
    char uuid[TEXT_UUID_MAX];
    struct stat status = {0};
    text_format_uuid(id, uuid);
    (void)snprintf(path, sizeof(path), "%s/log", uuid);
    for (unsigned i = 0; i < 1000 && status.st_size < size; i++) {
        (void)poll(NULL, 0, 5);
        if (fstatat(SETTINGS_FD_JOBS, path, &status, 0) < 0)
            say("log: %s\n", strerror(errno));
    }
}

/* Leaves a job running. */
static void play_leave(void)
{
    struct channel_job_start job;
    struct channel_start_reply reply;
    list();
    start("echo first; echo second >&2; sleep 600", NULL, &job, &reply);
    if (reply.error.code == 0)
        wait_for_output(job.job_id, (off_t)strlen("first\nsecond\n"));
    char uuid[TEXT_UUID_MAX];
    text_format_uuid(job.job_id, uuid);
    say("start code=%d job=%s\n", reply.error.code, uuid);
}

/* Finds what "leave" left, waits for the end of each, releases it. */
static void play_collect(void)
{
    list();
    (void)fd_replace_file_at(SETTINGS_FD_DATABASE, "listed", "", 0, 0644);
    if (result_used == 0)
        return;
    struct channel_job_ended end;
    receive_end(&end);
    say("end reason=%u exit=%d signal=%d log=%llu text='%s'\n", end.record.reason, end.record.exit_code,
            end.record.signal, (unsigned long long)end.record.log_bytes, end.record.error.text);
    say("release=%d\n", job_id_request(CHANNEL_JOB_RELEASE, end.record.job_id));
    list();
}

static bool is_view_of(const struct channel_kernel_view *view, uint32_t before_start)
{
    return view->before_start == before_start && view->init.pid != 0 && view->init.inner_pid == 1 &&
           view->command.pid != 0 && view->command.seccomp == 2 && view->limits.processes == 17;
}

/* Asks joblet to look at a job. Its error's code, or 0. */
static int32_t look(const uint8_t id[16], struct channel_kernel_view *ret_view)
{
    struct channel_received received;
    struct channel_look_reply reply;
    struct channel_job_id message = {0};
    memcpy(message.job_id, id, sizeof(message.job_id));
    send_request(&message, CHANNEL_JOB_LOOK, sizeof(message), -EBADF);
    receive_reply(&received);
    memcpy(&reply, received.bytes, sizeof(reply));
    *ret_view = reply.view;
    return reply.error.code;
}

/* The view comes before the answer to the start; a look is answered while the job runs, and more of them than joblet
 * answers at a time are refused one by one. */
static void play_look(void)
{
    enum { LOOKS = 3000 };
    static const uint8_t nobody[16] = {1};
    struct channel_job_start job = {.limits = {.processes = 17}};
    struct channel_received received;
    struct channel_kernel_view view;
    struct channel_job_ended end;
    int spec = make_spec("sleep 600");
    (void)text_new_uuid(job.job_id);
    send_request(&job, CHANNEL_JOB_START, sizeof(job), spec);
    (void)fd_close(spec);
    receive(&received);
    struct channel_job_view event;
    memcpy(&event, received.bytes, sizeof(event));
    say("event: %d\n", received.header.operation == CHANNEL_EVENT_JOB_VIEW && received.header.sequence == 0 &&
                               memcmp(event.job_id, job.job_id, sizeof(job.job_id)) == 0 && is_view_of(&event.view, 1));
    receive_reply(&received);
    say("look: %d", look(job.job_id, &view));
    say(" %d\n", is_view_of(&view, 0) && view.command.pid == event.view.command.pid);
    say("look at nobody: %d\n", look(nobody, &view));
    unsigned busy = 0;
    unsigned other = 0;
    for (unsigned i = 0; i < LOOKS; i++) {
        int32_t code = look(job.job_id, &view);
        busy += code == EAGAIN && view.init.pid == 0;
        other += code != 0 && code != EAGAIN;
    }
    say("looks refused: %d other: %u\n", busy > LOOKS / 2, other);
    struct channel_job_signal kill_message = {.signal = CHANNEL_SIGNAL_KILL};
    memcpy(kill_message.job_id, job.job_id, sizeof(job.job_id));
    send_request(&kill_message, CHANNEL_JOB_SIGNAL, sizeof(kill_message), -EBADF);
    receive_end(&end);
    (void)poll(NULL, 0, 20); /* joblet has tokens again */
    say("look at the end: %d\n", look(job.job_id, &view));
    say("release=%d\n", job_id_request(CHANNEL_JOB_RELEASE, job.job_id));
}

static void play_stop(void)
{
    struct channel_job_start job;
    struct channel_start_reply reply;
    struct channel_received received;
    struct channel_reply answer;
    struct channel_job_ended end;
    start("trap '' TERM; echo ready; sleep 600 & sleep 600 & while :; do sleep 600; done", NULL, &job, &reply);
    wait_for_output(job.job_id, (off_t)strlen("ready\n"));
    for (uint32_t signal = 0; signal <= 3; signal++) {
        struct channel_job_signal message = {.signal = signal == 3 ? CHANNEL_SIGNAL_KILL : signal == 2 ? 9 : signal};
        memcpy(message.job_id, job.job_id, sizeof(message.job_id));
        send_request(&message, CHANNEL_JOB_SIGNAL, sizeof(message), -EBADF);
        receive_reply(&received);
        memcpy(&answer, received.bytes, sizeof(answer));
        say("signal %u: %d\n", message.signal, answer.error.code);
    }
    int64_t from = text_now_monotonic_ns();
    receive_end(&end);
    say("end reason=%u in time=%d\n", end.record.reason, text_now_monotonic_ns() - from < 400000000);
    say("release=%d\n", job_id_request(CHANNEL_JOB_RELEASE, job.job_id));
}

static void play_refused(void)
{
    struct channel_job_start job;
    struct channel_start_reply reply;
    struct channel_received received;
    const struct channel_limits limits = {.processes = 100000000};
    const uint8_t nobody[16] = {1};
    start("true", &limits, &job, &reply);
    say("limits: %d %s\n", reply.error.code, reply.error.text);
    /* A request that could change after it was checked. */
    struct channel_job_start message = {0};
    (void)text_new_uuid(message.job_id);
    int loose = memfd_create("loose", MFD_CLOEXEC);
    send_request(&message, CHANNEL_JOB_START, sizeof(message), loose);
    receive_reply(&received);
    memcpy(&reply, received.bytes, sizeof(reply));
    say("unsealed: %d\n", reply.error.code);
    say("release of nobody: %d\n", job_id_request(CHANNEL_JOB_RELEASE, nobody));
    /* Garbage in a sealed file: joblet-init refuses it after the drop. */
    int garbage = fd_new_sealed("spec", "garbage", 7);
    (void)text_new_uuid(message.job_id);
    send_request(&message, CHANNEL_JOB_START, sizeof(message), garbage);
    receive_reply(&received);
    memcpy(&reply, received.bytes, sizeof(reply));
    say("garbage: %d stage=%u\n", reply.error.code != 0, reply.error.stage);
}

/* Many at a time: all are asked for before the first answer is read. */
static void play_many(void)
{
    enum { JOBS = 300 };
    static struct channel_job_start jobs[JOBS];
    unsigned failed = 0;
    unsigned stopped = 0;
    int spec = make_spec("sleep 600");
    int64_t from = text_now_monotonic_ns();
    for (unsigned i = 0; i < JOBS; i++) {
        struct pollfd entry = {.fd = SETTINGS_FD_CHANNEL, .events = POLLOUT};
        (void)text_new_uuid(jobs[i].job_id);
        (void)poll(&entry, 1, -1);
        send_request(&jobs[i], CHANNEL_JOB_START, sizeof(jobs[i]), spec);
    }
    for (unsigned i = 0; i < JOBS; i++) {
        struct channel_received received;
        struct channel_start_reply reply;
        do
            receive(&received);
        while (received.header.operation != CHANNEL_JOB_START);
        memcpy(&reply, received.bytes, sizeof(reply));
        if (reply.error.code && failed++ == 0)
            say("%s\n", reply.error.text);
    }
    int64_t running = text_now_monotonic_ns();
    for (unsigned i = 0; i < JOBS; i++) {
        struct channel_job_signal message = {.signal = CHANNEL_SIGNAL_KILL};
        struct pollfd entry = {.fd = SETTINGS_FD_CHANNEL, .events = POLLOUT};
        memcpy(message.job_id, jobs[i].job_id, sizeof(message.job_id));
        (void)poll(&entry, 1, -1);
        send_request(&message, CHANNEL_JOB_SIGNAL, sizeof(message), -EBADF);
    }
    for (unsigned ends = 0; ends < JOBS - failed;) {
        struct channel_received received;
        struct channel_job_ended end;
        receive(&received);
        if (received.header.operation != CHANNEL_EVENT_JOB_ENDED)
            continue;
        ends++;
        memcpy(&end, received.bytes, sizeof(end));
        stopped += end.record.reason == RECORD_REASON_STOPPED;
    }
    say("failed=%u stopped=%u\n", failed, stopped);
    int64_t ended = text_now_monotonic_ns();
    for (unsigned i = 0; i < JOBS; i++)
        if (job_id_request(CHANNEL_JOB_RELEASE, jobs[i].job_id) || job_id_request(CHANNEL_JOB_REMOVE, jobs[i].job_id))
            say("release or remove failed\n");
    say("running after %lld ms, ended after %lld ms more\n", (long long)(running - from) / 1000000,
            (long long)(ended - running) / 1000000);
}

/* Sends one packet that is against the rules; joblet must end us. */
static void break_rules(uint16_t operation, uint16_t header_size, size_t size, int fd)
{
    uint8_t bytes[1024] = {0};
    const struct channel_header header = {.operation = operation, .size = header_size, .sequence = 1};
    memcpy(bytes, &header, sizeof(header));
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {bytes, size};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        head.msg_control = control.bytes;
        head.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *item = CMSG_FIRSTHDR(&head);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(item), &fd, sizeof(fd));
    }
    (void)fd_replace_file_at(SETTINGS_FD_DATABASE, "broken", "", 0, 0644);
    if (sendmsg(SETTINGS_FD_CHANNEL, &head, 0) < 0)
        say("sendmsg: %s\n", strerror(errno));
    (void)poll(NULL, 0, 60000);
    say("still alive\n");
}

static void play_unknown(void)
{
    break_rules(CHANNEL_OPERATION_COUNT, 16, 16, -EBADF);
}

static void play_event(void)
{
    break_rules(CHANNEL_EVENT_SHUTDOWN, 8, 8, -EBADF);
}

static void play_short(void)
{
    break_rules(
            CHANNEL_JOB_SIGNAL, sizeof(struct channel_job_signal) - 1, sizeof(struct channel_job_signal) - 1, -EBADF);
}

static void play_lying(void)
{
    break_rules(CHANNEL_JOB_SIGNAL, sizeof(struct channel_job_signal), 100, -EBADF);
}

static void play_long(void)
{
    break_rules(CHANNEL_JOB_SIGNAL, 1000, 1000, -EBADF);
}

static void play_nofd(void)
{
    break_rules(CHANNEL_JOB_START, sizeof(struct channel_job_start), sizeof(struct channel_job_start), -EBADF);
}

static void play_fd(void)
{
    break_rules(CHANNEL_JOB_RELEASE, sizeof(struct channel_job_id), sizeof(struct channel_job_id), 0);
}

static void play_again(void)
{
    break_rules(CHANNEL_HELLO, sizeof(struct channel_hello), sizeof(struct channel_hello), -EBADF);
}

/* Asks and never reads the answers. */
static void play_deaf(void)
{
    (void)fd_replace_file_at(SETTINGS_FD_DATABASE, "broken", "", 0, 0644);
    const uint8_t nobody[16] = {1};
    struct channel_job_id message = {0};
    memcpy(message.job_id, nobody, sizeof(nobody));
    for (unsigned i = 0; i < 200000; i++) {
        const struct channel_header header = {
                .operation = CHANNEL_JOB_RELEASE, .size = sizeof(message), .sequence = i + 1};
        memcpy(&message, &header, sizeof(header));
        struct pollfd entry = {.fd = SETTINGS_FD_CHANNEL, .events = POLLOUT};
        (void)poll(&entry, 1, 1000);
        (void)channel_send(SETTINGS_FD_CHANNEL, &message, NULL, 0);
    }
    say("still alive\n");
}

static void play_silent(void)
{
    break_rules(CHANNEL_JOB_RELEASE, sizeof(struct channel_job_id), sizeof(struct channel_job_id), -EBADF);
}

static const struct {
    const char *name;
    bool greets;
    void (*play)(void);
} scenarios[] = {
        {"bench", true, play_bench},
        {"job", true, play_job},
        {"leave", true, play_leave},
        {"collect", true, play_collect},
        {"look", true, play_look},
        {"stop", true, play_stop},
        {"refused", true, play_refused},
        {"many", true, play_many},
        {"unknown", true, play_unknown},
        {"event", true, play_event},
        {"short", true, play_short},
        {"lying", true, play_lying},
        {"long", true, play_long},
        {"nofd", true, play_nofd},
        {"fd", true, play_fd},
        {"again", true, play_again},
        {"deaf", true, play_deaf},
        {"ungreeted", false, play_silent},
};

int main(void)
{
    _cleanup_free_ char *scenario = NULL;
    if (geteuid() == 0 || fd_read_file_at(SETTINGS_FD_DATABASE, "scenario", 64, &scenario, NULL) < 0)
        return 3;
    if (faccessat(SETTINGS_FD_DATABASE, "broken", F_OK, 0) == 0) {
        hello();
        list();
        say("ended by joblet, started again\n");
        finish();
    }
    for (size_t i = 0; i < ELEMENTS(scenarios); i++) {
        if (strcmp(scenario, scenarios[i].name) != 0)
            continue;
        if (scenarios[i].greets)
            hello();
        if (strcmp(scenario, "collect") != 0 && strcmp(scenario, "leave") != 0 && scenarios[i].greets)
            list();
        scenarios[i].play();
        finish();
    }
    say("no scenario '%s'\n", scenario);
    finish();
}
