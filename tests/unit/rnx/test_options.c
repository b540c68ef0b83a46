#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "base/fd.h"
#include "rnx/options.h"
#include "rnx/rnx.h"

struct target {
    bool json;
    const char *node;
    int32_t cpu;
    struct rnx_list env;
};

static const struct rnx_option table[] = {
        {.name = "json", .letter = 'j', .kind = RNX_OPTION_SWITCH, .offset = offsetof(struct target, json)},
        {.name = "node", .kind = RNX_OPTION_TEXT, .offset = offsetof(struct target, node)},
        {.name = "max-cpu", .kind = RNX_OPTION_NUMBER, .offset = offsetof(struct target, cpu), .max = 10000},
        {.name = "env", .letter = 'e', .kind = RNX_OPTION_LIST, .offset = offsetof(struct target, env)},
};

#define WORDS(...)                                                                                                     \
    (char *[])                                                                                                         \
    {                                                                                                                  \
        __VA_ARGS__, NULL                                                                                              \
    }

static int parse(struct target *target, unsigned flags, char **words, size_t *count, struct rnx_error *error)
{
    const struct rnx_option_set set = {table, ELEMENTS(table), target};
    *target = (struct target){.node = ""};
    return options_parse(&set, 1, flags, words, count, error);
}

static void test_flags_anywhere(void **state)
{
    (void)state;
    struct target target;
    struct rnx_error error;
    size_t count;
    char **words = WORDS((char[]){"one"}, (char[]){"--node"}, (char[]){"n1"}, (char[]){"--json"}, (char[]){"two"},
            (char[]){"--max-cpu=50"}, (char[]){"-e"}, (char[]){"A=1"}, (char[]){"-e=B=2"}, (char[]){"--"},
            (char[]){"--json=false"});
    assert_int_equal(parse(&target, 0, words, &count, &error), 0);
    assert_int_equal(count, 3);
    assert_string_equal(words[0], "one");
    assert_string_equal(words[1], "two");
    assert_string_equal(words[2], "--json=false");
    assert_null(words[3]);
    assert_true(target.json);
    assert_string_equal(target.node, "n1");
    assert_int_equal(target.cpu, 50);
    assert_int_equal(target.env.count, 2);
    assert_string_equal(target.env.items[0], "A=1");
    assert_string_equal(target.env.items[1], "B=2");
    rnx_list_done(&target.env);
}

/* What follows the command belongs to the command, also what looks like our flags. */
static void test_stop_at_word(void **state)
{
    (void)state;
    struct target target;
    struct rnx_error error;
    size_t count;
    char **words = WORDS(
            (char[]){"--max-cpu"}, (char[]){"7"}, (char[]){"ls"}, (char[]){"--json"}, (char[]){"--"}, (char[]){"-x"});
    assert_int_equal(parse(&target, OPTIONS_STOP_AT_WORD, words, &count, &error), 0);
    assert_int_equal(count, 4);
    assert_string_equal(words[0], "ls");
    assert_string_equal(words[1], "--json");
    assert_string_equal(words[2], "--");
    assert_string_equal(words[3], "-x");
    assert_false(target.json);
    assert_int_equal(target.cpu, 7);

    char **dashes = WORDS((char[]){"--json"}, (char[]){"--"}, (char[]){"--node"}, (char[]){"--"});
    assert_int_equal(parse(&target, OPTIONS_STOP_AT_WORD, dashes, &count, &error), 0);
    assert_int_equal(count, 2);
    assert_string_equal(dashes[0], "--node");
    assert_string_equal(dashes[1], "--");
    assert_true(target.json);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        const char *value;
        const char *text;
    } wrong[] = {
            {"--max-cpu", "abc", "invalid value \"abc\" for --max-cpu: want a whole number from 0 to 10000"},
            {"--max-cpu=-1", NULL, "invalid value \"-1\" for --max-cpu: want a whole number from 0 to 10000"},
            {"--max-cpu=10001", NULL, "invalid value \"10001\" for --max-cpu: want a whole number from 0 to 10000"},
            {"--max-cpu=", NULL, "invalid value \"\" for --max-cpu: want a whole number from 0 to 10000"},
            {"--max-cpu=1.5", NULL, "invalid value \"1.5\" for --max-cpu: want a whole number from 0 to 10000"},
            {"--json=maybe", NULL, "invalid value \"maybe\" for --json: want true or false"},
            {"--node", NULL, "flag needs an argument: --node"},
            {"-e", NULL, "flag needs an argument: -e"},
            {"--nodes=x", NULL, "unknown flag: --nodes"},
            {"--token=secret", NULL, "unknown flag: --token"},
            {"-x", NULL, "unknown shorthand flag: 'x' in -x"},
    };
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        struct target target;
        struct rnx_error error;
        size_t count;
        char word[64];
        char value[64];
        (void)snprintf(word, sizeof(word), "%s", wrong[i].word);
        (void)snprintf(value, sizeof(value), "%s", wrong[i].value ? wrong[i].value : "");
        char **words = WORDS(word, wrong[i].value ? value : NULL);
        assert_int_equal(parse(&target, 0, words, &count, &error), -EINVAL);
        assert_string_equal(error.text, wrong[i].text);
        rnx_list_done(&target.env);
    }
}

static void test_leading(void **state)
{
    (void)state;
    struct target target = {.node = ""};
    const struct rnx_option_set set = {table, ELEMENTS(table), &target};
    struct rnx_error error;
    size_t used;
    char **words = WORDS((char[]){"--node=a"}, (char[]){"--json"}, (char[]){"job"}, (char[]){"--max-cpu=3"});
    assert_int_equal(options_parse_leading(&set, 1, words, &used, &error), 0);
    assert_int_equal(used, 2);
    assert_string_equal(words[used], "job");
    assert_string_equal(target.node, "a");
    assert_int_equal(target.cpu, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_flags_anywhere),
            cmocka_unit_test(test_stop_at_word),
            cmocka_unit_test(test_errors),
            cmocka_unit_test(test_leading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
