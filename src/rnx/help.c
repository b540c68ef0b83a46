#include "rnx/help.h"

#include <string.h>

#include "base/fd.h"
#include "rnx/rnx.h"

#define GLOBAL_OPTION(NAME, LETTER, KIND, FIELD, VALUE, HELP)                                                          \
    {                                                                                                                  \
        .name = NAME, .letter = LETTER, .kind = KIND, .offset = offsetof(struct rnx_global, FIELD), .value = VALUE,    \
        .help = HELP                                                                                                   \
    }

const struct rnx_option rnx_global_options[] = {
        GLOBAL_OPTION("config", 0, RNX_OPTION_TEXT, config_path, "PATH",
                "client configuration to use (default: see 'rnx config-help')"),
        GLOBAL_OPTION("node", 0, RNX_OPTION_TEXT, node, "NAME",
                "node of the configuration to talk to (default: the one marked isDefault)"),
        GLOBAL_OPTION("json", 0, RNX_OPTION_SWITCH, json, NULL, "print JSON"),
        GLOBAL_OPTION("help", 'h', RNX_OPTION_SWITCH, help, NULL, "show this help"),
        GLOBAL_OPTION("version", 'v', RNX_OPTION_SWITCH, version, NULL, NULL),
};
/* The last one is for rnx itself. */
const size_t rnx_root_option_count = ELEMENTS(rnx_global_options);
const size_t rnx_global_option_count = ELEMENTS(rnx_global_options) - 1;

static const struct {
    const char *name;
    const char *summary;
} groups[] = {
        {"job", "Run, list, watch, stop and delete jobs"},
        {"runtime", "Build, check, list, test and remove language runtimes"},
        {"monitor", "Look at the server's machine"},
        {"audit", "Read who did what on the server"},
};

bool help_is_group(const char *word)
{
    for (size_t i = 0; i < ELEMENTS(groups); i++)
        if (strcmp(groups[i].name, word) == 0)
            return true;
    return false;
}

static bool in_group(const struct rnx_verb *verb, const char *group)
{
    return group ? verb->group && strcmp(verb->group, group) == 0 : !verb->group;
}

const struct rnx_verb *help_find_verb(const char *group, const char *name)
{
    for (size_t i = 0; rnx_verbs[i]; i++)
        if (in_group(rnx_verbs[i], group) && strcmp(rnx_verbs[i]->name, name) == 0)
            return rnx_verbs[i];
    return NULL;
}

static void print_verbs(FILE *file, const char *group)
{
    for (size_t i = 0; rnx_verbs[i]; i++) {
        const struct rnx_verb *verb = rnx_verbs[i];
        if (!in_group(verb, group))
            continue;
        char words[64];
        (void)snprintf(words, sizeof(words), "%s%s%s", group ? group : "", group ? " " : "", verb->name);
        (void)fprintf(file, "  %-18s %s\n", words, verb->summary);
    }
}

static void print_options(FILE *file, const struct rnx_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct rnx_option *option = &options[i];
        if (!option->help)
            continue;
        char letter[8] = "    ";
        char words[64];
        if (option->letter)
            (void)snprintf(letter, sizeof(letter), "-%c, ", option->letter);
        (void)snprintf(words, sizeof(words), "%s--%s%s%s", letter, option->name, option->value ? " " : "",
                option->value ? option->value : "");
        (void)fprintf(file, "  %-28s %s\n", words, option->help);
    }
}

static void print_path(FILE *file, const struct rnx_verb *verb)
{
    (void)fprintf(file, "rnx %s%s%s", verb->group ? verb->group : "", verb->group ? " " : "", verb->name);
}

int help_print_commands(FILE *file, const char *group)
{
    if (group)
        (void)fprintf(file, "Usage:\n  rnx %s COMMAND [flags]\n", group);
    else
        (void)fputs("rnx runs commands as isolated jobs on a Joblet server.\n\nUsage:\n  rnx COMMAND [flags]\n", file);
    (void)fputs("\nCommands:\n", file);
    for (size_t i = 0; i < ELEMENTS(groups); i++)
        if (!group || strcmp(groups[i].name, group) == 0)
            print_verbs(file, groups[i].name);
    if (!group)
        print_verbs(file, NULL);
    (void)fputs("\nFlags of every command:\n", file);
    print_options(file, rnx_global_options, rnx_global_option_count);
    if (!group)
        (void)fputs("\nExamples:\n"
                    "  rnx job run --follow -- bash -c 'echo hello from $JOB_ID'\n"
                    "  rnx job list\n"
                    "  rnx --node=other --json job status 1b4e28ba\n"
                    "\nExit status: 0 done, 1 failed, 2 malformed call; 'job run --follow' and '--wait': the job's.\n",
                file);
    (void)fputs("\n'rnx help COMMAND' tells more about a command.\n", file);
    return RNX_EXIT_OK;
}

int help_print_verb(FILE *file, const struct rnx_verb *verb)
{
    (void)fprintf(file, "%s.\n\nUsage:\n  ", verb->summary);
    print_path(file, verb);
    (void)fprintf(file, "%s%s\n", *verb->arguments ? " " : "", verb->arguments);
    if (verb->option_count > 0) {
        (void)fputs("\nFlags:\n", file);
        print_options(file, verb->options, verb->option_count);
    }
    (void)fputs("\nFlags of every command:\n", file);
    print_options(file, rnx_global_options, rnx_global_option_count);
    if (*verb->help)
        (void)fprintf(file, "\n%s", verb->help);
    return RNX_EXIT_OK;
}

void help_print_usage(FILE *file, const struct rnx_verb *verb)
{
    (void)fputs("\nUsage:\n  ", file);
    if (!verb) {
        (void)fputs("rnx COMMAND [flags]\n\n'rnx help' lists the commands.\n", file);
        return;
    }
    print_path(file, verb);
    (void)fprintf(file, "%s%s\n\n'", *verb->arguments ? " " : "", verb->arguments);
    print_path(file, verb);
    (void)fputs(" --help' tells more.\n", file);
}

/* How many letters must be changed, added or left out to make one word of the other; words are short. */
static size_t distance(const char *a, const char *b)
{
    enum { WORD_MAX = 24 };
    size_t row[WORD_MAX + 1];
    size_t columns = strlen(b);
    if (columns > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            size_t shorter = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = changed < shorter ? changed : shorter;
        }
    }
    return row[columns];
}

static void print_suggestions(FILE *file, const char *group, const char *name)
{
    bool any = false;
    for (size_t i = 0; rnx_verbs[i]; i++) {
        const struct rnx_verb *verb = rnx_verbs[i];
        /* "rnx list" is meant as "rnx job list" often enough. */
        bool same = strcmp(verb->name, name) == 0;
        bool close = in_group(verb, group) && strlen(name) < 24 && distance(name, verb->name) <= 2;
        if (!same && !close)
            continue;
        (void)fputs(any ? "  " : "\nDid you mean this?\n  ", file);
        print_path(file, verb);
        (void)fputc('\n', file);
        any = true;
    }
}

int help_fail_unknown(const char *group, const char *name)
{
    (void)rnx_fail("unknown command \"%s\" for \"rnx%s%s\"", name, group ? " " : "", group ? group : "");
    print_suggestions(stderr, group, name);
    (void)fprintf(stderr, "\n'rnx help%s%s' lists the commands.\n", group ? " " : "", group ? group : "");
    return RNX_EXIT_USAGE;
}

/* rnx help [COMMAND...] */
static int help_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)rnx;
    if (count == 0)
        return help_print_commands(stdout, NULL);
    const char *group = help_is_group(words[0]) ? words[0] : NULL;
    const char *name = group ? words[1] : words[0];
    if (!name)
        return help_print_commands(stdout, group);
    const struct rnx_verb *verb = help_find_verb(group, name);
    return verb ? help_print_verb(stdout, verb) : help_fail_unknown(group, name);
}

const struct rnx_verb help_verb = {
        .name = "help",
        .arguments = "[COMMAND...]",
        .summary = "Show the commands, or all about one of them",
        .help = "Example:\n  rnx help job run\n",
        .flags = RNX_VERB_WORDS,
        .run = help_run,
};
