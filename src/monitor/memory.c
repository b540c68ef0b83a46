/* Memory from /proc/meminfo, in bytes. Used is what a program could not get: total without available. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "monitor/sample.h"

enum { TOTAL, FREE, AVAILABLE, BUFFERS, CACHED, RECLAIMABLE, SWAP_TOTAL, SWAP_FREE, FIGURES };

static const char *const names[FIGURES] = {
        [TOTAL] = "MemTotal:",
        [FREE] = "MemFree:",
        [AVAILABLE] = "MemAvailable:",
        [BUFFERS] = "Buffers:",
        [CACHED] = "Cached:",
        [RECLAIMABLE] = "SReclaimable:",
        [SWAP_TOTAL] = "SwapTotal:",
        [SWAP_FREE] = "SwapFree:",
};

static void parse_meminfo(const char *text, uint64_t figures[FIGURES])
{
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        for (size_t i = 0; i < FIGURES; i++)
            if (strncmp(line, names[i], strlen(names[i])) == 0)
                (void)sscanf(line + strlen(names[i]), "%" SCNu64, &figures[i]);
    for (size_t i = 0; i < FIGURES; i++)
        figures[i] *= 1024;
}

int memory_read(struct monitor *monitor, Joblet__MemoryMetrics *memory, struct error *error)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    uint64_t figures[FIGURES] = {0};
    int r = fd_read_file_at(monitor->proc_fd, "meminfo", 65536, &text, &size);
    if (r < 0)
        return error_errno(error, -r, "read memory figures");
    parse_meminfo(text, figures);
    if (figures[TOTAL] == 0 || figures[AVAILABLE] > figures[TOTAL] || figures[SWAP_FREE] > figures[SWAP_TOTAL])
        return error_text(error, EBADMSG, "read memory figures: they make no sense");
    monitor->memory_total = figures[TOTAL];
    memory->total_bytes = (int64_t)figures[TOTAL];
    memory->used_bytes = (int64_t)(figures[TOTAL] - figures[AVAILABLE]);
    memory->free_bytes = (int64_t)figures[FREE];
    memory->available_bytes = (int64_t)figures[AVAILABLE];
    memory->usage_percent = sample_percent(figures[TOTAL] - figures[AVAILABLE], figures[TOTAL]);
    memory->cached_bytes = (int64_t)(figures[CACHED] + figures[RECLAIMABLE]);
    memory->buffered_bytes = (int64_t)figures[BUFFERS];
    memory->swap_total = (int64_t)figures[SWAP_TOTAL];
    memory->swap_used = (int64_t)(figures[SWAP_TOTAL] - figures[SWAP_FREE]);
    memory->swap_free = (int64_t)figures[SWAP_FREE];
    return 0;
}
