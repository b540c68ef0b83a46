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
#include "runtime/profile.h"
#include "runtime/rule.h"

static struct runtime_spec *parse(const char *language, const char *version, const char *more)
{
    char text[1024];
    struct runtime_spec *spec = NULL;
    struct runtime_problems problems = {0};
    int size = snprintf(text, sizeof(text),
            "schema_version: 1.0\nname: a\nversion: 1.0.0\ndescription: d\nbase: {language: %s, version: '%s'}\n%s",
            language, version, more);
    int r = runtime_spec_parse(text, (size_t)size, &spec, &problems);
    if (r < 0)
        fail_msg("%s", problems.texts.items[0]);
    runtime_problems_done(&problems);
    return spec;
}

static const struct runtime_platform *platform(const char *name)
{
    for (unsigned i = 0; i < RUNTIME_PLATFORM_COUNT; i++)
        if (strcmp(runtime_platform_find(i)->name, name) == 0)
            return runtime_platform_find(i);
    fail_msg("no platform %s", name);
    abort(); /* for the compiler: the macro does not come back */
}

/* The items with a blank behind each. */
static void join(const struct runtime_list *list, char *ret_text, size_t size)
{
    size_t used = 0;
    *ret_text = '\0';
    for (size_t i = 0; i < list->count && used < size; i++)
        used += (size_t)snprintf(ret_text + used, size - used, "%s ", list->items[i]);
}

static void assert_list(const struct runtime_list *list, const char *expected)
{
    char text[1024];
    join(list, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void test_table(void **state)
{
    (void)state;
    for (unsigned language = 0; language < RUNTIME_LANGUAGE_COUNT; language++)
        for (unsigned packager = 0; packager < RUNTIME_PACKAGER_COUNT; packager++) {
            const struct runtime_profile *profile = runtime_profile_find(language, packager);
            assert_non_null(profile);
            assert_non_null(profile->packages[0]);
            assert_null(profile->packages[RUNTIME_PROFILE_ITEMS_MAX - 1]);
            /* The tests' hosts have apt alone. */
            assert_int_equal(profile->untried, packager != RUNTIME_PACKAGER_APT);
            for (size_t i = 0; i < RUNTIME_PROFILE_ITEMS_MAX && profile->libraries[i]; i++)
                assert_int_equal(profile->libraries[i][0], '/');
        }
    assert_null(runtime_profile_find(RUNTIME_LANGUAGE_COUNT, RUNTIME_PACKAGER_APT));
    assert_null(runtime_platform_find(RUNTIME_PLATFORM_COUNT));
    assert_int_equal(platform("debian-arm64")->arch, RUNTIME_ARCH_ARM64);
    assert_int_equal(platform("amzn-amd64")->packager, RUNTIME_PACKAGER_DNF);
}

static void test_versions(void **state)
{
    (void)state;
    static const struct {
        enum runtime_language language;
        const char *version;
        bool taken;
    } rows[] = {
            {RUNTIME_LANGUAGE_PYTHON, "3.11", true},
            {RUNTIME_LANGUAGE_PYTHON, "3", true},
            {RUNTIME_LANGUAGE_PYTHON, "3.11.4", false},
            {RUNTIME_LANGUAGE_PYTHON, "3.", false},
            {RUNTIME_LANGUAGE_PYTHON, "latest", false},
            {RUNTIME_LANGUAGE_JAVA, "17", true},
            {RUNTIME_LANGUAGE_JAVA, "1.8.0", true},
            {RUNTIME_LANGUAGE_JAVA, "17-ea", false},
            {RUNTIME_LANGUAGE_NODE, "lts", true},
            {RUNTIME_LANGUAGE_GO, "1.21.5", true},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        assert_int_equal(runtime_profile_takes_version(rows[i].language, rows[i].version), rows[i].taken);
    for (unsigned i = 0; i < RUNTIME_LANGUAGE_COUNT; i++)
        assert_true(runtime_profile_takes_version(i, runtime_profile_example_version(i)));
    assert_true(runtime_profile_selects_version(runtime_profile_find(RUNTIME_LANGUAGE_PYTHON, RUNTIME_PACKAGER_DNF)));
    assert_false(runtime_profile_selects_version(runtime_profile_find(RUNTIME_LANGUAGE_PYTHON, RUNTIME_PACKAGER_APK)));
    assert_false(runtime_profile_selects_version(runtime_profile_find(RUNTIME_LANGUAGE_GO, RUNTIME_PACKAGER_APT)));
}

static void test_packages(void **state)
{
    (void)state;
    static const struct {
        const char *language;
        const char *version;
        const char *platform;
        const char *more;
        const char *packages;
    } rows[] = {
            {"python", "3.11", "debian-amd64", "",
                    "python3.11 python3.11-venv python3-pip python3.11-dev libssl-dev zlib1g-dev libffi-dev "},
            {"python", "3.11", "rhel-amd64", "",
                    "python311 python3-pip python311-devel openssl-devel zlib-devel libffi-devel "},
            {"python", "3.11", "alpine-arm64", "", "python3 py3-pip python3-dev openssl-dev zlib-dev libffi-dev "},
            {"java", "17", "ubuntu-arm64", "", "openjdk-17-jdk ca-certificates "},
            {"java", "17", "fedora-amd64", "", "java-17-openjdk-devel ca-certificates "},
            {"java", "17", "alpine-amd64", "", "openjdk17-jdk ca-certificates "},
            {"node", "18", "debian-amd64", "npm: [a]\n", "nodejs npm "},
            {"go", "1.19", "debian-amd64", "", "golang git "},
            {"go", "1.19", "alpine-amd64", "", "go git "},
            {"rust", "1.63", "debian-amd64", "", "rustc cargo "},
            {"rust", "1.63", "amzn-arm64", "", "rust cargo "},
            {"java", "17", "debian-amd64", "pip: [a]\nnpm: [b]\n",
                    "openjdk-17-jdk ca-certificates python3 python3-pip python3-venv nodejs npm "},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct runtime_recipe recipe;
        _cleanup_(runtime_spec_freep) struct runtime_spec *spec =
                parse(rows[i].language, rows[i].version, rows[i].more);
        assert_int_equal(runtime_profile_expand(spec, platform(rows[i].platform), &recipe, NULL), 0);
        assert_list(&recipe.packages, rows[i].packages);
        assert_int_equal(recipe.untried, platform(rows[i].platform)->packager != RUNTIME_PACKAGER_APT);
        runtime_recipe_done(&recipe);
    }
}

/* What a job does not need is installed and not kept; whose version is the language's is known where no name says it.
 */
static void test_what_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *language;
        const char *version;
        const char *build_packages;
        const char *keep;
        const char *version_package;
        const char *hint;
    } rows[] = {
            {"python", "3.11", "python3.11-dev libssl-dev zlib1g-dev libffi-dev ", "", "", "python3\\.[0-9]+"},
            {"java", "17", "", "", "", "openjdk-[0-9]+-jdk"},
            {"node", "18", "", "", "nodejs", ""},
            {"go", "1.19", "", "headers static ", "golang", ""},
            {"rust", "any", "", "headers static ", "rustc", ""},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct runtime_recipe recipe;
        _cleanup_(runtime_spec_freep) struct runtime_spec *spec = parse(rows[i].language, rows[i].version, "");
        assert_int_equal(runtime_profile_expand(spec, platform("debian-amd64"), &recipe, NULL), 0);
        assert_list(&recipe.build_packages, rows[i].build_packages);
        assert_list(&recipe.keep, rows[i].keep);
        assert_string_equal(recipe.version_package, rows[i].version_package);
        assert_string_equal(recipe.version_hint, rows[i].hint);
        runtime_recipe_done(&recipe);
    }
}

static void test_the_rest(void **state)
{
    (void)state;
    struct runtime_recipe recipe;
    _cleanup_(runtime_spec_freep) struct runtime_spec *java = parse(
            "java", "17", "environment: {A: '{V}', B: x}\nlibraries: [/usr/lib/*/a.so, /usr/lib/jvm/*/lib/*.so]\n");
    assert_int_equal(runtime_profile_expand(java, platform("debian-arm64"), &recipe, NULL), 0);
    /* What the client wrote is never expanded. */
    assert_list(&recipe.environment, "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "
                                     "JAVA_HOME=/usr/lib/jvm/java-17-openjdk-arm64 A={V} B=x ");
    assert_list(&recipe.libraries, "/usr/lib/jvm/*/lib/*.so /usr/lib/jvm/*/lib/*/*.so /usr/lib/*/a.so ");
    assert_list(&recipe.binaries, "java javac jar jshell keytool ");
    assert_list(&recipe.test, "java -version ");
    runtime_recipe_done(&recipe);

    _cleanup_(runtime_spec_freep) struct runtime_spec *python =
            parse("python", "3.11", "environment: {PYTHONUNBUFFERED: '0', JAVA_HOME: /x}\n");
    assert_int_equal(runtime_profile_expand(python, platform("ubuntu-amd64"), &recipe, NULL), 0);
    assert_list(&recipe.environment, "PYTHONDONTWRITEBYTECODE=1 PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "
                                     "JAVA_HOME=/x PYTHONUNBUFFERED=0 ");
    assert_list(&recipe.libraries, "/usr/lib/x86_64-linux-gnu/libpython3.11*.so* ");
    assert_list(&recipe.binaries, "python3.11 python3 pip3 ");
    assert_string_equal(recipe.test.items[0], "python3.11");
    runtime_recipe_done(&recipe);
}

static void test_all_rows_expand(void **state)
{
    (void)state;
    for (unsigned language = 0; language < RUNTIME_LANGUAGE_COUNT; language++) {
        _cleanup_(runtime_spec_freep) struct runtime_spec *spec =
                parse(runtime_language_name(language), runtime_profile_example_version(language), "");
        for (unsigned i = 0; i < RUNTIME_PLATFORM_COUNT; i++) {
            struct runtime_recipe recipe;
            assert_int_equal(runtime_profile_expand(spec, runtime_platform_find(i), &recipe, NULL), 0);
            struct runtime_list *lists[] = {&recipe.packages, &recipe.binaries, &recipe.libraries, &recipe.environment};
            for (size_t j = 0; j < ELEMENTS(lists); j++)
                for (size_t k = 0; k < lists[j]->count; k++)
                    assert_null(strpbrk(lists[j]->items[k], "{}"));
            for (size_t k = 0; k < recipe.libraries.count; k++)
                assert_true(rule_is_library(recipe.libraries.items[k]));
            assert_true(recipe.test.count >= 2);
            runtime_recipe_done(&recipe);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_table),
            cmocka_unit_test(test_versions),
            cmocka_unit_test(test_packages),
            cmocka_unit_test(test_what_is_kept),
            cmocka_unit_test(test_the_rest),
            cmocka_unit_test(test_all_rows_expand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
