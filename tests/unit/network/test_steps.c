/* Each step of making and of removing the network fails, or the service is killed at it: nothing is left on the host,
 * at once or after the next start. The calls that change or ask something are wrapped by the linker. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "network/network.h"
#include "world.h"

#define STEPS_MAX 200U

/* The step that fails, 0 for none; the number of steps so far; whether it is done first and fails then. */
static unsigned failing;
static unsigned steps;
static bool kills;
static bool is_done_first;

static bool fails_before(void)
{
    if (++steps != failing)
        return false;
    if (kills && !is_done_first)
        (void)kill(getpid(), SIGKILL);
    return !is_done_first;
}

/* A step that was done and says that it was not. */
static bool fails_after(void)
{
    if (steps != failing || !is_done_first)
        return false;
    if (kills)
        (void)kill(getpid(), SIGKILL);
    return true;
}

#define WRAP(type, failure, name, parameters, arguments)                                                               \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        if (fails_before())                                                                                            \
            return failure;                                                                                            \
        type result = __real_##name arguments;                                                                         \
        return fails_after() ? failure : result;                                                                       \
    }

struct netlink_link;
struct nft_ctx;
WRAP(int, -EIO, netlink_add_bridge, (int socket, const char *name, const uint8_t *address, uint32_t mtu),
        (socket, name, address, mtu))
WRAP(int, -EIO, netlink_set_alias, (int socket, uint32_t index, const char *alias), (socket, index, alias))
WRAP(int, -EIO, netlink_set_up, (int socket, uint32_t index), (socket, index))
WRAP(int, -EIO, netlink_add_address, (int socket, uint32_t index, uint32_t address, uint32_t length),
        (socket, index, address, length))
WRAP(int, -EIO, netlink_delete_link, (int socket, uint32_t index), (socket, index))
WRAP(int, -EIO, netlink_find_link, (int socket, const char *name, struct netlink_link *link), (socket, name, link))
WRAP(int, -EIO, nft_run_cmd_from_buffer, (struct nft_ctx * nft, const char *text), (nft, text))
WRAP(int, -EIO, fd_write_file_at, (int directory, const char *path, const char *text), (directory, path, text))
WRAP(int, -EIO, fd_read_file_at, (int directory, const char *path, size_t max, char **text, size_t *size),
        (directory, path, max, text, size))
WRAP(int, -EIO, fd_replace_file_at, (int directory, const char *name, const void *data, size_t size, mode_t mode),
        (directory, name, data, size, mode))
WRAP(int, -EIO, nftables_get_generation, (int socket, uint32_t *generation), (socket, generation))
WRAP(int, -EIO, nftables_find_table, (int socket, uint8_t family, const char *name, const char *comment),
        (socket, family, name, comment))
WRAP(int, -EIO, nftables_count_rules, (int socket, uint8_t family, const char *name), (socket, family, name))
WRAP(int, -EIO, nftables_set_watching, (int watch, bool is_watching), (watch, is_watching))
WRAP(int, -EIO, netlink_each_link, (int socket, void *found, void *user), (socket, found, user))
WRAP(int, -EIO, netlink_each_address, (int socket, uint8_t family, void *found, void *user),
        (socket, family, found, user))
WRAP(int, -EIO, netlink_each_route, (int socket, uint8_t family, void *found, void *user),
        (socket, family, found, user))

static char *before;

static int set_up(void **state)
{
    (void)state;
    failing = 0;
    kills = false;
    is_done_first = false;
    (void)world_new();
    before = world_snapshot();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    failing = 0;
    world_free();
    free(before);
    return 0;
}

static void assert_as_before(int prefix)
{
    char *after = world_snapshot();
    if (strcmp(before, after) != 0) {
        world_print_difference(before, after);
        fail_msg("step %u: the host is not as before", failing);
    }
    free(after);
    if (faccessat(prefix, "network", F_OK, 0) == 0)
        fail_msg("step %u: the file is left", failing);
}

static int take(struct network *network, uint32_t *ret_port)
{
    struct error error = {0};
    struct plan_network plan;
    int socket = -EBADF;
    int r = network_take(network, ret_port, &plan, &socket, &error);
    if (r == 0)
        (void)close(socket);
    else if (error.code != -r || error.text[0] == '\0')
        fail_msg("step %u: an error without a text", failing);
    return r;
}

/* Reads the error of one step and goes on to the next until none fails. */
static void test_each_step_of_taking_fails(void **state)
{
    (void)state;
    unsigned failed = 0;
    for (int after = 0; after < 2; after++) {
        for (unsigned step = 1; step < STEPS_MAX; step++) {
            uint32_t port;
            _cleanup_close_ int prefix = world_new_prefix();
            struct network *network = world_open_network(prefix, "");
            is_done_first = after;
            failing = step;
            steps = 0;
            int r = take(network, &port);
            bool is_over = steps < step;
            failing = 0;
            if (r < 0) {
                failed++;
                failing = step;
                assert_as_before(prefix);
                failing = 0;
            } else {
                assert_true(network_give(network, port));
            }
            network_done(network);
            assert_as_before(prefix);
            world_free_prefix();
            if (is_over)
                break;
            assert_true(step + 1 < STEPS_MAX);
        }
    }
    print_message("%u steps failed\n", failed);
    assert_true(failed > 20);
}

static void test_each_step_of_removing_fails(void **state)
{
    (void)state;
    for (int after = 0; after < 2; after++) {
        for (unsigned step = 1; step < STEPS_MAX; step++) {
            uint32_t port;
            _cleanup_close_ int prefix = world_new_prefix();
            struct network *network = world_open_network(prefix, "");
            assert_int_equal(take(network, &port), 0);
            assert_true(network_give(network, port));
            is_done_first = after;
            failing = step;
            steps = 0;
            struct error error = {0};
            int r = network_idle(network, &error);
            bool is_over = steps < step;
            failing = 0;
            if (r < 0)
                assert_true(error.code == -r && error.text[0] != '\0');
            else
                assert_as_before(prefix);
            /* The next time, or the next build and the time after it. */
            if (step % 2 == 0) {
                assert_int_equal(take(network, &port), 0);
                assert_true(network_give(network, port));
            }
            network_done(network);
            failing = step;
            assert_as_before(prefix);
            failing = 0;
            world_free_prefix();
            if (is_over)
                break;
            assert_true(step + 1 < STEPS_MAX);
        }
    }
}

/* Everything up to being idle again, in a process that is killed at one step. True when it was. */
static bool is_killed_at(int prefix, unsigned step)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        uint32_t port;
        struct network *network = world_open_network(prefix, "");
        kills = true;
        failing = step;
        steps = 0;
        if (take(network, &port) < 0 || !network_give(network, port))
            _exit(1);
        _exit(network_idle(network, NULL) < 0 ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void test_killed_at_each_step(void **state)
{
    (void)state;
    unsigned killed = 0;
    for (int after = 0; after < 2; after++) {
        bool is_over = false;
        for (unsigned step = 1; !is_over; step++) {
            struct error error = {0};
            _cleanup_close_ int prefix = world_new_prefix();
            is_done_first = after;
            is_over = !is_killed_at(prefix, step);
            killed += !is_over;
            struct network *network = world_open_network(prefix, "");
            if (network_reconcile(network, &error) < 0)
                fail_msg("step %u: %s", step, error.text);
            failing = step;
            assert_as_before(prefix);
            failing = 0;
            network_done(network);
            world_free_prefix();
        }
    }
    print_message("killed %u times\n", killed);
    assert_true(killed > 60);
}

int main(void)
{
#define STEP_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            STEP_TEST(test_each_step_of_taking_fails),
            STEP_TEST(test_each_step_of_removing_fails),
            STEP_TEST(test_killed_at_each_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
