/* The privileged channel's framing: what is whole comes through, what is not is refused with its descriptors closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "channel/message.h"

struct pair {
    int ends[2];
};

static int open_pair(void **state)
{
    static struct pair pair;
    *state = &pair;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.ends);
}

static int close_pair(void **state)
{
    struct pair *pair = *state;
    (void)fd_close(pair->ends[0]);
    (void)fd_close(pair->ends[1]);
    return 0;
}

static unsigned count_fds(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 64; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_message_with_fd_arrives(void **state)
{
    struct pair *pair = *state;
    struct channel_job_start start = {.header = {.operation = CHANNEL_JOB_START, .size = sizeof(start), .sequence = 7},
            .limits = {.memory_bytes = 1, .processes = 3}};
    int fd = pair->ends[0];
    assert_int_equal(channel_send(pair->ends[0], &start, &fd, 1), 0);
    struct channel_received got;
    assert_int_equal(channel_receive(pair->ends[1], &got), 0);
    assert_memory_equal(got.bytes, &start, sizeof(start));
    assert_int_equal(got.fd_count, 1);
    assert_int_not_equal(fcntl(got.fds[0], F_GETFD) & FD_CLOEXEC, 0);
    channel_received_done(&got);
    assert_int_equal(channel_receive(pair->ends[1], &got), -EAGAIN);
}

static void test_end_is_told(void **state)
{
    struct pair *pair = *state;
    struct channel_received got;
    pair->ends[0] = fd_close(pair->ends[0]);
    assert_int_equal(channel_receive(pair->ends[1], &got), -ENODATA);
    struct channel_header header = {.operation = CHANNEL_EVENT_SHUTDOWN, .size = sizeof(header)};
    assert_int_equal(channel_send(pair->ends[1], &header, NULL, 0), -EPIPE);
}

static void test_full_queue_does_not_block(void **state)
{
    struct pair *pair = *state;
    struct channel_header header = {.operation = CHANNEL_EVENT_SHUTDOWN, .size = sizeof(header)};
    int r = 0;
    for (unsigned i = 0; i < 100000 && r == 0; i++)
        r = channel_send(pair->ends[0], &header, NULL, 0);
    assert_int_equal(r, -EAGAIN);
}

/* Sends raw bytes and expects a refusal that leaves no descriptor behind. */
static void expect_refused(struct pair *pair, const void *bytes, size_t size, unsigned fd_count)
{
    unsigned before = count_fds();
    union {
        char bytes[CMSG_SPACE(32 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    char copy[CHANNEL_MESSAGE_MAX + 64] = {0};
    memcpy(copy, bytes, size);
    struct iovec part = {copy, size};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > 0) {
        head.msg_control = control.bytes;
        head.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *item = CMSG_FIRSTHDR(&head);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        for (unsigned i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(item) + i * sizeof(int), &pair->ends[0], sizeof(int));
    }
    assert_int_equal(sendmsg(pair->ends[0], &head, 0), (ssize_t)size);
    struct channel_received got;
    assert_int_equal(channel_receive(pair->ends[1], &got), -EPROTO);
    assert_int_equal(count_fds(), before);
}

static void test_bad_framing_is_refused(void **state)
{
    struct pair *pair = *state;
    struct channel_hello hello = {.header = {.operation = CHANNEL_HELLO, .size = sizeof(hello)}};
    uint8_t large[CHANNEL_MESSAGE_MAX + 8] = {0};
    expect_refused(pair, &hello, sizeof(hello) - 1, 0);
    expect_refused(pair, &hello, sizeof(hello.header) - 1, 1);
    expect_refused(pair, large, sizeof(large), 2);
    expect_refused(pair, &hello, sizeof(hello), CHANNEL_FDS_MAX + 1);
    hello.header.size++;
    expect_refused(pair, &hello, sizeof(hello), 1);
}

/* joblet-api's stand-ins mirror it, and a reply's error is found without knowing the reply. */
static void test_layout_of_the_view(void **state)
{
    (void)state;
    assert_int_equal(offsetof(struct channel_look_reply, error), offsetof(struct channel_reply, error));
    assert_int_equal(offsetof(struct channel_host_reply, error), offsetof(struct channel_reply, error));
    assert_int_equal(sizeof(struct channel_view_process), 160);
    /* What joblet reads out of a request is where joblet-api puts it. */
    assert_int_equal(sizeof(struct channel_runtime), 104);
    assert_int_equal(sizeof(struct channel_job_start), 296);
    assert_int_equal(sizeof(struct channel_build_start), 352);
    assert_int_equal(sizeof(struct channel_tool_start), 320);
    assert_int_equal(sizeof(struct channel_base_find), 40);
    assert_int_equal(sizeof(struct channel_base_seal), 536);
    assert_int_equal(offsetof(struct channel_base_reply, error), offsetof(struct channel_reply, error));
    assert_int_equal(offsetof(struct channel_base_reply, notes), 232);
    for (uint16_t operation = CHANNEL_HELLO; operation < CHANNEL_OPERATION_COUNT; operation++) {
        bool starts =
                operation == CHANNEL_JOB_START || operation == CHANNEL_BUILD_START || operation == CHANNEL_TOOL_START;
        assert_true(channel_request_size(operation) >= sizeof(struct channel_header));
        assert_int_equal(channel_request_fds(operation), starts || operation == CHANNEL_AUDIT_APPEND);
    }
    assert_int_equal(channel_request_size(0), 0);
    assert_int_equal(channel_request_size(CHANNEL_OPERATION_COUNT), 0);
    assert_int_equal(sizeof(struct channel_view_limits), 184);
    assert_int_equal(sizeof(struct channel_kernel_view), 16 + 2 * 160 + 184 + CHANNEL_VIEW_CGROUPS_MAX);
}

static void test_the_largest_message_arrives(void **state)
{
    struct pair *pair = *state;
    struct channel_look_reply reply = {.header = {.operation = CHANNEL_JOB_LOOK, .size = sizeof(reply), .sequence = 9},
            .view = {.taken_unix_ns = 1, .command = {.pid = 7, .cap_bounding = UINT64_MAX}}};
    memset(reply.view.cgroups, 'x', sizeof(reply.view.cgroups));
    assert_int_equal(channel_send(pair->ends[0], &reply, NULL, 0), 0);
    struct channel_received got;
    assert_int_equal(channel_receive(pair->ends[1], &got), 0);
    assert_memory_equal(got.bytes, &reply, sizeof(reply));
}

static void test_sizes_of_operations(void **state)
{
    (void)state;
    assert_int_equal(channel_request_size(CHANNEL_JOB_START), sizeof(struct channel_job_start));
    assert_int_equal(channel_request_fds(CHANNEL_JOB_START), 1);
    assert_int_equal(channel_request_size(0), 0);
    assert_int_equal(channel_request_size(CHANNEL_OPERATION_COUNT), 0);
    assert_int_equal(channel_request_size(CHANNEL_JOB_LOOK), sizeof(struct channel_job_id));
    assert_int_equal(channel_request_fds(CHANNEL_JOB_LOOK), 0);
    assert_int_equal(channel_request_size(CHANNEL_EVENT_JOB_ENDED), 0);
    assert_int_equal(channel_request_size(CHANNEL_EVENT_JOB_VIEW), 0);
    assert_int_equal(channel_request_size(UINT16_MAX), 0);
    for (uint16_t i = CHANNEL_HELLO; i < CHANNEL_OPERATION_COUNT; i++)
        assert_in_range(channel_request_size(i), sizeof(struct channel_header), CHANNEL_MESSAGE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_message_with_fd_arrives, open_pair, close_pair),
            cmocka_unit_test_setup_teardown(test_end_is_told, open_pair, close_pair),
            cmocka_unit_test_setup_teardown(test_full_queue_does_not_block, open_pair, close_pair),
            cmocka_unit_test_setup_teardown(test_bad_framing_is_refused, open_pair, close_pair),
            cmocka_unit_test_setup_teardown(test_the_largest_message_arrives, open_pair, close_pair),
            cmocka_unit_test(test_layout_of_the_view),
            cmocka_unit_test(test_sizes_of_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
