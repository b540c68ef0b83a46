#include "broker/sync.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "broker/context.h"

static void reply(struct broker *broker, const struct channel_header *request, uint32_t generation, int code)
{
    struct error error = {0};
    if (code != 0)
        (void)error_errno(&error, code, "write the store of runtimes to the disk");
    api_reply(&broker->api, request, generation, &error);
}

static void let_go(struct sync *sync)
{
    struct broker *broker = sync->broker;
    (void)fd_close(loop_remove(broker->loop, &sync->process));
    *(sync->previous ? &sync->previous->next : &broker->first_sync) = sync->next;
    if (sync->next)
        sync->next->previous = sync->previous;
    free(sync);
}

void sync_forget_all(struct broker *broker)
{
    while (broker->first_sync)
        let_go(broker->first_sync);
}

static void on_synced(struct loop_source *source, uint32_t events)
{
    struct sync *sync = LOOP_OWNER(source, struct sync, process);
    siginfo_t info = {0};
    (void)events;
    (void)waitid((idtype_t)P_PIDFD, (id_t)source->fd, &info, WEXITED | WNOHANG);
    reply(sync->broker, &sync->request, sync->generation, info.si_code == CLD_EXITED ? info.si_status : EIO);
    let_go(sync);
}

/* Nothing of joblet's but the store: neither the lock nor a channel outlives joblet through it. */
__attribute__((noreturn)) static void run_child(const struct store *store, const struct channel_runtime *runtime)
{
    unsigned kept = (unsigned)store->fd;
    if (kept > 0)
        (void)close_range(0, kept - 1, 0);
    (void)close_range(kept + 1, ~0U, 0);
    _exit(-store_sync(store, runtime));
}

static int start(struct broker *broker, const struct channel_runtime *runtime, struct sync *sync)
{
    int pidfd = -EBADF;
    struct clone_args arguments = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0)
        return -errno;
    if (pid == 0)
        run_child(&broker->store, runtime);
    int r = loop_add(broker->loop, &sync->process, pidfd, EPOLLIN, on_synced);
    if (r < 0)
        (void)fd_close(pidfd);
    return r;
}

void sync_reply(struct broker *broker, const struct channel_header *request, const struct channel_runtime *runtime)
{
    struct sync *sync = calloc(1, sizeof(*sync));
    int r = sync ? start(broker, runtime, sync) : -ENOMEM;
    if (r < 0) { /* better to wait than to answer too early */
        free(sync);
        reply(broker, request, broker->api.generation, -store_sync(&broker->store, runtime));
        return;
    }
    sync->broker = broker;
    sync->request = *request;
    sync->generation = broker->api.generation;
    sync->next = broker->first_sync;
    if (sync->next)
        sync->next->previous = sync;
    broker->first_sync = sync;
}
