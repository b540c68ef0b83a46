/* What one cheap system call takes, in nanoseconds: the median of several rounds. Run on the host and in a job, the
 * difference is what the filter costs. Static, because it is copied into the production root. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 15
#define CALLS 400000

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

int main(void)
{
    double rounds[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        struct timespec start;
        struct timespec end;
        (void)clock_gettime(CLOCK_MONOTONIC, &start);
        for (int i = 0; i < CALLS; i++)
            (void)syscall(SYS_getppid);
        (void)clock_gettime(CLOCK_MONOTONIC, &end);
        double ns = (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
        rounds[round] = ns / CALLS;
    }
    qsort(rounds, ROUNDS, sizeof(rounds[0]), compare);
    (void)printf("%.1f\n", rounds[ROUNDS / 2]);
    return 0;
}
