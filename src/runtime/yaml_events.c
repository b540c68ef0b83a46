#include "runtime/yaml_events.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"

/* The size of what libyaml takes for a line's end at @at, or 0. */
static size_t line_break(const char *at, size_t size)
{
    static const char *const breaks[] = {"\r\n", "\n", "\r", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t i = 0; i < ELEMENTS(breaks); i++) {
        size_t length = strlen(breaks[i]);
        if (length <= size && memcmp(at, breaks[i], length) == 0)
            return length;
    }
    return 0;
}

/* A directive is a line that begins with "%". */
static bool refuse_directives(const char *text, size_t size, struct runtime_problems *problems)
{
    static const char mark[] = "\xef\xbb\xbf"; /* of the byte order, at the text's start */
    unsigned line = 1;
    bool start = true;
    for (size_t i = size >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0; i < size;) {
        if (start && text[i] == '%') {
            runtime_problems_add(problems, line, "directives (a line that begins with '%%') are not permitted");
            return true;
        }
        size_t length = line_break(text + i, size - i);
        start = length > 0;
        line += start ? 1 : 0;
        i += start ? length : 1;
    }
    return false;
}

int runtime_yaml_init(struct runtime_yaml *yaml, const char *text, size_t size, struct runtime_problems *problems)
{
    *yaml = (struct runtime_yaml){.problems = problems};
    if (refuse_directives(text, size, problems))
        return -EINVAL;
    if (!yaml_parser_initialize(&yaml->parser))
        return -ENOMEM;
    yaml_parser_set_encoding(&yaml->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&yaml->parser, (const unsigned char *)text, size);
    return 0;
}

void runtime_yaml_done(struct runtime_yaml *yaml)
{
    yaml_event_delete(&yaml->event);
    yaml_parser_delete(&yaml->parser);
}

unsigned runtime_yaml_line(const struct runtime_yaml *yaml)
{
    return (unsigned)yaml->event.start_mark.line + 1;
}

static int parser_failed(struct runtime_yaml *yaml)
{
    const yaml_parser_t *parser = &yaml->parser;
    yaml->broken = true;
    if (parser->error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    const char *problem = parser->problem ? parser->problem : "malformed";
    /* The reader knows no line: it fails on bytes before they are lines. */
    if (parser->error == YAML_READER_ERROR)
        runtime_problems_add(yaml->problems, 0, "not YAML: %s at byte %zu", problem, parser->problem_offset);
    else
        runtime_problems_add(yaml->problems, (unsigned)parser->problem_mark.line + 1, "not YAML: %s", problem);
    return -EINVAL;
}

static void refuse(struct runtime_yaml *yaml, const char *what)
{
    runtime_problems_add(yaml->problems, runtime_yaml_line(yaml), "%s", what);
    yaml->refused = true;
}

static void check_scalar(struct runtime_yaml *yaml)
{
    const char *text = (const char *)yaml->event.data.scalar.value;
    if (yaml->event.data.scalar.anchor)
        refuse(yaml, "anchors ('&') are not permitted");
    else if (yaml->event.data.scalar.tag)
        refuse(yaml, "tags ('!') are not permitted");
    else if (strlen(text) != yaml->event.data.scalar.length)
        refuse(yaml, "a text holds a NUL character");
}

static void check_start(struct runtime_yaml *yaml, const void *anchor, const void *tag)
{
    yaml->depth++;
    if (anchor)
        refuse(yaml, "anchors ('&') are not permitted");
    else if (tag)
        refuse(yaml, "tags ('!') are not permitted");
}

static void check_event(struct runtime_yaml *yaml)
{
    const yaml_event_t *event = &yaml->event;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        refuse(yaml, "aliases ('*') are not permitted");
        return;
    case YAML_SCALAR_EVENT:
        check_scalar(yaml);
        return;
    case YAML_MAPPING_START_EVENT:
        check_start(yaml, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        return;
    case YAML_SEQUENCE_START_EVENT:
        check_start(yaml, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        return;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        yaml->depth--;
        return;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return;
    }
}

int runtime_yaml_next(struct runtime_yaml *yaml)
{
    if (yaml->broken)
        return -EINVAL;
    yaml_event_delete(&yaml->event);
    yaml->refused = false;
    if (!yaml_parser_parse(&yaml->parser, &yaml->event))
        return parser_failed(yaml);
    check_event(yaml);
    if (yaml->depth > RUNTIME_YAML_DEPTH_MAX || ++yaml->events > RUNTIME_YAML_EVENTS_MAX) {
        yaml->broken = true;
        if (yaml->depth > RUNTIME_YAML_DEPTH_MAX)
            runtime_problems_add(
                    yaml->problems, runtime_yaml_line(yaml), "nested deeper than %u levels", RUNTIME_YAML_DEPTH_MAX);
        else
            runtime_problems_add(
                    yaml->problems, runtime_yaml_line(yaml), "more than %u values", RUNTIME_YAML_EVENTS_MAX);
        return -EINVAL;
    }
    return yaml->problems->no_memory ? -ENOMEM : 0;
}

int runtime_yaml_skip(struct runtime_yaml *yaml)
{
    bool start = yaml->event.type == YAML_MAPPING_START_EVENT || yaml->event.type == YAML_SEQUENCE_START_EVENT;
    unsigned depth = yaml->depth;
    int r = 0;
    while (start && r == 0 && yaml->depth >= depth)
        r = runtime_yaml_next(yaml);
    return r;
}

const char *runtime_yaml_text(const struct runtime_yaml *yaml)
{
    bool usable = yaml->event.type == YAML_SCALAR_EVENT && !yaml->refused;
    return usable ? (const char *)yaml->event.data.scalar.value : NULL;
}

bool runtime_yaml_is_null(const struct runtime_yaml *yaml)
{
    const char *text = runtime_yaml_text(yaml);
    if (!text || yaml->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    static const char *const words[] = {"", "~", "null"};
    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}
