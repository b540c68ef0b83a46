#include "runtime/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "runtime/field.h"
#include "runtime/profile.h"
#include "runtime/yaml_events.h"

struct reader {
    struct runtime_yaml yaml;
    struct runtime_spec *spec;
    struct runtime_problems *problems;
    unsigned lines[FIELD_COUNT]; /* where each key stands, from 1; 0 = not there */
};

const char *runtime_language_name(enum runtime_language language)
{
    static const char *const names[RUNTIME_LANGUAGE_COUNT] = {
            [RUNTIME_LANGUAGE_PYTHON] = "python",
            [RUNTIME_LANGUAGE_JAVA] = "java",
            [RUNTIME_LANGUAGE_NODE] = "node",
            [RUNTIME_LANGUAGE_GO] = "go",
            [RUNTIME_LANGUAGE_RUST] = "rust",
    };
    return names[language];
}

/* Says that the current value is not of the kind that @field has, and goes past it. */
static int refuse_shape(struct reader *reader, const struct field *field, const char *right)
{
    char name[FIELD_NAME_MAX];
    field_format_name(field, name);
    if (!reader->yaml.refused)
        runtime_problems_add(
                reader->problems, runtime_yaml_line(&reader->yaml), "%s: the value is not %s", name, right);
    return runtime_yaml_skip(&reader->yaml);
}

static int read_text(struct reader *reader, const struct field *field, const char *name)
{
    const char *text = runtime_yaml_text(&reader->yaml);
    if (!text)
        return refuse_shape(reader, field, "a single text");
    struct field_place place = {reader->spec, reader->problems, runtime_yaml_line(&reader->yaml)};
    return field->read(field, &place, name, text);
}

static int read_single(struct reader *reader, const struct field *field)
{
    const char *text = runtime_yaml_text(&reader->yaml);
    /* Something optional that is empty is left out. */
    if (!field->required && text && (!*text || runtime_yaml_is_null(&reader->yaml)))
        return 0;
    return read_text(reader, field, field->key);
}

/* True, and said once, when a list or a map has become too long: what follows is gone past. */
static bool is_full(struct reader *reader, const struct field *field, size_t *count)
{
    if (++*count == field->count_max + 1)
        runtime_problems_add(reader->problems, runtime_yaml_line(&reader->yaml), "%s: more than %zu of them",
                field->key, field->count_max);
    return *count > field->count_max;
}

static int read_list(struct reader *reader, const struct field *field)
{
    if (runtime_yaml_is_null(&reader->yaml))
        return 0;
    if (reader->yaml.event.type != YAML_SEQUENCE_START_EVENT || reader->yaml.refused)
        return refuse_shape(reader, field, "a list (\"- ...\" on lines of their own)");
    for (size_t count = 0;;) {
        int r = runtime_yaml_next(&reader->yaml);
        if (r < 0 || reader->yaml.event.type == YAML_SEQUENCE_END_EVENT)
            return r;
        r = is_full(reader, field, &count) ? runtime_yaml_skip(&reader->yaml) : read_text(reader, field, field->key);
        if (r < 0)
            return r;
    }
}

/* A copy of the current event's text as a key; NULL in @ret_key, with the problem added and the key's value passed,
 * when it is none. 0 or what runtime_yaml_next returns. */
static int take_key(struct reader *reader, char **ret_key)
{
    const char *text = runtime_yaml_text(&reader->yaml);
    *ret_key = text ? strdup(text) : NULL;
    if (text)
        return *ret_key ? 0 : -ENOMEM;
    if (!reader->yaml.refused)
        runtime_problems_add(reader->problems, runtime_yaml_line(&reader->yaml), "a key is not a single text");
    int r = runtime_yaml_skip(&reader->yaml);
    if (r == 0)
        r = runtime_yaml_next(&reader->yaml);
    return r == 0 ? runtime_yaml_skip(&reader->yaml) : r;
}

static int read_map(struct reader *reader, const struct field *field)
{
    if (runtime_yaml_is_null(&reader->yaml))
        return 0;
    if (reader->yaml.event.type != YAML_MAPPING_START_EVENT || reader->yaml.refused)
        return refuse_shape(reader, field, "names and values (\"NAME: value\" on lines of their own)");
    for (size_t count = 0;;) {
        int r = runtime_yaml_next(&reader->yaml);
        if (r < 0 || reader->yaml.event.type == YAML_MAPPING_END_EVENT)
            return r;
        bool full = is_full(reader, field, &count);
        _cleanup_free_ char *name = NULL;
        r = take_key(reader, &name);
        if (r == 0 && name)
            r = runtime_yaml_next(&reader->yaml);
        if (r == 0 && name)
            r = full ? runtime_yaml_skip(&reader->yaml) : read_text(reader, field, name);
        if (r < 0)
            return r;
    }
}

static int read_mapping(struct reader *reader, const char *section);

static int read_section(struct reader *reader, const struct field *field)
{
    if (runtime_yaml_is_null(&reader->yaml))
        return 0;
    if (reader->yaml.event.type != YAML_MAPPING_START_EVENT || reader->yaml.refused) {
        /* One problem is enough: its keys do not count as missing. */
        for (unsigned i = 0; i < FIELD_COUNT; i++)
            if (strcmp(fields[i].section, field->key) == 0)
                reader->lines[i] = runtime_yaml_line(&reader->yaml);
        return refuse_shape(reader, field, "keys below it");
    }
    return read_mapping(reader, field->key);
}

static void refuse_unknown(struct reader *reader, const char *section, const char *key, unsigned line)
{
    char shown[RUNTIME_SHOWN_MAX];
    char names[256] = "";
    if (reader->problems->texts.count >= RUNTIME_PROBLEMS_MAX) {
        reader->problems->left_out++;
        return;
    }
    size_t used = 0;
    runtime_show(key, shown);
    for (unsigned i = 0; i < FIELD_COUNT && used < sizeof(names); i++)
        if (strcmp(fields[i].section, section) == 0)
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used > 0 ? ", " : "", fields[i].key);
    runtime_problems_add(
            reader->problems, line, "unknown key '%s%s%s'; there are %s", section, *section ? "." : "", shown, names);
}

static int read_value(struct reader *reader, const char *section, const char *key, unsigned line)
{
    int index = field_find(section, key);
    if (index < 0) {
        refuse_unknown(reader, section, key, line);
        return runtime_yaml_skip(&reader->yaml);
    }
    const struct field *field = &fields[index];
    if (reader->lines[index] > 0) {
        char name[FIELD_NAME_MAX];
        field_format_name(field, name);
        runtime_problems_add(reader->problems, line, "%s: stands in line %u already", name, reader->lines[index]);
        return runtime_yaml_skip(&reader->yaml);
    }
    reader->lines[index] = line;
    switch (field->kind) {
    case FIELD_LIST:
        return read_list(reader, field);
    case FIELD_MAP:
        return read_map(reader, field);
    case FIELD_SECTION:
        return read_section(reader, field);
    case FIELD_TEXT:
        break;
    }
    return read_single(reader, field);
}

/* Keys and values up to the end of the mapping that began. */
static int read_mapping(struct reader *reader, const char *section)
{
    for (;;) {
        int r = runtime_yaml_next(&reader->yaml);
        if (r < 0 || reader->yaml.event.type == YAML_MAPPING_END_EVENT)
            return r;
        unsigned line = runtime_yaml_line(&reader->yaml);
        _cleanup_free_ char *key = NULL;
        r = take_key(reader, &key);
        if (r == 0 && key)
            r = runtime_yaml_next(&reader->yaml);
        if (r == 0 && key)
            r = read_value(reader, section, key, line);
        if (r < 0)
            return r;
    }
}

/* 0 when the text was read to its end, whatever is wrong with it; -EINVAL when it could not be; -ENOMEM. */
static int read_document(struct reader *reader)
{
    struct runtime_yaml *yaml = &reader->yaml;
    int r = runtime_yaml_next(yaml);
    if (r == 0)
        r = runtime_yaml_next(yaml);
    if (r < 0)
        return r;
    if (yaml->event.type == YAML_STREAM_END_EVENT) {
        runtime_problems_add(reader->problems, 0, "the text is empty");
        return -EINVAL;
    }
    r = runtime_yaml_next(yaml);
    if (r < 0)
        return r;
    if (yaml->event.type != YAML_MAPPING_START_EVENT || yaml->refused) {
        runtime_problems_add(reader->problems, runtime_yaml_line(yaml), "the text is not keys and values");
        return -EINVAL;
    }
    r = read_mapping(reader, "");
    for (unsigned i = 0; i < 2 && r == 0; i++)
        r = runtime_yaml_next(yaml);
    if (r == 0 && yaml->event.type != YAML_STREAM_END_EVENT) {
        runtime_problems_add(
                reader->problems, runtime_yaml_line(yaml), "a second document begins; only one is permitted");
        return -EINVAL;
    }
    return r;
}

static unsigned line_of(const struct reader *reader, const char *section, const char *key)
{
    int index = field_find(section, key);
    return index >= 0 ? reader->lines[index] : 0;
}

static void check_missing(const struct reader *reader)
{
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct field *field = &fields[i];
        if (!field->required || reader->lines[i] > 0)
            continue;
        char name[FIELD_NAME_MAX];
        field_format_name(field, name);
        if (field->kind == FIELD_SECTION)
            runtime_problems_add(reader->problems, 0, "%s: is missing; it has the keys language and version", name);
        else if (!*field->section || line_of(reader, "", field->section) > 0)
            runtime_problems_add(reader->problems, line_of(reader, "", field->section), "%s: is missing; it is %s",
                    name, field->right);
    }
}

/* What cannot be judged value by value. */
static void check_together(const struct reader *reader)
{
    const struct runtime_spec *spec = reader->spec;
    if (spec->language_version && spec->language < RUNTIME_LANGUAGE_COUNT &&
            !runtime_profile_takes_version(spec->language, spec->language_version))
        runtime_problems_add(reader->problems, line_of(reader, "base", "version"),
                "base.version: '%s' is not a version that packages of %s are named by, like %s", spec->language_version,
                runtime_language_name(spec->language), runtime_profile_example_version(spec->language));
}

static int compare_variables(const void *left, const void *right)
{
    const char *const *a = left;
    const char *const *b = right;
    size_t length_a = strcspn(*a, "=");
    size_t length_b = strcspn(*b, "=");
    int order = strncmp(*a, *b, length_a < length_b ? length_a : length_b);
    return order != 0 ? order : (length_a > length_b) - (length_a < length_b);
}

static int fill_text(char **text)
{
    if (!*text)
        *text = strdup("");
    return *text ? 0 : -ENOMEM;
}

/* What was left out. */
static int finish(struct runtime_spec *spec)
{
    if (spec->environment.count > 0)
        qsort(spec->environment.items, spec->environment.count, sizeof(char *), compare_variables);
    char **texts[] = {&spec->cuda_version, &spec->pre_install, &spec->post_install};
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        if (fill_text(texts[i]) < 0)
            return -ENOMEM;
    return 0;
}

static int parse(struct reader *reader, const char *text, size_t size)
{
    int r = runtime_yaml_init(&reader->yaml, text, size, reader->problems);
    if (r < 0)
        return r;
    r = read_document(reader);
    runtime_yaml_done(&reader->yaml);
    if (r == 0) {
        check_missing(reader);
        check_together(reader);
    }
    if (r == -ENOMEM || reader->problems->no_memory)
        return -ENOMEM;
    return runtime_problems_none(reader->problems) ? finish(reader->spec) : -EINVAL;
}

int runtime_spec_parse(const char *text, size_t size, struct runtime_spec **ret_spec, struct runtime_problems *problems)
{
    if (size > RUNTIME_SPEC_SIZE_MAX) {
        runtime_problems_add(
                problems, 0, "the text has %zu bytes; at most %u are permitted", size, RUNTIME_SPEC_SIZE_MAX);
        return problems->no_memory ? -ENOMEM : -EINVAL;
    }
    _cleanup_(runtime_spec_freep) struct runtime_spec *spec = calloc(1, sizeof(*spec));
    if (!spec)
        return -ENOMEM;
    spec->language = RUNTIME_LANGUAGE_COUNT; /* none yet */
    spec->hook_timeout_ns = RUNTIME_SPEC_HOOK_TIMEOUT_NS;
    struct reader reader = {.spec = spec, .problems = problems};
    int r = parse(&reader, text, size);
    if (r < 0)
        return r;
    *ret_spec = TAKE_PTR(spec);
    return 0;
}

int runtime_spec_warn(const struct runtime_spec *spec, struct runtime_list *warnings)
{
    bool hooks = *spec->pre_install || *spec->post_install;
    const struct {
        bool applies;
        const char *text;
    } rows[] = {
            {spec->pip_options.count > 0 && spec->pip.count == 0,
                    "pip_options: there is no pip package to use them for"},
            {*spec->cuda_version && !spec->gpu, "requirements.cuda_version: nothing asks for a GPU (requirements.gpu)"},
            {spec->hook_timeout_ns != RUNTIME_SPEC_HOOK_TIMEOUT_NS && !hooks, "hooks.timeout: there is no hook"},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        if (rows[i].applies && runtime_list_add(warnings, rows[i].text) < 0)
            return -ENOMEM;
    return 0;
}

void runtime_spec_free(struct runtime_spec *spec)
{
    if (!spec)
        return;
    char *texts[] = {spec->name, spec->version, spec->description, spec->language_version, spec->cuda_version,
            spec->pre_install, spec->post_install};
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        free(texts[i]);
    struct runtime_list *lists[] = {
            &spec->pip, &spec->pip_options, &spec->npm, &spec->environment, &spec->libraries, &spec->keep};
    for (size_t i = 0; i < ELEMENTS(lists); i++)
        runtime_list_done(lists[i]);
    free(spec);
}

void runtime_spec_freep(struct runtime_spec **spec)
{
    runtime_spec_free(*spec);
}
