/* The channel between joblet and joblet-scratch: what is not one of its messages is refused, and no descriptor is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "scratch/message.h"

static int ends[2];

static int set_up(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int tear_down(void **state)
{
    (void)state;
    (void)fd_close(ends[0]);
    (void)fd_close(ends[1]);
    return 0;
}

static int next_fd(void)
{
    int fd = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    (void)close(fd);
    return fd;
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct scratch_message sent = {.magic = SCRATCH_MAGIC, .kind = SCRATCH_READY, .id = 7, .bytes = 1ULL << 40};
    struct scratch_message got;
    int fds[SCRATCH_FDS_MAX] = {-1, -1};
    memset(sent.error.text, 'x', sizeof(sent.error.text)); /* not ended */
    assert_int_equal(scratch_receive(ends[1], 0, &got, fds), -EAGAIN);
    assert_int_equal(scratch_send(ends[0], &sent, ends, 1), 0);
    assert_int_equal(scratch_receive(ends[1], 1, &got, fds), 0);
    assert_int_equal(got.kind, SCRATCH_READY);
    assert_int_equal(got.id, 7);
    assert_int_equal(got.bytes, 1ULL << 40);
    assert_int_equal(strlen(got.error.text), sizeof(got.error.text) - 1);
    assert_true(fds[0] >= 0 && (fcntl(fds[0], F_GETFD) & FD_CLOEXEC));
    assert_int_equal(fds[1], -EBADF);
    (void)close(fds[0]);
    int many[SCRATCH_FDS_MAX + 1];
    for (size_t i = 0; i < ELEMENTS(many); i++)
        many[i] = ends[i % ELEMENTS(ends)];
    assert_int_equal(scratch_send(ends[0], &sent, many, SCRATCH_FDS_MAX), 0);
    assert_int_equal(scratch_receive(ends[1], 1, &got, fds), 0);
    for (unsigned i = 0; i < SCRATCH_FDS_MAX; i++) {
        assert_true(fds[i] >= 0 && (fcntl(fds[i], F_GETFD) & FD_CLOEXEC));
        (void)close(fds[i]);
    }
    assert_int_equal(scratch_send(ends[0], &sent, many, SCRATCH_FDS_MAX + 1), -EINVAL);
    assert_int_equal(scratch_send(ends[0], &sent, NULL, 0), 0);
    assert_int_equal(scratch_receive(ends[1], 0, &got, fds), 0);
    assert_int_equal(fds[0], -EBADF);
}

static void test_refused(void **state)
{
    (void)state;
    struct scratch_message message = {.magic = SCRATCH_MAGIC + 1, .kind = SCRATCH_READY};
    struct scratch_message got;
    uint8_t bytes[sizeof(message) + 1] = {0};
    int fds[SCRATCH_FDS_MAX] = {-1, -1};
    int before = next_fd();
    assert_int_equal(scratch_send(ends[0], &message, ends, 2), 0);
    assert_int_equal(scratch_receive(ends[1], 0, &got, fds), -EPROTO);
    message.magic = SCRATCH_MAGIC;
    memcpy(bytes, &message, sizeof(message));
    const size_t sizes[] = {1, sizeof(message) - 1, sizeof(message) + 1};
    for (size_t i = 0; i < ELEMENTS(sizes); i++) {
        assert_int_equal(send(ends[0], bytes, sizes[i], 0), sizes[i]);
        assert_int_equal(scratch_receive(ends[1], 0, &got, fds), -EPROTO);
    }
    assert_int_equal(fds[0], -1);
    assert_int_equal(next_fd(), before);
}

static void test_ends(void **state)
{
    (void)state;
    const struct scratch_message message = {.magic = SCRATCH_MAGIC, .kind = SCRATCH_TAKEN};
    struct scratch_message got;
    int fds[SCRATCH_FDS_MAX] = {-1, -1};
    int r;
    while ((r = scratch_send(ends[0], &message, NULL, 0)) == 0)
        ;
    assert_int_equal(r, -EAGAIN); /* and not a wait */
    while ((r = scratch_receive(ends[1], 0, &got, fds)) == 0)
        ;
    assert_int_equal(r, -EAGAIN);
    ends[0] = fd_close(ends[0]);
    assert_int_equal(scratch_receive(ends[1], 1, &got, fds), -ENODATA);
    assert_int_equal(scratch_send(ends[1], &message, NULL, 0), -EPIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_there_and_back, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_ends, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
