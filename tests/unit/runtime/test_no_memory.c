#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "runtime/build.h"
#include "runtime/description.h"
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

char *__real_strndup(const char *text, size_t size);
char *__wrap_strndup(const char *text, size_t size);
char *__wrap_strndup(const char *text, size_t size)
{
    return fails() ? NULL : __real_strndup(text, size);
}

FILE *__real_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size)
{
    return fails() ? NULL : __real_open_memstream(text, size);
}

static const char right[] =
        "schema_version: 1.0\nname: a\nversion: 1.0.0\ndescription: d\n"
        "base: {language: java, version: 17}\npip: [a, b]\npip_options: -U --timeout 5\nnpm: [c]\n"
        "environment: {B: x, A: y}\nlibraries: [/x]\nkeep: [doc]\nhooks: {pre_install: x, timeout: 1m}\n";
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

/* The recipes of a build; 0 or the first error. */
static int use_recipes(const struct runtime_spec *spec)
{
    struct runtime_host host;
    struct runtime_recipe recipe = {0};
    struct runtime_list environment = {0};
    struct runtime_list words = {0};
    char digest[RUNTIME_DIGEST_MAX];
    assert_int_equal(runtime_host_find("debian", "", "x86_64", &host, NULL), 0);
    int r = runtime_profile_expand(spec, host.platform, &recipe, NULL);
    const struct runtime_build build = {spec, &host, &recipe, "id", "setup", &environment, 1, false};
    const struct runtime_built built = {.packages = &recipe.packages, .description = "x"};
    if (r == 0)
        r = runtime_build_digest(spec, "setup", digest);
    if (r == 0)
        r = runtime_list_add(&environment, "INDEX=https://index");
    if (r == 0)
        r = runtime_sources_digest((const uint8_t[RUNTIME_FINGERPRINT_SIZE]){0}, &environment, digest);
    if (r == 0)
        r = runtime_build_install(&build, RUNTIME_PART_ALL, &words);
    if (r == 0)
        r = runtime_build_collect(&build, &built, &words);
    if (r == 0)
        r = runtime_build_look(&build, &built, &words);
    runtime_recipe_done(&recipe);
    runtime_list_done(&environment);
    runtime_list_done(&words);
    return r;
}

/* runtime.yml, written and read. */
static int use_description(void)
{
    static char name[] = "a";
    static char version[] = "1.0.0";
    static char variable[] = "A=b";
    char *variables[] = {variable};
    const struct runtime_description from = {.name = name, .version = version, .environment = {variables, 1}};
    struct runtime_description *read = NULL;
    char *text = NULL;
    int r = runtime_description_write(&from, &text);
    if (r == 0)
        r = runtime_description_read(text, strlen(text), &read, NULL);
    assert_int_equal(r == 0, read != NULL);
    runtime_description_free(read);
    free(text);
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
    if (r == 0)
        r = use_recipes(spec);
    if (r == 0)
        r = use_description();
    runtime_spec_free(spec);
    runtime_problems_done(&problems);
    return r;
}

static void each_fails(const char *text, int without_failure)
{
    long count = 0;
    for (; count < 3000; count++) {
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
    assert_true(count > 10 && count < 3000);
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
