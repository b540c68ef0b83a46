/* rnx: finds the verb, reads its flags, runs it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "rnx/help.h"
#include "rnx/output.h"
#include "rnx/rnx.h"

const struct rnx_verb *const rnx_verbs[] = {
        &job_run_verb,
        &job_list_verb,
        &job_status_verb,
        &job_log_verb,
        &job_stop_verb,
        &job_delete_verb,
        &job_delete_all_verb,
        &runtime_build_verb,
        &runtime_validate_verb,
        &runtime_list_verb,
        &runtime_info_verb,
        &runtime_status_verb,
        &runtime_test_verb,
        &runtime_remove_verb,
        &monitor_status_verb,
        &audit_list_verb,
        &audit_show_verb,
        &nodes_verb,
        &version_verb,
        &config_help_verb,
        &help_verb,
        NULL,
};

static int run_verb(struct rnx *rnx, const struct rnx_verb *verb, char **words)
{
    const struct rnx_option_set sets[] = {
            {rnx_global_options, rnx_global_option_count, &rnx->global},
            {verb->options, verb->option_count, verb->target},
    };
    struct rnx_error error = {0};
    size_t count = 0;
    unsigned flags = verb->flags & RNX_VERB_COMMAND ? OPTIONS_STOP_AT_WORD : 0;
    if (options_parse(sets, ELEMENTS(sets), flags, words, &count, &error) < 0)
        return rnx_fail_usage(verb, "%s", error.text);
    if (rnx->global.help)
        return help_print_verb(stdout, verb);
    bool any = verb->flags & (RNX_VERB_COMMAND | RNX_VERB_WORDS);
    if (!any && count != verb->word_count && verb->word_count > 0)
        return rnx_fail_usage(verb, "accepts %zu arg(s), received %zu", verb->word_count, count);
    if (!any && count != verb->word_count)
        return rnx_fail_usage(verb, "unknown command \"%s\" for \"rnx %s%s%s\"", words[0],
                verb->group ? verb->group : "", verb->group ? " " : "", verb->name);
    return verb->run(rnx, words, count);
}

/* Reads the flags up to the next word, which is stored (NULL = there is none). */
static int next_word(struct rnx *rnx, size_t option_count, char ***words, const char **ret_word)
{
    const struct rnx_option_set set = {rnx_global_options, option_count, &rnx->global};
    struct rnx_error error = {0};
    size_t used;
    if (options_parse_leading(&set, 1, *words, &used, &error) < 0)
        return rnx_fail_usage(NULL, "%s", error.text);
    *words += used;
    *ret_word = **words;
    *words += **words ? 1 : 0;
    return RNX_EXIT_OK;
}

static int run(struct rnx *rnx, char **words)
{
    const char *group = NULL;
    const char *word = NULL;
    int status = next_word(rnx, rnx_root_option_count, &words, &word);
    if (status != RNX_EXIT_OK)
        return status;
    if (rnx->global.version)
        return version_verb.run(rnx, words, 0);
    if (word && help_is_group(word)) {
        group = word;
        status = next_word(rnx, rnx_global_option_count, &words, &word);
        if (status != RNX_EXIT_OK)
            return status;
    }
    if (!word)
        return help_print_commands(stdout, group);
    const struct rnx_verb *verb = help_find_verb(group, word);
    if (!verb)
        return help_fail_unknown(group, word);
    return run_verb(rnx, verb, words);
}

/* A standard descriptor that was closed would become our connection, and what we print would go there. */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* so that use fails, as it would have */
}

int main(int count, char **arguments)
{
    fill_standard_descriptors();
    /* A peer that closed its connection is an error of the call, not the end of rnx. */
    (void)signal(SIGPIPE, SIG_IGN);
    const char *no_colour = getenv("NO_COLOR");
    struct rnx rnx = {
            .global = {.config_path = "", .node = ""},
            .colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour),
    };
    int status = run(&rnx, arguments + (count > 0 ? 1 : 0));
    int r = output_flush();
    if (r == -EPIPE)
        output_end_by_pipe();
    if (r < 0)
        return rnx_fail("cannot write the output: %s", strerror(-r));
    return status;
}
