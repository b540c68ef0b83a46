/* rnx job log */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rnx/follow.h"
#include "rnx/interrupt.h"

static int job_log_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)count;
    int interrupt_fd = interrupt_open();
    if (interrupt_fd < 0)
        return rnx_fail("cannot prepare for signals: %s", strerror(-interrupt_fd));
    struct rpc rpc;
    if (!rpc_open(rnx, "couldn't connect to joblet server", interrupt_fd, &rpc))
        return RNX_EXIT_FAILED;
    int r = follow_log(&rpc, words[0], rnx->global.json ? FOLLOW_JSON : FOLLOW_ONE, /* just_started= */ false);
    rpc_close(&rpc);
    if (r == -EINTR) {
        (void)fputs("\nStopping log stream...\n", stderr);
        return RNX_EXIT_OK;
    }
    return r == 0 ? RNX_EXIT_OK : RNX_EXIT_FAILED;
}

const struct rnx_verb job_log_verb = {
        .group = "job",
        .name = "log",
        .arguments = "UUID",
        .summary = "Print a job's output: what there is, then live to its end",
        .help = "Ends with the job. Ctrl-C ends the printing; the job runs on.\n"
                "With --json: one object for each chunk of output, on a line of its own.\n"
                "UUID may be shortened to its first characters (at least 4) when they are unique.\n"
                "\n"
                "Examples:\n"
                "  rnx job log 1b4e28ba\n"
                "  rnx job log 1b4e28ba | grep -i error\n",
        .word_count = 1,
        .run = job_log_run,
};
