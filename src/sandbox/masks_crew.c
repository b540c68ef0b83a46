#include "sandbox/masks_crew.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

/* Many times the directories at the depth where they are claimed; only what is written to takes memory. */
#define CLAIMS_MAX 65536U
/* Then it is full, and everybody walks everything. */
#define TRIES_MAX 1024U

struct masks_crew_shared {
    uint64_t claims[CLAIMS_MAX]; /* inode numbers, by open addressing; 0: free */
    pid_t pids[MASKS_CREW_MAX];
    struct error errors[MASKS_CREW_MAX];
};

unsigned masks_crew_useful(uint32_t cpu_percent)
{
    cpu_set_t set;
    unsigned count = sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set);
    /* More would only use the job's share up sooner. */
    if (cpu_percent > 0 && (cpu_percent + 99) / 100 < count)
        count = (cpu_percent + 99) / 100;
    return count < MASKS_CREW_MAX ? count : MASKS_CREW_MAX;
}

void masks_crew_start(unsigned wanted, struct masks_crew *ret_crew)
{
    *ret_crew = (struct masks_crew){.count = 1};
    if (wanted < 2)
        return;
    void *memory =
            mmap(NULL, sizeof(struct masks_crew_shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return;
    ret_crew->shared = memory;
    for (unsigned i = 1; i < wanted && i < MASKS_CREW_MAX; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return;
        if (pid == 0) {
            ret_crew->index = i;
            return;
        }
        ret_crew->shared->pids[i] = pid;
        ret_crew->count++;
    }
}

bool masks_crew_claim(const struct masks_crew *crew, uint64_t inode)
{
    if (!crew->shared || inode == 0)
        return true;
    uint64_t at = inode * 0x9e3779b97f4a7c15U >> 48;
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        uint64_t *claim = &crew->shared->claims[(at + i) % CLAIMS_MAX];
        uint64_t found = 0;
        if (__atomic_compare_exchange_n(claim, &found, inode, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return true;
        if (found == inode)
            return false;
    }
    return true;
}

void masks_crew_leave(const struct masks_crew *crew, int r, const struct error *error)
{
    if (r < 0)
        crew->shared->errors[crew->index] = *error;
    _exit(r < 0 ? 1 : 0);
}

int masks_crew_join(struct masks_crew *crew, struct error *error)
{
    int r = 0;
    if (!crew->shared)
        return 0;
    for (unsigned i = 1; i < crew->count; i++) {
        int status = 0;
        pid_t pid;
        do
            pid = waitpid(crew->shared->pids[i], &status, 0);
        while (pid < 0 && errno == EINTR);
        if (r < 0 || (pid > 0 && status == 0))
            continue;
        const struct error *found = &crew->shared->errors[i];
        if (found->code > 0)
            r = error_text(error, found->code, "%s", found->text);
        else
            r = error_text(error, ECHILD, "a process that looked through the host's files has died");
    }
    (void)munmap(crew->shared, sizeof(*crew->shared));
    crew->shared = NULL;
    return r;
}
