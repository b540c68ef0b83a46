#include "rnx/output.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "base/visible.h"
#include "rnx/interrupt.h"

size_t output_character_size(const unsigned char *bytes, size_t size)
{
    return visible_character_size(bytes, size);
}

void output_bytes(FILE *file, const char *text, size_t size)
{
    visible_put_bytes(file, text, size);
}

void output_text(FILE *file, const char *text)
{
    visible_put(file, text);
}

void output_lines(FILE *file, const char *text)
{
    visible_put_lines(file, text);
}

void output_field(const char *label, const char *value)
{
    (void)printf("%s: ", label);
    output_text(stdout, value);
    (void)putchar('\n');
}

void output_format_time(const char *rfc3339, bool zone, const char *empty, char ret_text[OUTPUT_TIME_MAX])
{
    int64_t unix_ns;
    size_t size = strlen(rfc3339);
    if (size == 0 || text_parse_time(rfc3339, &unix_ns) < 0) {
        (void)snprintf(ret_text, OUTPUT_TIME_MAX, "%s", size == 0 ? empty : rfc3339);
        return;
    }
    /* The digits as they stand: the server's own offset is shown, not the reader's. */
    (void)snprintf(ret_text, OUTPUT_TIME_MAX, "%.10s %.8s", rfc3339, rfc3339 + 11);
    if (!zone)
        return;
    const char *offset = rfc3339 + size - 6;
    bool utc = rfc3339[size - 1] == 'Z' || rfc3339[size - 1] == 'z' || strcmp(offset + 1, "00:00") == 0;
    size_t used = strlen(ret_text);
    if (utc)
        (void)snprintf(ret_text + used, OUTPUT_TIME_MAX - used, " UTC");
    else
        (void)snprintf(ret_text + used, OUTPUT_TIME_MAX - used, " %.3s%.2s", offset, offset + 4);
}

void output_format_duration(double seconds, char ret_text[OUTPUT_DURATION_MAX])
{
    if (seconds < 60) {
        (void)snprintf(ret_text, OUTPUT_DURATION_MAX, "%.1fs", seconds < 0 ? 0 : seconds);
        return;
    }
    if (seconds < 3600) {
        (void)snprintf(ret_text, OUTPUT_DURATION_MAX, "%.1fm", seconds / 60);
        return;
    }
    long long minutes = (long long)(seconds / 60);
    bool days = minutes >= 24 * 60;
    long long large = days ? minutes / (24 * 60) : minutes / 60;
    long long small = days ? minutes / 60 % 24 : minutes % 60;
    if (small == 0)
        (void)snprintf(ret_text, OUTPUT_DURATION_MAX, "%lld%c", large, days ? 'd' : 'h');
    else
        (void)snprintf(ret_text, OUTPUT_DURATION_MAX, "%lld%c%lld%c", large, days ? 'd' : 'h', small, days ? 'h' : 'm');
}

void output_format_size(int64_t bytes, char ret_text[OUTPUT_SIZE_MAX])
{
    static const char units[] = "KMGTPE";
    if (bytes < 1024) {
        (void)snprintf(ret_text, OUTPUT_SIZE_MAX, "%lld B", (long long)bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1024 && units[unit + 1]; unit++)
        value /= 1024;
    (void)snprintf(ret_text, OUTPUT_SIZE_MAX, "%.1f %cB", value, units[unit]);
}

void output_format_size_tight(int64_t bytes, char ret_text[OUTPUT_SIZE_MAX])
{
    static const char units[] = "KMG";
    if (bytes < 1024) {
        (void)snprintf(ret_text, OUTPUT_SIZE_MAX, "%lldB", (long long)bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1024 && units[unit + 1]; unit++)
        value /= 1024;
    (void)snprintf(ret_text, OUTPUT_SIZE_MAX, "%.1f%cB", value, units[unit]);
}

void output_format_uptime(int64_t seconds, char ret_text[OUTPUT_UPTIME_MAX])
{
    long long minutes = (long long)seconds / 60;
    long long hours = minutes / 60;
    long long days = hours / 24;
    if (days > 0)
        (void)snprintf(ret_text, OUTPUT_UPTIME_MAX, "%lldd %lldh %lldm", days, hours % 24, minutes % 60);
    else if (hours > 0)
        (void)snprintf(ret_text, OUTPUT_UPTIME_MAX, "%lldh %lldm", hours, minutes % 60);
    else
        (void)snprintf(ret_text, OUTPUT_UPTIME_MAX, "%lldm", minutes);
}

const char *output_status_colour(const char *status)
{
    static const struct {
        const char *status;
        const char *colour;
    } colours[] = {
            {"RUNNING", "\033[33m"},
            {"COMPLETED", "\033[32m"},
            {"FAILED", "\033[31m"},
            {"SCHEDULED", "\033[36m"},
            {"STOPPED", "\033[35m"},
            {"INITIALIZING", "\033[34m"},
            {"PENDING", "\033[36m"},
            {"CANCELED", "\033[35m"},
    };
    for (size_t i = 0; i < ELEMENTS(colours); i++)
        if (strcmp(status, colours[i].status) == 0)
            return colours[i].colour;
    return "";
}

void output_status(FILE *file, const char *status, bool colour, int width)
{
    const char *sequence = colour ? output_status_colour(status) : "";
    (void)fputs(sequence, file);
    output_text(file, status);
    if (*sequence)
        (void)fputs("\033[0m", file);
    int blanks = width - (int)strlen(status);
    if (blanks > 0)
        (void)fprintf(file, "%*s", blanks, "");
}

char *output_join_command(const char *command, char *const *args, size_t count)
{
    size_t size = strlen(command) + 1;
    for (size_t i = 0; i < count; i++)
        size += strlen(args[i]) + 1;
    char *joined = malloc(size);
    if (!joined)
        return NULL;
    char *end = stpcpy(joined, command);
    for (size_t i = 0; i < count; i++) {
        *end++ = ' ';
        end = stpcpy(end, args[i]);
    }
    return joined;
}

size_t output_cut_size(const char *text, size_t size)
{
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

char *output_shorten_command(const char *joined)
{
    size_t size = strcspn(joined, "\n");
    bool lines = joined[size] == '\n';
    size_t limit = lines ? 77 : 80;
    bool cut = size > limit;
    if (cut)
        size = output_cut_size(joined, lines ? 74 : 77);
    char *text = NULL;
    if (asprintf(&text, "%.*s%s", (int)size, joined, lines || cut ? "..." : "") < 0)
        return NULL;
    return text;
}

int output_write_all(int fd, const void *data, size_t size)
{
    const char *next = data;
    while (size > 0) {
        /* A signal in the middle of a write shows as a short write only. */
        if (interrupt_came())
            return -EINTR;
        ssize_t written = write(fd, next, size);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            written = poll(&ready, 1, -1) < 0 ? -1 : 0;
        }
        /* Stopped and continued is no reason to end. */
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        next += written;
        size -= (size_t)written;
    }
    return 0;
}

int output_flush(void)
{
    errno = EIO;
    return fflush(stdout) != 0 || ferror(stdout) ? -errno : 0;
}

void output_end_by_pipe(void)
{
    (void)signal(SIGPIPE, SIG_DFL);
    (void)raise(SIGPIPE);
}
