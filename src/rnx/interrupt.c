#include "rnx/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"

static volatile sig_atomic_t interrupt_signal;
static int interrupt_fd = -EBADF;

static void interrupt_handle(int signal_number)
{
    int saved = errno;
    uint64_t one = 1;
    interrupt_signal = signal_number;
    ssize_t written = write(interrupt_fd, &one, sizeof(one));
    (void)written; /* it is readable already then */
    errno = saved;
}

int interrupt_open(void)
{
    interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (interrupt_fd < 0)
        return -errno;
    /* No SA_RESTART: a blocked write must return. */
    struct sigaction action = {.sa_handler = interrupt_handle, .sa_flags = SA_RESETHAND};
    static const int signals[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < ELEMENTS(signals); i++)
        if (sigaction(signals[i], &action, NULL) < 0)
            return -errno;
    return interrupt_fd;
}

bool interrupt_came(void)
{
    return interrupt_signal != 0;
}

int interrupt_exit_status(void)
{
    return 128 + (int)interrupt_signal;
}
