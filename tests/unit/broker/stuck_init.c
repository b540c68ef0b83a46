/* Stands in for joblet-init where a start must not get on. */
#include <unistd.h>

int main(void)
{
    for (;;)
        (void)pause();
}
