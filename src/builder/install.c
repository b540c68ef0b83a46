/* The steps of a build, one after the other, in the builder root. What they execute is hostile and runs with our ids
 * and capabilities, so this process makes itself undumpable first: then nothing without CAP_SYS_PTRACE can trace it,
 * read its memory or reach its descriptors through /proc, also not root of the same user namespace. A step can kill it;
 * that ends the build, and the exit status says so. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/downloads.h"
#include "builder/modes.h"
#include "builder/run.h"
#include "builder/say.h"

struct environment {
    char **texts; /* borrowed texts, ended by NULL */
    size_t count;
};

static int init_environment(struct environment *environment, char *const *ours, size_t words)
{
    size_t count = 0;
    while (ours[count])
        count++;
    environment->texts = calloc(count + words + 1, sizeof(char *));
    if (!environment->texts)
        return -ENOMEM;
    memcpy(environment->texts, ours, count * sizeof(char *));
    environment->count = count;
    return 0;
}

static void set_variable(struct environment *environment, const char *text)
{
    size_t name = strcspn(text, "=") + 1;
    size_t at = 0;
    while (at < environment->count && strncmp(environment->texts[at], text, name) != 0)
        at++;
    environment->texts[at] = (char *)(uintptr_t)text;
    if (at == environment->count)
        environment->count++;
}

static int do_word(const struct word *word, struct environment *environment, struct error *error)
{
    switch ((unsigned)word->kind) {
    case WORD_PHASE:
        say_phase(word->numbers[0], word->name, word->text);
        return 0;
    case WORD_SAY:
        say_log_named(word->name, word->text);
        say_flush();
        return 0;
    case WORD_ENV:
        set_variable(environment, word->name);
        return 0;
    default:
        break;
    }
    const struct run_step step = {
            .name = word->name,
            .timeout_ns = word->numbers[0],
            .words = word->texts,
            .count = word->count,
            .environment = environment->texts,
            .is_query = word->kind == WORD_QUERY,
    };
    struct downloads downloads;
    downloads_begin(&downloads, step.name);
    int r = run_step(&step, error);
    if (r == 0)
        downloads_tell(&downloads);
    downloads_done(&downloads);
    return r;
}

/* The number of the first PID namespace, fixed in the kernel (PROC_PID_INIT_INO). */
#define FIRST_PID_NAMESPACE 0xEFFFFFFCU

/* Every other process is killed after each step: so there must be no others than those of this build. */
static int check_namespace(struct error *error)
{
    struct stat status;
    if (stat("/proc/self/ns/pid", &status) < 0)
        return error_errno(error, errno, "look for a PID namespace");
    if (status.st_ino == FIRST_PID_NAMESPACE || getppid() != 1)
        return error_text(error, EPERM, "'install' runs below the first process of a PID namespace of its own alone");
    return 0;
}

int install_run(const struct words *words, char *const *ours, struct error *error)
{
    int r = check_namespace(error);
    if (r < 0)
        return r;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return error_errno(error, errno, "protect the build's driver");
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(022);
    struct environment environment;
    if (init_environment(&environment, ours, words->count) < 0)
        return error_errno(error, ENOMEM, "environment");
    for (size_t i = 0; r == 0 && i < words->count; i++)
        r = do_word(&words->items[i], &environment, error);
    free(environment.texts);
    return r;
}
