#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NS_PER_S 1000000000ULL

int text_parse_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
    if (!*text)
        return -EINVAL;
    uint64_t value = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        uint64_t digit = (uint64_t)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return -ERANGE;
        value = value * 10 + digit;
    }
    if (value > max)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

static const struct {
    const char *name;
    uint64_t ns;
} duration_units[] = {
        /* "ms" before "m": the longest name first. */
        {"ns", 1},
        {"us", 1000},
        {"\xc2\xb5s", 1000},
        {"ms", 1000000},
        {"s", NS_PER_S},
        {"m", 60 * NS_PER_S},
        {"h", 3600 * NS_PER_S},
};

/* One "12.5m" part. Advances @text. */
static int duration_part(const char **text, uint64_t *ret_ns)
{
    const char *next = *text;
    unsigned __int128 whole = 0;
    unsigned __int128 fraction = 0;
    unsigned __int128 scale = 1;
    int digits = 0;
    for (; isdigit((unsigned char)*next); next++, digits++) {
        whole = whole * 10 + (unsigned)(*next - '0');
        if (whole > INT64_MAX)
            return -ERANGE;
    }
    if (*next == '.') {
        for (next++; isdigit((unsigned char)*next); next++, digits++) {
            if (scale < NS_PER_S * NS_PER_S) {
                fraction = fraction * 10 + (unsigned)(*next - '0');
                scale *= 10;
            }
        }
    }
    if (digits == 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
        size_t length = strlen(duration_units[i].name);
        if (strncmp(next, duration_units[i].name, length) != 0)
            continue;
        unsigned __int128 ns = whole * duration_units[i].ns + fraction * duration_units[i].ns / scale;
        if (ns > INT64_MAX)
            return -ERANGE;
        *text = next + length;
        *ret_ns = (uint64_t)ns;
        return 0;
    }
    return -EINVAL;
}

int text_parse_duration(const char *text, uint64_t *ret_ns)
{
    if (strcmp(text, "0") == 0) {
        *ret_ns = 0;
        return 0;
    }
    if (!*text)
        return -EINVAL;
    uint64_t total = 0;
    while (*text) {
        uint64_t part;
        int r = duration_part(&text, &part);
        if (r < 0)
            return r;
        if (total + part > INT64_MAX)
            return -ERANGE;
        total += part;
    }
    *ret_ns = total;
    return 0;
}

void text_format_duration(uint64_t ns, char ret_text[TEXT_DURATION_MAX])
{
    if (ns < NS_PER_S && ns != 0) {
        const char *unit = ns % 1000000 == 0 ? "ms" : ns % 1000 == 0 ? "us" : "ns";
        uint64_t value = ns % 1000000 == 0 ? ns / 1000000 : ns % 1000 == 0 ? ns / 1000 : ns;
        (void)snprintf(ret_text, TEXT_DURATION_MAX, "%llu%s", (unsigned long long)value, unit);
        return;
    }
    unsigned long long seconds = ns / NS_PER_S;
    char fraction[16] = "";
    if (ns % NS_PER_S) {
        (void)snprintf(fraction, sizeof(fraction), ".%09llu", (unsigned long long)(ns % NS_PER_S));
        for (size_t end = strlen(fraction); end > 0 && fraction[end - 1] == '0'; end--)
            fraction[end - 1] = '\0';
    }
    if (seconds >= 3600)
        (void)snprintf(ret_text, TEXT_DURATION_MAX, "%lluh%llum%llu%ss", seconds / 3600, seconds / 60 % 60,
                seconds % 60, fraction);
    else if (seconds >= 60)
        (void)snprintf(ret_text, TEXT_DURATION_MAX, "%llum%llu%ss", seconds / 60, seconds % 60, fraction);
    else
        (void)snprintf(ret_text, TEXT_DURATION_MAX, "%llu%ss", seconds, fraction);
}

void text_format_time(int64_t unix_ns, char ret_text[TEXT_TIME_MAX])
{
    int64_t floor_s = unix_ns / (int64_t)NS_PER_S - (unix_ns % (int64_t)NS_PER_S < 0);
    time_t seconds = (time_t)floor_s;
    struct tm local;
    if (!localtime_r(&seconds, &local)) {
        ret_text[0] = '\0';
        return;
    }
    size_t used = strftime(ret_text, TEXT_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &local);
    long offset = local.tm_gmtoff;
    if (offset == 0)
        (void)snprintf(ret_text + used, TEXT_TIME_MAX - used, "Z");
    else
        (void)snprintf(ret_text + used, TEXT_TIME_MAX - used, "%c%02ld:%02ld", offset < 0 ? '-' : '+',
                labs(offset) / 3600, labs(offset) / 60 % 60);
}

/* Exactly @digits decimal digits. */
static bool time_number(const char **text, int digits, int *ret_value)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)(*text)[i]))
            return false;
        value = value * 10 + ((*text)[i] - '0');
    }
    *text += digits;
    *ret_value = value;
    return true;
}

static bool time_character(const char **text, const char *one_of)
{
    if (!**text || !strchr(one_of, **text))
        return false;
    (*text)++;
    return true;
}

int text_parse_time(const char *text, int64_t *ret_unix_ns)
{
    struct tm tm = {0};
    int year;
    int month;
    if (!time_number(&text, 4, &year) || !time_character(&text, "-") || !time_number(&text, 2, &month) ||
            !time_character(&text, "-") || !time_number(&text, 2, &tm.tm_mday) || !time_character(&text, "Tt ") ||
            !time_number(&text, 2, &tm.tm_hour) || !time_character(&text, ":") || !time_number(&text, 2, &tm.tm_min) ||
            !time_character(&text, ":") || !time_number(&text, 2, &tm.tm_sec))
        return -EINVAL;
    int64_t fraction = 0;
    if (*text == '.') {
        text++;
        int64_t weight = (int64_t)NS_PER_S / 10;
        if (!isdigit((unsigned char)*text))
            return -EINVAL;
        for (; isdigit((unsigned char)*text); text++, weight /= 10)
            fraction += weight * (*text - '0');
    }
    int64_t offset = 0;
    if (!time_character(&text, "Zz")) {
        int sign = *text == '-' ? -1 : 1;
        int hours;
        int minutes;
        if (!time_character(&text, "+-") || !time_number(&text, 2, &hours) || !time_character(&text, ":") ||
                !time_number(&text, 2, &minutes) || hours > 23 || minutes > 59)
            return -EINVAL;
        offset = sign * (hours * 3600 + minutes * 60);
    }
    if (*text || month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
            tm.tm_sec > 60 || year < 1900)
        return -EINVAL;
    int day = tm.tm_mday;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    time_t seconds = timegm(&tm);
    /* timegm turns the 31st of April into the 1st of May: refuse what it had to mend. */
    if (tm.tm_mday != day && tm.tm_sec != 60)
        return -EINVAL;
    int64_t total = (int64_t)seconds - offset;
    if (total > INT64_MAX / (int64_t)NS_PER_S - 1 || total < INT64_MIN / (int64_t)NS_PER_S + 1)
        return -EINVAL;
    *ret_unix_ns = total * (int64_t)NS_PER_S + fraction;
    return 0;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

int text_parse_when(const char *text, int64_t *ret_unix_ns)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"};
    uint64_t ago_ns;
    if (text_parse_duration(text, &ago_ns) == 0) {
        *ret_unix_ns = text_now_unix_ns() - (int64_t)ago_ns;
        return 0;
    }
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm parts = {.tm_isdst = -1};
        const char *end = strptime(text, forms[i], &parts);
        time_t seconds = end && !*end ? mktime(&parts) : -1;
        if (seconds < 0)
            continue;
        *ret_unix_ns = (int64_t)seconds * 1000000000;
        return 0;
    }
    return text_parse_time(text, ret_unix_ns);
}

int text_parse_uuid(const char *text, uint8_t ret_id[16])
{
    uint8_t id[16];
    size_t byte = 0;
    if (strlen(text) != TEXT_UUID_MAX - 1)
        return -EINVAL;
    for (size_t i = 0; i < TEXT_UUID_MAX - 1;) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i++] != '-')
                return -EINVAL;
            continue;
        }
        int high = hex_digit(text[i]);
        int low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        id[byte++] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    memcpy(ret_id, id, sizeof(id));
    return 0;
}

void text_format_uuid(const uint8_t id[16], char ret_text[TEXT_UUID_MAX])
{
    static const char digits[] = "0123456789abcdef";
    char *next = ret_text;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *next++ = '-';
        *next++ = digits[id[i] >> 4];
        *next++ = digits[id[i] & 15];
    }
    *next = '\0';
}

int text_new_uuid(uint8_t ret_id[16])
{
    if (getrandom(ret_id, 16, 0) != 16)
        return -EIO;
    ret_id[6] = (uint8_t)((ret_id[6] & 0x0f) | 0x40);
    ret_id[8] = (uint8_t)((ret_id[8] & 0x3f) | 0x80);
    return 0;
}

bool text_is_utf8(const char *text, size_t size)
{
    const uint8_t *next = (const uint8_t *)text;
    const uint8_t *end = next + size;
    while (next < end) {
        uint32_t point;
        size_t more;
        uint32_t smallest;
        if (*next < 0x80) {
            next++;
            continue;
        }
        if ((*next & 0xe0) == 0xc0) {
            point = *next & 0x1fu;
            more = 1;
            smallest = 0x80;
        } else if ((*next & 0xf0) == 0xe0) {
            point = *next & 0x0fu;
            more = 2;
            smallest = 0x800;
        } else if ((*next & 0xf8) == 0xf0) {
            point = *next & 0x07u;
            more = 3;
            smallest = 0x10000;
        } else {
            return false;
        }
        if ((size_t)(end - next) <= more)
            return false;
        for (size_t i = 1; i <= more; i++) {
            if ((next[i] & 0xc0) != 0x80)
                return false;
            point = point << 6 | (next[i] & 0x3fu);
        }
        if (point < smallest || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
            return false;
        next += more + 1;
    }
    return true;
}

/* Unlike strndup, which sanitizers hold to be a reader of whole texts. */
char *text_dup_bounded(const char *text, size_t size)
{
    const char *end = size > 0 ? memchr(text, '\0', size) : NULL;
    size_t length = end ? (size_t)(end - text) : size;
    char *copy = malloc(length + 1);
    if (!copy)
        return NULL;
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void text_copy_cut(char *ret_text, size_t size, const char *text)
{
    size_t length = strnlen(text, size);
    if (length == size) {
        length--;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--;
    }
    memcpy(ret_text, text, length);
    ret_text[length] = '\0';
}

bool text_is_environment_name(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    for (name++; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * (int64_t)NS_PER_S + now.tv_nsec;
}

int64_t text_now_unix_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t text_now_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}
