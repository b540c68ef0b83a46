/* joblet-init: process 1 of one job. It builds the sandbox around itself, gives up every right, proves it, and only
 * then reads what the client sent and runs it as its child. It ends with the job, and the job with it. */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include "init/command.h"
#include "init/control.h"
#include "init/supervise.h"
#include "plan/record.h"
#include "sandbox/sandbox.h"

/* Nothing was executed: tell joblet if it is there, and leave the same in the record. */
static int refuse(const struct sandbox *sandbox, const struct error *error)
{
    struct record record = {
            .reason = RECORD_REASON_SETUP_FAILURE,
            .exit_code = -1,
            .ended_unix_ns = text_now_unix_ns(),
            .error = *error,
    };
    memcpy(record.job_id, sandbox->plan.job_id, sizeof(record.job_id));
    (void)record_write(PLAN_FD_RECORD, &record);
    (void)control_send(PLAN_FD_CONTROL, PLAN_MESSAGE_FAILED, 0, error);
    return 1;
}

int main(void)
{
    struct sandbox sandbox = {0};
    struct record record;
    struct error error = {0};

    int r = sandbox_enter(&sandbox, &error);
    if (sandbox.is_command) {
        if (r < 0)
            command_fail(&sandbox, &error);
        command_run(&sandbox);
    }
    if (r == 0)
        r = supervise_run(&sandbox, &record, &error);
    /* The record is the last word: joblet reads it when this process is gone. No way out through the C library: its
     * handlers, and those of a sanitizer, make calls that the filter answers by killing. */
    int status = r < 0 ? refuse(&sandbox, &error) : record_write(PLAN_FD_RECORD, &record) < 0;
    (void)syscall(SYS_exit_group, status);
    return status;
}
