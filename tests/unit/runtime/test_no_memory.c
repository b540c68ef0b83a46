#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "runtime/profile.h"
#include "runtime/spec.h"

/* The linker puts these before what src/runtime calls (--wrap): the one after @left more fails. */
static long left = -1;

static bool fails(void)
{
    return left >= 0 && left-- == 0;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__real_reallocarray(void *memory, size_t count, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
    return fails() ? NULL : __real_reallocarray(memory, count, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

FILE *__real_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size)
{
    return fails() ? NULL : __real_open_memstream(text, size);
}

static const char right[] = "schema_version: 1.0\nname: a\nversion: 1.0.0\ndescription: d\n"
                            "base: {language: java, version: 17}\npip: [a, b]\npip_options: -U --timeout 5\nnpm: [c]\n"
                            "environment: {B: x, A: y}\nlibraries: [/x]\nhooks: {pre_install: x, timeout: 1m}\n";
static const char wrong[] =
        "schema_version: 2\nname: A\nx: y\nbase: {language: x}\npip: [-a]\nenvironment: {JOB_ID: x}\n";

/* Everything that is done with a specification; 0 or the first error. */
static int use(const struct runtime_spec *spec)
{
    char digest[RUNTIME_DIGEST_MAX];
    struct runtime_list warnings = {0};
    struct runtime_recipe recipe = {0};
    int r = runtime_spec_warn(spec, &warnings);
    if (r == 0)
        r = runtime_spec_digest(spec, digest);
    if (r == 0)
        r = runtime_profile_expand(spec, runtime_platform_find(0), &recipe, NULL);
    if (r == 0)
        runtime_recipe_done(&recipe);
    runtime_list_done(&warnings);
    return r;
}

static int parse_and_use(const char *text)
{
    struct runtime_spec *spec = NULL;
    struct runtime_problems problems = {0};
    int r = runtime_spec_parse(text, strlen(text), &spec, &problems);
    assert_int_equal(r == 0, spec != NULL);
    if (r == 0)
        r = use(spec);
    runtime_spec_free(spec);
    runtime_problems_done(&problems);
    return r;
}

static void each_fails(const char *text, int without_failure)
{
    long count = 0;
    for (; count < 1000; count++) {
        left = count;
        int r = parse_and_use(text);
        bool reached = left < 0;
        left = -1;
        if (!reached) {
            assert_int_equal(r, without_failure);
            break;
        }
        assert_int_equal(r, -ENOMEM);
    }
    assert_true(count > 10 && count < 1000);
}

static void test_right(void **state)
{
    (void)state;
    each_fails(right, 0);
}

static void test_wrong(void **state)
{
    (void)state;
    each_fails(wrong, -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_right),
            cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
