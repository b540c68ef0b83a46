/* Reads and writes of whole disks, from /proc/diskstats. A partition's are in its disk's already; memory that poses as
 * a disk, and what only maps other disks (loop, device mapper, raid), would be counted twice in the sums. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "monitor/message.h"
#include "monitor/sample.h"

#define SECTOR_BYTES 512U

struct disk_line {
    char name[SAMPLE_NAME_MAX];
    uint64_t reads;
    uint64_t read_sectors;
    uint64_t read_ms;
    uint64_t writes;
    uint64_t write_sectors;
    uint64_t write_ms;
    uint64_t busy_ms;
};

static bool has_prefix(const char *name, const char *const prefixes[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* "sda1" belongs to "sda", "nvme0n1p1" to "nvme0n1": the kernel lists a disk before its partitions. */
static bool is_partition(const char *name, const char *disk)
{
    size_t length = strlen(disk);
    if (length == 0 || strncmp(name, disk, length) != 0)
        return false;
    const char *rest = name + length;
    if (*rest == 'p' && isdigit((unsigned char)disk[length - 1]))
        rest++;
    else if (isdigit((unsigned char)disk[length - 1]))
        return false;
    return isdigit((unsigned char)*rest) && rest[strspn(rest, "0123456789")] == '\0';
}

static bool parse_line(const char *line, struct disk_line *ret_line)
{
    *ret_line = (struct disk_line){0};
    return sscanf(line,
                   "%*u %*u %63s %" SCNu64 " %*u %" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %" SCNu64 " %" SCNu64
                   " %*u %" SCNu64,
                   ret_line->name, &ret_line->reads, &ret_line->read_sectors, &ret_line->read_ms, &ret_line->writes,
                   &ret_line->write_sectors, &ret_line->write_ms, &ret_line->busy_ms) == 8;
}

static double utilization(const struct monitor *monitor, uint64_t now_ms, uint64_t before_ms)
{
    double percent = sample_rate(monitor, now_ms, before_ms) / 10; /* ms in a second, in percent */
    return percent > 100 ? 100 : percent;
}

static int add_disk(struct monitor *monitor, const struct disk_line *line, Joblet__IOMetrics *io)
{
    struct flow *flow = &monitor->now->disks[monitor->now->disk_count];
    *flow = (struct flow){.in = line->read_sectors * SECTOR_BYTES,
            .out = line->write_sectors * SECTOR_BYTES,
            .busy_ms = line->busy_ms};
    memcpy(flow->name, line->name, sizeof(flow->name));
    monitor->now->disk_count++;
    const struct flow *before = sample_find_flow(monitor->before->disks, monitor->before->disk_count, line->name);
    /* A disk that was not there before: all that it did was done in the window. */
    static const struct flow none;
    before = before ? before : &none;
    Joblet__DiskIOMetrics *disk = MESSAGE_ADD(io, disk_io, Joblet__DiskIOMetrics, joblet__disk_iometrics__init);
    if (!disk)
        return -ENOMEM;
    disk->reads_completed = (int64_t)line->reads;
    disk->writes_completed = (int64_t)line->writes;
    disk->read_bytes = (int64_t)flow->in;
    disk->write_bytes = (int64_t)flow->out;
    disk->read_time = (int64_t)line->read_ms;
    disk->write_time = (int64_t)line->write_ms;
    disk->io_time = (int64_t)line->busy_ms;
    disk->utilization = utilization(monitor, flow->busy_ms, before->busy_ms);
    io->total_reads += disk->reads_completed;
    io->total_writes += disk->writes_completed;
    io->read_bytes += disk->read_bytes;
    io->write_bytes += disk->write_bytes;
    io->read_rate += sample_rate(monitor, flow->in, before->in);
    io->write_rate += sample_rate(monitor, flow->out, before->out);
    return message_set_text(&disk->device, line->name);
}

int io_read(struct monitor *monitor, Joblet__IOMetrics *io, struct error *error)
{
    static const char *const mapped[] = {"loop", "ram", "zram", "dm-", "md", "sr", "fd"};
    _cleanup_free_ char *text = NULL;
    size_t size;
    int r = fd_read_file_at(monitor->proc_fd, "diskstats", 4U << 20, &text, &size);
    if (r < 0)
        return error_errno(error, -r, "read disk figures");
    monitor->now->disk_count = 0;
    char disk[SAMPLE_NAME_MAX] = "";
    char *rest = NULL;
    for (const char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        struct disk_line parsed;
        if (!parse_line(line, &parsed) || has_prefix(parsed.name, mapped, ELEMENTS(mapped)) ||
                is_partition(parsed.name, disk) || monitor->now->disk_count == MONITOR_DISKS_MAX)
            continue;
        memcpy(disk, parsed.name, sizeof(disk));
        r = add_disk(monitor, &parsed, io);
        if (r < 0)
            return error_errno(error, -r, "read disk figures");
    }
    return 0;
}
