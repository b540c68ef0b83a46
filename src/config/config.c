/* Reading and writing joblet-config.yml by the table of field.c.
 *
 * The file is read by root, so as little YAML as possible is accepted: one document, a mapping of mappings of scalars.
 * Anchors, aliases, tags and deeper nesting are refused at the first event that shows them, so nothing can be made to
 * expand. libyaml is used without libcyaml on top: that has neither ranges nor the value and line in its messages, and
 * the root process is better off with one library less. The environment changes no setting. */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "base/fd.h"
#include "config/field.h"

#define VALUE_SHOWN_MAX 40

struct reader {
    yaml_parser_t parser;
    const char *name; /* in errors */
    struct config *config;
    unsigned lines[CONFIG_FIELD_COUNT]; /* where each key stands, from 1; 0 = not there */
    bool sections[CONFIG_FIELD_COUNT];  /* at the first field of each section: seen */
    struct error *error;
};

static void *field_target(struct config *config, const struct config_field *field)
{
    return (char *)config + field->offset;
}

static int reader_fail(struct reader *reader, unsigned line, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
static int reader_fail(struct reader *reader, unsigned line, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (line == 0)
        return error_text(reader->error, EINVAL, "%s: %s", reader->name, text);
    return error_text(reader->error, EINVAL, "%s:%u: %s", reader->name, line, text);
}

/* @value as it may be shown in one line of an error. */
static void show_value(const char *value, char ret_text[VALUE_SHOWN_MAX + 4])
{
    size_t length = strlen(value);
    size_t shown = length < VALUE_SHOWN_MAX ? length : VALUE_SHOWN_MAX;
    for (size_t i = 0; i < shown; i++)
        ret_text[i] = value[i] >= ' ' && value[i] < 0x7f ? value[i] : '?';
    (void)snprintf(ret_text + shown, 4, "%s", length > shown ? "..." : "");
}

static unsigned event_line(const yaml_event_t *event)
{
    return (unsigned)event->start_mark.line + 1;
}

/* Scalars hold key material. */
static void event_wipe(yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT)
        explicit_bzero(event->data.scalar.value, event->data.scalar.length);
    yaml_event_delete(event);
}

static int next_event(struct reader *reader, yaml_event_t *ret_event)
{
    if (yaml_parser_parse(&reader->parser, ret_event))
        return 0;
    const char *problem = reader->parser.problem ? reader->parser.problem : "not YAML";
    if (reader->parser.error == YAML_MEMORY_ERROR)
        return error_errno(reader->error, ENOMEM, "%s", reader->name);
    if (reader->parser.error == YAML_READER_ERROR)
        return reader_fail(reader, 0, "%s at byte %zu", problem, reader->parser.problem_offset);
    return reader_fail(reader, (unsigned)reader->parser.problem_mark.line + 1, "%s", problem);
}

/* The next event must be of @type; it is returned with nothing to free in it. */
static int expect_event(struct reader *reader, yaml_event_type_t type, const char *what)
{
    yaml_event_t event;
    int r = next_event(reader, &event);
    if (r < 0)
        return r;
    unsigned line = event_line(&event);
    bool plain = event.type == type;
    if (plain && type == YAML_MAPPING_START_EVENT)
        plain = !event.data.mapping_start.anchor && !event.data.mapping_start.tag;
    event_wipe(&event);
    return plain ? 0 : reader_fail(reader, line, "expected %s", what);
}

/* A scalar without anchor and tag, and without a NUL in it. */
static int check_scalar(struct reader *reader, const yaml_event_t *event, const char *what)
{
    if (event->type == YAML_ALIAS_EVENT)
        return reader_fail(reader, event_line(event), "%s: aliases are not permitted", what);
    if (event->type != YAML_SCALAR_EVENT)
        return reader_fail(reader, event_line(event), "%s: expected a single value", what);
    if (event->data.scalar.anchor)
        return reader_fail(reader, event_line(event), "%s: anchors are not permitted", what);
    if (event->data.scalar.tag)
        return reader_fail(reader, event_line(event), "%s: tags are not permitted", what);
    if (strlen((const char *)event->data.scalar.value) != event->data.scalar.length)
        return reader_fail(reader, event_line(event), "%s: holds a NUL character", what);
    return 0;
}

/* Reads @text into the field, with an error that says what would be right. */
static int read_field(struct reader *reader, const struct config_field *field, unsigned line, const char *text)
{
    int r = field->kind->read(field, text, field_target(reader->config, field));
    if (r == 0 || r == -ENOMEM)
        return r == 0 ? 0 : error_errno(reader->error, ENOMEM, "%s", reader->name);
    char shown[VALUE_SHOWN_MAX + 4];
    show_value(field->kind->secret ? "..." : text, shown);
    char right[96];
    field->kind->describe(field, right, sizeof(right));
    const char *dot = *field->section ? "." : "";
    return reader_fail(reader, line, "%s%s%s: '%s' is not %s", field->section, dot, field->key, shown, right);
}

static int read_value(struct reader *reader, size_t index, unsigned key_line)
{
    const struct config_field *field = &config_fields[index];
    if (reader->lines[index] != 0)
        return reader_fail(reader, key_line, "%s%s%s: stands in line %u already", field->section,
                *field->section ? "." : "", field->key, reader->lines[index]);
    reader->lines[index] = key_line;
    yaml_event_t event;
    int r = next_event(reader, &event);
    if (r < 0)
        return r;
    r = check_scalar(reader, &event, field->key);
    if (r == 0)
        r = read_field(reader, field, key_line, (const char *)event.data.scalar.value);
    event_wipe(&event);
    return r;
}

static ssize_t find_field(const char *section, const char *key)
{
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        if (strcmp(config_fields[i].section, section) == 0 && strcmp(config_fields[i].key, key) == 0)
            return (ssize_t)i;
    }
    return -1;
}

/* The index of the section's first field, or -1. */
static ssize_t find_section(const char *name)
{
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        if (*config_fields[i].section && strcmp(config_fields[i].section, name) == 0)
            return (ssize_t)i;
    }
    return -1;
}

static int read_mapping(struct reader *reader, const char *section);

/* The value of a section's key: a mapping, or nothing when all its keys are left out. */
static int read_section(struct reader *reader, size_t index, unsigned key_line)
{
    const char *section = config_fields[index].section;
    if (reader->sections[index])
        return reader_fail(reader, key_line, "%s: the section stands above already", section);
    reader->sections[index] = true;
    yaml_event_t event;
    int r = next_event(reader, &event);
    if (r < 0)
        return r;
    bool mapping =
            event.type == YAML_MAPPING_START_EVENT && !event.data.mapping_start.anchor && !event.data.mapping_start.tag;
    bool nothing = event.type == YAML_SCALAR_EVENT && event.data.scalar.length == 0 && !event.data.scalar.anchor &&
                   !event.data.scalar.tag && event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    event_wipe(&event);
    if (nothing)
        return 0;
    return mapping ? read_mapping(reader, section)
                   : reader_fail(reader, key_line, "%s: expected keys below it", section);
}

static int read_key(struct reader *reader, const char *section, const yaml_event_t *event)
{
    int r = check_scalar(reader, event, "key");
    if (r < 0)
        return r;
    const char *key = (const char *)event->data.scalar.value;
    unsigned line = event_line(event);
    ssize_t index = find_field(section, key);
    if (index >= 0)
        return read_value(reader, (size_t)index, line);
    ssize_t below = *section ? -1 : find_section(key);
    if (below >= 0)
        return read_section(reader, (size_t)below, line);
    char shown[VALUE_SHOWN_MAX + 4];
    show_value(key, shown);
    return reader_fail(reader, line, "unknown key '%s%s%s'", section, *section ? "." : "", shown);
}

/* What stands in a mapping, up to its end. At most two levels deep. Nothing
 * may be named twice, so the work is bounded by the number of fields. */
static int read_mapping(struct reader *reader, const char *section)
{
    for (;;) {
        yaml_event_t event;
        int r = next_event(reader, &event);
        if (r < 0)
            return r;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return 0;
        }
        r = read_key(reader, section, &event);
        event_wipe(&event);
        if (r < 0)
            return r;
    }
}

static int read_document(struct reader *reader)
{
    int r = expect_event(reader, YAML_STREAM_START_EVENT, "UTF-8 text");
    if (r == 0)
        r = expect_event(reader, YAML_DOCUMENT_START_EVENT, "keys; the file is empty");
    if (r == 0)
        r = expect_event(reader, YAML_MAPPING_START_EVENT, "keys");
    if (r == 0)
        r = read_mapping(reader, "");
    if (r == 0)
        r = expect_event(reader, YAML_DOCUMENT_END_EVENT, "the end");
    if (r == 0)
        r = expect_event(reader, YAML_STREAM_END_EVENT, "the end of the file: only one document is permitted");
    return r;
}

/* The presets of what the file leaves out, and what it must not leave out. */
static int read_presets(struct reader *reader)
{
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        const struct config_field *field = &config_fields[i];
        if (reader->lines[i] != 0)
            continue;
        if (!field->preset)
            return reader_fail(reader, 0, "%s.%s is missing; 'joblet setup' writes it", field->section, field->key);
        int r = read_field(reader, field, 0, field->preset);
        if (r < 0)
            return r;
    }
    return 0;
}

static unsigned line_of(const struct reader *reader, const char *section, const char *key)
{
    ssize_t index = find_field(section, key);
    return index >= 0 ? reader->lines[index] : 0;
}

static bool in_range(uint64_t id, uint64_t start, uint64_t count)
{
    return id >= start && id < start + count;
}

static int check_limits(struct reader *reader)
{
    const struct config *config = reader->config;
    if (config->max_cpu_limit != 0 && config->default_cpu_limit > config->max_cpu_limit)
        return reader_fail(reader, line_of(reader, "joblet", "defaultCpuLimit"),
                "joblet.defaultCpuLimit: %u is more than maxCpuLimit, %u", config->default_cpu_limit,
                config->max_cpu_limit);
    if (config->max_memory_bytes != 0 && config->default_memory_bytes > config->max_memory_bytes)
        return reader_fail(reader, line_of(reader, "joblet", "defaultMemoryLimit"),
                "joblet.defaultMemoryLimit: %" PRIu64 " is more than maxMemoryLimit, %" PRIu64,
                config->default_memory_bytes >> 20, config->max_memory_bytes >> 20);
    if (config->max_processes != 0 && config->default_processes > config->max_processes)
        return reader_fail(reader, line_of(reader, "joblet", "defaultProcessLimit"),
                "joblet.defaultProcessLimit: %u is more than maxProcessLimit, %u", config->default_processes,
                config->max_processes);
    if (config->max_concurrent_jobs > config->id_range_count)
        return reader_fail(reader, line_of(reader, "joblet", "maxConcurrentJobs"),
                "joblet.maxConcurrentJobs: %u is more than isolation.idRangeCount, %u", config->max_concurrent_jobs,
                config->id_range_count);
    return 0;
}

static int check_ids(struct reader *reader)
{
    const struct config *config = reader->config;
    uint64_t count = (uint64_t)config->id_range_count * CONFIG_ID_RANGE_SIZE;
    if (config->id_range_start + count > CONFIG_ID_END)
        return reader_fail(reader, line_of(reader, "isolation", "idRangeCount"),
                "isolation.idRangeCount: %u ranges from %u on end above %llu", config->id_range_count,
                config->id_range_start, CONFIG_ID_END);
    if (in_range(config->disk_id_start, config->id_range_start, count))
        return reader_fail(reader, line_of(reader, "isolation", "diskIdStart"),
                "isolation.diskIdStart: %u lies in the ranges of jobs", config->disk_id_start);
    /* An API with the ids of a job could be signalled by it, one with the ids on disk could change the jobs' root. */
    const struct {
        const char *key;
        uint32_t id;
    } api[] = {{"apiUid", config->api_uid}, {"apiGid", config->api_gid}};
    for (size_t i = 0; i < ELEMENTS(api); i++) {
        if (in_range(api[i].id, config->id_range_start, count) ||
                in_range(api[i].id, config->disk_id_start, CONFIG_ID_RANGE_SIZE))
            return reader_fail(reader, line_of(reader, "isolation", api[i].key),
                    "isolation.%s: %u lies in the ids of jobs or of their files", api[i].key, api[i].id);
    }
    return 0;
}

int config_parse(const char *text, size_t size, const char *name, struct config **ret_config, struct error *error)
{
    if (size > CONFIG_FILE_SIZE_MAX)
        return error_text(error, EFBIG, "%s: larger than %u bytes", name, CONFIG_FILE_SIZE_MAX);
    _cleanup_(config_freep) struct config *config = calloc(1, sizeof(*config));
    if (!config)
        return error_errno(error, ENOMEM, "%s", name);
    struct reader reader = {.name = name, .config = config, .error = error};
    if (!yaml_parser_initialize(&reader.parser))
        return error_errno(error, ENOMEM, "%s", name);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
    int r = read_document(&reader);
    yaml_parser_delete(&reader.parser);
    if (r == 0)
        r = read_presets(&reader);
    if (r == 0)
        r = check_limits(&reader);
    if (r == 0)
        r = check_ids(&reader);
    if (r < 0)
        return r;
    *ret_config = TAKE_PTR(config);
    return 0;
}

/* What root reads must not be somebody else's to write, and the server's key nobody else's to read. */
static int check_owner(int fd, const char *name, mode_t type, mode_t forbidden, struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_errno(error, errno, "%s", name);
    if ((status.st_mode & S_IFMT) != type)
        return error_text(error, EPERM, "%s: not a %s", name, type == S_IFDIR ? "directory" : "regular file");
    if (status.st_uid != 0)
        return error_text(error, EPERM, "%s: belongs to user %u, not to root", name, status.st_uid);
    if (status.st_mode & forbidden)
        return error_text(error, EPERM, "%s: mode %04o is open to others; chmod %s it", name, status.st_mode & 07777,
                type == S_IFDIR ? "700" : "600");
    return 0;
}

/* The descriptor that was checked is the one that is read. */
static int read_whole(int fd, char **ret_text, size_t *ret_size)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_size > CONFIG_FILE_SIZE_MAX)
        return -EFBIG;
    size_t size = (size_t)status.st_size;
    _cleanup_free_ char *text = calloc(1, size + 1);
    if (!text)
        return -ENOMEM;
    int r = fd_read_exact(fd, text, size);
    if (r < 0)
        return r;
    *ret_text = TAKE_PTR(text);
    *ret_size = size;
    return 0;
}

int config_load(const char *prefix, struct config **ret_config, struct error *error)
{
    char path[4096];
    int length = snprintf(path, sizeof(path), "%s/config", prefix);
    if (length < 0 || (size_t)length >= sizeof(path))
        return error_text(error, ENAMETOOLONG, "prefix too long");
    _cleanup_close_ int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir_fd < 0)
        return error_errno(error, errno, "%s", path);
    int r = check_owner(dir_fd, path, S_IFDIR, 022, error);
    if (r < 0)
        return r;
    const char *name = strrchr(CONFIG_FILE, '/') + 1;
    /* Non-blocking, so that a fifo in its place is an error and not a wait. */
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return error_errno(error, errno, "%s/%s", path, name);
    r = check_owner(fd, name, S_IFREG, 077, error);
    if (r < 0)
        return r;
    size_t size = 0;
    _cleanup_free_ char *text = NULL;
    r = read_whole(fd, &text, &size);
    if (r < 0)
        return error_errno(error, -r, "%s/%s", path, name);
    r = config_parse(text, size, name, ret_config, error);
    explicit_bzero(text, size);
    return r;
}

/* A text of lines as a literal block: indented, ended by a line break. */
static void write_block(FILE *file, const char *text)
{
    if (!*text) {
        (void)fputs("\"\"\n", file);
        return;
    }
    (void)fputs("|\n", file);
    while (*text) {
        size_t length = strcspn(text, "\n");
        (void)fprintf(file, "    %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static void write_field(FILE *file, const struct config_field *field, const struct config *config)
{
    const char *indent = *field->section ? "  " : "";
    if (field->comment)
        (void)fprintf(file, "%s# %s\n", indent, field->comment);
    (void)fprintf(file, "%s%s: ", indent, field->key);
    const void *source = (const char *)config + field->offset;
    if (field->kind->block) {
        write_block(file, *(const char *const *)source);
        return;
    }
    char value[128];
    field->kind->write(field, source, value, sizeof(value));
    (void)fprintf(file, field->kind->quoted ? "\"%s\"\n" : "%s\n", value);
}

int config_format(const struct config *config, char **ret_text, size_t *ret_size)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return -errno;
    (void)fputs("# Joblet's configuration, read when the service starts. Keys that are left out have the value written "
                "here.\n"
                "# An unknown key is an error. Durations are texts like 1h30m or 250ms.\n",
            file);
    const char *section = "";
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        if (strcmp(config_fields[i].section, section) != 0) {
            section = config_fields[i].section;
            (void)fprintf(file, "\n%s:\n", section);
        }
        write_field(file, &config_fields[i], config);
    }
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed) {
        free(text);
        return -ENOMEM;
    }
    *ret_text = text;
    *ret_size = size;
    return 0;
}

int config_new_default(struct config **ret_config)
{
    _cleanup_(config_freep) struct config *config = calloc(1, sizeof(*config));
    if (!config)
        return -ENOMEM;
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        const struct config_field *field = &config_fields[i];
        if (!field->preset)
            continue;
        int r = field->kind->read(field, field->preset, field_target(config, field));
        if (r < 0)
            return r;
    }
    *ret_config = TAKE_PTR(config);
    return 0;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    if (config->server_key)
        explicit_bzero(config->server_key, strlen(config->server_key));
    if (config->build_environment)
        explicit_bzero(config->build_environment, strlen(config->build_environment));
    char *texts[] = {config->version, config->address, config->node_id, config->server_cert, config->server_key,
            config->ca_cert, config->build_environment, config->build_hidden, config->build_shown, config->build_cidr};
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        free(texts[i]);
    free(config);
}

void config_freep(struct config **config)
{
    config_free(*config);
    *config = NULL;
}
