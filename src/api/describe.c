#include "api/describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/mask.h"
#include "base/fd.h"

/* Names with commas between them. */
static void add_names(struct audit_facts *facts, const char *name, char *const *texts, size_t count)
{
    char *joined = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&joined, &size);
    for (size_t i = 0; file && i < count && ftello(file) < AUDIT_VALUE_MAX; i++)
        (void)fprintf(file, "%s%s", i > 0 ? "," : "", texts[i]);
    if (file && fclose(file) == 0)
        audit_facts_add(facts, name, joined);
    else
        facts->failed = true;
    free(joined);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted: a map has no order. */
static void add_keys(struct audit_facts *facts, const char *name, const void *entries, size_t count)
{
    /* All entries of maps have one shape. */
    Joblet__RunJobRequest__EnvironmentEntry *const *pairs = entries;
    _cleanup_free_ char **keys = calloc(count + 1, sizeof(*keys));
    for (size_t i = 0; keys && i < count; i++)
        keys[i] = pairs[i]->key;
    if (keys)
        qsort(keys, count, sizeof(*keys), compare_texts);
    if (keys)
        add_names(facts, name, keys, count);
    else
        facts->failed = true;
}

static void add_number(struct audit_facts *facts, const char *name, int32_t value)
{
    if (value)
        audit_facts_addf(facts, name, "%d", value);
}

void describe_runtime(struct grpc_call *call, const char *asked, const struct runtime_description *runtime)
{
    struct audit_facts *subject = audit_subject(call);
    if (!runtime) {
        audit_set(call, "runtime", asked);
        return;
    }
    audit_facts_addf(subject, "runtime", "%s@%s", runtime->name, runtime->version);
    audit_add(call, "runtime_digest", runtime->digest);
}

void describe_job(struct audit_facts *facts, const Joblet__RunJobRequest *message)
{
    for (size_t i = 0; i < message->n_secret_environment; i++)
        audit_facts_hide(facts, message->secret_environment[i]->key, message->secret_environment[i]->value);
    for (size_t i = 0; i < message->n_environment; i++)
        if (mask_name_is_secret(message->environment[i]->key))
            audit_facts_hide(facts, message->environment[i]->key, message->environment[i]->value);
    audit_facts_add_command(facts, message->command, message->args, message->n_args);
    audit_facts_add(facts, "work_dir", message->work_dir);
    audit_facts_add(facts, "timeout", message->timeout);
    audit_facts_add(facts, "schedule", message->schedule);
    audit_facts_add(facts, "network", message->network);
    audit_facts_add(facts, "cpu_cores", message->cpu_cores);
    add_number(facts, "max_cpu", message->max_cpu);
    add_number(facts, "max_memory", message->max_memory);
    add_number(facts, "max_io_bps", message->max_io_bps);
    add_number(facts, "max_processes", message->max_processes);
    add_number(facts, "max_open_files", message->max_open_files);
    add_number(facts, "gpu_count", message->gpu_count);
    add_number(facts, "gpu_memory_mb", message->gpu_memory_mb);
    add_number(facts, "uploads", (int32_t)message->n_uploads);
    add_names(facts, "volumes", message->volumes, message->n_volumes);
    add_keys(facts, "environment", message->environment, message->n_environment);
    add_keys(facts, "secret_environment", message->secret_environment, message->n_secret_environment);
}

void describe_secrets(
        struct audit_facts *facts, const struct runtime_spec *spec, const struct runtime_list *environment)
{
    const struct runtime_list *lists[] = {&spec->environment, environment};
    for (size_t i = 0; i < ELEMENTS(lists); i++)
        for (size_t j = 0; j < lists[i]->count; j++)
            audit_facts_hide_pair(facts, lists[i]->items[j]);
}

void describe_spec(struct audit_facts *facts, const struct runtime_spec *spec, const struct runtime_list *environment)
{
    describe_secrets(facts, spec, environment);
    audit_facts_add(facts, "language", runtime_language_name(spec->language));
    audit_facts_add(facts, "language_version", spec->language_version);
    add_names(facts, "pip", spec->pip.items, spec->pip.count);
    add_names(facts, "npm", spec->npm.items, spec->npm.count);
    if (*spec->pre_install || *spec->post_install)
        audit_facts_add(facts, "hooks",
                *spec->pre_install && *spec->post_install ? "pre_install,post_install"
                : *spec->pre_install                      ? "pre_install"
                                                          : "post_install");
}
