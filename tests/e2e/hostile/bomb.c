/* Programs that take all of something that they can get, one each, until they are stopped: bomb NAME. None of them
 * means to break out; what is tested is who else feels it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static char block[1 << 20];

/* Says once that it is at it, so that the test knows when to look. */
static void at_it(void)
{
    static int said;
    if (!said)
        (void)!write(STDOUT_FILENO, "at it\n", 6);
    said = 1;
}

static void bomb_fork(void)
{
    at_it();
    for (;;)
        (void)fork();
}

static void *sleep_on(void *unused)
{
    for (;;)
        (void)pause();
    return unused;
}

static void bomb_threads(void)
{
    pthread_attr_t attributes;
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, 65536);
    for (;;) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, sleep_on, NULL) != 0)
            at_it();
    }
}

static void bomb_memory(void)
{
    at_it();
    for (;;) {
        char *memory = mmap(NULL, sizeof(block), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory != MAP_FAILED)
            (void)memset(memory, 1, sizeof(block));
    }
}

/* One file as large as it gets, again and again. */
static void bomb_file(void)
{
    for (;;) {
        int fd = open("/work/large", O_WRONLY | O_CREAT | O_TRUNC, 0600);
        while (write(fd, block, sizeof(block)) > 0)
            ;
        if (errno == ENOSPC)
            at_it();
        (void)close(fd);
    }
}

static void bomb_inodes(void)
{
    for (unsigned i = 0;; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/work/%u", i);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0 && errno == ENOSPC)
            at_it();
        if (fd >= 0)
            (void)close(fd);
    }
}

/* As many processes as there may be, each with as many files as it may have. */
static void bomb_files(void)
{
    while (fork() >= 0)
        for (int fd = 0; fd >= 0;)
            fd = open("/dev/null", O_RDONLY);
    at_it();
    (void)sleep_on(NULL);
}

static void bomb_log(void)
{
    at_it();
    for (;;)
        (void)!write(STDOUT_FILENO, block, sizeof(block));
}

/* Names that are not there: the kernel remembers each. */
static void bomb_dentries(void)
{
    at_it();
    for (unsigned long i = 0;; i++) {
        char path[256];
        (void)snprintf(path, sizeof(path), "/tmp/%0200lu", i);
        (void)access(path, F_OK);
    }
}

/* A hundred processes in sessions of their own that hear no signal. */
static void bomb_stubborn(void)
{
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_IGN);
    for (int i = 0; i < 100; i++)
        if (fork() == 0) {
            (void)setsid();
            (void)sleep_on(NULL);
        }
    at_it();
    (void)sleep_on(NULL);
}

static const struct {
    const char *name;
    void (*run)(void);
} bombs[] = {{"fork", bomb_fork}, {"threads", bomb_threads}, {"memory", bomb_memory}, {"file", bomb_file},
        {"inodes", bomb_inodes}, {"files", bomb_files}, {"log", bomb_log}, {"dentries", bomb_dentries},
        {"stubborn", bomb_stubborn}};

int main(int count, char **arguments)
{
    for (unsigned i = 0; count == 2 && i < sizeof(bombs) / sizeof(bombs[0]); i++)
        if (strcmp(arguments[1], bombs[i].name) == 0)
            bombs[i].run();
    return 2;
}
