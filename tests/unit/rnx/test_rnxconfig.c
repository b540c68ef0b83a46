#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "rnx/rnx.h"
#include "rnx/rnxconfig.h"

static const char full[] = "version: \"3.0\"\n"
                           "future: {a: [1, 2]}\n"
                           "nodes:\n"
                           "  zeta:\n"
                           "    address: \"192.0.2.1:50051\"\n"
                           "    unknown: x\n"
                           "  admin:\n"
                           "    address: \"127.0.0.1:50051\"\n"
                           "    nodeId: \"abc\"\n"
                           "    isDefault: true\n"
                           "    cert: |\n"
                           "      CERT\n"
                           "      LINE\n"
                           "    key: |\n"
                           "      KEY\n"
                           "    ca: |\n"
                           "      CA\n";

static int parse(const char *text, struct rnxconfig *config, struct rnx_error *error)
{
    return rnxconfig_parse(text, strlen(text), "PATH", config, error);
}

static void test_parse(void **state)
{
    (void)state;
    struct rnxconfig config;
    struct rnx_error error;
    assert_int_equal(parse(full, &config, &error), 0);
    assert_int_equal(config.node_count, 2);
    const struct rnxconfig_node *admin = &config.nodes[0];
    assert_string_equal(admin->name, "admin");
    assert_string_equal(admin->address, "127.0.0.1:50051");
    assert_string_equal(admin->node_id, "abc");
    assert_string_equal(admin->cert, "CERT\nLINE\n");
    assert_string_equal(admin->key, "KEY\n");
    assert_string_equal(admin->ca, "CA\n");
    assert_true(admin->is_default);
    assert_string_equal(config.nodes[1].name, "zeta");
    assert_string_equal(config.nodes[1].cert, "");
    assert_false(config.nodes[1].is_default);
    rnxconfig_done(&config);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *error;
    } wrong[] = {
            {"", "no nodes configured in PATH"},
            {"version: 1\n", "no nodes configured in PATH"},
            {"nodes:\n", "no nodes configured in PATH"},
            {"nodes: {}\n", "no nodes configured in PATH"},
            {"[]", "failed to parse client config: line 1: not a mapping"},
            {"\nnodes: 3\n", "failed to parse client config: line 2: nodes must be a mapping"},
            {"nodes:\n  a: 3\n", "failed to parse client config: line 2: node 'a' must be a mapping"},
            {"nodes:\n  a:\n    key: [secret]\n", "failed to parse client config: line 3: key must be a text"},
            {"nodes:\n  a: {isDefault: secret}\n",
                    "failed to parse client config: line 2: isDefault must be true or false"},
            {"nodes:\n  a: {address: \"x\\0y\"}\n", "failed to parse client config: line 2: address has a NUL byte"},
            {"nodes:\n  a: {}\n  a: {}\n", "failed to parse client config: node 'a' stands there twice"},
            {"nodes:\n  b: {isDefault: true}\n  a: {isDefault: yes}\n",
                    "multiple nodes marked with isDefault: true in PATH: a, b (only one node can be the default)"},
    };
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        struct rnxconfig config;
        struct rnx_error error;
        assert_int_equal(parse(wrong[i].text, &config, &error), -EINVAL);
        assert_string_equal(error.text, wrong[i].error);
    }
    struct rnxconfig config;
    struct rnx_error error;
    assert_int_equal(parse("nodes:\n  a: \"unclosed\n", &config, &error), -EINVAL);
    assert_non_null(strstr(error.text, "failed to parse client config: line "));
}

/* A document that would be huge if aliases were copied costs nothing. */
static void test_aliases(void **state)
{
    (void)state;
    struct rnxconfig config;
    struct rnx_error error;
    assert_int_equal(parse("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
                           "base: &base {address: \"h:1\", cert: C}\n"
                           "nodes: {one: *base, two: *base}\n",
                             &config, &error),
            0);
    assert_int_equal(config.node_count, 2);
    assert_string_equal(config.nodes[1].address, "h:1");
    assert_string_equal(config.nodes[0].cert, "C");
    rnxconfig_done(&config);
}

static void assert_selected(const char *text, const char *name, const char *expected)
{
    struct rnxconfig config;
    struct rnx_error error;
    const struct rnxconfig_node *node = NULL;
    assert_int_equal(parse(text, &config, &error), 0);
    assert_int_equal(rnxconfig_select(&config, name, &node, &error), 0);
    assert_string_equal(node->name, expected);
    rnxconfig_done(&config);
}

static void test_select(void **state)
{
    (void)state;
    assert_selected(full, "", "admin");
    assert_selected(full, "zeta", "zeta");
    assert_selected("nodes: {only: {}}", "", "only");
    assert_selected("nodes: {a: {}, default: {}, z: {}}", "", "default");
    assert_selected("nodes: {a: {}, default: {}, z: {isDefault: true}}", "", "z");

    struct rnxconfig config;
    struct rnx_error error;
    const struct rnxconfig_node *node = NULL;
    assert_int_equal(parse("nodes: {b: {}, a: {}}", &config, &error), 0);
    assert_int_equal(rnxconfig_select(&config, "", &node, &error), -ENOENT);
    assert_string_equal(error.text,
            "no default node configured: mark one node with isDefault: true or use --node to select one of: a, b");
    assert_int_equal(rnxconfig_select(&config, "x", &node, &error), -ENOENT);
    assert_string_equal(error.text, "node 'x' not found in configuration");
    assert_null(node);
    rnxconfig_done(&config);
}

static void write_config(const char *path, const char *node)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "nodes: {%s: {}}\n", node);
    assert_int_equal(fclose(file), 0);
}

static void assert_loaded(const char *given, const char *expected)
{
    struct rnxconfig config;
    struct rnx_error error;
    assert_int_equal(rnxconfig_load(given, &config, &error), 0);
    assert_string_equal(config.nodes[0].name, expected);
    rnxconfig_done(&config);
}

/* Each place is used only when those before it are empty. */
static void test_search(void **state)
{
    (void)state;
    char directory[] = "/tmp/rnxconfig-XXXXXX";
    assert_non_null(mkdtemp(directory));
    char *back = realpath(".", NULL);
    assert_int_equal(chdir(directory), 0);
    assert_int_equal(mkdir("config", 0700), 0);
    assert_int_equal(mkdir("home", 0700), 0);
    assert_int_equal(mkdir("home/.rnx", 0700), 0);
    assert_int_equal(setenv("HOME", "home", 1), 0);
    assert_int_equal(setenv("RNX_CONFIG", "env.yml", 1), 0);

    struct rnxconfig config;
    struct rnx_error error;
    assert_int_equal(rnxconfig_load("given.yml", &config, &error), -ENOENT);
    assert_string_equal(error.text, "client configuration file not found: given.yml");

    write_config("home/.rnx/rnx-config.yml", "home");
    assert_loaded("", "home");
    write_config("config/rnx-config.yml", "config");
    assert_loaded("", "config");
    write_config("rnx-config.yml", "here");
    assert_loaded("", "here");
    write_config("env.yml", "environment");
    assert_loaded("", "environment");
    write_config("given.yml", "given");
    assert_loaded("given.yml", "given");

    assert_int_equal(rnxconfig_load("home", &config, &error), -EINVAL);
    assert_string_equal(error.text, "failed to read client config file home: not a file of at most 1048576 bytes");

    static const char *const files[] = {
            "given.yml", "env.yml", "rnx-config.yml", "config/rnx-config.yml", "home/.rnx/rnx-config.yml"};
    for (size_t i = 0; i < ELEMENTS(files); i++)
        assert_int_equal(unlink(files[i]), 0);
    assert_int_equal(rmdir("home/.rnx"), 0);
    assert_int_equal(rmdir("home"), 0);
    assert_int_equal(rmdir("config"), 0);
    assert_int_equal(chdir(back), 0);
    assert_int_equal(rmdir(directory), 0);
    free(back);
    (void)unsetenv("RNX_CONFIG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_parse),
            cmocka_unit_test(test_errors),
            cmocka_unit_test(test_aliases),
            cmocka_unit_test(test_select),
            cmocka_unit_test(test_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
