#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "rnx/build_view.h"

static void test_cut(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int columns;
        const char *cut;
    } cuts[] = {
            {"abc", 3, "abc"},
            {"abc", 2, "ab"},
            {"abc", 0, ""},
            {"abc", -1, ""},
            {"", 5, ""},
            {"\xe6\xbc\xa2\xe5\xad\x97", 4, "\xe6\xbc\xa2\xe5\xad\x97"},
            {"\xe6\xbc\xa2\xe5\xad\x97", 3, "\xe6\xbc\xa2"},
            {"a\xc3\xbc", 2, "a"},
            {"a\xc3\xbc", 3, "a\xc3\xbc"},
    };
    for (size_t i = 0; i < ELEMENTS(cuts); i++) {
        char cut[16];
        build_view_cut(cuts[i].text, cuts[i].columns, cut, sizeof(cut));
        assert_string_equal(cut, cuts[i].cut);
    }
}

/* A buffer that is too small ends before a character, never within one. */
static void test_cut_at_the_buffer(void **state)
{
    (void)state;
    char cut[6];
    build_view_cut("abcdefgh", 99, cut, sizeof(cut));
    assert_string_equal(cut, "abcde");
    build_view_cut("ab\xe6\xbc\xa2\xe5\xad\x97", 99, cut, sizeof(cut));
    assert_string_equal(cut, "ab\xe6\xbc\xa2");
    build_view_cut("abc\xe6\xbc\xa2", 99, cut, sizeof(cut));
    assert_string_equal(cut, "abc");
}

static void test_elapsed(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *shown;
    } times[] = {{0, "0s"}, {59, "59s"}, {60, "1m00s"}, {65, "1m05s"}, {3599, "59m59s"}, {3600, "1h00m00s"},
            {3725, "1h02m05s"}, {360000, "100h00m00s"}};
    for (size_t i = 0; i < ELEMENTS(times); i++) {
        char shown[BUILD_VIEW_ELAPSED_MAX];
        build_view_format_elapsed(times[i].seconds * 1000000000 + 999999999, shown);
        assert_string_equal(shown, times[i].shown);
    }
}

/* What @view writes to a pipe. */
struct written {
    int reader;
    int writer;
    char text[65536];
};

static void pipe_open(struct written *written)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    *written = (struct written){.reader = fds[0], .writer = fds[1]};
}

static const char *pipe_read(struct written *written)
{
    ssize_t size = read(written->reader, written->text, sizeof(written->text) - 1);
    written->text[size > 0 ? size : 0] = '\0';
    return written->text;
}

static void pipe_close(struct written *written)
{
    written->reader = fd_close(written->reader);
    written->writer = fd_close(written->writer);
}

static void test_choose(void **state)
{
    (void)state;
    struct written written;
    pipe_open(&written);
    assert_int_equal(setenv("TERM", "xterm", 1), 0);
    assert_int_equal(build_view_choose(written.writer, /* json= */ true), BUILD_VIEW_NONE);
    assert_int_equal(build_view_choose(written.writer, /* json= */ false), BUILD_VIEW_PLAIN);
    int leader = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(leader >= 0);
    assert_int_equal(build_view_choose(leader, /* json= */ false), BUILD_VIEW_LIVE);
    assert_int_equal(build_view_choose(leader, /* json= */ true), BUILD_VIEW_NONE);
    assert_int_equal(setenv("TERM", "dumb", 1), 0);
    assert_int_equal(build_view_choose(leader, /* json= */ false), BUILD_VIEW_PLAIN);
    assert_int_equal(unsetenv("TERM"), 0);
    assert_int_equal(build_view_choose(leader, /* json= */ false), BUILD_VIEW_PLAIN);
    (void)close(leader);
    pipe_close(&written);
}

static void test_silent(void **state)
{
    (void)state;
    struct written written;
    struct build_view view;
    pipe_open(&written);
    build_view_init(&view, BUILD_VIEW_NONE, /* verbose= */ true, written.writer);
    assert_int_equal(build_view_phase(&view, 1, 14, "a", "b"), 0);
    assert_int_equal(build_view_log(&view, "error", "c"), 0);
    assert_int_equal(build_view_tick(&view), 0);
    assert_int_equal(build_view_end(&view, /* failed= */ true), 0);
    assert_string_equal(pipe_read(&written), "");
    build_view_done(&view);
    pipe_close(&written);
}

static void test_live(void **state)
{
    (void)state;
    struct written written;
    struct build_view view;
    pipe_open(&written);
    build_view_init(&view, BUILD_VIEW_LIVE, /* verbose= */ false, written.writer);
    /* Before the first phase there is nothing to say where it is. */
    assert_int_equal(build_view_log(&view, "info", "early"), 0);
    assert_int_equal(build_view_tick(&view), 0);
    assert_string_equal(pipe_read(&written), "");
    assert_int_equal(build_view_log(&view, "warn", "loud"), 0);
    assert_string_equal(pipe_read(&written), "[WARN] loud\n");
    assert_int_equal(build_view_phase(&view, 3, 14, "Check Disk Space", "9 GB"), 0);
    assert_string_equal(pipe_read(&written), "[3/14] Check Disk Space: 9 GB\n[3/14] Check Disk Space (0s) \033[K\r");
    /* Nothing new within the same second: no frame. */
    assert_int_equal(build_view_tick(&view), 0);
    assert_string_equal(pipe_read(&written), "");
    /* As if a second had passed. */
    view.start_ns -= 1000000000;
    view.drawn_ns -= 1000000000;
    assert_int_equal(build_view_tick(&view), 0);
    assert_string_equal(pipe_read(&written), "[3/14] Check Disk Space (1s) \033[K\r");
    /* As if the terminal had been wider: what it may have wrapped goes away first. */
    view.width = 200;
    assert_int_equal(build_view_tick(&view), 0);
    assert_string_equal(pipe_read(&written), "\r\033[J[3/14] Check Disk Space (1s) \033[K\r");
    assert_int_equal(build_view_end(&view, /* failed= */ true), 0);
    assert_string_equal(pipe_read(&written), "\r\033[J\nThe log's last lines:\n[INFO] early\n");
    build_view_done(&view);
    pipe_close(&written);
}

static void test_output_that_fails(void **state)
{
    (void)state;
    struct build_view view;
    _cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    build_view_init(&view, BUILD_VIEW_PLAIN, /* verbose= */ false, full);
    assert_int_equal(build_view_phase(&view, 1, 14, "a", "b"), -ENOSPC);
    assert_int_equal(build_view_log(&view, "info", "c"), -ENOSPC);
    build_view_done(&view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_cut),
            cmocka_unit_test(test_cut_at_the_buffer),
            cmocka_unit_test(test_elapsed),
            cmocka_unit_test(test_choose),
            cmocka_unit_test(test_silent),
            cmocka_unit_test(test_live),
            cmocka_unit_test(test_output_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
