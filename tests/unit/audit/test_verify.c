/* Each kind of tampering is found, with file and line; records by hand against fixed vectors. */
#include "fixture.h"

#include "audit/key.h"
#include "audit/reader.h"

#define SECOND_FILE "00000000000000000004.jsonl"
#define THIRD_FILE "00000000000000000007.jsonl"

/* Nine records in three files. */
static int set_up(void **state)
{
    int r = fixture_set_up(state);
    if (r == 0)
        fixture_fill(*state, 9, 3);
    return r;
}

static struct audit_verdict *verify(const struct fixture *fixture)
{
    struct audit_verdict *verdict = calloc(1, sizeof(*verdict));
    assert_non_null(verdict);
    fixture_verify(fixture, verdict);
    return verdict;
}

static void assert_found(const struct fixture *fixture, const char *file, uint64_t line, const char *text)
{
    struct audit_verdict *verdict = verify(fixture);
    for (uint32_t i = 0; i < verdict->count; i++) {
        const struct audit_problem *problem = &verdict->problems[i];
        if (strcmp(problem->file, file) == 0 && problem->line == line && strstr(problem->text, text)) {
            free(verdict);
            return;
        }
    }
    for (uint32_t i = 0; i < verdict->count; i++)
        print_message("%s:%" PRIu64 ": %s\n", verdict->problems[i].file, verdict->problems[i].line,
                verdict->problems[i].text);
    free(verdict);
    fail_msg("not found: %s:%" PRIu64 ": %s", file, line, text);
}

static char *line_at(char *text, unsigned number)
{
    while (--number > 0)
        text = strchr(text, '\n') + 1;
    return text;
}

static size_t line_size(const char *line)
{
    return (size_t)(strchr(line, '\n') + 1 - line);
}

static void test_untouched(void **state)
{
    struct audit_verdict *verdict = verify(*state);
    assert_int_equal(verdict->count, 0);
    assert_int_equal(verdict->records, 9);
    assert_int_equal(verdict->files, 3);
    assert_int_equal(verdict->sealed, 9);
    free(verdict);
}

/* shows: NIST 4.5.4, OWASP D10 */
static void test_changed(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    char *text = fixture_read(fixture, SECOND_FILE, &size);
    char *user = strstr(line_at(text, 2), "developer");
    memcpy(user, "devel0per", 9);
    fixture_write(fixture, SECOND_FILE, text, size);
    assert_found(fixture, SECOND_FILE, 2, "was changed");
    free(text);
}

static void test_missing_line(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    char *text = fixture_read(fixture, SECOND_FILE, &size);
    char *second = line_at(text, 2);
    size_t gone = line_size(second);
    memmove(second, second + gone, size - (size_t)(second - text) - gone);
    fixture_write(fixture, SECOND_FILE, text, size - gone);
    assert_found(fixture, SECOND_FILE, 2, "record 6 stands where record 5 belongs");
    free(text);
}

static void test_reordered(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    char *text = fixture_read(fixture, SECOND_FILE, &size);
    char *other = malloc(size);
    assert_non_null(other);
    size_t first = line_size(text);
    size_t second = line_size(text + first);
    memcpy(other, text + first, second);
    memcpy(other + second, text, first);
    memcpy(other + first + second, text + first + second, size - first - second);
    fixture_write(fixture, SECOND_FILE, other, size);
    assert_found(fixture, SECOND_FILE, 1, "record 5 stands where record 4 belongs");
    assert_found(fixture, SECOND_FILE, 2, "record 4 stands where");
    free(other);
    free(text);
}

static void test_doubled(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    char *text = fixture_read(fixture, SECOND_FILE, &size);
    size_t first = line_size(text);
    char *other = malloc(size + first);
    assert_non_null(other);
    memcpy(other, text, first);
    memcpy(other + first, text, size);
    fixture_write(fixture, SECOND_FILE, other, size + first);
    assert_found(fixture, SECOND_FILE, 2, "record 4 stands where record 5 belongs");
    free(other);
    free(text);
}

static void test_cut(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    char *text = fixture_read(fixture, THIRD_FILE, &size);
    fixture_write(fixture, THIRD_FILE, text, (size_t)(line_at(text, 3) - text));
    assert_found(fixture, "", 0, "the log was cut or changed");
    fixture_write(fixture, THIRD_FILE, text, size - 1);
    assert_found(fixture, THIRD_FILE, 3, "has no end");
    free(text);
}

/* Right in itself: hash, number, previous hash. The next line does not follow it, or the head does not cover it. */
static char *forge(const char *before, size_t *ret_size)
{
    static const char facts[] = "action\0job.run\0result\0ok\0user\0nobody";
    struct audit_record record;
    struct audit_position position;
    struct audit_position next;
    char *line = NULL;
    struct error error = {0};
    assert_int_equal(audit_record_read(before, line_size(before) - 1, &record, &error), 0);
    position.sequence = record.sequence;
    memcpy(position.hash, record.hash, sizeof(position.hash));
    assert_int_equal(audit_record_format(&position, 1, "joblet-api", facts, sizeof(facts), &line, ret_size, &next), 0);
    return line;
}

static void test_forged_line(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    size_t forged_size;
    char *text = fixture_read(fixture, SECOND_FILE, &size);
    char *forged = forge(text, &forged_size);
    size_t first = line_size(text);
    size_t second = line_size(text + first);
    char *other = malloc(size + forged_size);
    assert_non_null(other);
    memcpy(other, text, first);
    memcpy(other + first, forged, forged_size);
    memcpy(other + first + forged_size, text + first + second, size - first - second);
    fixture_write(fixture, SECOND_FILE, other, size - second + forged_size);
    assert_found(fixture, SECOND_FILE, 3, "record 6 does not follow");
    fixture_write(fixture, SECOND_FILE, text, size);
    free(text);
    free(forged);
    free(other);
}

static void test_forged_end(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    size_t forged_size;
    char *text = fixture_read(fixture, THIRD_FILE, &size);
    char *forged = forge(line_at(text, 3), &forged_size);
    int fd = openat(fixture->dir_fd, THIRD_FILE, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(fd_write_all(fd, forged, forged_size), 0);
    (void)close(fd);
    assert_found(fixture, "", 0, "records 10 to 10 are not covered by the head");
    free(text);
    free(forged);
}

/* shows: OWASP D10 */
static void test_forged_head(void **state)
{
    struct fixture *fixture = *state;
    size_t size;
    char *head = fixture_read(fixture, AUDIT_HEAD_FILE, &size);
    char *number = strstr(head, "\"seq\":9");
    number[6] = '8';
    fixture_write(fixture, AUDIT_HEAD_FILE, head, size);
    assert_found(fixture, AUDIT_HEAD_FILE, 0, "not signed with the key");
    fixture_write(fixture, AUDIT_HEAD_FILE, head, size / 2);
    assert_found(fixture, AUDIT_HEAD_FILE, 0, "damaged");
    assert_int_equal(unlinkat(fixture->dir_fd, AUDIT_HEAD_FILE, 0), 0);
    assert_found(fixture, AUDIT_HEAD_FILE, 0, "read the head");
    free(head);
}

static void test_wrong_key(void **state)
{
    struct fixture *fixture = *state;
    struct audit_key *key = NULL;
    struct error error = {0};
    assert_int_equal(audit_key_new(&key, &error), 0);
    assert_int_equal(audit_key_write(key, fixture->prefix_fd, &error), 0);
    audit_key_free(key);
    assert_found(fixture, AUDIT_HEAD_FILE, 0, "not signed with the key");
}

/* shows: OWASP D10 */
static void test_missing_file(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(renameat(fixture->dir_fd, SECOND_FILE, fixture->dir_fd, "00000000000000000005.jsonl"), 0);
    assert_found(fixture, "00000000000000000005.jsonl", 0, "records 4 to 4 are missing");
    assert_found(fixture, "00000000000000000005.jsonl", 1, "record 4 stands where record 5 belongs");
    assert_int_equal(unlinkat(fixture->dir_fd, "00000000000000000005.jsonl", 0), 0);
    assert_found(fixture, THIRD_FILE, 0, "records 4 to 6 are missing");
    assert_int_equal(unlinkat(fixture->dir_fd, FIRST_FILE, 0), 0);
    assert_found(fixture, THIRD_FILE, 0, "records 1 to 6 are missing");
    assert_int_equal(unlinkat(fixture->dir_fd, THIRD_FILE, 0), 0);
    assert_found(fixture, "", 0, "record 9");
}

/* An old head and a log that fits it verify; a record that was noted elsewhere finds it. */
static void test_put_back(void **state)
{
    struct fixture *fixture = *state;
    struct audit_record record;
    struct audit_position expect;
    struct error error = {0};
    size_t size;
    size_t head_size;
    char *text = fixture_read(fixture, THIRD_FILE, &size);
    char *head = fixture_read(fixture, AUDIT_HEAD_FILE, &head_size);
    fixture_fill(fixture, 1, 0);
    char *later = fixture_read(fixture, THIRD_FILE, &size);
    const char *tenth = line_at(later, 4);
    assert_int_equal(audit_record_read(tenth, line_size(tenth) - 1, &record, &error), 0);
    expect.sequence = record.sequence;
    memcpy(expect.hash, record.hash, sizeof(expect.hash));

    char *pem = fixture_public_key(fixture);
    struct audit_verdict *verdict = calloc(1, sizeof(*verdict));
    assert_non_null(verdict);
    assert_int_equal(audit_verify(fixture->dir_fd, pem, &expect, verdict, &error), 0);
    assert_int_equal(verdict->count, 0);
    fixture_write(fixture, THIRD_FILE, text, strlen(text));
    fixture_write(fixture, AUDIT_HEAD_FILE, head, head_size);
    assert_int_equal(audit_verify(fixture->dir_fd, pem, NULL, verdict, &error), 0);
    assert_int_equal(verdict->count, 0);
    assert_int_equal(audit_verify(fixture->dir_fd, pem, &expect, verdict, &error), 0);
    assert_int_equal(verdict->count, 1);
    assert_non_null(strstr(verdict->problems[0].text, "record 10"));
    free(verdict);
    free(pem);
    free(later);
    free(head);
    free(text);
}

static void test_vector(void **state)
{
    static const char facts[] = "action\0job.run\0command\0a\"b\\c\nd\x01\xff";
    static const char sealed[] = "{\"v\":1,\"seq\":1,\"time\":\"1970-01-01T00:00:01.000000002Z\",\"source\":\"joblet\","
                                 "\"action\":\"job.run\","
                                 "\"command\":\"a\\\"b\\\\c\\u000ad\\u0001\\\\xff\",\"prev\":"
                                 "\"0000000000000000000000000000000000000000000000000000000000000000\"";
    (void)state;
    struct audit_position start = {0};
    struct audit_position next;
    struct audit_record record;
    struct error error = {0};
    uint8_t hash[AUDIT_HASH_SIZE];
    char hex[AUDIT_HASH_HEX_MAX];
    char wanted[1024];
    char *line = NULL;
    size_t size;
    assert_int_equal(audit_facts_check(facts, sizeof(facts), &error), 0);
    assert_int_equal(audit_record_format(&start, 1000000002, "joblet", facts, sizeof(facts), &line, &size, &next), 0);
    assert_int_equal(audit_hash(sealed, sizeof(sealed) - 1, hash), 0);
    audit_hash_format(hash, hex);
    (void)snprintf(wanted, sizeof(wanted), "%s,\"hash\":\"%s\"}\n", sealed, hex);
    assert_string_equal(line, wanted);
    assert_memory_equal(next.hash, hash, sizeof(hash));
    assert_int_equal(audit_record_read(line, size - 1, &record, &error), 0);
    assert_true(record.hash_fits);
    assert_int_equal(record.unix_ns, 1000000002);
    free(line);
}

static bool keep_command(void *context, const char *name, const char *value)
{
    if (strcmp(name, "command") == 0)
        (void)snprintf(context, 64, "%s", value);
    return true;
}

static void test_fields(void **state)
{
    char value[64] = "";
    (void)state;
    static const char good[] = "{\"command\":\"a\\u000ab\\\"\\\\\",\"n\":7}";
    assert_int_equal(audit_fields(good, sizeof(good) - 1, keep_command, value), 0);
    assert_string_equal(value, "a\nb\"\\");
    static const char *const bad[] = {"{\"command\":\"\\u00W1\"}", "{\"command\":\"\\u00`1\"}",
            "{\"command\":\"\\u0A\"}", "{\"command\":\"\\n\"}", "{\"command\":\"a}", "{\"command\"}",
            "{\"command\":\"a\"", "{}", "{"};
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        assert_int_equal(audit_fields(bad[i], strlen(bad[i]), keep_command, value), -EINVAL);
}

static void test_hostile_facts(void **state)
{
    (void)state;
    struct error error = {0};
#define REFUSED(FACTS) assert_int_equal(audit_facts_check(FACTS, sizeof(FACTS), &error), -EINVAL)
    REFUSED("hash\0x");
    REFUSED("seq\0"
            "1");
    REFUSED("Action\0x");
    REFUSED("a\",\"b\0x");
    REFUSED("a\0x\0a\0y");
    REFUSED("a");
    REFUSED("\0x");
#undef REFUSED
    assert_int_equal(audit_facts_check("a\0x", 3, &error), -EINVAL);
}

static size_t count_found(const struct fixture *fixture, const struct audit_filter *filter, size_t limit)
{
    struct audit_list list;
    struct error error = {0};
    assert_int_equal(audit_find(fixture->dir_fd, filter, limit, &list, &error), 0);
    size_t count = list.count;
    for (size_t i = 1; i < count; i++)
        assert_true(list.items[i - 1].sequence < list.items[i].sequence);
    assert_int_equal(list.truncated, count == limit);
    audit_list_done(&list);
    return count;
}

static void test_filters(void **state)
{
    struct fixture *fixture = *state;
#define COUNT(...) count_found(fixture, &(struct audit_filter){__VA_ARGS__}, 100)
    assert_int_equal(COUNT(0), 9);
    assert_int_equal(COUNT(.job = "1b4e28ba"), 9);
    assert_int_equal(COUNT(.job = "b4e28ba"), 0);
    assert_int_equal(COUNT(.action = "job.*", .user = "developer", .result = "ok"), 9);
    assert_int_equal(COUNT(.action = "jo.*"), 0);
    assert_int_equal(COUNT(.action = "job"), 0);
    assert_int_equal(COUNT(.user = "develop"), 0);
    assert_int_equal(COUNT(.result = "failed"), 0);
    assert_int_equal(COUNT(.sequence = 5), 1);
    assert_int_equal(COUNT(.sequence = 50), 0);
    assert_int_equal(COUNT(.since_unix_ns = INT64_MAX), 0);
    assert_int_equal(COUNT(.until_unix_ns = 1), 0);
    assert_int_equal(COUNT(.since_unix_ns = 1, .until_unix_ns = INT64_MAX), 9);
    assert_int_equal(count_found(fixture, &(struct audit_filter){0}, 4), 4);
#undef COUNT
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_untouched, set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_changed, set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_missing_line, set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_reordered, set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_doubled, set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_cut, set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_forged_line, set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_forged_end, set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_forged_head, set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_wrong_key, set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_missing_file, set_up, fixture_tear_down),
            cmocka_unit_test_setup_teardown(test_put_back, set_up, fixture_tear_down),
            cmocka_unit_test(test_vector),
            cmocka_unit_test(test_fields),
            cmocka_unit_test(test_hostile_facts),
            cmocka_unit_test_setup_teardown(test_filters, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
