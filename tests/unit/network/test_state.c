/* What was changed on the host, as it is written down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "network/state.h"

static void test_written_and_read_back(void **state)
{
    (void)state;
    char path[] = "/tmp/test-state-XXXXXX";
    assert_non_null(mkdtemp(path));
    _cleanup_close_ int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct error error = {0};
    struct state read;
    const struct state written = {.network = {0x0a010200, 24}, .switched = "eth0 wlan0"};
    const struct state plain = {.network = {0x0a010200, 30}};
    assert_int_equal(state_read(directory, "joblet 8:1:2", &read, &error), -ENOENT);
    assert_int_equal(state_write(directory, "joblet 8:1:2", &written, &error), 0);
    assert_int_equal(state_read(directory, "joblet 8:1:2", &read, &error), 0);
    assert_memory_equal(&read, &written, sizeof(read));
    assert_int_equal(state_read(directory, "joblet 8:1:3", &read, &error), -ENOENT);
    assert_int_equal(state_write(directory, "joblet 8:1:2", &plain, &error), 0);
    assert_int_equal(state_read(directory, "joblet 8:1:2", &read, &error), 0);
    assert_memory_equal(&read, &plain, sizeof(read));

    _cleanup_free_ char *text = NULL;
    size_t size;
    assert_int_equal(fd_read_file_at(directory, STATE_FILE, 1024, &text, &size), 0);
    /* Cut anywhere, or of another boot: never half of it. */
    for (size_t cut = 0; cut + 1 < size; cut++) {
        assert_int_equal(fd_replace_file_at(directory, STATE_FILE, text, cut, 0600), 0);
        assert_true(state_read(directory, "joblet 8:1:2", &read, &error) < 0);
    }
    char *boot = strstr(text, "boot ");
    boot[5] = boot[5] == '0' ? '1' : '0';
    assert_int_equal(fd_replace_file_at(directory, STATE_FILE, text, size, 0600), 0);
    assert_int_equal(state_read(directory, "joblet 8:1:2", &read, &error), -ENOENT);
    state_remove(directory);
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_written_and_read_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
