/* What opening makes of every state that a kill, a power loss or somebody else can leave behind. */
#include "fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "audit/scan.h"

/* The offset of the line @number (from 1) of @text. */
static size_t line_offset(const char *text, unsigned number)
{
    const char *at = text;
    while (--number > 0)
        at = strchr(at, '\n') + 1;
    return (size_t)(at - text);
}

static struct audit_opened reopen(struct fixture *fixture, uint64_t last)
{
    struct audit_opened opened;
    struct audit_log *log = fixture_open(fixture, &opened);
    assert_int_equal(audit_log_last(log), last);
    if (opened.damage.code != 0)
        assert_int_equal(audit_log_tell(log, "joblet", &opened, NULL), 0);
    else
        fixture_append(log, 1);
    fixture_flush(log);
    audit_log_close(log);
    return opened;
}

static void assert_right(const struct fixture *fixture, uint64_t last)
{
    struct audit_verdict *verdict = calloc(1, sizeof(*verdict));
    assert_non_null(verdict);
    fixture_verify(fixture, verdict);
    if (verdict->count > 0)
        fail_msg("%s:%" PRIu64 ": %s", verdict->problems[0].file, verdict->problems[0].line, verdict->problems[0].text);
    assert_int_equal(verdict->last, last);
    assert_int_equal(verdict->sealed, last);
    free(verdict);
}

static void test_first_start(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    struct audit_opened opened = reopen(fixture, 0);
    assert_int_equal(opened.damage.code, 0);
    assert_int_equal(fstatat(fixture->prefix_fd, AUDIT_KEY_FILE, &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_right(fixture, 1);
    opened = reopen(fixture, 1);
    assert_int_equal(opened.damage.code, 0);
    assert_int_equal(opened.uncovered + opened.cut_bytes, 0);
    assert_right(fixture, 2);
}

static void test_one_writer(void **state)
{
    struct fixture *fixture = *state;
    struct audit_opened opened;
    struct audit_log *second = NULL;
    struct error error = {0};
    struct audit_log *log = fixture_open(fixture, &opened);
    assert_int_equal(audit_log_open(fixture->prefix_fd, &fixture->options, &second, &opened, &error), -EBUSY);
    audit_log_close(log);
}

static void open_and_close(struct fixture *fixture)
{
    struct audit_opened opened;
    audit_log_close(fixture_open(fixture, &opened));
    assert_int_equal(opened.damage.code, 0);
}

/* Killed after the key, after its public half, and after the first head. */
static void test_killed_between_head_and_key(void **state)
{
    struct fixture *fixture = *state;
    open_and_close(fixture);
    /* After the key. */
    assert_int_equal(unlinkat(fixture->dir_fd, FIRST_FILE, 0), 0);
    open_and_close(fixture);
    /* After the public half. */
    assert_int_equal(unlinkat(fixture->dir_fd, FIRST_FILE, 0), 0);
    assert_int_equal(unlinkat(fixture->prefix_fd, AUDIT_KEY_FILE, 0), 0);
    open_and_close(fixture);
    /* After the first head. */
    assert_int_equal(unlinkat(fixture->dir_fd, FIRST_FILE, 0), 0);
    assert_int_equal(unlinkat(fixture->prefix_fd, AUDIT_KEY_FILE, 0), 0);
    assert_int_equal(unlinkat(fixture->prefix_fd, AUDIT_PUBLIC_FILE, 0), 0);
    struct audit_opened opened = reopen(fixture, 0);
    assert_int_equal(opened.damage.code, 0);
    assert_right(fixture, 1);
}

/* The log is cut and its head removed. */
static void test_no_head(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    fixture_fill(fixture, 5, 0);
    char *text = fixture_read(fixture, FIRST_FILE, &size);
    fixture_write(fixture, FIRST_FILE, text, line_offset(text, 3));
    free(text);
    assert_int_equal(unlinkat(fixture->dir_fd, AUDIT_HEAD_FILE, 0), 0);
    struct audit_opened opened = reopen(fixture, 0);
    assert_int_not_equal(opened.damage.code, 0);
    assert_int_equal(fixture_count(fixture, AUDIT_DAMAGED), 2);
    struct audit_verdict *verdict = calloc(1, sizeof(*verdict));
    assert_non_null(verdict);
    fixture_verify(fixture, verdict);
    assert_int_equal(verdict->count, 2);
    free(verdict);
}

/* All of the log is removed, but for the key. */
/* shows: OWASP D10, Checklist 6 */
static void test_no_log(void **state)
{
    struct fixture *fixture = *state;
    fixture_fill(fixture, 3, 0);
    assert_int_equal(unlinkat(fixture->dir_fd, AUDIT_HEAD_FILE, 0), 0);
    assert_int_equal(unlinkat(fixture->dir_fd, FIRST_FILE, 0), 0);
    struct audit_opened opened = reopen(fixture, 0);
    assert_int_not_equal(opened.damage.code, 0);
    assert_int_equal(fixture_count(fixture, AUDIT_DAMAGED), 1);
}

static void assert_no_key(struct fixture *fixture)
{
    struct audit_log *log = NULL;
    struct audit_opened opened;
    struct error error = {0};
    struct stat status;
    assert_int_equal(audit_log_open(fixture->prefix_fd, &fixture->options, &log, &opened, &error), -ENOKEY);
    assert_non_null(strstr(error.text, AUDIT_KEY_FILE));
    assert_int_equal(fstatat(fixture->prefix_fd, AUDIT_KEY_FILE, &status, 0), -1);
}

static void test_no_key(void **state)
{
    struct fixture *fixture = *state;
    fixture_fill(fixture, 3, 0);
    assert_int_equal(unlinkat(fixture->prefix_fd, AUDIT_KEY_FILE, 0), 0);
    assert_no_key(fixture);
    assert_int_equal(unlinkat(fixture->prefix_fd, AUDIT_PUBLIC_FILE, 0), 0);
    assert_no_key(fixture);
    assert_int_equal(unlinkat(fixture->dir_fd, AUDIT_HEAD_FILE, 0), 0);
    assert_no_key(fixture);
}

/* A head of another key, half a head, an empty one. */
static void test_bad_head(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    fixture_fill(fixture, 3, 0);
    char *head = fixture_read(fixture, AUDIT_HEAD_FILE, &size);
    head[size - 10] ^= 1;
    fixture_write(fixture, AUDIT_HEAD_FILE, head, size);
    free(head);
    struct audit_opened opened = reopen(fixture, 0);
    assert_int_not_equal(opened.damage.code, 0);
    fixture_write(fixture, AUDIT_HEAD_FILE, "", 0);
    opened = reopen(fixture, 0);
    assert_int_not_equal(opened.damage.code, 0);
    assert_int_equal(fixture_count(fixture, "head" AUDIT_DAMAGED), 2);
}

/* Three records with a head, two without; then a cut at each byte of those two. */
static void test_cut_at_each_byte(void **state)
{
    struct fixture *fixture = *state;
    struct audit_opened opened;
    size_t size;
    size_t head_size;
    struct audit_log *log = fixture_open(fixture, &opened);
    fixture_append(log, 3);
    fixture_flush(log);
    fixture_append(log, 2);
    audit_log_close(log);
    char *text = fixture_read(fixture, FIRST_FILE, &size);
    char *head = fixture_read(fixture, AUDIT_HEAD_FILE, &head_size);
    const size_t fourth = line_offset(text, 4);
    const size_t fifth = line_offset(text, 5);
    for (size_t cut = fourth; cut <= size; cut++) {
        fixture_write(fixture, FIRST_FILE, text, cut);
        fixture_write(fixture, AUDIT_HEAD_FILE, head, head_size);
        const uint64_t whole = cut == size ? 2 : cut >= fifth ? 1 : 0;
        const size_t rest = cut - (cut == size ? size : cut >= fifth ? fifth : fourth);
        log = fixture_open(fixture, &opened);
        assert_int_equal(opened.damage.code, 0);
        assert_int_equal(opened.uncovered, whole);
        assert_int_equal(opened.cut_bytes, rest);
        assert_int_equal(audit_log_last(log), 3 + whole);
        audit_log_close(log);
    }
    assert_int_equal(reopen(fixture, 5).damage.code, 0);
    assert_right(fixture, 6);
    assert_int_equal(fixture_count(fixture, AUDIT_DAMAGED), 0);
    free(text);
    free(head);
}

/* Before the record of the head a cut is damage, at each byte. */
static void test_cut_of_covered(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    size_t head_size;
    fixture_fill(fixture, 3, 0);
    char *text = fixture_read(fixture, FIRST_FILE, &size);
    char *head = fixture_read(fixture, AUDIT_HEAD_FILE, &head_size);
    for (size_t cut = line_offset(text, 3); cut < size; cut++) {
        struct audit_opened opened;
        fixture_write(fixture, FIRST_FILE, text, cut);
        struct audit_log *log = fixture_open(fixture, &opened);
        assert_int_not_equal(opened.damage.code, 0);
        assert_int_equal(audit_log_last(log), 3);
        audit_log_close(log);
        assert_int_equal(unlinkat(fixture->dir_fd, "00000000000000000004.jsonl", 0), 0);
    }
    free(text);
    free(head);
}

/* Zeros, and behind them what reached the disk earlier. */
static void test_zeros_at_the_end(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    fixture_fill(fixture, 2, 0);
    char *text = fixture_read(fixture, FIRST_FILE, &size);
    char *more = calloc(1, 65536);
    assert_non_null(more);
    memcpy(more, text, size);
    fixture_write(fixture, FIRST_FILE, more, size + 4096);
    struct audit_opened opened = reopen(fixture, 2);
    assert_int_equal(opened.damage.code, 0);
    assert_int_equal(opened.cut_bytes, 4096);
    free(text);
    text = fixture_read(fixture, FIRST_FILE, &size);
    memset(more, 0, 8192);
    memcpy(more, text, size);
    memcpy(more + size + 512, "half a record}\n", 15);
    fixture_write(fixture, FIRST_FILE, more, size + 512 + 15);
    opened = reopen(fixture, 3);
    assert_int_equal(opened.damage.code, 0);
    assert_int_equal(opened.cut_bytes, 512 + 15);
    assert_right(fixture, 4);
    free(text);
    free(more);
}

/* A whole line behind the head that does not fit was written by somebody else. */
static void test_forged_line(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    fixture_fill(fixture, 2, 0);
    char *text = fixture_read(fixture, FIRST_FILE, &size);
    char *more = calloc(1, 2 * size);
    assert_non_null(more);
    memcpy(more, text, size);
    memcpy(more + size, text, size); /* doubled */
    fixture_write(fixture, FIRST_FILE, more, 2 * size);
    struct audit_opened opened = reopen(fixture, 2);
    assert_int_equal(opened.damage.code, EBADMSG);
    assert_non_null(strstr(opened.damage.text, "'" FIRST_FILE "', line 3"));
    assert_int_equal(opened.cut_bytes, 0);
    assert_int_equal(fixture_count(fixture, FIRST_FILE AUDIT_DAMAGED), 1);
    free(text);
    /* What was put aside is all of it, and the log itself is right. */
    DIR *directory = fdopendir(openat(fixture->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const struct dirent *entry;
    while ((entry = readdir(directory)) && !strstr(entry->d_name, AUDIT_DAMAGED))
        ;
    assert_non_null(entry);
    text = fixture_read(fixture, entry->d_name, &size);
    assert_memory_equal(text, more, size);
    assert_int_equal(unlinkat(fixture->dir_fd, entry->d_name, 0), 0);
    (void)closedir(directory);
    assert_right(fixture, 3);
    free(text);
    free(more);
}

static void change(struct fixture *fixture, const char *name, unsigned line)
{
    size_t size;
    char *text = fixture_read(fixture, name, &size);
    *strstr(text + line_offset(text, line), "developer") = 'D';
    fixture_write(fixture, name, text, size);
    free(text);
}

/* Until it stands in a record, each start tells it, though nothing of it is left in the log; and a second one, too. */
static void test_damage_is_told_until_it_is_recorded(void **state)
{
    struct fixture *fixture = *state;
    struct audit_opened opened;
    struct error error = {0};
    struct rlimit old;
    fixture_fill(fixture, 3, 0);
    change(fixture, FIRST_FILE, 2);
    for (unsigned i = 0; i < 3; i++) {
        struct audit_log *log = fixture_open(fixture, &opened);
        assert_int_equal(opened.damage.code, EBADMSG);
        assert_non_null(strstr(opened.damage.text, "'" FIRST_FILE "', line 2"));
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        const struct rlimit low = {50, old.rlim_max};
        void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        int r = audit_log_tell(log, "joblet", &opened, &error);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        (void)signal(SIGXFSZ, handler);
        assert_int_equal(r, -EFBIG);
        audit_log_close(log);
        struct audit_verdict *verdict = calloc(1, sizeof(*verdict));
        assert_non_null(verdict);
        fixture_verify(fixture, verdict);
        assert_string_equal(verdict->problems[verdict->count - 1].file, "tampered");
        free(verdict);
    }
    fixture_write(fixture, AUDIT_HEAD_FILE, "", 0);
    opened = reopen(fixture, 0);
    assert_non_null(strstr(opened.damage.text, "'" FIRST_FILE "', line 2"));
    assert_non_null(strstr(opened.damage.text, "; "));
    assert_int_equal(fixture_count(fixture, "tampered"), 0);
    opened = reopen(fixture, 1);
    assert_int_equal(opened.damage.code, 0);
}

/* What cannot be noted is left as it is. */
static void test_damage_that_cannot_be_noted(void **state)
{
    struct fixture *fixture = *state;
    struct audit_log *log = NULL;
    struct audit_opened opened;
    struct error error = {0};
    fixture_fill(fixture, 3, 0);
    fixture_write(fixture, AUDIT_HEAD_FILE, "", 0);
    assert_int_equal(mkdirat(fixture->dir_fd, ".tampered", 0700), 0);
    assert_int_equal(audit_log_open(fixture->prefix_fd, &fixture->options, &log, &opened, &error), -EISDIR);
    assert_non_null(strstr(error.text, "note that the audit log is damaged"));
    assert_int_equal(fixture_count(fixture, AUDIT_DAMAGED), 0);
    assert_int_equal(fixture_count(fixture, ".jsonl"), 1);
    assert_int_equal(unlinkat(fixture->dir_fd, ".tampered", AT_REMOVEDIR), 0);
    assert_int_not_equal(reopen(fixture, 0).damage.code, 0);
    assert_int_equal(fixture_count(fixture, AUDIT_DAMAGED), 2);
}

/* A later file that does not follow is put aside, and said. */
static void test_gap_behind_the_head(void **state)
{
    struct fixture *fixture = *state;
    fixture_fill(fixture, 2, 0);
    fixture_write(fixture, "00000000000000000009.jsonl", "", 0);
    struct audit_opened opened = reopen(fixture, 2);
    assert_int_equal(opened.damage.code, EBADMSG);
    assert_int_equal(fixture_count(fixture, "9.jsonl" AUDIT_DAMAGED), 1);
}

static void test_rotation(void **state)
{
    struct fixture *fixture = *state;
    struct audit_opened opened;
    fixture_fill(fixture, 10, 2);
    assert_int_equal(fixture_count(fixture, ".jsonl"), 5);
    assert_right(fixture, 10);
    /* Killed with a new file and nothing in it. */
    fixture_write(fixture, "00000000000000000011.jsonl", "", 0);
    opened = reopen(fixture, 10);
    assert_int_equal(opened.damage.code, 0);
    assert_right(fixture, 11);
}

/* Nothing begins a new file before the old one is on the disk, but a log that never rests does. */
static void test_rotation_waits(void **state)
{
    struct fixture *fixture = *state;
    struct audit_opened opened;
    fixture->options.file_bytes = 1000;
    struct audit_log *log = fixture_open(fixture, &opened);
    while (fixture_count(fixture, ".jsonl") == 1) {
        assert_true(audit_log_last(log) < 20);
        fixture_append(log, 1);
    }
    size_t size;
    free(fixture_read(fixture, FIRST_FILE, &size));
    assert_true(size >= 2000);
    fixture_flush(log);
    const uint64_t last = audit_log_last(log);
    audit_log_close(log);
    assert_right(fixture, last);
}

/* The oldest files go once the record of it is on the disk. */
static void test_giving_up(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.keep_files = 2;
    fixture_fill(fixture, 12, 2);
    assert_true(fixture_count(fixture, ".jsonl") <= 3);
    assert_int_equal(fixture_count(fixture, FIRST_FILE), 0);
    struct audit_verdict *verdict = calloc(1, sizeof(*verdict));
    assert_non_null(verdict);
    fixture_verify(fixture, verdict);
    assert_int_equal(verdict->count, 0);
    assert_true(verdict->first > 1);
    free(verdict);
}

/* No room for half of a line: it is taken back, the record is refused, and the next one follows. */
static void test_no_room(void **state)
{
    struct fixture *fixture = *state;
    static const char facts[] = "action\0job.run\0result\0ok";
    struct audit_opened opened;
    struct error error = {0};
    struct rlimit old;
    size_t size;
    struct audit_log *log = fixture_open(fixture, &opened);
    fixture_append(log, 2);
    free(fixture_read(fixture, FIRST_FILE, &size));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    const struct rlimit low = {size + 50, old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    int r = audit_log_append(log, "joblet", facts, sizeof(facts), &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(r, -EFBIG);
    assert_int_equal(audit_log_last(log), 2);
    fixture_append(log, 1);
    fixture_flush(log);
    audit_log_close(log);
    assert_right(fixture, 3);
}

/* A file that is cut while it is read. */
static void test_cut_while_read(void **state)
{
    struct fixture *fixture = *state;
    struct audit_scan scan;
    struct audit_position position = {0};
    struct error error = {0};
    fixture_fill(fixture, 5, 0);
    assert_int_equal(audit_scan_open(fixture->dir_fd, FIRST_FILE, &scan, &error), 0);
    fixture_write(fixture, FIRST_FILE, "", 0);
    while (audit_scan_follow(&scan, &position, NULL, &error) == 0)
        ;
    assert_int_equal(position.sequence, 5);
    audit_scan_done(&scan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_first_start, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_one_writer, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_killed_between_head_and_key, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_no_head, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_no_log, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_no_key, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_bad_head, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_cut_at_each_byte, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_cut_of_covered, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_zeros_at_the_end, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_forged_line, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(
                    test_damage_is_told_until_it_is_recorded, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_damage_that_cannot_be_noted, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_gap_behind_the_head, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_rotation, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_rotation_waits, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_giving_up, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_no_room, fixture_set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_cut_while_read, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
