/* The parts of the broker that need no root: the loop, and a job's files. Slots make user namespaces and are tried
 * where we may. */
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
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "broker/files.h"
#include "broker/loop.h"
#include "broker/slots.h"
#include "joblog/format.h"

/* --- the loop --- */

static struct loop *loop;
static char order[16];
static size_t order_used;

struct named_timer {
    struct loop_timer timer;
    char name;
};

static void on_due(struct loop_timer *timer)
{
    const struct named_timer *named = LOOP_OWNER(timer, struct named_timer, timer);
    order[order_used++] = named->name;
    if (named->name == 'z')
        loop_end(loop);
}

static void test_timers_fire_in_order(void **state)
{
    struct named_timer timers[] = {{.name = 'b'}, {.name = 'a'}, {.name = 'z'}, {.name = 'x'}, {.name = 'c'}};
    const uint64_t delays_ms[] = {4, 2, 12, 6, 8};
    (void)state;
    order_used = 0;
    assert_int_equal(loop_new(&loop), 0);
    for (size_t i = 0; i < ELEMENTS(timers); i++)
        loop_arm(loop, &timers[i].timer, delays_ms[i] * 1000000, on_due);
    loop_disarm(loop, &timers[3].timer);
    loop_disarm(loop, &timers[3].timer);
    loop_arm(loop, &timers[0].timer, 3000000, on_due); /* anew */
    assert_int_equal(loop_run(loop), 0);
    assert_memory_equal(order, "abcz", 4);
    loop_free(loop);
}

static struct loop_source sources[2];
static unsigned calls;

/* The first one called takes the other away: its event, fetched in the same turn, must not come. */
static void on_ready(struct loop_source *source, uint32_t events)
{
    (void)events;
    calls++;
    for (size_t i = 0; i < ELEMENTS(sources); i++)
        if (&sources[i] != source)
            (void)fd_close(loop_remove(loop, &sources[i]));
    (void)fd_close(loop_remove(loop, source));
    loop_end(loop);
}

static void test_removed_source_is_not_called(void **state)
{
    (void)state;
    calls = 0;
    assert_int_equal(loop_new(&loop), 0);
    for (size_t i = 0; i < ELEMENTS(sources); i++)
        assert_int_equal(loop_add(loop, &sources[i], eventfd(1, EFD_CLOEXEC), EPOLLIN, on_ready), 0);
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(calls, 1);
    assert_int_equal(loop_remove(loop, &sources[0]), -EBADF);
    loop_free(loop);
}

/* --- files --- */

static char directory[] = "/tmp/joblet-files-XXXXXX";
static int jobs_fd;

static int open_jobs(void **state)
{
    (void)state;
    memcpy(directory + sizeof(directory) - 7, "XXXXXX", 6);
    if (!mkdtemp(directory))
        return -1;
    jobs_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return jobs_fd < 0;
}

static int close_jobs(void **state)
{
    (void)state;
    (void)fd_close(jobs_fd);
    return rmdir(directory);
}

static void test_files_are_made_and_removed(void **state)
{
    struct files files;
    struct error error = {0};
    (void)state;
    assert_int_equal(files_make(jobs_fd, "id", getgid(), &files, &error), 0);
    files_close(&files);
    assert_int_equal(files_make(jobs_fd, "id", getgid(), &files, &error), -EEXIST);
    assert_int_equal(files_open(jobs_fd, "id", &files), 0);
    files_close(&files);
    assert_int_equal(files_remove(jobs_fd, "id"), 0);
    assert_int_equal(files_remove(jobs_fd, "id"), 0);
    assert_int_equal(files_open(jobs_fd, "id", &files), -ENOENT);
}

static void test_note_is_whole_or_refused(void **state)
{
    struct files files;
    struct run_note note = {.pid = 7, .id_base = 65536, .group = "job-x", .groups.count = 2};
    struct run_note read_back;
    (void)state;
    assert_int_equal(files_make(jobs_fd, "id", getgid(), &files, NULL), 0);
    files_close(&files);
    assert_int_equal(files_read_run(jobs_fd, "id", &read_back), -ENOENT);
    assert_int_equal(files_write_run(jobs_fd, "id", &note), 0);
    assert_int_equal(files_read_run(jobs_fd, "id", &read_back), 0);
    assert_memory_equal(&read_back, &note, sizeof(note));
    _cleanup_close_ int fd = openat(jobs_fd, "id/run", O_RDWR | O_CLOEXEC);
    for (off_t at = 0; at < (off_t)(8 + sizeof(note)); at += 97) {
        char byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_int_equal(files_read_run(jobs_fd, "id", &read_back), -EBADMSG);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_int_equal(files_read_run(jobs_fd, "id", &read_back), -EBADMSG);
    assert_int_equal(files_remove_run(jobs_fd, "id"), 0);
    assert_int_equal(files_remove_run(jobs_fd, "id"), 0);
    assert_int_equal(files_remove(jobs_fd, "id"), 0);
}

/* joblet can be killed, or the disk be full, in the middle of a write: the note of a running job is not lost. */
static void test_note_is_replaced_as_a_whole(void **state)
{
    struct files files;
    struct run_note note = {.pid = 7, .group = "job-x"};
    struct run_note read_back;
    struct rlimit before;
    (void)state;
    assert_true(sizeof(note) > 4096);
    assert_int_equal(files_make(jobs_fd, "id", getgid(), &files, NULL), 0);
    files_close(&files);
    assert_int_equal(files_write_run(jobs_fd, "id", &note), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit cut = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &cut), 0);
    struct run_note changed = note;
    changed.stop_wanted = 1;
    assert_int_equal(files_write_run(jobs_fd, "id", &changed), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(files_read_run(jobs_fd, "id", &read_back), 0);
    assert_memory_equal(&read_back, &note, sizeof(note));
    assert_int_equal(files_write_run(jobs_fd, "id", &changed), 0);
    assert_int_equal(files_read_run(jobs_fd, "id", &read_back), 0);
    assert_memory_equal(&read_back, &changed, sizeof(note));
    assert_int_equal(files_remove(jobs_fd, "id"), 0);
}

/* What a joblet that was killed leaves of a job that it was making or removing. */
static void test_halves_are_tidied(void **state)
{
    struct files files;
    (void)state;
    assert_int_equal(mkdirat(jobs_fd, "id.new", 0700), 0);
    assert_int_equal(mknodat(jobs_fd, "id.new/log", S_IFREG | 0600, 0), 0);
    files_tidy(jobs_fd, "id.new");
    assert_int_equal(faccessat(jobs_fd, "id.new", F_OK, 0), -1);
    assert_int_equal(files_make(jobs_fd, "id", getgid(), &files, NULL), 0);
    files_close(&files);
    assert_int_equal(renameat(jobs_fd, "id", jobs_fd, "id.old"), 0);
    assert_int_equal(files_make(jobs_fd, "id", getgid(), &files, NULL), 0);
    files_close(&files);
    files_tidy(jobs_fd, "id");
    assert_int_equal(files_open(jobs_fd, "id", &files), 0);
    files_close(&files);
    assert_int_equal(files_remove(jobs_fd, "id"), 0);
    assert_int_equal(faccessat(jobs_fd, "id.old", F_OK, 0), -1);
}

static struct joblog_entry read_entry(const struct files *files, unsigned number)
{
    struct joblog_entry entry;
    assert_int_equal(pread(files->index_fd, &entry, sizeof(entry), (off_t)(number * sizeof(entry))), sizeof(entry));
    return entry;
}

/* joblet-init wrote "told" with its entry, then "untold" without, and half an entry; two pipes are not empty. */
static void test_drain_finishes_a_cut_log(void **state)
{
    struct files files;
    int out[2];
    int err[2];
    char log[64] = "";
    uint64_t left_out = 0;
    const struct joblog_entry told = {.offset = 0, .size = 4, .stream = JOBLOG_STREAM_STDOUT, .unix_ns = 1};
    (void)state;
    assert_int_equal(files_make(jobs_fd, "id", getgid(), &files, NULL), 0);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(pipe(err), 0);
    assert_int_equal(fd_pwrite_all(files.log_fd, "tolduntold", 10, 0), 0);
    assert_int_equal(fd_pwrite_all(files.index_fd, &told, sizeof(told), 0), 0);
    assert_int_equal(fd_pwrite_all(files.index_fd, &told, 7, sizeof(told)), 0);
    assert_int_equal(fd_write_all(out[1], "OUT", 3), 0);
    assert_int_equal(fd_write_all(err[1], "ERRORS", 6), 0);
    (void)fd_close(err[1]); /* of one the writer is gone, of the other it is there and silent */

    assert_int_equal(files_drain(&files, out[0], JOBLOG_STREAM_STDOUT, 15, &left_out), 0);
    assert_int_equal(files_drain(&files, err[0], JOBLOG_STREAM_STDERR, 15, &left_out), 0);
    assert_int_equal(pread(files.log_fd, log, sizeof(log), 0), 15);
    assert_string_equal(log, "tolduntoldOUTER");
    assert_int_equal(left_out, 4);
    const struct joblog_entry expected[] = {
            told, {4, 6, JOBLOG_STREAM_UNKNOWN, 0}, {10, 3, JOBLOG_STREAM_STDOUT, 0}, {13, 2, JOBLOG_STREAM_STDERR, 0}};
    for (unsigned i = 0; i < ELEMENTS(expected); i++) {
        struct joblog_entry entry = read_entry(&files, i);
        assert_int_equal(entry.offset, expected[i].offset);
        assert_int_equal(entry.size, expected[i].size);
        assert_int_equal(entry.stream, expected[i].stream);
    }
    assert_int_equal(lseek(files.index_fd, 0, SEEK_END), 4 * sizeof(struct joblog_entry));
    (void)fd_close(out[0]);
    (void)fd_close(out[1]);
    (void)fd_close(err[0]);
    files_close(&files);
    assert_int_equal(files_remove(jobs_fd, "id"), 0);
}

/* --- slots --- */

static void test_slots_are_lent_once(void **state)
{
    struct slots *slots;
    struct slot one;
    struct slot two;
    struct slot three;
    uint32_t index;
    struct error error = {0};
    (void)state;
    if (geteuid() != 0) {
        print_message("SKIP: user namespaces with foreign maps need root\n");
        skip();
    }
    assert_int_equal(slots_new(0x70000000, 4, 3, 0x7f000000, &slots), 0);
    assert_int_equal(slots_capacity(slots), 3);
    assert_int_equal(slots_adopt(slots, 0x70000000 + 65536, &index), 0);
    assert_int_equal(slots_adopt(slots, 0x70000000 + 65536, &index), -EBUSY);
    assert_int_equal(slots_adopt(slots, 0x70000000 + 1, &index), -ENOENT);
    assert_int_equal(slots_adopt(slots, 0x70000000 + 4 * 65536, &index), -ENOENT);
    assert_int_equal(slots_adopt(slots, 65536, &index), -ENOENT);
    assert_int_equal(slots_take(slots, &one, &error), 0);
    assert_int_equal(slots_take(slots, &two, &error), 0);
    assert_int_not_equal(one.base, two.base);
    assert_true(one.index != index && two.index != index);
    assert_int_equal(slots_take(slots, &three, &error), -EAGAIN);
    slots_give(slots, one.index);
    assert_int_equal(slots_take(slots, &three, &error), 0);
    assert_int_equal(three.base, one.base);
    assert_int_equal(three.generation, one.generation + 1);
    assert_int_equal(three.join_fd, one.join_fd);
    slots_free(slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_timers_fire_in_order),
            cmocka_unit_test(test_removed_source_is_not_called),
            cmocka_unit_test_setup_teardown(test_files_are_made_and_removed, open_jobs, close_jobs),
            cmocka_unit_test_setup_teardown(test_note_is_whole_or_refused, open_jobs, close_jobs),
            cmocka_unit_test_setup_teardown(test_note_is_replaced_as_a_whole, open_jobs, close_jobs),
            cmocka_unit_test_setup_teardown(test_halves_are_tidied, open_jobs, close_jobs),
            cmocka_unit_test_setup_teardown(test_drain_finishes_a_cut_log, open_jobs, close_jobs),
            cmocka_unit_test(test_slots_are_lent_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
