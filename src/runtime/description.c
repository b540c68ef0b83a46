#include "runtime/description.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "runtime/profile.h"
#include "runtime/rule.h"
#include "runtime/yaml_events.h"

#define TEXT_MAX 512U
#define ITEMS_MAX 2048U

enum kind { KIND_TEXT, KIND_BOOL, KIND_LIST, KIND_MAP };

static bool is_line(const char *text)
{
    return *text == '\0' || rule_is_line(text, TEXT_MAX);
}

/* A specification as it came, its line ends included. */
static bool is_text(const char *text)
{
    return strlen(text) <= RUNTIME_SPEC_SIZE_MAX;
}

static bool is_hexadecimal(const char *text)
{
    return strlen(text) <= 64 && text[strspn(text, "0123456789abcdef")] == '\0';
}

static bool is_variable(const char *text)
{
    size_t length = strcspn(text, "=");
    return text[length] == '=' && length > 0 && length <= RUNTIME_VARIABLE_NAME_MAX &&
           !rule_is_reserved_variable(text) && rule_is_block(text + length + 1, RUNTIME_VALUE_MAX);
}

/* The keys in the order in which they are written. */
static const struct entry {
    const char *section; /* "" for the top level */
    const char *key;
    enum kind kind;
    bool required;
    size_t offset;
    bool (*is_valid)(const char *text);
} entries[] = {
#define ENTRY(section_, key_, kind_, required_, member, is_valid_)                                                     \
    {                                                                                                                  \
        section_, key_, kind_, required_, offsetof(struct runtime_description, member), is_valid_                      \
    }
        ENTRY("", "name", KIND_TEXT, true, name, rule_is_name),
        ENTRY("", "version", KIND_TEXT, true, version, rule_is_version),
        ENTRY("", "language", KIND_TEXT, true, language, is_line),
        ENTRY("", "language_version", KIND_TEXT, true, language_version, is_line),
        ENTRY("", "description", KIND_TEXT, true, description, is_line),
        ENTRY("", "environment", KIND_MAP, false, environment, is_variable),
        ENTRY("", "packages", KIND_LIST, false, packages, is_line),
        ENTRY("", "libraries", KIND_LIST, false, libraries, is_line),
        ENTRY("requirements", "architectures", KIND_LIST, false, architectures, is_line),
        ENTRY("requirements", "gpu", KIND_BOOL, false, gpu, NULL),
        ENTRY("requirements", "cuda_version", KIND_TEXT, false, cuda_version, is_line),
        ENTRY("build_info", "built_at", KIND_TEXT, false, built_at, is_line),
        ENTRY("build_info", "built_with", KIND_TEXT, false, built_with, is_line),
        ENTRY("build_info", "builder_version", KIND_TEXT, false, builder_version, is_line),
        ENTRY("build_info", "platform", KIND_TEXT, false, platform, is_line),
        ENTRY("build_info", "build_id", KIND_TEXT, false, build_id, is_line),
        ENTRY("build_info", "digest", KIND_TEXT, false, digest, is_hexadecimal),
        ENTRY("build_info", "fingerprint", KIND_TEXT, false, fingerprint, is_hexadecimal),
        ENTRY("", "test", KIND_LIST, false, test, is_line),
        ENTRY("", "original_yaml", KIND_TEXT, false, original_yaml, is_text),
};

static void *member(const struct entry *entry, const struct runtime_description *description)
{
    return (char *)(uintptr_t)description + entry->offset;
}

void runtime_description_free(struct runtime_description *description)
{
    if (!description)
        return;
    for (size_t i = 0; i < ELEMENTS(entries); i++) {
        if (entries[i].kind == KIND_TEXT)
            free(*(char **)member(&entries[i], description));
        else if (entries[i].kind != KIND_BOOL)
            runtime_list_done(member(&entries[i], description));
    }
    free(description);
}

void runtime_description_freep(struct runtime_description **description)
{
    runtime_description_free(*description);
}

/* ---- writing ---- */

struct output {
    yaml_emitter_t emitter;
    FILE *file;
    bool failed;
};

static int write_bytes(void *user, unsigned char *bytes, size_t size)
{
    struct output *output = user;
    return fwrite(bytes, 1, size, output->file) == size;
}

/* The emitter frees the event in any case. */
static void emit(struct output *output, yaml_event_t *event, int initialized)
{
    if (!initialized || !yaml_emitter_emit(&output->emitter, event))
        output->failed = true;
}

/* Texts are always quoted, so that none is read as a number, a null or a key of something. */
static void emit_scalar(struct output *output, const char *text, yaml_scalar_style_t style)
{
    yaml_event_t event;
    if (output->failed)
        return;
    emit(output, &event,
            yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text),
                    style == YAML_PLAIN_SCALAR_STYLE, 1, style));
}

static void emit_key(struct output *output, const char *key)
{
    emit_scalar(output, key, YAML_PLAIN_SCALAR_STYLE);
}

static void emit_text(struct output *output, const char *text)
{
    emit_scalar(output, text, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

static void emit_mapping(struct output *output, bool begin)
{
    yaml_event_t event;
    if (output->failed)
        return;
    emit(output, &event,
            begin ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE)
                  : yaml_mapping_end_event_initialize(&event));
}

static void emit_list(struct output *output, const struct runtime_list *list)
{
    yaml_event_t event;
    if (output->failed)
        return;
    emit(output, &event, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE));
    for (size_t i = 0; i < list->count; i++)
        emit_text(output, list->items[i]);
    if (!output->failed)
        emit(output, &event, yaml_sequence_end_event_initialize(&event));
}

static void emit_map(struct output *output, const struct runtime_list *list)
{
    emit_mapping(output, true);
    for (size_t i = 0; i < list->count && !output->failed; i++) {
        size_t length = strcspn(list->items[i], "=");
        _cleanup_free_ char *name = strndup(list->items[i], length);
        if (!name) {
            output->failed = true;
            return;
        }
        emit_text(output, name);
        emit_text(output, list->items[i][length] ? list->items[i] + length + 1 : "");
    }
    emit_mapping(output, false);
}

static void emit_entry(struct output *output, const struct entry *entry, const struct runtime_description *description)
{
    emit_key(output, entry->key);
    const void *value = member(entry, description);
    switch (entry->kind) {
    case KIND_TEXT:
        emit_text(output, *(char *const *)value ? *(char *const *)value : "");
        return;
    case KIND_BOOL:
        emit_scalar(output, *(const bool *)value ? "true" : "false", YAML_PLAIN_SCALAR_STYLE);
        return;
    case KIND_LIST:
        emit_list(output, value);
        return;
    case KIND_MAP:
        emit_map(output, value);
        return;
    }
}

static void emit_entries(struct output *output, const struct runtime_description *description)
{
    const char *section = "";
    for (size_t i = 0; i < ELEMENTS(entries); i++) {
        if (strcmp(entries[i].section, section) != 0) {
            if (*section)
                emit_mapping(output, false);
            section = entries[i].section;
            if (*section) {
                emit_key(output, section);
                emit_mapping(output, true);
            }
        }
        emit_entry(output, &entries[i], description);
    }
    /* A runtime is a whole root: older readers look for what is to be mounted, and find nothing. */
    emit_key(output, "mounts");
    emit_list(output, &(struct runtime_list){0});
}

static void emit_document(struct output *output, const struct runtime_description *description)
{
    yaml_event_t event;
    emit(output, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    if (!output->failed)
        emit(output, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    emit_mapping(output, true);
    emit_entries(output, description);
    emit_mapping(output, false);
    if (!output->failed)
        emit(output, &event, yaml_document_end_event_initialize(&event, 1));
    if (!output->failed)
        emit(output, &event, yaml_stream_end_event_initialize(&event));
}

int runtime_description_write(const struct runtime_description *description, char **ret_text)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    struct output output = {.file = open_memstream(&text, &size)};
    if (!output.file)
        return -ENOMEM;
    output.failed = !yaml_emitter_initialize(&output.emitter);
    if (!output.failed) {
        yaml_emitter_set_unicode(&output.emitter, 1);
        yaml_emitter_set_width(&output.emitter, -1);
        yaml_emitter_set_output(&output.emitter, write_bytes, &output);
        emit_document(&output, description);
    }
    yaml_emitter_delete(&output.emitter);
    bool failed = ferror(output.file);
    if (fclose(output.file) != 0 || failed || output.failed)
        return -ENOMEM;
    *ret_text = TAKE_PTR(text);
    return 0;
}

/* ---- reading ---- */

struct input {
    struct runtime_yaml yaml;
    struct runtime_description *description;
    struct runtime_problems problems;
    bool found[ELEMENTS(entries)];
};

static void refuse(struct input *input, const struct entry *entry)
{
    runtime_problems_add(&input->problems, runtime_yaml_line(&input->yaml), "%s: malformed", entry->key);
}

static int take_text(struct input *input, const struct entry *entry, const char *text)
{
    char **target = member(entry, input->description);
    if (!entry->is_valid(text)) {
        refuse(input, entry);
        return 0;
    }
    free(*target);
    *target = strdup(text);
    return *target ? 0 : -ENOMEM;
}

static int read_scalar(struct input *input, const struct entry *entry)
{
    const char *text = runtime_yaml_text(&input->yaml);
    if (!text) {
        refuse(input, entry);
        return runtime_yaml_skip(&input->yaml);
    }
    if (entry->kind == KIND_TEXT)
        return take_text(input, entry, text);
    if (rule_parse_bool(text, member(entry, input->description)) < 0)
        refuse(input, entry);
    return 0;
}

/* An item of a list, or the value of @name. */
static int read_item(struct input *input, const struct entry *entry, const char *name)
{
    struct runtime_list *list = member(entry, input->description);
    const char *text = runtime_yaml_text(&input->yaml);
    if (!text || list->count >= ITEMS_MAX) {
        refuse(input, entry);
        return runtime_yaml_skip(&input->yaml);
    }
    int r = name ? runtime_list_addf(list, "%s=%s", name, text) : runtime_list_add(list, text);
    if (r == 0 && !entry->is_valid(list->items[list->count - 1]))
        refuse(input, entry);
    return r;
}

static int read_list(struct input *input, const struct entry *entry)
{
    if (input->yaml.event.type != YAML_SEQUENCE_START_EVENT) {
        refuse(input, entry);
        return runtime_yaml_skip(&input->yaml);
    }
    for (;;) {
        int r = runtime_yaml_next(&input->yaml);
        if (r < 0 || input->yaml.event.type == YAML_SEQUENCE_END_EVENT)
            return r;
        r = read_item(input, entry, NULL);
        if (r < 0)
            return r;
    }
}

/* A copy of the current key, which must be one. */
static int take_key(struct input *input, char **ret_key)
{
    const char *text = runtime_yaml_text(&input->yaml);
    if (!text) {
        runtime_problems_add(&input->problems, runtime_yaml_line(&input->yaml), "a key is not a single text");
        return -EINVAL;
    }
    *ret_key = strdup(text);
    return *ret_key ? runtime_yaml_next(&input->yaml) : -ENOMEM;
}

static int read_map(struct input *input, const struct entry *entry)
{
    if (input->yaml.event.type != YAML_MAPPING_START_EVENT) {
        refuse(input, entry);
        return runtime_yaml_skip(&input->yaml);
    }
    for (;;) {
        int r = runtime_yaml_next(&input->yaml);
        if (r < 0 || input->yaml.event.type == YAML_MAPPING_END_EVENT)
            return r;
        _cleanup_free_ char *name = NULL;
        r = take_key(input, &name);
        if (r == 0)
            r = read_item(input, entry, name);
        if (r < 0)
            return r;
    }
}

static bool is_section(const char *key)
{
    for (size_t i = 0; i < ELEMENTS(entries); i++)
        if (strcmp(entries[i].section, key) == 0)
            return true;
    return false;
}

static int read_mapping(struct input *input, const char *section);

static int read_value(struct input *input, const char *section, const char *key)
{
    bool mapping = input->yaml.event.type == YAML_MAPPING_START_EVENT;
    if (!*section && *key && is_section(key) && mapping)
        return read_mapping(input, key);
    for (size_t i = 0; i < ELEMENTS(entries); i++) {
        const struct entry *entry = &entries[i];
        if (strcmp(entry->section, section) != 0 || strcmp(entry->key, key) != 0)
            continue;
        if (input->found[i])
            runtime_problems_add(&input->problems, runtime_yaml_line(&input->yaml), "%s: twice", key);
        input->found[i] = true;
        return entry->kind == KIND_LIST  ? read_list(input, entry)
               : entry->kind == KIND_MAP ? read_map(input, entry)
                                         : read_scalar(input, entry);
    }
    return runtime_yaml_skip(&input->yaml);
}

static int read_mapping(struct input *input, const char *section)
{
    for (;;) {
        int r = runtime_yaml_next(&input->yaml);
        if (r < 0 || input->yaml.event.type == YAML_MAPPING_END_EVENT)
            return r;
        _cleanup_free_ char *key = NULL;
        r = take_key(input, &key);
        if (r == 0)
            r = read_value(input, section, key);
        if (r < 0)
            return r;
    }
}

static int read_document(struct input *input)
{
    int r = 0;
    for (unsigned i = 0; i < 3 && r == 0; i++)
        r = runtime_yaml_next(&input->yaml);
    if (r == 0 && input->yaml.event.type != YAML_MAPPING_START_EVENT) {
        runtime_problems_add(&input->problems, 1, "the text is not keys and values");
        return -EINVAL;
    }
    return r == 0 ? read_mapping(input, "") : r;
}

static int finish(struct input *input)
{
    for (size_t i = 0; i < ELEMENTS(entries); i++) {
        if (entries[i].required && !input->found[i])
            runtime_problems_add(&input->problems, 0, "%s: is missing", entries[i].key);
        if (entries[i].kind != KIND_TEXT)
            continue;
        char **target = member(&entries[i], input->description);
        if (!*target && !(*target = strdup("")))
            return -ENOMEM;
    }
    if (input->problems.no_memory)
        return -ENOMEM;
    return runtime_problems_none(&input->problems) ? 0 : -EINVAL;
}

int runtime_description_read(
        const char *text, size_t size, struct runtime_description **ret_description, struct error *error)
{
    if (size > RUNTIME_DESCRIPTION_SIZE_MAX)
        return error_text(error, EINVAL, "runtime.yml: too large");
    _cleanup_(runtime_description_freep) struct runtime_description *description = calloc(1, sizeof(*description));
    if (!description)
        return error_text(error, ENOMEM, "no memory");
    struct input input = {.description = description};
    int r = runtime_yaml_init(&input.yaml, text, size, &input.problems);
    if (r == 0) {
        r = read_document(&input);
        runtime_yaml_done(&input.yaml);
    }
    if (r == 0)
        r = finish(&input);
    if (r == 0)
        *ret_description = TAKE_PTR(description);
    else if (r == -ENOMEM)
        (void)error_text(error, ENOMEM, "no memory");
    else
        (void)error_text(error, EINVAL, "runtime.yml: %.120s",
                input.problems.texts.count > 0 ? input.problems.texts.items[0] : "malformed");
    runtime_problems_done(&input.problems);
    return r;
}
