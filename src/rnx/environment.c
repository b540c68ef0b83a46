#include "rnx/environment.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"

void environment_done(struct environment *environment)
{
    for (size_t i = 0; i < environment->count; i++)
        free(environment->variables[i].name);
    free(environment->variables);
    *environment = (struct environment){0};
}

static int name_dup(const char *text, size_t size, char **ret_name, struct rnx_error *error)
{
    while (size > 0 && isspace((unsigned char)*text)) {
        text++;
        size--;
    }
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        size--;
    if (size == 0)
        return rnx_error_set(error, EINVAL, "environment variable key cannot be empty");
    _cleanup_free_ char *name = strndup(text, size);
    if (!name)
        return rnx_error_set(error, ENOMEM, "out of memory");
    if (!text_is_environment_name(name))
        return rnx_error_set(error, EINVAL,
                "invalid environment variable name '%s': must start with letter or underscore and contain only "
                "letters, "
                "numbers, and underscores",
                name);
    *ret_name = TAKE_PTR(name);
    return 0;
}

static void environment_put(struct environment *environment, char *name, const char *value)
{
    for (size_t i = 0; i < environment->count; i++)
        if (strcmp(environment->variables[i].name, name) == 0) {
            free(name);
            environment->variables[i].value = value;
            return;
        }
    environment->variables[environment->count++] = (struct environment_variable){name, value};
}

static int variable_parse(const char *text, bool secret, struct environment *environment, struct rnx_error *error)
{
    const char *equals = strchr(text, '=');
    if (!equals)
        return rnx_error_set(error, EINVAL, "invalid environment variable format%s%s (expected KEY=VALUE)",
                secret ? "" : ": ", secret ? "" : text);
    char *name = NULL;
    int r = name_dup(text, (size_t)(equals - text), &name, error);
    if (!name)
        return r;
    if (strlen(equals + 1) > ENVIRONMENT_VALUE_MAX) {
        r = rnx_error_set(error, EINVAL,
                "invalid environment variable value for '%s': value is too long (%zu bytes, max %d)", name,
                strlen(equals + 1), ENVIRONMENT_VALUE_MAX);
        free(name);
        return r;
    }
    environment_put(environment, name, equals + 1);
    return 0;
}

int environment_parse(
        const struct rnx_list *texts, bool secret, struct environment *ret_environment, struct rnx_error *error)
{
    struct environment environment = {.variables = calloc(texts->count + 1, sizeof(*environment.variables))};
    if (!environment.variables)
        return rnx_error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < texts->count; i++) {
        struct rnx_error cause = {0};
        int r = variable_parse(texts->items[i], secret, &environment, &cause);
        if (r < 0) {
            environment_done(&environment);
            return rnx_error_set(
                    error, -r, "%senvironment variable processing failed: %s", secret ? "secret " : "", cause.text);
        }
    }
    *ret_environment = environment;
    return 0;
}

bool environment_is_reserved(const char *name)
{
    static const char *const reserved[] = {"PATH", "HOME", "USER", "SHELL", "TERM", "PWD", "OLDPWD", "HOSTNAME", "LANG",
            "LC_ALL", "JOBLET_JOB_ID", "JOBLET_RUNTIME", "JOBLET_VOLUME_PATH"};
    for (size_t i = 0; i < ELEMENTS(reserved); i++)
        if (strcmp(reserved[i], name) == 0)
            return true;
    return false;
}

bool environment_is_suspicious(const char *value)
{
    static const char *const patterns[] = {"$(", "`", "rm -rf", "format C:", "del /f", "../", "passwd", "/etc/shadow"};
    for (size_t i = 0; i < ELEMENTS(patterns); i++)
        if (strcasestr(value, patterns[i]))
            return true;
    return false;
}
