/* A joblet-api that was taken over: started by joblet, says over the privileged channel what it should not. The file
 * state/db/scenario names what to play:
 *
 *     closing FIRST COUNT   so many cases of the table below, each of which joblet must answer by ending us; one a life
 *     operands              every operand out of range, every kind of descriptor; each must be refused, and is counted
 *     mutations SEED COUNT  so many mutated messages; what joblet says to each is checked
 *
 * What has to outlive us is in state/db/progress, what was seen in state/db/result. A complaint begins with "WRONG". */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "channel/message.h"
#include "config/settings.h"
#include "hostile_api.h"
#include "plan/spec.h"

/* The longest that joblet may be silent while something is asked of it. */
#define SILENCE_MAX_NS (3 * SECOND_NS)
#define LINGER_SECONDS 15

static uint32_t sequence;
static char result[16384];
static size_t result_used;
static struct channel_job_ended ends[64]; /* the last ones */
static unsigned ends_seen;
static int64_t longest_silence_ns;
static bool only_starts; /* what we wait for may take its time */
static char shell[] = "/bin/sh";
static char option[] = "-c";
static char path[] = "PATH=/usr/bin:/bin";

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(result + result_used, sizeof(result) - result_used, format, arguments);
    va_end(arguments);
    if (size > 0 && result_used + (size_t)size < sizeof(result))
        result_used += (size_t)size;
}

static void expect(bool right, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void expect(bool right, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (right)
        return;
    say("WRONG: %s\n", text);
    /* We may not live to tell the result. */
    _cleanup_close_ int fd = openat(SETTINGS_FD_DATABASE, "wrong", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    (void)!write(fd, text, strlen(text));
    (void)!write(fd, "\n", 1);
}

static void save(const char *name, const char *text, size_t size)
{
    (void)fd_replace_file_at(SETTINGS_FD_DATABASE, name, text, size, 0644);
}

/* Then waits for joblet to go. */
__attribute__((noreturn)) static void finish(void)
{
    struct channel_received message;
    save("result", result, result_used);
    for (;;) {
        struct pollfd entry = {.fd = SETTINGS_FD_CHANNEL, .events = POLLIN};
        (void)poll(&entry, 1, -1);
        int r = channel_receive(SETTINGS_FD_CHANNEL, &message);
        if (r == -ENODATA || (r == 0 && message.header.operation == CHANNEL_EVENT_SHUTDOWN))
            exit(0);
        channel_received_done(&message);
    }
}

/* --- talking --- */

static bool wait_until(short events, int64_t ns)
{
    struct pollfd entry = {.fd = SETTINGS_FD_CHANNEL, .events = events};
    return poll(&entry, 1, (int)(ns / 1000000)) == 1;
}

/* One packet as it is, with as many copies of @fd as asked for. */
static void send_raw(const void *bytes, size_t size, int fd, unsigned fd_count)
{
    union {
        char bytes[CMSG_SPACE(253 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {.iov_len = size};
    memcpy(&part.iov_base, &bytes, sizeof(bytes));
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > 0) {
        head.msg_control = control.bytes;
        head.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *item = CMSG_FIRSTHDR(&head);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        for (unsigned i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(item) + i * sizeof(fd), &fd, sizeof(fd));
    }
    while (sendmsg(SETTINGS_FD_CHANNEL, &head, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        if (errno != EAGAIN && errno != ETOOMANYREFS)
            return;
        (void)wait_until(POLLOUT, SECOND_NS);
    }
}

static void send_message(void *message, uint16_t operation, size_t size, int fd)
{
    const struct channel_header header = {.operation = operation, .size = (uint16_t)size, .sequence = ++sequence};
    memcpy(message, &header, sizeof(header));
    send_raw(message, size, fd, fd >= 0);
}

/* The next message; a silence of joblet's is measured. False when it says nothing at all. */
static bool receive(struct channel_received *message)
{
    int64_t from = text_now_monotonic_ns();
    if (!wait_until(POLLIN, 10 * SECOND_NS))
        return false;
    int64_t silence_ns = text_now_monotonic_ns() - from;
    if (silence_ns > longest_silence_ns && !only_starts)
        longest_silence_ns = silence_ns;
    int r = channel_receive(SETTINGS_FD_CHANNEL, message);
    if (r == -ENODATA)
        exit(0);
    if (r == 0 && message->header.operation == CHANNEL_EVENT_JOB_ENDED)
        memcpy(&ends[ends_seen++ % ELEMENTS(ends)], message->bytes, sizeof(ends[0]));
    return r == 0;
}

static bool receive_reply(struct channel_received *message)
{
    do
        if (!receive(message)) {
            say("WRONG: no answer to request %u\n", sequence);
            finish();
        }
    while (message->header.sequence != sequence);
    return true;
}

static void hello(void)
{
    struct channel_received reply;
    struct channel_hello message = {.version = CHANNEL_VERSION};
    send_message(&message, CHANNEL_HELLO, sizeof(message), -EBADF);
    (void)receive_reply(&reply);
}

/* The number of jobs that joblet lists, and up to @max of their ids. */
static unsigned list_ids(uint8_t ids[][16], unsigned max)
{
    struct channel_list_jobs message = {0};
    for (unsigned count = 0;; count++) {
        struct channel_received reply;
        struct channel_job_reply job;
        send_message(&message, CHANNEL_LIST_JOBS, sizeof(message), -EBADF);
        (void)receive_reply(&reply);
        memcpy(&job, reply.bytes, sizeof(job));
        if (job.next == 0)
            return count;
        if (count < max)
            memcpy(ids[count], job.job_id, 16);
        message.cursor = job.next;
    }
}

static unsigned list(void)
{
    return list_ids(NULL, 0);
}

static int make_spec(const char *command)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "%s", command);
    char *const arguments[] = {shell, option, text, NULL};
    char *const environment[] = {path, NULL};
    int fd = -EBADF;
    struct error error = {0};
    if (spec_encode("/work", arguments, environment, &fd, &error) < 0)
        say("WRONG: spec: %s\n", error.text);
    return fd;
}

static int32_t start(struct channel_job_start *message, int spec)
{
    struct channel_received reply;
    struct channel_start_reply answer;
    send_message(message, CHANNEL_JOB_START, sizeof(*message), spec);
    (void)receive_reply(&reply);
    memcpy(&answer, reply.bytes, sizeof(answer));
    return answer.error.code;
}

/* Any request whose reply is a start's: its error is where no other reply has it. */
static bool is_start(uint16_t operation)
{
    return operation == CHANNEL_JOB_START || operation == CHANNEL_BUILD_START || operation == CHANNEL_TOOL_START;
}

int32_t hostile_ask(void *message, uint16_t operation, size_t size, int fd)
{
    struct channel_received reply;
    struct error error;
    send_message(message, operation, size, fd);
    (void)receive_reply(&reply);
    memcpy(&error,
            reply.bytes + (is_start(operation) ? offsetof(struct channel_start_reply, error)
                                               : offsetof(struct channel_reply, error)),
            sizeof(error));
    return error.code;
}

static int32_t ask_for_id(uint16_t operation, const uint8_t id[16])
{
    struct channel_received reply;
    struct channel_reply answer;
    struct channel_job_id message = {0};
    memcpy(message.job_id, id, sizeof(message.job_id));
    send_message(&message, operation, sizeof(message), -EBADF);
    (void)receive_reply(&reply);
    memcpy(&answer, reply.bytes, sizeof(answer));
    return answer.error.code;
}

static int32_t send_signal(const uint8_t id[16], uint32_t signal, uint32_t reserved)
{
    struct channel_received reply;
    struct channel_reply answer;
    struct channel_job_signal message = {.signal = signal, .reserved = reserved};
    memcpy(message.job_id, id, sizeof(message.job_id));
    send_message(&message, CHANNEL_JOB_SIGNAL, sizeof(message), -EBADF);
    (void)receive_reply(&reply);
    memcpy(&answer, reply.bytes, sizeof(answer));
    return answer.error.code;
}

static const struct channel_job_ended *find_end(const uint8_t id[16])
{
    for (unsigned i = 0; i < ELEMENTS(ends); i++)
        if (memcmp(ends[i].record.job_id, id, 16) == 0)
            return &ends[i];
    return NULL;
}

static void receive_end(const uint8_t id[16], struct channel_job_ended *ret_ended)
{
    const struct channel_job_ended *found;
    while (!(found = find_end(id))) {
        struct channel_received message;
        if (receive(&message))
            continue;
        expect(false, "job %02x%02x does not end", id[0], id[1]);
        finish();
    }
    *ret_ended = *found;
}

static bool has_files(const uint8_t id[16], const char *name)
{
    char uuid[TEXT_UUID_MAX];
    char where[TEXT_UUID_MAX + 16];
    text_format_uuid(id, uuid);
    (void)snprintf(where, sizeof(where), "%s/%s", uuid, name);
    return faccessat(SETTINGS_FD_JOBS, where, F_OK, 0) == 0;
}

static void wait_for_output(const uint8_t id[16], off_t size)
{
    char uuid[TEXT_UUID_MAX];
    char where[TEXT_UUID_MAX + 16];
    struct stat status = {0};
    text_format_uuid(id, uuid);
    (void)snprintf(where, sizeof(where), "%s/log", uuid);
    for (unsigned i = 0; i < 2000 && status.st_size < size; i++) {
        (void)poll(NULL, 0, 5);
        (void)fstatat(SETTINGS_FD_JOBS, where, &status, 0);
    }
}

/* --- descriptors of all kinds --- */

/* A connection whose close would take as long as LINGER_SECONDS: the other end, in a process of its own, does not read.
 */
static int make_lingering(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    const struct linger linger = {.l_onoff = 1, .l_linger = LINGER_SECONDS};
    static char bytes[65536];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 1) < 0 ||
            getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        return -errno;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    if (fork() == 0) {
        (void)close(fd);
        int peer = accept(listener, NULL, NULL);
        (void)syscall(SYS_close_range, 0, peer - 1, 0);
        (void)alarm(LINGER_SECONDS + 5);
        for (;;)
            (void)pause();
    }
    (void)fd_close(listener);
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    return fd;
}

static int make_memfd(off_t size, unsigned seals)
{
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ftruncate(fd, size) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
        expect(false, "memfd: %s", strerror(errno));
    return fd;
}

#define ALL_SEALS ((unsigned)(F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))

static int make_pipe(void)
{
    int sides[2];
    int r = pipe2(sides, O_CLOEXEC);
    if (r == 0)
        (void)fd_close(sides[1]);
    return r < 0 ? -errno : sides[0];
}

static int make_epoll(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    (void)epoll_ctl(fd, EPOLL_CTL_ADD, SETTINGS_FD_CHANNEL, &event);
    return fd;
}

/* A socket with a socket in its queue. */
static int make_nested(void)
{
    int sides[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sides) < 0)
        return -errno;
    const struct channel_header header = {.operation = 1, .size = sizeof(header)};
    (void)channel_send(sides[0], &header, &sides[1], 1);
    (void)fd_close(sides[0]);
    return sides[1];
}

enum kind {
    KIND_UNSEALED,
    KIND_SEAL_WRITE,
    KIND_SEAL_GROW,
    KIND_SEAL_SHRINK,
    KIND_SEAL_SEAL,
    KIND_TOO_LARGE,
    KIND_SPARSE,
    KIND_EMPTY,
    KIND_ZEROS,
    KIND_GARBAGE,
    KIND_DIRECTORY,
    KIND_JOBS,
    KIND_FILE,
    KIND_PATH,
    KIND_NULL,
    KIND_PROC,
    KIND_PIPE,
    KIND_EVENTFD,
    KIND_TIMER,
    KIND_EPOLL,
    KIND_PIDFD,
    KIND_CHANNEL,
    KIND_LISTENER,
    KIND_NESTED,
    KIND_COUNT,
    KIND_LINGERING, /* dear to make */
};

static int make_kind(enum kind kind)
{
    switch (kind) {
    case KIND_UNSEALED:
        return make_memfd(100, 0);
    case KIND_SEAL_WRITE:
        return make_memfd(100, ALL_SEALS & ~(unsigned)F_SEAL_WRITE);
    case KIND_SEAL_GROW:
        return make_memfd(100, ALL_SEALS & ~(unsigned)F_SEAL_GROW);
    case KIND_SEAL_SHRINK:
        return make_memfd(100, ALL_SEALS & ~(unsigned)F_SEAL_SHRINK);
    case KIND_SEAL_SEAL:
        return make_memfd(100, ALL_SEALS & ~(unsigned)F_SEAL_SEAL);
    case KIND_TOO_LARGE:
        return make_memfd((off_t)SPEC_SIZE_MAX + 1, ALL_SEALS);
    case KIND_SPARSE:
        return make_memfd((off_t)1 << 40, ALL_SEALS);
    case KIND_EMPTY:
        return make_memfd(0, ALL_SEALS);
    case KIND_ZEROS:
        return make_memfd((off_t)SPEC_SIZE_MAX, ALL_SEALS);
    case KIND_GARBAGE:
        return fd_new_sealed("spec", "garbage that is no spec at all", 30);
    case KIND_DIRECTORY:
        return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    case KIND_JOBS:
        return dup(SETTINGS_FD_JOBS);
    case KIND_FILE:
        return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    case KIND_PATH:
        return open("/etc/shadow", O_PATH | O_CLOEXEC);
    case KIND_NULL:
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    case KIND_PROC:
        return open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    case KIND_PIPE:
        return make_pipe();
    case KIND_EVENTFD:
        return eventfd(0, EFD_CLOEXEC);
    case KIND_TIMER:
        return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    case KIND_EPOLL:
        return make_epoll();
    case KIND_PIDFD:
        return (int)syscall(SYS_pidfd_open, getpid(), 0);
    case KIND_CHANNEL:
        return dup(SETTINGS_FD_CHANNEL);
    case KIND_LISTENER:
        return dup(SETTINGS_FD_LISTEN);
    case KIND_NESTED:
        return make_nested();
    case KIND_LINGERING:
        return make_lingering();
    case KIND_COUNT:
        break;
    }
    return -EINVAL;
}

/* --- what ends us --- */

struct closing {
    uint16_t operation;
    uint16_t said; /* header.size */
    size_t size;
    unsigned fd_count;
    bool greets;
    void (*play)(void); /* instead of one packet */
};

static void play_version(void)
{
    const struct channel_hello hellos[] = {{.version = 0}, {.version = CHANNEL_VERSION + 1}, {.version = UINT32_MAX},
            {.version = CHANNEL_VERSION, .reserved = 1}};
    struct channel_received reply;
    struct channel_hello_reply answer;
    struct channel_hello message = hellos[(unsigned)getpid() % ELEMENTS(hellos)];
    send_message(&message, CHANNEL_HELLO, sizeof(message), -EBADF);
    (void)receive_reply(&reply);
    memcpy(&answer, reply.bytes, sizeof(answer));
    expect(answer.error.code != 0, "a wrong version is greeted");
    struct channel_list_jobs next = {0};
    send_message(&next, CHANNEL_LIST_JOBS, sizeof(next), -EBADF);
}

/* More than the bucket of an operation holds, where there is no answer for "too many". */
static void play_lists(void)
{
    struct channel_received reply;
    struct channel_list_jobs message = {.cursor = UINT32_MAX};
    for (unsigned i = 0; i < 200000; i++) {
        send_message(&message, CHANNEL_LIST_JOBS, sizeof(message), -EBADF);
        while (wait_until(POLLIN, 0) && receive(&reply))
            ;
    }
}

/* Asks and never reads. */
static void play_deaf(uint16_t operation, enum kind kind)
{
    union {
        struct channel_job_start start;
        struct channel_job_signal signal;
        struct channel_job_id id;
        uint8_t bytes[CHANNEL_MESSAGE_MAX];
    } message = {0};
    int fd = channel_request_fds(operation) ? make_kind(kind) : -EBADF;
    for (unsigned i = 0; i < 200000 && !wait_until(POLLHUP, 0); i++) {
        (void)text_new_uuid(message.start.job_id);
        const struct channel_header header = {
                .operation = operation, .size = channel_request_size(operation), .sequence = i + 1};
        memcpy(&message, &header, sizeof(header));
        send_raw(&message, header.size, fd, fd >= 0);
    }
}

static void play_deaf_start(void)
{
    play_deaf(CHANNEL_JOB_START, KIND_UNSEALED);
}

static void play_deaf_signal(void)
{
    play_deaf(CHANNEL_JOB_SIGNAL, KIND_COUNT);
}

static void play_deaf_remove(void)
{
    play_deaf(CHANNEL_JOB_REMOVE, KIND_COUNT);
}

/* Descriptors that joblet has not taken yet when it closes the channel: it is busy with starting jobs when they come.
 */
static void play_lingering_behind(void)
{
    int spec = make_spec("true");
    struct channel_job_start message = {0};
    const struct channel_header broken = {.operation = UINT16_MAX, .size = sizeof(broken)};
    int fds[8];
    for (unsigned i = 0; i < ELEMENTS(fds); i++)
        fds[i] = make_lingering();
    for (unsigned i = 0; i < 40; i++) {
        (void)text_new_uuid(message.job_id);
        send_message(&message, CHANNEL_JOB_START, sizeof(message), spec);
    }
    send_raw(&broken, sizeof(broken), -EBADF, 0);
    for (unsigned i = 0; i < ELEMENTS(fds); i++) {
        send_raw(&broken, 0, -EBADF, 0);
        send_raw(&broken, 0, -EBADF, 0);
        send_message(&message, CHANNEL_JOB_START, sizeof(message), fds[i]);
        (void)fd_close(fds[i]);
    }
}

static void play_lingering_before(void)
{
    struct channel_job_start message = {0};
    int fd = make_lingering();
    send_raw(&message, sizeof(message), fd, 8);
    (void)fd_close(fd);
}

static void play_closed(void)
{
    (void)shutdown(SETTINGS_FD_CHANNEL, SHUT_RDWR);
}

static void play_end(void)
{
    _exit(7);
}

static void play_crash(void)
{
    (void)kill(getpid(), SIGSEGV);
}

static const uint16_t unknown_operations[] = {0, CHANNEL_OPERATION_COUNT, CHANNEL_OPERATION_COUNT + 1,
        CHANNEL_EVENT_JOB_ENDED - 1, CHANNEL_EVENT_JOB_ENDED, CHANNEL_EVENT_SHUTDOWN, CHANNEL_EVENT_SHUTDOWN + 1, 255,
        256, 0x0101, 0x7fff, 0x8001, UINT16_MAX};
static void (*const plays[])(void) = {play_version, play_version, play_version, play_version, play_lists,
        play_deaf_start, play_deaf_signal, play_deaf_remove, play_lingering_before, play_lingering_behind, play_closed,
        play_end, play_crash};

static struct closing cases[512];
static unsigned case_count;

static void add(struct closing closing)
{
    if (case_count < ELEMENTS(cases))
        cases[case_count++] = closing;
}

static void add_sizes(uint16_t operation)
{
    uint16_t right = channel_request_size(operation);
    unsigned fds = channel_request_fds(operation);
    const uint16_t sizes[] = {0, 1, 7, 8, (uint16_t)(right - 8), (uint16_t)(right - 1), (uint16_t)(right + 1),
            (uint16_t)(right + 8), CHANNEL_MESSAGE_MAX, CHANNEL_MESSAGE_MAX + 1, 1000, 60000};
    for (unsigned i = 0; i < ELEMENTS(sizes); i++)
        if (sizes[i] != right)
            add((struct closing){operation, sizes[i], sizes[i], fds, .greets = true});
    const uint16_t lies[] = {0, (uint16_t)(right - 1), (uint16_t)(right + 1), UINT16_MAX};
    for (unsigned i = 0; i < ELEMENTS(lies); i++)
        add((struct closing){operation, lies[i], right, fds, .greets = true});
}

static void add_descriptors(uint16_t operation)
{
    const unsigned counts[] = {0, 1, 2, CHANNEL_FDS_MAX, CHANNEL_FDS_MAX + 1, 253};
    uint16_t right = channel_request_size(operation);
    for (unsigned i = 0; i < ELEMENTS(counts); i++)
        if (counts[i] != channel_request_fds(operation))
            add((struct closing){operation, right, right, counts[i], .greets = true});
}

static void make_cases(void)
{
    for (unsigned i = 0; i < ELEMENTS(unknown_operations); i++)
        for (unsigned greets = 0; greets < 2; greets++)
            add((struct closing){unknown_operations[i], 24, 24, 0, .greets = greets > 0});
    for (uint16_t operation = CHANNEL_HELLO; operation < CHANNEL_OPERATION_COUNT; operation++) {
        uint16_t right = channel_request_size(operation);
        /* Out of phase: HELLO again, everything else before it. */
        add((struct closing){
                operation, right, right, channel_request_fds(operation), .greets = operation == CHANNEL_HELLO});
        add_sizes(operation);
        add_descriptors(operation);
    }
    for (unsigned i = 0; i < ELEMENTS(plays); i++)
        add((struct closing){.play = plays[i], .greets = plays[i] != play_version});
}

static void play_case(const struct closing *closing)
{
    static uint8_t bytes[65536];
    const struct channel_header header = {.operation = closing->operation, .size = closing->said, .sequence = 1};
    if (closing->greets) {
        hello();
        (void)list();
    }
    memcpy(bytes, &header, sizeof(header));
    int fd = closing->fd_count ? make_spec("true") : -EBADF;
    if (closing->play)
        closing->play();
    else
        send_raw(bytes, closing->size, fd, closing->fd_count);
}

/* What outlives one life of ours. */
struct progress {
    unsigned next;
    int64_t ended_ns; /* when the last one should have ended */
    int64_t longest_ns;
    unsigned wrong;
};

static void load_progress(struct progress *progress)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    *progress = (struct progress){0};
    if (fd_read_file_at(SETTINGS_FD_DATABASE, "progress", 4096, &text, &size) == 0 && size == sizeof(*progress))
        memcpy(progress, text, size);
}

/* What earlier cases left goes as an admin may let it go. */
static void let_all_go(void)
{
    static uint8_t ids[64][16];
    unsigned count = list_ids(ids, ELEMENTS(ids));
    for (unsigned i = 0; i < count && i < ELEMENTS(ids); i++) {
        struct channel_job_ended end;
        (void)send_signal(ids[i], CHANNEL_SIGNAL_KILL, 0);
        receive_end(ids[i], &end);
        (void)ask_for_id(CHANNEL_JOB_RELEASE, ids[i]);
        (void)ask_for_id(CHANNEL_JOB_REMOVE, ids[i]);
    }
}

static void play_closing(unsigned first, unsigned count)
{
    struct progress progress;
    make_cases();
    load_progress(&progress);
    int64_t away_ns = progress.ended_ns ? text_now_monotonic_ns() - progress.ended_ns : 0;
    if (away_ns > progress.longest_ns)
        progress.longest_ns = away_ns;
    unsigned at = first + progress.next;
    if (progress.next == count || at >= case_count) {
        hello();
        let_all_go();
        say("played %u of %u wrong %u longest %lld ms jobs %u\n", progress.next, case_count, progress.wrong,
                (long long)(progress.longest_ns / 1000000), list());
        finish();
    }
    progress.next++;
    progress.ended_ns = text_now_monotonic_ns();
    save("progress", (const char *)&progress, sizeof(progress));
    play_case(&cases[at]);
    /* A case may take its time to play. */
    int64_t played_ns = text_now_monotonic_ns();
    (void)poll(NULL, 0, 5000);
    progress.wrong++;
    progress.ended_ns = played_ns;
    save("progress", (const char *)&progress, sizeof(progress));
    say("WRONG: still alive after case %u: operation %u, %zu bytes (said %u), %u descriptors\n", at,
            cases[at].operation, cases[at].size, cases[at].said, cases[at].fd_count);
    finish();
}

/* --- what is refused --- */

static unsigned refused;

void hostile_must_refuse(int32_t code, const char *what)
{
    expect(code > 0, "not refused: %s", what);
    refused += code > 0;
}

static void try_limits(int spec)
{
    /* The ceilings are those of test_hostile_api.py. */
    const struct channel_limits limits[] = {{.memory_bytes = UINT64_MAX}, {.memory_bytes = (4096ULL << 20) + 1},
            {.memory_bytes = (uint64_t)INT64_MAX + 1}, {.memory_bytes = 1}, {.timeout_ns = UINT64_MAX},
            {.timeout_ns = 365ULL * 24 * 3600 * 1000000000 + 1}, {.cpu_percent = 401}, {.cpu_percent = UINT32_MAX},
            {.processes = 1001}, {.processes = UINT32_MAX}};
    for (unsigned i = 0; i < ELEMENTS(limits); i++) {
        struct channel_job_start message = {.limits = limits[i]};
        char what[64];
        (void)text_new_uuid(message.job_id);
        (void)snprintf(what, sizeof(what), "limits %u", i);
        hostile_must_refuse(start(&message, spec), what);
        expect(!has_files(message.job_id, "run"), "a refused job has a note");
        (void)ask_for_id(CHANNEL_JOB_REMOVE, message.job_id);
    }
}

static void try_kinds(uint16_t operation)
{
    for (enum kind kind = 0; kind <= KIND_LINGERING; kind++) {
        union {
            struct channel_job_start job;
            struct channel_build_start build;
            struct channel_tool_start tool;
        } message = {0};
        char what[64];
        /* What is sealed as it should be is not looked at before the sandbox is made: a build's is dear. */
        bool is_sealed = kind == KIND_EMPTY || kind == KIND_ZEROS || kind == KIND_GARBAGE;
        int fd = kind == KIND_COUNT || (is_sealed && operation == CHANNEL_BUILD_START) ? -EBADF : make_kind(kind);
        if (fd < 0)
            continue; /* KIND_PATH: not ours to open */
        if (operation == CHANNEL_BUILD_START)
            message.build = hostile_good_build();
        else
            (void)text_new_uuid(message.job.job_id);
        (void)snprintf(what, sizeof(what), "descriptor of kind %d with %u", (int)kind, operation);
        send_message(&message, operation, channel_request_size(operation), fd);
        (void)fd_close(fd); /* joblet's is the last */
        struct channel_received reply;
        struct channel_start_reply answer;
        (void)receive_reply(&reply);
        memcpy(&answer, reply.bytes, sizeof(answer));
        hostile_must_refuse(answer.error.code, what);
        (void)ask_for_id(CHANNEL_JOB_REMOVE, message.job.job_id);
    }
}

static void try_signals(const uint8_t running[16], const uint8_t ended[16], const uint8_t nobody[16])
{
    const uint32_t numbers[] = {0, 3, 9, 15, 19, 0x101, 0x80000001, UINT32_MAX};
    for (unsigned i = 0; i < ELEMENTS(numbers); i++)
        hostile_must_refuse(send_signal(running, numbers[i], 0), "signal");
    hostile_must_refuse(send_signal(running, CHANNEL_SIGNAL_KILL, 1), "signal with more");
    hostile_must_refuse(send_signal(running, CHANNEL_SIGNAL_TERMINATE, UINT32_MAX), "signal with more");
    for (uint32_t signal = CHANNEL_SIGNAL_TERMINATE; signal <= CHANNEL_SIGNAL_KILL; signal++) {
        hostile_must_refuse(send_signal(nobody, signal, 0), "signal to nobody");
        hostile_must_refuse(send_signal(ended, signal, 0), "signal to an ended job");
    }
    /* Each bit of the id counts. */
    for (unsigned bit = 0; bit < 128; bit++) {
        uint8_t other[16];
        memcpy(other, running, sizeof(other));
        other[bit / 8] ^= (uint8_t)(1U << bit % 8);
        hostile_must_refuse(send_signal(other, CHANNEL_SIGNAL_KILL, 0), "signal to another id");
    }
}

/* A job that runs and one that has ended and is not released; both must still be there afterwards. */
struct pair {
    struct channel_job_start running;
    struct channel_job_start ended;
};

static void make_pair(struct pair *pair)
{
    struct channel_job_ended end;
    int sleeper = make_spec("echo here; sleep 600");
    int quick = make_spec("echo gone; exit 3");
    *pair = (struct pair){0};
    (void)text_new_uuid(pair->running.job_id);
    (void)text_new_uuid(pair->ended.job_id);
    expect(start(&pair->running, sleeper) == 0, "a valid job does not start");
    expect(start(&pair->ended, quick) == 0, "a valid job does not start");
    receive_end(pair->ended.job_id, &end);
    expect(end.record.reason == RECORD_REASON_EXITED && end.record.exit_code == 3, "a valid job ends otherwise");
    (void)fd_close(sleeper);
    (void)fd_close(quick);
}

/* Both are as they were; then they go as an admin may let them go. */
static void end_pair(const struct pair *pair)
{
    struct channel_job_ended end;
    expect(has_files(pair->running.job_id, "record") && has_files(pair->ended.job_id, "record"), "files are gone");
    expect(list() == 2, "joblet lists other jobs");
    expect(send_signal(pair->running.job_id, CHANNEL_SIGNAL_KILL, 0) == 0, "the running job does not run any more");
    receive_end(pair->running.job_id, &end);
    expect(end.record.reason == RECORD_REASON_STOPPED, "the running job ended otherwise");
    const uint8_t *const ids[] = {pair->running.job_id, pair->ended.job_id};
    for (unsigned i = 0; i < ELEMENTS(ids); i++) {
        expect(ask_for_id(CHANNEL_JOB_RELEASE, ids[i]) == 0 && ask_for_id(CHANNEL_JOB_REMOVE, ids[i]) == 0,
                "an ended job is not released");
        expect(!has_files(ids[i], "record"), "files stay");
    }
    expect(list() == 0, "a released job is listed");
}

static void try_ids(const struct pair *pair, int spec)
{
    struct channel_job_start none = {0};
    struct channel_job_start again = {0};
    hostile_must_refuse(start(&none, spec), "no id");
    memcpy(again.job_id, pair->running.job_id, sizeof(again.job_id));
    hostile_must_refuse(start(&again, spec), "the id of a running job");
    memcpy(again.job_id, pair->ended.job_id, sizeof(again.job_id));
    hostile_must_refuse(start(&again, spec), "the id of an ended job");
    hostile_must_refuse(ask_for_id(CHANNEL_JOB_RELEASE, pair->running.job_id), "release of a running job");
    hostile_must_refuse(ask_for_id(CHANNEL_JOB_REMOVE, pair->running.job_id), "removal of a running job");
    hostile_must_refuse(ask_for_id(CHANNEL_JOB_REMOVE, pair->ended.job_id), "removal of a job that is not released");
}

/* Files that a released job left are nobody else's. */
static void try_released(int spec)
{
    struct channel_job_start message = {0};
    struct channel_job_ended end;
    (void)text_new_uuid(message.job_id);
    expect(start(&message, spec) == 0, "a valid job does not start");
    receive_end(message.job_id, &end);
    expect(ask_for_id(CHANNEL_JOB_RELEASE, message.job_id) == 0, "an ended job is not released");
    hostile_must_refuse(start(&message, spec), "the id of a released job");
    hostile_must_refuse(send_signal(message.job_id, CHANNEL_SIGNAL_KILL, 0), "signal to a released job");
    expect(has_files(message.job_id, "log"), "a refused start took a released job's files");
    expect(ask_for_id(CHANNEL_JOB_RELEASE, message.job_id) == 0, "a second release is no error");
    expect(ask_for_id(CHANNEL_JOB_REMOVE, message.job_id) == 0, "removal");
    expect(ask_for_id(CHANNEL_JOB_REMOVE, message.job_id) == 0, "a second removal is no error");
}

/* Asked for while it is being started. */
static void try_starting(int spec)
{
    struct channel_job_start message = {0};
    struct channel_job_ended end;
    (void)text_new_uuid(message.job_id);
    send_message(&message, CHANNEL_JOB_START, sizeof(message), spec);
    hostile_must_refuse(ask_for_id(CHANNEL_JOB_RELEASE, message.job_id), "release of a starting job");
    hostile_must_refuse(ask_for_id(CHANNEL_JOB_REMOVE, message.job_id), "removal of a starting job");
    hostile_must_refuse(start(&message, spec), "the id of a starting job");
    receive_end(message.job_id, &end);
    (void)ask_for_id(CHANNEL_JOB_RELEASE, message.job_id);
    (void)ask_for_id(CHANNEL_JOB_REMOVE, message.job_id);
}

/* A request that is dear to joblet, as often as it goes: everything else must be answered meanwhile. */
static void try_crowd(void)
{
    struct channel_job_start message = {0};
    struct channel_job_ended end;
    int spec = make_spec(
            "trap '' TERM; i=0; while [ $i -lt 400 ]; do sleep 600 & i=$((i+1)); done; echo all; wait; sleep 600");
    (void)text_new_uuid(message.job_id);
    expect(start(&message, spec) == 0, "a valid job does not start");
    wait_for_output(message.job_id, 4);
    for (unsigned i = 0; i < 500; i++) {
        struct channel_job_signal signal = {.signal = CHANNEL_SIGNAL_TERMINATE};
        memcpy(signal.job_id, message.job_id, sizeof(signal.job_id));
        send_message(&signal, CHANNEL_JOB_SIGNAL, sizeof(signal), -EBADF);
    }
    (void)list();
    (void)send_signal(message.job_id, CHANNEL_SIGNAL_KILL, 0);
    receive_end(message.job_id, &end);
    (void)ask_for_id(CHANNEL_JOB_RELEASE, message.job_id);
    (void)ask_for_id(CHANNEL_JOB_REMOVE, message.job_id);
    (void)fd_close(spec);
}

static void play_operands(void)
{
    struct pair pair;
    const uint8_t nobody[16] = {1};
    int spec = make_spec("true");
    hello();
    (void)list();
    make_pair(&pair);
    try_limits(spec);
    try_kinds(CHANNEL_JOB_START);
    try_kinds(CHANNEL_BUILD_START);
    try_kinds(CHANNEL_TOOL_START);
    hostile_try_builds(pair.running.job_id, pair.ended.job_id, nobody, spec);
    try_signals(pair.running.job_id, pair.ended.job_id, nobody);
    try_ids(&pair, spec);
    try_released(spec);
    try_starting(spec);
    try_crowd();
    end_pair(&pair);
    expect(longest_silence_ns < SILENCE_MAX_NS, "joblet was silent too long");
    say("refused %u silence %lld ms\n", refused, (long long)(longest_silence_ns / 1000000));
    finish();
}

/* --- mutations --- */

#define IN_FLIGHT_MAX 64U
/* Of ours beside them: two for each job that ended. */
#define FLYING_MAX (IN_FLIGHT_MAX + 2 * STARTED_MAX)
#define STARTED_MAX 4096U
/* Of the mutated ones that may come to run: they are dear. */
#define BUILDS_MAX 20U

struct mutating {
    uint64_t random;
    struct pair pair;
    int specs[KIND_COUNT + 1]; /* [KIND_COUNT]: a valid one */
    struct {
        uint32_t sequence; /* 0: free */
        uint16_t operation;
        uint8_t id[16];
        bool valid; /* a START that may succeed */
    } flying[FLYING_MAX];
    unsigned in_flight;
    uint8_t valid[STARTED_MAX][16]; /* jobs that were asked for by a valid START */
    bool let_go[STARTED_MAX];
    unsigned valid_count;
    unsigned sent[CHANNEL_OPERATION_COUNT];
    unsigned done;
    unsigned refused;
    unsigned started;
    unsigned builds;
    unsigned starting; /* in flight */
    unsigned ended;
};

static uint64_t next(struct mutating *mutating)
{
    uint64_t x = mutating->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    mutating->random = x;
    return x * 0x2545f4914f6cdd1dULL >> 16;
}

static void mutate(struct mutating *mutating, uint8_t *bytes, size_t size)
{
    static const uint64_t values[] = {0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
            0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX};
    unsigned count = 1 + (unsigned)(next(mutating) % 4);
    for (unsigned i = 0; i < count; i++) {
        size_t at = (size_t)(next(mutating) % size);
        size_t width = (size_t)1 << next(mutating) % 4;
        if (next(mutating) % 2)
            bytes[at] ^= (uint8_t)(1U << next(mutating) % 8);
        else if (at + width <= size)
            memcpy(bytes + at, &values[next(mutating) % ELEMENTS(values)], width);
        else
            bytes[at] = (uint8_t)next(mutating);
    }
}

static void fill_id(struct mutating *mutating, uint8_t id[16])
{
    switch (next(mutating) % 4) {
    case 0:
        memcpy(id, mutating->pair.running.job_id, 16);
        return;
    case 1:
        memcpy(id, mutating->pair.ended.job_id, 16);
        return;
    case 2:
        memcpy(id, mutating->valid[next(mutating) % (mutating->valid_count + 1) % STARTED_MAX], 16);
        return;
    default:
        (void)text_new_uuid(id);
    }
}

static bool is_pair(const struct mutating *mutating, const uint8_t id[16])
{
    return memcmp(id, mutating->pair.running.job_id, 16) == 0 || memcmp(id, mutating->pair.ended.job_id, 16) == 0;
}

/* An admin may stop and let go what is his: that is no attack, and left out for the two that must stay. */
static bool is_permitted(const struct mutating *mutating, uint16_t operation, const uint8_t *bytes)
{
    struct channel_job_signal signal;
    struct channel_job_id id;
    memcpy(&signal, bytes, sizeof(signal));
    memcpy(&id, bytes, sizeof(id));
    if (operation == CHANNEL_JOB_SIGNAL)
        return is_pair(mutating, signal.job_id) && signal.reserved == 0 &&
               (signal.signal == CHANNEL_SIGNAL_KILL || signal.signal == CHANNEL_SIGNAL_TERMINATE);
    return operation == CHANNEL_JOB_RELEASE && memcmp(id.job_id, mutating->pair.ended.job_id, 16) == 0;
}

static unsigned take_flight(struct mutating *mutating)
{
    unsigned at = 0;
    while (mutating->flying[at].sequence != 0)
        at++;
    mutating->in_flight++;
    mutating->flying[at].sequence = ++sequence;
    return at;
}

static void send_mutated(struct mutating *mutating)
{
    uint8_t bytes[CHANNEL_MESSAGE_MAX] = {0};
    static const uint16_t weights[] = {CHANNEL_LIST_JOBS, CHANNEL_JOB_START, CHANNEL_JOB_SIGNAL, CHANNEL_JOB_SIGNAL,
            CHANNEL_JOB_SIGNAL, CHANNEL_JOB_RELEASE, CHANNEL_JOB_RELEASE, CHANNEL_JOB_REMOVE, CHANNEL_JOB_REMOVE,
            CHANNEL_JOB_LOOK, CHANNEL_BUILD_START, CHANNEL_TOOL_START, CHANNEL_BUILD_PUBLISH, CHANNEL_RUNTIME_REMOVE,
            CHANNEL_HOST_STATE, CHANNEL_AUDIT_APPEND};
    uint16_t operation = weights[next(mutating) % ELEMENTS(weights)];
    uint16_t size = channel_request_size(operation);
    int fd = -EBADF;
    bool valid = false;
    if (operation != CHANNEL_LIST_JOBS && operation != CHANNEL_HOST_STATE && operation != CHANNEL_AUDIT_APPEND)
        fill_id(mutating, bytes + sizeof(struct channel_header));
    if (operation == CHANNEL_JOB_SIGNAL) {
        uint32_t signal = (uint32_t)(next(mutating) % 4);
        memcpy(bytes + offsetof(struct channel_job_signal, signal), &signal, sizeof(signal));
    }
    if (operation == CHANNEL_BUILD_START) {
        const struct channel_build_start good = hostile_good_build();
        memcpy(bytes + sizeof(struct channel_header), (const uint8_t *)&good + sizeof(struct channel_header),
                sizeof(good) - sizeof(struct channel_header));
    }
    if (is_start(operation)) {
        /* Few are valid: each of them is a job that runs. */
        valid = next(mutating) % 32 == 0 && mutating->valid_count < STARTED_MAX &&
                (operation == CHANNEL_JOB_START || mutating->builds < BUILDS_MAX);
        mutating->builds += valid && operation != CHANNEL_JOB_START;
        fd = mutating->specs[valid ? KIND_COUNT : next(mutating) % KIND_COUNT];
        if (fd < 0)
            fd = mutating->specs[KIND_UNSEALED];
    }
    /* No spec is a list of facts. */
    if (operation == CHANNEL_AUDIT_APPEND)
        fd = mutating->specs[KIND_UNSEALED];
    /* An id of its own, limits of any kind. */
    const size_t fixed = valid ? offsetof(struct channel_job_start, limits) : sizeof(struct channel_header);
    if (valid)
        (void)text_new_uuid(bytes + sizeof(struct channel_header));
    if (size > fixed && (!valid || next(mutating) % 2))
        mutate(mutating, bytes + fixed, size - fixed);
    if (is_permitted(mutating, operation, bytes))
        return;
    unsigned at = take_flight(mutating);
    const struct channel_header header = {.operation = operation, .size = size, .sequence = sequence};
    memcpy(bytes, &header, sizeof(header));
    mutating->flying[at].operation = operation;
    mutating->flying[at].valid = valid;
    memcpy(mutating->flying[at].id, bytes + sizeof(header), 16);
    if (valid)
        memcpy(mutating->valid[mutating->valid_count++], bytes + sizeof(header), 16);
    mutating->starting += is_start(operation);
    send_raw(bytes, size, fd, fd >= 0);
    mutating->sent[operation]++;
    mutating->done++;
}

static void send_plain(struct mutating *mutating, uint16_t operation, const uint8_t id[16])
{
    struct channel_job_id message = {0};
    memcpy(message.job_id, id, sizeof(message.job_id));
    unsigned at = take_flight(mutating);
    mutating->flying[at].operation = operation;
    const struct channel_header header = {.operation = operation, .size = sizeof(message), .sequence = sequence};
    memcpy(&message, &header, sizeof(header));
    send_raw(&message, sizeof(message), -EBADF, 0);
}

/* Which of the valid ones it is; valid_count when none. */
static unsigned find_valid(const struct mutating *mutating, const uint8_t id[16])
{
    unsigned at = 0;
    while (at < mutating->valid_count && memcmp(mutating->valid[at], id, 16) != 0)
        at++;
    return at;
}

static void take_reply(struct mutating *mutating, const struct channel_received *message)
{
    static const size_t sizes[] = {[CHANNEL_LIST_JOBS] = sizeof(struct channel_job_reply),
            [CHANNEL_JOB_START] = sizeof(struct channel_start_reply),
            [CHANNEL_JOB_SIGNAL] = sizeof(struct channel_reply),
            [CHANNEL_JOB_RELEASE] = sizeof(struct channel_reply),
            [CHANNEL_JOB_REMOVE] = sizeof(struct channel_reply),
            [CHANNEL_JOB_LOOK] = sizeof(struct channel_look_reply),
            [CHANNEL_BUILD_START] = sizeof(struct channel_start_reply),
            [CHANNEL_TOOL_START] = sizeof(struct channel_start_reply),
            [CHANNEL_BUILD_PUBLISH] = sizeof(struct channel_reply),
            [CHANNEL_RUNTIME_REMOVE] = sizeof(struct channel_reply),
            [CHANNEL_HOST_STATE] = sizeof(struct channel_host_reply),
            [CHANNEL_AUDIT_APPEND] = sizeof(struct channel_reply)};
    unsigned at = 0;
    while (at < FLYING_MAX && mutating->flying[at].sequence != message->header.sequence)
        at++;
    if (at == FLYING_MAX || message->header.sequence == 0) {
        expect(false, "an answer to nothing");
        return;
    }
    uint16_t operation = mutating->flying[at].operation;
    expect(message->header.operation == operation && message->header.size == sizes[operation],
            "an answer of another kind");
    struct error error = {0};
    if (is_start(operation))
        memcpy(&error, message->bytes + offsetof(struct channel_start_reply, error), sizeof(error));
    else if (operation != CHANNEL_LIST_JOBS)
        memcpy(&error, message->bytes + offsetof(struct channel_reply, error), sizeof(error));
    mutating->refused += error.code != 0;
    expect(memchr(error.text, '\0', sizeof(error.text)) != NULL, "an error without an end");
    expect((operation != CHANNEL_BUILD_PUBLISH && operation != CHANNEL_RUNTIME_REMOVE) || error.code != 0,
            "something was published or removed");
    if (is_start(operation) && error.code == 0) {
        expect(mutating->flying[at].valid, "an invalid request started a job");
        mutating->started++;
    }
    mutating->starting -= is_start(operation);
    mutating->flying[at].sequence = 0;
    mutating->in_flight--;
}

static void take_end(struct mutating *mutating, const struct channel_received *message)
{
    struct channel_job_ended end;
    memcpy(&end, message->bytes, sizeof(end));
    if (memcmp(end.record.job_id, mutating->pair.ended.job_id, 16) == 0)
        return; /* told again at the end of each list */
    unsigned at = find_valid(mutating, end.record.job_id);
    expect(at < mutating->valid_count, "a job ended that nobody started");
    if (at == mutating->valid_count || mutating->let_go[at])
        return;
    mutating->let_go[at] = true;
    mutating->ended++;
    send_plain(mutating, CHANNEL_JOB_RELEASE, end.record.job_id);
    send_plain(mutating, CHANNEL_JOB_REMOVE, end.record.job_id);
}

/* What joblet saw of a job before the go. */
static void take_view(const struct mutating *mutating, const struct channel_received *message)
{
    struct channel_job_view view;
    memcpy(&view, message->bytes, sizeof(view));
    expect(message->header.size == sizeof(view) && message->header.sequence == 0, "a view of another kind");
    expect(is_pair(mutating, view.job_id) || find_valid(mutating, view.job_id) < mutating->valid_count,
            "a job was seen that nobody started");
}

static void take_messages(struct mutating *mutating, unsigned leave)
{
    while (mutating->in_flight > leave) {
        struct channel_received message;
        only_starts = mutating->in_flight == mutating->starting;
        if (!receive(&message)) {
            say("WRONG: no answer after %u messages\n", mutating->done);
            finish();
        }
        expect(message.fd_count == 0, "joblet sent a descriptor");
        channel_received_done(&message);
        if (message.header.operation == CHANNEL_EVENT_JOB_ENDED)
            take_end(mutating, &message);
        else if (message.header.operation == CHANNEL_EVENT_JOB_VIEW)
            take_view(mutating, &message);
        else
            take_reply(mutating, &message);
    }
}

/* Everything that the valid requests left. What was let go is asked for once more, which does no harm. */
static void clean_up(struct mutating *mutating)
{
    for (unsigned i = 0; i < mutating->valid_count; i++) {
        const uint8_t *id = mutating->valid[i];
        int32_t code;
        for (unsigned tries = 0; (code = ask_for_id(CHANNEL_JOB_RELEASE, id)) != 0 && tries < 1000; tries++)
            (void)poll(NULL, 0, 5);
        expect(code == 0 && ask_for_id(CHANNEL_JOB_REMOVE, id) == 0, "a job does not go: %d", code);
    }
}

/* A build that is right, so that what joblet keeps for some time after one is there whenever it is looked at. */
static void play_build(void)
{
    struct channel_build_start message = hostile_good_build();
    struct channel_job_ended end;
    int spec = make_spec("true");
    only_starts = true; /* it may take its time */
    expect(hostile_ask(&message, CHANNEL_BUILD_START, sizeof(message), spec) == 0, "a valid build does not start");
    (void)fd_close(spec);
    receive_end(message.build_id, &end);
    only_starts = false;
    expect(ask_for_id(CHANNEL_JOB_RELEASE, message.build_id) == 0 &&
                    ask_for_id(CHANNEL_JOB_REMOVE, message.build_id) == 0,
            "a build is not released");
}

/* Garbage that was sealed as it should be is refused in the sandbox, and leaves its record. */
static void play_mutations(uint64_t seed, unsigned count)
{
    static struct mutating mutating;
    mutating.random = seed * 0x9e3779b97f4a7c15ULL + 1;
    for (enum kind kind = 0; kind < KIND_COUNT; kind++) /* sandboxes for nothing: "operands" has them */
        mutating.specs[kind] =
                kind == KIND_EMPTY || kind == KIND_ZEROS || kind == KIND_GARBAGE ? -EBADF : make_kind(kind);
    mutating.specs[KIND_COUNT] = make_spec("exit 4");
    hello();
    (void)list();
    make_pair(&mutating.pair);
    longest_silence_ns = 0;
    while (mutating.done < count) {
        send_mutated(&mutating);
        if (mutating.in_flight >= IN_FLIGHT_MAX)
            take_messages(&mutating, IN_FLIGHT_MAX / 2);
    }
    take_messages(&mutating, 0);
    only_starts = false;
    clean_up(&mutating);
    (void)poll(NULL, 0, 200); /* for tokens */
    play_build();
    end_pair(&mutating.pair);
    expect(longest_silence_ns < SILENCE_MAX_NS, "joblet was silent too long");
    say("builds %u ", mutating.builds);
    say("messages %u list %u start %u signal %u release %u remove %u refused %u valid %u started %u silence %lld ms\n",
            mutating.done, mutating.sent[CHANNEL_LIST_JOBS], mutating.sent[CHANNEL_JOB_START],
            mutating.sent[CHANNEL_JOB_SIGNAL], mutating.sent[CHANNEL_JOB_RELEASE], mutating.sent[CHANNEL_JOB_REMOVE],
            mutating.refused, mutating.valid_count, mutating.started, (long long)(longest_silence_ns / 1000000));
    finish();
}

int main(void)
{
    _cleanup_free_ char *scenario = NULL;
    unsigned first = 0;
    unsigned count = 0;
    unsigned long long seed = 0;
    if (geteuid() == 0 || fd_read_file_at(SETTINGS_FD_DATABASE, "scenario", 64, &scenario, NULL) < 0)
        return 3;
    if (sscanf(scenario, "closing %u %u", &first, &count) == 2)
        play_closing(first, count);
    if (sscanf(scenario, "mutations %llu %u", &seed, &count) == 2)
        play_mutations(seed, count);
    if (strcmp(scenario, "operands") == 0)
        play_operands();
    say("no scenario '%s'\n", scenario);
    finish();
}
