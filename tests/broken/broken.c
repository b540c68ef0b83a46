#include "broken.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What the test of the plain programs looks for. */
const char broken_marker[] = "JOBLET_TEST_HOOKS broken";

static char name[64];

__attribute__((constructor)) void broken_read(void)
{
    char path[512];
    name[0] = '\0';
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - sizeof("broken"));
    if (size <= 0)
        return;
    path[size] = '\0';
    memcpy(strrchr(path, '/') + 1, "broken", sizeof("broken"));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size = fd < 0 ? 0 : read(fd, name, sizeof(name) - 1);
    if (fd >= 0)
        (void)close(fd);
    name[size > 0 ? size : 0] = '\0';
    name[strcspn(name, "\n")] = '\0';
}

bool broken(const char *protection)
{
    return strcmp(name, protection) == 0;
}

bool broken_of_build(const char *protection)
{
    static const char of_build[] = "build-";
    size_t length = sizeof(of_build) - 1;
    return broken(protection) || (strncmp(name, of_build, length) == 0 && strcmp(name + length, protection) == 0);
}
