/* Another job. `hostile --leave` leaves something of each kind that processes can find each other by; these attempts,
 * run in a second job at the same time, must find none of it. `hostile --take` takes as much as it can of what the
 * kernel counts for each user. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attempt.h"

#define KEY 0x6a6f62
#define PORT 7077
#define QUEUE "/hostile"
#define ABSTRACT "hostile-abstract"
static const char *const files[] = {
        "/dev/shm/hostile-left", "/tmp/hostile-left", "/work/hostile-left", "/dev/mqueue/hostile"};

static socklen_t abstract_address(struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path + 1, ABSTRACT, sizeof(ABSTRACT) - 1);
    return offsetof(struct sockaddr_un, sun_path) + sizeof(ABSTRACT);
}

static const struct sockaddr_in loopback = {
        .sin_family = AF_INET, .sin_port = __builtin_bswap16(PORT), .sin_addr = {__builtin_bswap32(0x7f000001)}};

int jobs_leave(void)
{
    struct sockaddr_un abstract;
    socklen_t size = abstract_address(&abstract);
    int unix_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int inet_fd = socket(AF_INET, SOCK_STREAM, 0);
    int terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    int failed = 0;
    for (size_t i = 0; i < 3; i++)
        failed |= open(files[i], O_WRONLY | O_CREAT, 0666) < 0;
    failed |= shmget(KEY, 4096, IPC_CREAT | 0666) < 0;
    failed |= semget(KEY, 1, IPC_CREAT | 0666) < 0;
    failed |= msgget(KEY, IPC_CREAT | 0666) < 0;
    failed |= mq_open(QUEUE, O_RDWR | O_CREAT, 0666, NULL) < 0;
    failed |= bind(unix_fd, (struct sockaddr *)&abstract, size) < 0 || listen(unix_fd, 5) < 0;
    failed |= bind(inet_fd, (const struct sockaddr *)&loopback, sizeof(loopback)) < 0 || listen(inet_fd, 5) < 0;
    failed |= terminal < 0;
    (void)puts(failed ? "could not leave all" : "ready");
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}

int jobs_take(void)
{
    unsigned instances = 0;
    unsigned queues = 0;
    while (instances < 1000 && inotify_init() >= 0)
        instances++;
    int code = errno;
    for (; queues < 100; queues++) {
        char name[32];
        struct mq_attr attributes = {.mq_maxmsg = 10, .mq_msgsize = 8192};
        (void)snprintf(name, sizeof(name), "/take-%u", queues);
        if (mq_open(name, O_RDWR | O_CREAT, 0600, &attributes) < 0)
            break;
    }
    (void)printf(
            "%u instances (%s), %u queues (%s)\n", instances, strerrorname_np(code), queues, strerrorname_np(errno));
    (void)puts("ready");
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}

static int sysv_objects(char seen[ATTEMPT_SEEN_MAX])
{
    if (shmget(KEY, 0, 0) != -1 || errno != ENOENT)
        return attempt_fact(0, seen, "shared memory: %s", strerrorname_np(errno));
    if (semget(KEY, 0, 0) != -1 || errno != ENOENT)
        return attempt_fact(0, seen, "semaphores: %s", strerrorname_np(errno));
    struct shmid_ds status;
    for (int id = 0; id < 64; id++)
        if (shmctl(id, SHM_STAT, &status) >= 0)
            return attempt_fact(0, seen, "shared memory number %d", id);
    return ATTEMPT_REFUSED(msgget(KEY, 0), seen, ENOENT);
}

static int message_queue(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(mq_open(QUEUE, O_RDONLY), seen, ENOENT);
}

static int abstract_of_others(char seen[ATTEMPT_SEEN_MAX])
{
    struct sockaddr_un address;
    socklen_t size = abstract_address(&address);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return ATTEMPT_REFUSED(connect(fd, (struct sockaddr *)&address, size), seen, ECONNREFUSED);
}

static int loopback_of_others(char seen[ATTEMPT_SEEN_MAX])
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return ATTEMPT_REFUSED(connect(fd, (const struct sockaddr *)&loopback, sizeof(loopback)), seen, ECONNREFUSED);
}

static int files_of_others(char seen[ATTEMPT_SEEN_MAX])
{
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (access(files[i], F_OK) != -1 || errno != ENOENT)
            return attempt_fact(0, seen, "%s: %s", files[i], strerrorname_np(errno));
    DIR *directory = opendir("/tmp");
    struct dirent *entry;
    unsigned jobs = 0;
    while (directory && (entry = readdir(directory)))
        jobs += strncmp(entry->d_name, "job-", 4) == 0;
    return attempt_fact(jobs == 1, seen, "none, and one job's directory in /tmp");
}

static int processes_of_others(char seen[ATTEMPT_SEEN_MAX])
{
    for (int pid = 1; pid < 400; pid++) {
        char path[32];
        char line[128];
        (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
        int fd = open(path, O_RDONLY);
        ssize_t size = fd < 0 ? 0 : read(fd, line, sizeof(line));
        (void)close(fd);
        if (size > 0 && memmem(line, size, "--leave", 7))
            return attempt_fact(0, seen, "process %d is the other job's", pid);
    }
    /* Signal 0 to numbers that are processes of the host. */
    for (int pid = 1000; pid < 9000; pid++)
        if (kill(pid, 0) == 0 || errno != ESRCH)
            return attempt_fact(0, seen, "process %d: %s", pid, strerrorname_np(errno));
    return attempt_fact(1, seen, "none can be seen or signalled");
}

/* The ids of another job are not mapped here: nothing can be done to "all processes of that user". */
static int users_of_others(char seen[ATTEMPT_SEEN_MAX])
{
    static const unsigned ids[] = {1, 1000, 65533, 65536, 100000, 1000000, 2000000000};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        if (setpriority(PRIO_USER, ids[i], 19) != -1 || (errno != ESRCH && errno != EPERM && errno != EACCES))
            return attempt_fact(0, seen, "user %u: %s", ids[i], strerrorname_np(errno));
    return attempt_fact(1, seen, "ESRCH for each");
}

static int terminals_of_others(char seen[ATTEMPT_SEEN_MAX])
{
    for (int number = 0; number < 64; number++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/dev/pts/%d", number);
        if (open(path, O_RDWR | O_NOCTTY) != -1 || errno != ENOENT)
            return attempt_fact(0, seen, "%s: %s", path, strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "no terminal but ours");
}

static const struct attempt jobs_attempts[] = {
        {"J01", "P3", "sysv-objects", "System V objects of another job", sysv_objects},
        {"J02", "P3", "message-queue", "message queues of another job", message_queue},
        {"J03", "P3", "abstract-of-others", "abstract sockets of another job", abstract_of_others},
        {"J04", "P3", "loopback-of-others", "services of another job on its loopback", loopback_of_others},
        {"J05", "P3", "files-of-others", "files of another job: CVE-2021-44730", files_of_others},
        {"J06", "P3", "processes-of-others", "processes of another job", processes_of_others},
        {"J07", "P3", "users-of-others", "processes of another job by their user", users_of_others},
        {"J08", "P3", "terminals-of-others", "terminals of another job", terminals_of_others},
};

const struct attempt_group attempts_jobs = {jobs_attempts, sizeof(jobs_attempts) / sizeof(jobs_attempts[0])};
