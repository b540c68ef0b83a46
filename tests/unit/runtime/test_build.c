#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/fd.h"
#include "plan/recipe.h"
#include "runtime/build.h"
#include "runtime/packager.h"
#include "runtime/pip.h"

/* Everything of one build. */
struct fixture {
    struct runtime_spec *spec;
    struct runtime_host host;
    struct runtime_recipe recipe;
    struct runtime_list environment;
    struct runtime_build build;
    struct runtime_list words;
};

static void prepare(struct fixture *fixture, const char *language, const char *version, const char *more)
{
    char text[2048];
    struct runtime_problems problems = {0};
    *fixture = (struct fixture){0};
    int size = snprintf(text, sizeof(text),
            "schema_version: 1.0\nname: a-1\nversion: 2.3.4\ndescription: d\nbase: {language: %s, version: '%s'}\n%s",
            language, version, more);
    if (runtime_spec_parse(text, (size_t)size, &fixture->spec, &problems) < 0)
        fail_msg("%s", problems.texts.items[0]);
    assert_int_equal(runtime_host_find("debian", "", "x86_64", &fixture->host, NULL), 0);
    assert_int_equal(runtime_profile_expand(fixture->spec, fixture->host.platform, &fixture->recipe, NULL), 0);
    fixture->build = (struct runtime_build){.spec = fixture->spec,
            .host = &fixture->host,
            .recipe = &fixture->recipe,
            .build_id = "00000000-0000-4000-8000-000000000001",
            .setup_script = "",
            .environment = &fixture->environment,
            .timeout_ns = 5000000000};
}

static void done(struct fixture *fixture)
{
    runtime_spec_free(fixture->spec);
    runtime_recipe_done(&fixture->recipe);
    runtime_list_done(&fixture->environment);
    runtime_list_done(&fixture->words);
}

/* How many words follow each word of a recipe; of those with a count, what stands before it. */
static const struct {
    const char *word;
    unsigned fixed;
    bool counted;
} grammar[] = {
        {"phase", 3, false},
        {"say", 2, false},
        {"env", 1, false},
        {"run", 3, true},
        {"query", 3, true},
        {"packager", 1, false},
        {"package", 1, false},
        {"binary", 1, false},
        {"path", 1, false},
        {"library", 1, false},
        {"keep", 1, false},
        {"step", 3, false},
        {"runtime-dir", 1, false},
        {"file", 2, true},
        {"limit", 1, false},
        {"cache", 1, false},
        {"private", 1, false},
        {"since", 1, false},
        {"failed", 0, false},
};

/* The recipe without the scripts, as one text: "word a b c | word d". Fails when it is not whole. */
static void flatten(const struct runtime_list *words, char *ret_text, size_t size)
{
    size_t used = (size_t)snprintf(ret_text, size, "%s", words->items[0]);
    for (size_t i = 1; i < words->count;) {
        size_t row = 0;
        while (row < ELEMENTS(grammar) && strcmp(grammar[row].word, words->items[i]) != 0)
            row++;
        if (row == ELEMENTS(grammar))
            fail_msg("no word of a recipe: %s", words->items[i]);
        size_t count = grammar[row].fixed;
        assert_true(i + count < words->count);
        if (grammar[row].counted)
            count += (size_t)atoi(words->items[i + count]);
        assert_true(i + count < words->count);
        used += (size_t)snprintf(ret_text + used, size - used, " | %s", words->items[i]);
        for (size_t j = 1; j <= count; j++)
            if (!strchr(words->items[i + j], '\n'))
                used += (size_t)snprintf(ret_text + used, size - used, " %s", words->items[i + j]);
        i += 1 + count;
    }
    assert_true(used < size);
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in '%s'", part, text);
}

static void install(struct fixture *fixture, char *ret_text, size_t size)
{
    runtime_list_done(&fixture->words);
    assert_int_equal(runtime_build_install(&fixture->build, RUNTIME_PART_ALL, &fixture->words), 0);
    assert_string_equal(fixture->words.items[0], "install");
    flatten(&fixture->words, ret_text, size);
}

static void test_five_languages(void **state)
{
    (void)state;
    static const struct {
        const char *language;
        const char *version;
        const char *version_query;
        const char *packages;
        const char *kept;
    } rows[] = {
            {"python", "3.11", NULL,
                    "python3.11 python3.11-venv python3-pip python3.11-dev libssl-dev zlib1g-dev libffi-dev",
                    "package python3.11 | package python3.11-venv | package python3-pip | binary python3.11 |"},
            {"java", "17", NULL, "openjdk-17-jdk ca-certificates",
                    "package openjdk-17-jdk | package ca-certificates | binary java |"},
            {"node", "any", "version nodejs any", "nodejs npm", "package nodejs | package npm | binary node |"},
            {"go", "1.19", "version golang 1.19", "golang git", "package golang | package git | binary go |"},
            {"rust", "1.63", "version rustc 1.63", "rustc cargo", "package rustc | package cargo | binary rustc |"},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct fixture fixture;
        char text[16384];
        char part[512];
        prepare(&fixture, rows[i].language, rows[i].version, "");
        install(&fixture, text, sizeof(text));
        (void)snprintf(part, sizeof(part), "| env RUNTIME_TYPE=%s |", rows[i].language);
        assert_has(text, part);
        if (rows[i].version_query)
            assert_has(text, rows[i].version_query);
        else
            assert_null(strstr(text, "query version"));
        (void)snprintf(part, sizeof(part), " install %s |", rows[i].packages);
        assert_has(text, part);
        (void)snprintf(part, sizeof(part), " simulate %s |", rows[i].packages);
        assert_has(text, part);
        assert_has(text, "| phase 6 Pre-install Hook skipped: there is none |");
        const struct runtime_built built = {.packages = &fixture.recipe.packages, .description = "x: y\n"};
        runtime_list_done(&fixture.words);
        assert_int_equal(runtime_build_collect(&fixture.build, &built, &fixture.words), 0);
        flatten(&fixture.words, text, sizeof(text));
        assert_has(text, rows[i].kept);
        assert_has(text,
                "| path /usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin | runtime-dir /opt/joblet/runtimes/a-1/2.3.4 |");
        done(&fixture);
    }
}

static void test_install_whole(void **state)
{
    (void)state;
    struct fixture fixture;
    char text[16384];
    prepare(&fixture, "python", "3.11",
            "pip: ['a==1', b]\npip_options: '-U --timeout 5'\nnpm: ['@x/y@^2']\nhooks: {pre_install: PRE, "
            "post_install: POST, "
            "timeout: 7s}\n");
    fixture.build.setup_script = "SETUP";
    assert_int_equal(runtime_list_add(&fixture.environment, "RUNTIME_NAME=evil"), 0);
    install(&fixture, text, sizeof(text));
    assert_has(text, "install | env RUNTIME_NAME=evil | env DEBIAN_FRONTEND=noninteractive |");
    /* What says where it is comes after the configuration's. */
    assert_has(text, "| env JOBLET_CHROOT=true | env PLATFORM=debian | env ARCHITECTURE=amd64 | env PKG_MANAGER=apt |");
    assert_has(text, "| env BUILD_ID=00000000-0000-4000-8000-000000000001 | env RUNTIME_TYPE=python | env "
                     "RUNTIME_NAME=a-1 | env RUNTIME_VERSION=2.3.4 | env RUNTIME_DIR=/opt/joblet/runtimes/a-1/2.3.4 |");
    assert_has(text, "| env ISOLATED_DIR=/opt/joblet/runtimes/a-1/2.3.4/isolated |");
    assert_has(text,
            "| run directories 5000000000 4 /bin/mkdir -p -- /opt/joblet/runtimes/a-1/2.3.4/isolated | phase 6 "
            "Pre-install Hook running it | run pre_install 7000000000 4 /bin/bash -c PRE pre_install | phase 7 "
            "Install Base python 3.11 and what it needs | run base 5000000000 14 /bin/sh -c apt install ");
    assert_has(text,
            "| run pip 5000000000 12 python3.11 -c /var/cache/apt/archives /tmp/pip-files install --ignore-installed "
            "--upgrade --timeout=5 -- a==1 b | "
            "say info installing 1 packages with npm | run npm 5000000000 8 npm install --global --no-audit "
            "--no-fund --no-update-notifier -- @x/y@^2 | say info running setup.sh | run setup.sh 5000000000 4 "
            "/bin/bash -c SETUP setup.sh | phase 9 Post-install Hook running it | run post_install 7000000000 4 "
            "/bin/bash -c POST post_install");
    fixture.build.dry_run = true;
    install(&fixture, text, sizeof(text));
    assert_null(strstr(text, "phase 5"));
    assert_null(strstr(text, "PRE"));
    assert_has(text, "phase 4 Validate Packages 9 packages of apt");
    done(&fixture);
}

static void test_collect_whole(void **state)
{
    (void)state;
    struct fixture fixture;
    char text[16384];
    prepare(&fixture, "go", "1.19", "libraries: [/usr/lib/x.so]\nkeep: [static, doc]\nenvironment: {PATH: /p}\n");
    const struct runtime_step steps[] = {{"base", 10, 20}, {"setup.sh", 21, 30}};
    struct runtime_list selected = {0};
    assert_int_equal(runtime_list_add(&selected, "golang"), 0);
    const struct runtime_built built = {.packages = &selected,
            .steps = steps,
            .step_count = 2,
            .since_unix_ns = 9,
            .limit_bytes = 1234,
            .cache_bytes = 5678,
            .description = "name: a-1"};
    assert_int_equal(runtime_build_collect(&fixture.build, &built, &fixture.words), 0);
    flatten(&fixture.words, text, sizeof(text));
    assert_string_equal(text,
            "collect | packager apt | since 9 | limit 1234 | cache 5678 | step base 10 20 | step setup.sh 21 30 | "
            "phase 10 Copy "
            "Binaries "
            "packages, programs and what the steps installed | package golang | binary go | binary gofmt | path /p | "
            "runtime-dir /opt/joblet/runtimes/a-1/2.3.4 | phase 11 Copy Libraries 1 patterns of libraries | library "
            "/usr/lib/x.so | phase 12 Copy Configuration accounts, certificates, name service | keep headers | keep "
            "static "
            "| keep doc | phase 13 Generate Config runtime.yml | file runtime.yml 1 name: a-1 | phase 14 Validate "
            "Build the "
            "manifest");
    runtime_list_done(&selected);
    done(&fixture);
}

/* What other builds may not read of what this one fetches. */
static void test_private_downloads(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        const char *wanted;
    } rows[] = {
            {"pip: [x]\npip_options: --pre\n", "cache 1 | phase"},
            {"pip: [x]\npip_options: --index-url=https://host/simple\n", "cache 1 | private pip | phase"},
            {"pip: [x]\npip_options: --extra-index-url https://host/simple\n", "cache 1 | private pip | phase"},
            {"hooks: {pre_install: 'true'}\n", "cache 1 | private base | private pip | private npm | phase"},
            {"hooks: {post_install: 'true'}\n", "cache 1 | phase"},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct fixture fixture;
        char text[16384];
        const struct runtime_list none = {0};
        const struct runtime_built built = {.packages = &none, .cache_bytes = 1, .description = ""};
        prepare(&fixture, "python", "3.11", rows[i].more);
        assert_int_equal(runtime_build_collect(&fixture.build, &built, &fixture.words), 0);
        flatten(&fixture.words, text, sizeof(text));
        if (!strstr(text, rows[i].wanted))
            fail_msg("%s: %s", rows[i].more, text);
        done(&fixture);
    }
}

/* A file larger than an argument can be is cut, and is the same when it is put together. */
static void test_long_file(void **state)
{
    (void)state;
    struct fixture fixture;
    size_t size = 300000;
    char *description = malloc(size + 1);
    assert_non_null(description);
    for (size_t i = 0; i < size; i++)
        description[i] = (char)('a' + i % 26);
    description[size] = '\0';
    prepare(&fixture, "go", "1.19", "");
    const struct runtime_built built = {.packages = &fixture.recipe.packages, .description = description};
    assert_int_equal(runtime_build_collect(&fixture.build, &built, &fixture.words), 0);
    size_t at = 0;
    while (strcmp(fixture.words.items[at], "file") != 0)
        at++;
    assert_string_equal(fixture.words.items[at + 1], RECIPE_FILE_RUNTIME);
    int count = atoi(fixture.words.items[at + 2]);
    assert_int_equal(count, 5);
    const char *rest = description;
    for (int i = 0; i < count; i++) {
        const char *piece = fixture.words.items[at + 3 + (size_t)i];
        assert_true(strlen(piece) < 131072 && strncmp(rest, piece, strlen(piece)) == 0);
        rest += strlen(piece);
    }
    assert_string_equal(rest, "");
    free(description);
    done(&fixture);
}

/* Nothing of a specification is where a command takes an option, and nothing is in a script. */
static void test_no_injection(void **state)
{
    (void)state;
    struct fixture fixture;
    prepare(&fixture, "node", "any", "pip: [zzz]\nnpm: [zzz]\n");
    assert_int_equal(runtime_build_install(&fixture.build, RUNTIME_PART_ALL, &fixture.words), 0);
    for (size_t i = 0; i < fixture.words.count; i++) {
        const char *word = fixture.words.items[i];
        if (strcmp(word, "zzz") == 0)
            assert_string_equal(fixture.words.items[i - 1], "--");
        if (strchr(word, '\n')) {
            if (word != strstr(word, "import "))
                assert_string_equal(word, runtime_packager_find(RUNTIME_PACKAGER_APT)->script);
            else
                assert_string_equal(word, runtime_pip_launcher);
            assert_string_equal(fixture.words.items[i - 1], "-c");
        }
    }
    done(&fixture);
}

static void test_digest(void **state)
{
    (void)state;
    struct fixture fixture;
    char plain[RUNTIME_DIGEST_MAX];
    char with[RUNTIME_DIGEST_MAX];
    char other[RUNTIME_DIGEST_MAX];
    prepare(&fixture, "go", "1.19", "");
    assert_int_equal(runtime_spec_digest(fixture.spec, plain), 0);
    assert_int_equal(runtime_build_digest(fixture.spec, "", with), 0);
    assert_string_equal(plain, with);
    assert_int_equal(runtime_build_digest(fixture.spec, "a", with), 0);
    assert_int_equal(runtime_build_digest(fixture.spec, "b", other), 0);
    assert_string_not_equal(plain, with);
    assert_string_not_equal(with, other);
    done(&fixture);
}

/* Of a failed build: which steps there were, and nothing of what it was to become. */
static void test_look(void **state)
{
    (void)state;
    struct fixture fixture;
    char text[1024];
    const struct runtime_step steps[] = {{"base", 5, 7}, {"pip", 8, 9}};
    const struct runtime_built built = {.steps = steps, .step_count = 2, .since_unix_ns = 3};
    prepare(&fixture, "python", "3.11", "pip: [x]\n");
    assert_int_equal(runtime_build_look(&fixture.build, &built, &fixture.words), 0);
    flatten(&fixture.words, text, sizeof(text));
    assert_string_equal(text, "collect | failed | packager apt | since 3 | step base 5 7 | step pip 8 9");
    done(&fixture);
}

static void find_sources(const char *const variables[], char ret_digest[RUNTIME_DIGEST_MAX])
{
    const uint8_t fingerprint[RUNTIME_FINGERPRINT_SIZE] = {0xab, 0xcd};
    struct runtime_list environment = {0};
    for (size_t i = 0; variables[i]; i++)
        assert_int_equal(runtime_list_add(&environment, variables[i]), 0);
    assert_int_equal(runtime_sources_digest(fingerprint, &environment, ret_digest), 0);
    runtime_list_done(&environment);
}

#define VARIABLES(...)                                                                                                 \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__ __VA_OPT__(, ) NULL                                                                                \
    }

/* The addresses of indexes count; how they are reached, and as whom, does not. */
static void test_sources(void **state)
{
    (void)state;
    char host[RUNTIME_DIGEST_MAX];
    char one[RUNTIME_DIGEST_MAX];
    char other[RUNTIME_DIGEST_MAX];
    find_sources(VARIABLES(), host);
    assert_string_equal(host, "abcd000000000000000000000000000000000000000000000000000000000000");
    find_sources(VARIABLES("https_proxy=http://proxy:3128", "HTTP_PROXY=http://u:p@proxy", "NAME=value"), other);
    assert_string_equal(host, other);
    find_sources(VARIABLES("PIP_INDEX_URL=https://one/simple"), one);
    assert_string_not_equal(host, one);
    find_sources(VARIABLES("http_proxy=http://proxy", "PIP_INDEX_URL=https://user:pass@one/simple"), other);
    assert_string_equal(one, other);
    find_sources(VARIABLES("PIP_INDEX_URL=https://two/simple"), other);
    assert_string_not_equal(one, other);
    find_sources(VARIABLES("NPM_CONFIG_REGISTRY=https://one/simple"), other);
    assert_string_not_equal(one, other);
    /* Each of several; what stands behind a host's name is no user. */
    find_sources(VARIABLES("PIP_EXTRA_INDEX_URL=https://a:b@one/x https://c@two/y"), one);
    find_sources(VARIABLES("PIP_EXTRA_INDEX_URL=https://one/x https://d:e@two/y"), other);
    assert_string_equal(one, other);
    find_sources(VARIABLES("PIP_EXTRA_INDEX_URL=https://one/x https://two/@y"), other);
    assert_string_not_equal(one, other);
}

static void find_key(const char *language, const char *version, const char *more, const char *variable,
        const char *builder, uint8_t ret_key[RUNTIME_BASE_KEY_SIZE])
{
    const char *why;
    struct fixture fixture;
    prepare(&fixture, language, version, more);
    if (variable)
        assert_int_equal(runtime_list_add(&fixture.environment, variable), 0);
    fixture.build.build_id = more; /* another one each time */
    assert_true(runtime_build_has_base(&fixture.build, &why));
    assert_int_equal(runtime_build_base_key(&fixture.build, builder, ret_key), 0);
    done(&fixture);
}

/* A base is the same for all that need the same packages, and another for whatever reaches their installation. */
static void test_base_key(void **state)
{
    (void)state;
    uint8_t first[RUNTIME_BASE_KEY_SIZE];
    uint8_t other[RUNTIME_BASE_KEY_SIZE];
    static const char *const same[] = {"pip: [six]\n", "pip: [idna]\npip_options: --no-deps\n", "environment: {A: b}\n",
            "hooks: {post_install: 'true'}\n"};
    static const struct {
        const char *language;
        const char *version;
        const char *more;
        const char *variable;
        const char *builder;
    } different[] = {{"python", "3.12", "", NULL, "1"}, {"go", "1.19", "", NULL, "1"},
            {"python", "3.11", "npm: [a]\n", NULL, "1"}, {"python", "3.11", "", "http_proxy=x", "1"},
            {"python", "3.11", "", NULL, "2"}};
    find_key("python", "3.11", "", NULL, "1", first);
    for (size_t i = 0; i < ELEMENTS(same); i++) {
        find_key("python", "3.11", same[i], NULL, "1", other);
        assert_memory_equal(first, other, sizeof(first));
    }
    for (size_t i = 0; i < ELEMENTS(different); i++) {
        find_key(different[i].language, different[i].version, different[i].more, different[i].variable,
                different[i].builder, other);
        assert_memory_not_equal(first, other, sizeof(first));
    }
}

/* The parts together are what is done in one go, but for a hook that would come first. */
static void test_parts(void **state)
{
    (void)state;
    const char *why = "";
    struct fixture fixture;
    char text[16384];
    prepare(&fixture, "python", "3.11", "pip: [six]\nhooks: {post_install: 'true'}\n");
    assert_int_equal(runtime_build_install(&fixture.build, RUNTIME_PART_BASE, &fixture.words), 0);
    flatten(&fixture.words, text, sizeof(text));
    assert_has(text, "run base ");
    assert_null(strstr(text, "a-1"));
    assert_null(strstr(text, "2.3.4"));
    assert_null(strstr(text, "six"));
    assert_null(strstr(text, "run pip"));
    runtime_list_done(&fixture.words);
    assert_int_equal(runtime_build_install(&fixture.build, RUNTIME_PART_REST, &fixture.words), 0);
    flatten(&fixture.words, text, sizeof(text));
    assert_has(text, "run pip ");
    assert_has(text, "run post_install ");
    assert_has(text, "RUNTIME_NAME=a-1");
    assert_null(strstr(text, "run base"));
    assert_null(strstr(text, "package-lists"));
    done(&fixture);
    prepare(&fixture, "python", "3.11", "hooks: {pre_install: 'true'}\n");
    assert_false(runtime_build_has_base(&fixture.build, &why));
    assert_string_equal(why, "the pre_install hook runs first");
    done(&fixture);
}

static void test_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *distribution;
        const char *like;
        const char *machine;
        const char *platform; /* NULL: none */
    } rows[] = {
            {"debian", "", "x86_64", "debian-amd64"},
            {"ubuntu", "debian", "aarch64", "ubuntu-arm64"},
            {"linuxmint", "ubuntu debian", "x86_64", "ubuntu-amd64"},
            {"rocky", "rhel centos fedora", "x86_64", "rhel-amd64"},
            {"ol", "fedora", "x86_64", "fedora-amd64"},
            {"alpine", "", "x86_64", "alpine-amd64"},
            {"gentoo", "", "x86_64", NULL},
            {"x", "debianx  y debian", "x86_64", "debian-amd64"},
            {"", "", "x86_64", NULL},
            {"debian", "", "riscv64", NULL},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct runtime_host host;
        struct error error = {0};
        int r = runtime_host_find(rows[i].distribution, rows[i].like, rows[i].machine, &host, &error);
        assert_int_equal(r == 0, rows[i].platform != NULL);
        if (r == 0)
            assert_string_equal(host.platform->name, rows[i].platform);
        else
            assert_true(*error.text);
    }
    struct fixture fixture;
    prepare(&fixture, "go", "1.19", "platforms: [ubuntu-amd64, debian-arm64]\n");
    assert_false(runtime_host_fits(&fixture.host, fixture.spec));
    done(&fixture);
    prepare(&fixture, "go", "1.19", "platforms: [debian-amd64]\n");
    assert_true(runtime_host_fits(&fixture.host, fixture.spec));
    done(&fixture);
}

static void test_packagers(void **state)
{
    (void)state;
    static const char *const actions[] = {"lists)", "select)", "version)", "simulate)", "install)"};
    for (unsigned i = 0; i < RUNTIME_PACKAGER_COUNT; i++) {
        const struct runtime_packager_commands *commands = runtime_packager_find(i);
        assert_int_equal(commands->untried, i != RUNTIME_PACKAGER_APT);
        for (size_t j = 0; j < ELEMENTS(actions); j++)
            assert_has(commands->script, actions[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_five_languages),
            cmocka_unit_test(test_install_whole),
            cmocka_unit_test(test_collect_whole),
            cmocka_unit_test(test_private_downloads),
            cmocka_unit_test(test_long_file),
            cmocka_unit_test(test_no_injection),
            cmocka_unit_test(test_digest),
            cmocka_unit_test(test_look),
            cmocka_unit_test(test_sources),
            cmocka_unit_test(test_base_key),
            cmocka_unit_test(test_parts),
            cmocka_unit_test(test_hosts),
            cmocka_unit_test(test_packagers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
