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
#include "base/text.h"
#include "runtime/profile.h"
#include "runtime/rule.h"
#include "runtime/spec.h"

/* Five lines; what a test adds begins in line 6. */
#define LEAST                                                                                                          \
    "schema_version: \"1.0\"\n"                                                                                        \
    "name: a\n"                                                                                                        \
    "version: 1.0.0\n"                                                                                                 \
    "description: d\n"                                                                                                 \
    "base: {language: python, version: 3.10}\n"
/* The same without the key of that line. */
#define NO_BASE "schema_version: \"1.0\"\nname: a\nversion: 1.0.0\ndescription: d\n"

static struct runtime_spec *parse_sized(const char *text, size_t size)
{
    struct runtime_spec *spec = NULL;
    struct runtime_problems problems = {0};
    int r = runtime_spec_parse(text, size, &spec, &problems);
    if (r < 0)
        fail_msg("refused: %s", problems.texts.count > 0 ? problems.texts.items[0] : "without a problem");
    assert_true(runtime_problems_none(&problems));
    runtime_problems_done(&problems);
    return spec;
}

static struct runtime_spec *parse(const char *text)
{
    return parse_sized(text, strlen(text));
}

static void refuse_sized(const char *text, size_t size, struct runtime_problems *ret_problems)
{
    struct runtime_spec *spec = NULL;
    *ret_problems = (struct runtime_problems){0};
    assert_int_equal(runtime_spec_parse(text, size, &spec, ret_problems), -EINVAL);
    assert_null(spec);
    assert_true(ret_problems->texts.count > 0);
    for (size_t i = 0; i < ret_problems->texts.count; i++)
        assert_true(rule_is_line(ret_problems->texts.items[i], 512));
}

/* @text has exactly one problem, which begins with @expected. */
static void assert_problem(const char *text, const char *expected)
{
    struct runtime_problems problems;
    refuse_sized(text, strlen(text), &problems);
    if (strncmp(problems.texts.items[0], expected, strlen(expected)) != 0)
        fail_msg("expected: %s\ngot: %s", expected, problems.texts.items[0]);
    if (problems.texts.count != 1)
        fail_msg("also: %s\nafter: %s", problems.texts.items[1], problems.texts.items[0]);
    runtime_problems_done(&problems);
}

static void test_least(void **state)
{
    (void)state;
    _cleanup_(runtime_spec_freep) struct runtime_spec *spec = parse(LEAST);
    assert_string_equal(spec->name, "a");
    assert_string_equal(spec->version, "1.0.0");
    assert_string_equal(spec->description, "d");
    assert_int_equal(spec->language, RUNTIME_LANGUAGE_PYTHON);
    assert_string_equal(spec->language_version, "3.10"); /* a text, not the number 3.1 */
    assert_int_equal(spec->pip.count + spec->npm.count + spec->environment.count + spec->libraries.count, 0);
    assert_false(spec->gpu);
    assert_string_equal(spec->cuda_version, "");
    assert_int_equal(spec->min_memory_bytes, 0);
    assert_int_equal(spec->platforms, 0);
    assert_int_equal(spec->hook_timeout_ns, 1200000000000);
    assert_string_equal(spec->pre_install, "");
    assert_string_equal(spec->post_install, "");
}

static void test_whole(void **state)
{
    (void)state;
    _cleanup_(runtime_spec_freep) struct runtime_spec *spec = parse("# comment\n"
                                                                    "hooks:\n"
                                                                    "  post_install: |\n"
                                                                    "    echo a\n"
                                                                    "    \techo b\n"
                                                                    "  timeout: 1h30m\n"
                                                                    "  pre_install: 'true'\n"
                                                                    "base:\n"
                                                                    "  version: '18'\n"
                                                                    "  language: node\n"
                                                                    "name: web.front-1\n"
                                                                    "version: 12.0.3\n"
                                                                    "description: Gr\xc3\xbc\xc3\x9f\x65\n"
                                                                    "schema_version: '1.0'\n"
                                                                    "pip: [b, \"a>=1\"]\n"
                                                                    "pip_options: -U  --pre\n"
                                                                    "npm:\n"
                                                                    "- express\n"
                                                                    "- '@a/b@1'\n"
                                                                    "environment:\n"
                                                                    "  Z: ''\n"
                                                                    "  A_B: |\n"
                                                                    "    two\n"
                                                                    "    lines\n"
                                                                    "  A: x=y\n"
                                                                    "requirements:\n"
                                                                    "  gpu: true\n"
                                                                    "  cuda_version: '11.8'\n"
                                                                    "  min_memory: 1.5GB\n"
                                                                    "platforms: [debian-amd64, ubuntu-amd64]\n"
                                                                    "libraries: ['/usr/lib/*/x.so*']\n");
    assert_int_equal(spec->language, RUNTIME_LANGUAGE_NODE);
    assert_string_equal(spec->pip.items[0], "b");
    assert_string_equal(spec->pip.items[1], "a>=1");
    assert_int_equal(spec->pip_options.count, 2);
    assert_string_equal(spec->pip_options.items[0], "--upgrade");
    assert_string_equal(spec->npm.items[1], "@a/b@1");
    assert_int_equal(spec->environment.count, 3);
    assert_string_equal(spec->environment.items[0], "A=x=y");
    assert_string_equal(spec->environment.items[1], "A_B=two\nlines\n");
    assert_string_equal(spec->environment.items[2], "Z=");
    assert_true(spec->gpu);
    assert_string_equal(spec->cuda_version, "11.8");
    assert_int_equal(spec->min_memory_bytes, 3ULL << 29);
    assert_int_equal(spec->platforms, 1U << 6 | 1U << 0);
    assert_string_equal(spec->libraries.items[0], "/usr/lib/*/x.so*");
    assert_int_equal(spec->hook_timeout_ns, 5400000000000);
    assert_string_equal(spec->pre_install, "true");
    assert_string_equal(spec->post_install, "echo a\n\techo b\n");
}

/* "%" in a text is no directive. */
static void test_percent(void **state)
{
    (void)state;
    _cleanup_(runtime_spec_freep) struct runtime_spec *spec =
            parse(LEAST "environment:\n  A: '%d \xc3\x85%'\n  B: |\n    %TAG\n  # \xd0\x85%\n");
    assert_string_equal(spec->environment.items[0], "A=%d \xc3\x85%");
    assert_string_equal(spec->environment.items[1], "B=%TAG\n");
}

static void test_nothing_is_left_out(void **state)
{
    (void)state;
    _cleanup_(runtime_spec_freep) struct runtime_spec *spec = parse(
            LEAST "pip:\nnpm: ~\nenvironment: null\nrequirements:\nplatforms: []\nhooks: {timeout: '', pre_install: }\n"
                  "pip_options: ''\nlibraries: []\n");
    assert_int_equal(spec->pip.count + spec->npm.count + spec->environment.count, 0);
    assert_int_equal(spec->hook_timeout_ns, 1200000000000);
}

/* Each rule of the schema, with the line, the field, the value and what would be right. */
static void test_rules(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *problem;
    } rows[] = {
            {"schema_version: 2\nname: a\nversion: 1.0.0\ndescription: d\nbase: {language: go, version: 1}\n",
                    "line 1: schema_version: '2' is not \"1.0\""},
            {"schema_version: 1.0\nname: Big\nversion: 1.0.0\ndescription: d\nbase: {language: go, version: 1}\n",
                    "line 2: name: 'Big' is not 1 to 64 of a-z, 0-9, '.' and '-', the first a letter or digit"},
            {"schema_version: 1.0\nname: ../../etc\nversion: 1.0.0\ndescription: d\nbase: {language: go, version: 1}\n",
                    "line 2: name: '../../etc' is not 1 to 64 of"},
            {"schema_version: 1.0\nname: a\nversion: '1.0'\ndescription: d\nbase: {language: go, version: 1}\n",
                    "line 3: version: '1.0' is not three numbers like 1.0.0, without leading zeros"},
            {"schema_version: 1.0\nname: a\nversion: 1.0.0\ndescription: ''\nbase: {language: go, version: 1}\n",
                    "line 4: description: '' is not one line of 1 to 256 bytes without control characters"},
            {"schema_version: 1.0\nname: a\nversion: 1.0.0\ndescription: \"a\\nb\"\nbase: {language: go, version: 1}\n",
                    "line 4: description: 'a?b' is not one line"},
            {NO_BASE, "base: is missing; it has the keys language and version"},
            {NO_BASE "base: {version: 3}\n",
                    "line 5: base.language: is missing; it is one of python, java, node, go, rust"},
            {NO_BASE "base:\n  language: ruby\n  version: '3'\n",
                    "line 6: base.language: 'ruby' is not one of python, java, node, go, rust"},
            {NO_BASE "base:\n  language: go\n", "line 5: base.version: is missing; it is a version like 3.11"},
            {NO_BASE "base: {language: go, version: '1 --x'}\n", "line 5: base.version: '1 --x' is not a version like"},
            {NO_BASE "base: {language: python, version: 3.11.4}\n",
                    "line 5: base.version: '3.11.4' is not a version that packages of python are named by, like 3.11"},
            {NO_BASE "base: {language: go, version: 1, x: y}\n",
                    "line 5: unknown key 'base.x'; there are language, version"},
            {NO_BASE "base: go\n", "line 5: base: the value is not keys below it"},
            {LEAST "pip:\n- requests\n- -r/etc/shadow\n",
                    "line 8: pip: '-r/etc/shadow' is not a package of Python's index like requests, requests==2.31.0 "
                    "or "
                    "uvicorn[standard]>=0.20,<1, without blanks, paths and addresses"},
            {LEAST "pip: requests\n", "line 6: pip: the value is not a list"},
            {LEAST "pip: [[a]]\n", "line 6: pip: the value is not a single text"},
            {LEAST "pip: ['']\n", "line 6: pip: '' is not a package"},
            {LEAST "pip: ['git+https://u:geheim@h/x']\n", "line 6: pip: '(an address)' is not a package"},
            {LEAST "npm:\n  - --global\n",
                    "line 7: npm: '--global' is not a package of npm's registry like express, express@4.18.2 or "
                    "@types/node@^20, without blanks, paths and addresses"},
            {LEAST "npm: {a: b}\n", "line 6: npm: the value is not a list"},
            {LEAST "pip_options: --target /etc\n",
                    "line 6: pip_options: '--target' is not one of --index-url, --extra-index-url,"},
            {LEAST "pip_options: --index-url https://u:p@h\n",
                    "line 6: pip_options: the value of --index-url is not an https address without user, password, "},
            {LEAST "pip_options: [--pre]\n", "line 6: pip_options: the value is not a single text"},
            {LEAST "pip_options: \"--pre\\n--pre\"\n", "line 6: pip_options: '--pre?--pre' is not one of"},
            {LEAST "environment:\n  JOB_ID: x\n", "line 7: environment: 'JOB_ID' is the service's own, as all names "
                                                  "with JOB_ or JOBLET_ in front are"},
            {LEAST "environment: {JOBLET_CHROOT: x}\n", "line 6: environment: 'JOBLET_CHROOT' is the service's own"},
            {LEAST "environment: {1A: x}\n", "line 6: environment: '1A' is not a name of letters, digits and '_'"},
            {LEAST "environment: {'A=B': x}\n", "line 6: environment: 'A=B' is not a name"},
            {LEAST "environment: {A: x, A: y}\n", "line 6: environment: 'A' is given twice"},
            {LEAST "environment: {A: \"\\e[2J\"}\n", "line 6: environment: 'A' has a value that is not at most 32768"},
            {LEAST "environment: {A: [x]}\n", "line 6: environment: the value is not a single text"},
            {LEAST "environment: [A]\n", "line 6: environment: the value is not names and values"},
            {LEAST "requirements: {gpu: yes}\n", "line 6: requirements.gpu: 'yes' is not true or false"},
            {LEAST "requirements: {cuda_version: new}\n",
                    "line 6: requirements.cuda_version: 'new' is not a version like 11.8, or >=11.8"},
            {LEAST "requirements:\n\n  min_memory: 256\n", "line 8: requirements.min_memory: '256' is not a size like "
                                                           "256MB or 1.5GB (KB, MB, GB, TB; above 0"},
            {LEAST "requirements: {cpu: 1}\n",
                    "line 6: unknown key 'requirements.cpu'; there are gpu, cuda_version, min_memory"},
            {LEAST "platforms: [debian-riscv]\n",
                    "line 6: platforms: 'debian-riscv' is not one of ubuntu, debian, rhel, amzn, fedora, alpine with "
                    "-amd64 or -arm64"},
            {LEAST "libraries: [/usr/../etc/shadow]\n", "line 6: libraries: '/usr/../etc/shadow' is not a pattern of 1 "
                                                        "to 256 letters, digits and ./_*?[]!+-@"},
            {LEAST "hooks: {timeout: 20}\n", "line 6: hooks.timeout: '20' is not a time of whole seconds like 90s, 20m "
                                             "or 1h30m, from 1s to 24h"},
            {LEAST "hooks: {timeout: 500ms}\n", "line 6: hooks.timeout: '500ms' is not a time of whole seconds"},
            {LEAST "hooks: {timeout: 25h}\n", "line 6: hooks.timeout: '25h' is not"},
            {LEAST "hooks: {timeout: -1m}\n", "line 6: hooks.timeout: '-1m' is not"},
            {LEAST "hooks:\n  pre_install: \"a\\x07\"\n",
                    "line 7: hooks.pre_install: the value is not a script of at most 65536 bytes"},
            {LEAST "hooks: {post_install: [a]}\n", "line 6: hooks.post_install: the value is not a single text"},
            {LEAST "hooks: {pre: a}\n",
                    "line 6: unknown key 'hooks.pre'; there are timeout, pre_install, post_install"},
            {LEAST "hooks: [a]\n", "line 6: hooks: the value is not keys below it"},
            {LEAST "nmae: b\n",
                    "line 6: unknown key 'nmae'; there are schema_version, name, version, description, base, pip, "
                    "pip_options, npm, environment, requirements, platforms, libraries, keep, hooks"},
            {LEAST "keep: [doc, docs]\n", "line 6: keep: 'docs' is not one of doc, man, locale, headers, static"},
            {LEAST "<<: {a: b}\n", "line 6: unknown key '<<'; there are"},
            {LEAST "? [a]\n: b\n", "line 6: a key is not a single text"},
            {LEAST "name: b\n", "line 6: name: stands in line 2 already"},
            {LEAST "hooks: {timeout: 1m, timeout: 2m}\n", "line 6: hooks.timeout: stands in line 6 already"},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        assert_problem(rows[i].text, rows[i].problem);
}

static void test_not_yaml(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *problem;
    } rows[] = {
            {"", "the text is empty"},
            {"# nothing\n", "the text is empty"},
            {"- a\n", "line 1: the text is not keys and values"},
            {"a\n", "line 1: the text is not keys and values"},
            {LEAST "pip: [a,\n", "line 7: not YAML: "},
            {LEAST "pip_options: --pre: c\n", "line 6: not YAML: "},
            {LEAST "\tname: b\n", "line 6: not YAML: "},
            {LEAST "pip_options: \"\\q\"\n", "line 6: not YAML: "},
            {LEAST "---\na: b\n", "line 6: a second document begins; only one is permitted"},
            {LEAST "pip: [&a x]\n", "line 6: anchors ('&') are not permitted"},
            {LEAST "pip: &a [x]\n", "line 6: anchors ('&') are not permitted"},
            {LEAST "pip: [!!str x]\n", "line 6: tags ('!') are not permitted"},
            {LEAST "hooks: !x {timeout: 1m}\n", "line 6: tags ('!') are not permitted"},
            {LEAST "&a npm: [x]\n", "line 6: anchors ('&') are not permitted"},
            {LEAST "hooks: {post_install: \"a\\0b\"}\n", "line 6: a text holds a NUL character"},
            {LEAST "\"pip\\0\": [a]\n", "line 6: a text holds a NUL character"},
            {"%TAG ! tag:x,2000:\n---\n" LEAST, "line 1: directives (a line that begins with '%') are not permitted"},
            {LEAST "...\n%YAML 1.1\n---\na: b\n", "line 7: directives"},
            {LEAST "x: [[[[[[[[a]]]]]]]]\n", "line 6: unknown key 'x'"},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct runtime_problems problems;
        refuse_sized(rows[i].text, strlen(rows[i].text), &problems);
        if (strncmp(problems.texts.items[0], rows[i].problem, strlen(rows[i].problem)) != 0)
            fail_msg("expected: %s\ngot: %s", rows[i].problem, problems.texts.items[0]);
        runtime_problems_done(&problems);
    }
    struct runtime_problems problems;
    static const char latin[] = LEAST "x: \xff\n";
    refuse_sized(latin, sizeof(latin) - 1, &problems);
    assert_non_null(strstr(problems.texts.items[0], "not YAML: "));
    runtime_problems_done(&problems);
    static const char nul[] = LEAST "# \0\npip: [--x]\n";
    refuse_sized(nul, sizeof(nul) - 1, &problems);
    runtime_problems_done(&problems);
}

static void test_all_at_once(void **state)
{
    (void)state;
    static const char text[] = "schema_version: 2.0\n"
                               "name: A\n"
                               "description: d\n"
                               "base:\n"
                               "  language: cobol\n"
                               "colour: red\n"
                               "pip: [-x, y, -z]\n"
                               "npm: *none\n"
                               "hooks: {timeout: soon}\n";
    static const char *const expected[] = {"line 1: schema_version: '2.0' ", "line 2: name: 'A' ",
            "line 5: base.language: 'cobol' ", "line 6: unknown key 'colour'", "line 7: pip: '-x' ",
            "line 7: pip: '-z' ", "line 8: aliases ('*') are not permitted", "line 9: hooks.timeout: 'soon' ",
            "version: is missing; it is three numbers", "line 4: base.version: is missing; "};
    struct runtime_problems problems;
    refuse_sized(text, sizeof(text) - 1, &problems);
    assert_int_equal(problems.texts.count, ELEMENTS(expected));
    for (size_t i = 0; i < ELEMENTS(expected); i++)
        assert_memory_equal(problems.texts.items[i], expected[i], strlen(expected[i]));
    runtime_problems_done(&problems);
}

/* @head and then @item @count times, and @tail; to be freed. */
static char *repeat(const char *head, const char *item, size_t count, const char *tail, size_t *ret_size)
{
    size_t item_size = strlen(item);
    char *text = malloc(strlen(head) + item_size * count + strlen(tail) + 1);
    assert_non_null(text);
    char *end = stpcpy(text, head);
    for (size_t i = 0; i < count; i++)
        end = stpcpy(end, item);
    end = stpcpy(end, tail);
    *ret_size = (size_t)(end - text);
    return text;
}

static void assert_repeated(
        const char *head, const char *item, size_t count, const char *tail, const char *problem, size_t problems_max)
{
    size_t size;
    _cleanup_free_ char *text = repeat(head, item, count, tail, &size);
    struct runtime_problems problems;
    int64_t start = text_now_monotonic_ns();
    refuse_sized(text, size, &problems);
    /* joblet-api answers nobody else meanwhile. Generous: sanitizers and busy machines. */
    assert_true(text_now_monotonic_ns() - start < 2000000000);
    size_t last = problems.texts.count - 1;
    if (!strstr(problems.texts.items[last], problem))
        fail_msg("%s\ngot: %s", problem, problems.texts.items[last]);
    assert_true(problems.texts.count <= problems_max);
    runtime_problems_done(&problems);
}

static void test_bounds(void **state)
{
    (void)state;
    assert_repeated(LEAST "description: '", "x", 10 << 20, "'\n", "at most 262144 are permitted", 1);
    assert_repeated(LEAST "x: ", "[", 100, "", "nested deeper than 8 levels", 2);
    assert_repeated(LEAST "x: ", "[", 200000, "", "nested deeper than 8 levels", 2);
    assert_repeated(LEAST "x: ", "{a: ", 50000, "", "nested deeper than 8 levels", 2);
    assert_repeated(LEAST "x: ", "- ", 100000, "a\n", "not YAML", 2);
    assert_repeated(LEAST "pip: [", "a,", 513, "]\n", "line 6: pip: more than 512 of them", 1);
    assert_repeated(LEAST "platforms: [", "debian-amd64,", 25, "]\n", "platforms: more than 24 of them", 1);
    assert_repeated(LEAST "libraries: [", "a,", 129, "]\n", "libraries: more than 128 of them", 1);
    assert_repeated(LEAST "pip: [", "a,", 100000, "]\n", "more than 20000 values", 2);
    assert_repeated(LEAST "pip_options: ", "--pre ", 33, "\n", "pip_options: more than 32 options", 1);
    assert_repeated(LEAST "hooks: {post_install: '", "x", 65537, "'}\n", "hooks.post_install: the value is not", 1);
    assert_repeated(LEAST "environment: {A: '", "x", 32769, "'}\n", "'A' has a value that is not at most 32768", 1);
    assert_repeated(LEAST "environment: {", "A", 257, ": x}\n", "is not a name", 1);
    assert_repeated(LEAST "description_: ", "\xc3\xa4", 120000, "\n", "unknown key 'description_'", 1);
    assert_repeated(LEAST, "x: y\n", 50000, "", "unknown key 'x'", RUNTIME_PROBLEMS_MAX);
    assert_repeated("", "*a : *b\n", 30000, "", "", RUNTIME_PROBLEMS_MAX);
    assert_repeated("", "? ", 100000, "", "", 2);
    assert_repeated("a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\n", "d: [*c,*c,*c,*c]\n", 1000, LEAST,
            "", RUNTIME_PROBLEMS_MAX);

    /* libyaml compares each directive with all others. */
    assert_repeated("# comment\n", "%TAG !a! b\n", 20000, "---\n" LEAST, "line 2: directives", 1);
    assert_repeated("\xef\xbb\xbf", "%TAG !a! b\n", 20000, "---\n" LEAST, "line 1: directives", 1);
    static const char *const breaks[] = {"\r", "\r\n", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t i = 0; i < ELEMENTS(breaks); i++)
        assert_repeated(breaks[i], "%TAG !a! b\r", 20000, "---\n" LEAST, "line 2: directives", 1);

    /* 257 variables of different names. */
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    (void)fputs(LEAST "environment:\n", file);
    for (unsigned i = 0; i < 257; i++)
        (void)fprintf(file, "  V%u: x\n", i);
    assert_int_equal(fclose(file), 0);
    assert_problem(text, "line 263: environment: more than 256 of them");
    free(text);
}

/* What is as large as permitted is taken. */
static void test_largest(void **state)
{
    (void)state;
    size_t size;
    _cleanup_free_ char *packages = repeat(LEAST "pip: [", "a,", 512, "]\n", &size);
    _cleanup_(runtime_spec_freep) struct runtime_spec *spec = parse(packages);
    assert_int_equal(spec->pip.count, 512);
    _cleanup_free_ char *hook = repeat(LEAST "hooks: {pre_install: '", "x", 65536, "'}\n", &size);
    _cleanup_(runtime_spec_freep) struct runtime_spec *long_hook = parse(hook);
    assert_int_equal(strlen(long_hook->pre_install), 65536);
    size_t used = strlen(LEAST "#\n");
    _cleanup_free_ char *comment = repeat(LEAST "#", "x", RUNTIME_SPEC_SIZE_MAX - used, "\n", &size);
    assert_int_equal(size, RUNTIME_SPEC_SIZE_MAX);
    _cleanup_(runtime_spec_freep) struct runtime_spec *long_comment = parse(comment);
    assert_non_null(long_comment);
}

static void test_problems_are_counted(void **state)
{
    (void)state;
    size_t size;
    _cleanup_free_ char *text = repeat(LEAST, "x: y\n", 100, "", &size);
    struct runtime_problems problems;
    refuse_sized(text, size, &problems);
    assert_int_equal(problems.texts.count, RUNTIME_PROBLEMS_MAX);
    assert_int_equal(problems.left_out, 100 - RUNTIME_PROBLEMS_MAX);
    runtime_problems_done(&problems);
}

static void digest_of(const char *text, char ret_digest[RUNTIME_DIGEST_MAX])
{
    _cleanup_(runtime_spec_freep) struct runtime_spec *spec = parse(text);
    assert_int_equal(runtime_spec_digest(spec, ret_digest), 0);
}

static void test_digest(void **state)
{
    (void)state;
    static const char *const same[] = {
            LEAST "environment: {B: x, A: y}\nplatforms: [debian-amd64, ubuntu-amd64]\nhooks: {timeout: 20m}\n"
                  "requirements: {min_memory: 1GB}\npip: [a, b]\npip_options: -U\n",
            "# comment\npip:\n- a\n- 'b'\npip_options: '  --upgrade '\nenvironment:\n  A: 'y'\n  B: \"x\"\n"
            "platforms: [ubuntu-amd64, debian-amd64, ubuntu-amd64]\nrequirements:\n  gpu: false\n"
            "  min_memory: 1024mb\nlibraries: []\n" LEAST,
    };
    char first[RUNTIME_DIGEST_MAX];
    char second[RUNTIME_DIGEST_MAX];
    digest_of(same[0], first);
    digest_of(same[1], second);
    assert_string_equal(first, second);
    assert_int_equal(strspn(first, "0123456789abcdef"), 64);
    /* Written down, so that a change of the form is seen: it makes every cached build a new one. */
    digest_of(LEAST, first);
    assert_string_equal(first, "12973a9e941cf47d13b1650fc45923d96551e62e108bbd8014f5a4e952535bf6");

    static const char *const others[] = {
            LEAST,
            LEAST "pip: [a, b]\n",
            LEAST "pip: [b, a]\n",
            LEAST "npm: [a, b]\n",
            LEAST "pip: [a]\nnpm: [b]\n",
            LEAST "environment: {A: x}\n",
            LEAST "environment: {A: 'x '}\n",
            LEAST "libraries: [a]\n",
            LEAST "keep: [doc]\n",
            LEAST "platforms: [debian-amd64]\n",
            LEAST "platforms: [debian-arm64]\n",
            LEAST "requirements: {gpu: true}\n",
            LEAST "requirements: {cuda_version: 11}\n",
            LEAST "requirements: {min_memory: 1MB}\n",
            LEAST "hooks: {timeout: 1m}\n",
            LEAST "hooks: {pre_install: x}\n",
            LEAST "hooks: {post_install: x}\n",
            LEAST "pip_options: --pre\n",
            NO_BASE "base: {language: python, version: 3.1}\n",
            NO_BASE "base: {language: java, version: 3.10}\n",
    };
    char digests[ELEMENTS(others)][RUNTIME_DIGEST_MAX];
    for (size_t i = 0; i < ELEMENTS(others); i++) {
        digest_of(others[i], digests[i]);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(digests[i], digests[j]);
    }
}

static void test_warnings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *warning; /* NULL = none */
    } rows[] = {
            {LEAST, NULL},
            {LEAST "pip: [a]\npip_options: --pre\n", NULL},
            {LEAST "pip_options: --pre\n", "pip_options: there is no pip package to use them for"},
            {LEAST "requirements: {cuda_version: 11.8}\n", "requirements.cuda_version: nothing asks for a GPU"},
            {LEAST "requirements: {cuda_version: 11.8, gpu: true}\n", NULL},
            {LEAST "hooks: {timeout: 1m}\n", "hooks.timeout: there is no hook"},
            {LEAST "hooks: {timeout: 1m, pre_install: x}\n", NULL},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct runtime_list warnings = {0};
        _cleanup_(runtime_spec_freep) struct runtime_spec *spec = parse(rows[i].text);
        assert_int_equal(runtime_spec_warn(spec, &warnings), 0);
        assert_int_equal(warnings.count, rows[i].warning ? 1 : 0);
        if (rows[i].warning)
            assert_memory_equal(warnings.items[0], rows[i].warning, strlen(rows[i].warning));
        runtime_list_done(&warnings);
    }
}

static void test_examples(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum runtime_language language;
        bool hooks;
    } rows[] = {
            {"python", RUNTIME_LANGUAGE_PYTHON, false},
            {"java", RUNTIME_LANGUAGE_JAVA, false},
            {"node", RUNTIME_LANGUAGE_NODE, false},
            {"go", RUNTIME_LANGUAGE_GO, false},
            {"rust", RUNTIME_LANGUAGE_RUST, false},
            {"python-hooks", RUNTIME_LANGUAGE_PYTHON, true},
            {"node-hooks", RUNTIME_LANGUAGE_NODE, true},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        char path[4096];
        size_t size;
        _cleanup_free_ char *text = NULL;
        (void)snprintf(path, sizeof(path), "%s/%s/runtime.yaml", EXAMPLES, rows[i].name);
        assert_int_equal(fd_read_file_at(-1, path, RUNTIME_SPEC_SIZE_MAX, &text, &size), 0);
        _cleanup_(runtime_spec_freep) struct runtime_spec *spec = parse_sized(text, size);
        struct runtime_list warnings = {0};
        assert_int_equal(spec->language, rows[i].language);
        assert_int_equal(*spec->pre_install || *spec->post_install, rows[i].hooks);
        assert_int_equal(runtime_spec_warn(spec, &warnings), 0);
        assert_int_equal(warnings.count, 0);
        runtime_list_done(&warnings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_least),
            cmocka_unit_test(test_whole),
            cmocka_unit_test(test_percent),
            cmocka_unit_test(test_nothing_is_left_out),
            cmocka_unit_test(test_rules),
            cmocka_unit_test(test_not_yaml),
            cmocka_unit_test(test_all_at_once),
            cmocka_unit_test(test_bounds),
            cmocka_unit_test(test_largest),
            cmocka_unit_test(test_problems_are_counted),
            cmocka_unit_test(test_digest),
            cmocka_unit_test(test_warnings),
            cmocka_unit_test(test_examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
