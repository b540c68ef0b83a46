#include "audit/record.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/text.h"

#define NANOSECONDS 1000000000
#define PREV_NAME ",\"prev\":\""
#define HASH_NAME "\",\"hash\":\""
#define LINE_END "\"}"
/* From before the name of "prev" to the line's end. */
#define TAIL_SIZE                                                                                                      \
    (sizeof(PREV_NAME) - 1 + AUDIT_HASH_SIZE * 2 + sizeof(HASH_NAME) - 1 + AUDIT_HASH_SIZE * 2 + sizeof(LINE_END) - 1)

void audit_hash_format(const uint8_t hash[AUDIT_HASH_SIZE], char ret_hex[AUDIT_HASH_HEX_MAX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < AUDIT_HASH_SIZE; i++) {
        ret_hex[2 * i] = digits[hash[i] >> 4];
        ret_hex[2 * i + 1] = digits[hash[i] & 15];
    }
    ret_hex[2 * AUDIT_HASH_SIZE] = '\0';
}

static int digit_of(char letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

int audit_hash_parse(const char *hex, uint8_t ret_hash[AUDIT_HASH_SIZE])
{
    for (size_t i = 0; i < AUDIT_HASH_SIZE; i++) {
        int high = digit_of(hex[2 * i]);
        int low = high < 0 ? -1 : digit_of(hex[2 * i + 1]);
        if (low < 0)
            return -EINVAL;
        ret_hash[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

int audit_hash(const void *data, size_t size, uint8_t ret_hash[AUDIT_HASH_SIZE])
{
    return EVP_Digest(data, size, ret_hash, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

void audit_format_time(int64_t unix_ns, char ret_text[AUDIT_TIME_MAX])
{
    time_t seconds = (time_t)(unix_ns / NANOSECONDS);
    int64_t rest = unix_ns % NANOSECONDS;
    struct tm parts;
    if (rest < 0) {
        rest += NANOSECONDS;
        seconds--;
    }
    if (!gmtime_r(&seconds, &parts) || parts.tm_year < -900 || parts.tm_year > 8099) {
        (void)snprintf(ret_text, AUDIT_TIME_MAX, "1970-01-01T00:00:00.000000000Z");
        return;
    }
    size_t size = strftime(ret_text, AUDIT_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(ret_text + size, AUDIT_TIME_MAX - size, ".%09" PRId64 "Z", rest);
}

/* ---- facts ---- */

static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"v", "seq", "time", "source", "prev", "hash"};
    for (size_t i = 0; i < ELEMENTS(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            return true;
    return false;
}

static bool is_name(const char *name)
{
    if (*name < 'a' || *name > 'z')
        return false;
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

int audit_facts_check(const char *facts, size_t size, struct error *error)
{
    const char *names[AUDIT_FACTS_COUNT_MAX];
    size_t count = 0;
    if (size > AUDIT_FACTS_SIZE_MAX)
        return error_text(error, EINVAL, "the facts of a record are more than %u bytes", AUDIT_FACTS_SIZE_MAX);
    if (size > 0 && facts[size - 1] != '\0')
        return error_text(error, EINVAL, "the last fact of a record has no end");
    for (const char *at = facts; at < facts + size;) {
        const char *value = at + strlen(at) + 1;
        if (value >= facts + size)
            return error_text(error, EINVAL, "the last fact of a record has no value");
        if (!is_name(at) || is_reserved(at))
            return error_text(error, EINVAL, "a fact of a record has a name that is none");
        if (count == AUDIT_FACTS_COUNT_MAX)
            return error_text(error, EINVAL, "a record has more than %u facts", AUDIT_FACTS_COUNT_MAX);
        names[count++] = at;
        at = value + strlen(value) + 1;
    }
    qsort(names, count, sizeof(names[0]), compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return error_text(error, EINVAL, "a record has the fact '%.32s' twice", names[i]);
    return 0;
}

/* The bytes of the well-formed character at @text; 0 when it is none. */
static size_t character_size(const unsigned char *text)
{
    size_t size = *text < 0x80 ? 1 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < size; i++)
        if (text[i] == '\0')
            return 0;
    return text_is_utf8((const char *)text, size) ? size : 0;
}

static void put_text(FILE *file, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    (void)fputc('"', file);
    while (*at) {
        size_t size = character_size(at);
        if (size == 0)
            (void)fprintf(file, "\\\\x%02x", *at);
        else if (*at < 0x20 || *at == 0x7f)
            (void)fprintf(file, "\\u%04x", *at);
        else if (*at == 0xc2 && at[1] < 0xa0) /* control characters, too, for some terminals */
            (void)fprintf(file, "\\u%04x", at[1]);
        else if (*at == '"' || *at == '\\')
            (void)fprintf(file, "\\%c", *at);
        else
            (void)fwrite(at, 1, size, file);
        at += size ? size : 1;
    }
    (void)fputc('"', file);
}

static void put_facts(FILE *file, const char *facts, size_t size)
{
    for (const char *at = facts; at < facts + size;) {
        const char *value = at + strlen(at) + 1;
        (void)fprintf(file, ",\"%s\":", at);
        put_text(file, value);
        at = value + strlen(value) + 1;
    }
}

/* Adds the hash and the end of the line to what is there of it. */
static int seal(char **line, size_t *size, uint8_t ret_hash[AUDIT_HASH_SIZE])
{
    char hex[AUDIT_HASH_HEX_MAX];
    const size_t more = sizeof(HASH_NAME LINE_END "\n") + AUDIT_HASH_SIZE * 2;
    /* The quote that ends the value of "prev" belongs to the bytes. */
    char *longer = realloc(*line, *size + more);
    if (!longer)
        return -ENOMEM;
    *line = longer;
    longer[*size] = '"';
    int r = audit_hash(longer, *size + 1, ret_hash);
    if (r < 0)
        return r;
    audit_hash_format(ret_hash, hex);
    *size += (size_t)snprintf(longer + *size, more, HASH_NAME "%s" LINE_END "\n", hex);
    return 0;
}

int audit_record_format(const struct audit_position *position, int64_t unix_ns, const char *source, const char *facts,
        size_t facts_size, char **ret_line, size_t *ret_size, struct audit_position *ret_position)
{
    char when[AUDIT_TIME_MAX];
    char prev[AUDIT_HASH_HEX_MAX];
    char *line = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&line, &size);
    if (!file)
        return -ENOMEM;
    audit_format_time(unix_ns, when);
    audit_hash_format(position->hash, prev);
    (void)fprintf(file, "{\"v\":%u,\"seq\":%" PRIu64 ",\"time\":\"%s\",\"source\":\"%s\"", AUDIT_VERSION,
            position->sequence + 1, when, source);
    put_facts(file, facts, facts_size);
    (void)fprintf(file, PREV_NAME "%s", prev);
    bool failed = ferror(file) != 0;
    int r = fclose(file) != 0 || failed ? -ENOMEM : 0;
    struct audit_position next = {.sequence = position->sequence + 1};
    if (r == 0)
        r = seal(&line, &size, next.hash);
    if (r < 0) {
        free(line);
        return r;
    }
    *ret_line = line;
    *ret_size = size;
    *ret_position = next;
    return 0;
}

/* ---- reading ---- */

static bool skip(const char **at, const char *end, const char *text)
{
    size_t size = strlen(text);
    if ((size_t)(end - *at) < size || memcmp(*at, text, size) != 0)
        return false;
    *at += size;
    return true;
}

/* A number without a leading zero that is followed by @after. */
static bool read_number(const char **at, const char *end, char after, uint64_t *ret_number)
{
    char digits[24];
    size_t size = 0;
    while (*at + size < end && size < sizeof(digits) - 1 && (*at)[size] >= '0' && (*at)[size] <= '9')
        size++;
    if (size == 0 || *at + size >= end || (*at)[size] != after || **at == '0')
        return false;
    memcpy(digits, *at, size);
    digits[size] = '\0';
    *at += size + 1;
    return text_parse_u64(digits, UINT64_MAX, ret_number) == 0;
}

static bool read_time(const char **at, const char *end, int64_t *ret_unix_ns)
{
    char text[AUDIT_TIME_MAX];
    char again[AUDIT_TIME_MAX];
    const size_t size = sizeof("1970-01-01T00:00:00.000000000Z") - 1;
    if ((size_t)(end - *at) < size)
        return false;
    memcpy(text, *at, size);
    text[size] = '\0';
    *at += size;
    if (text_parse_time(text, ret_unix_ns) < 0)
        return false;
    audit_format_time(*ret_unix_ns, again);
    return strcmp(text, again) == 0;
}

static bool read_head(const char *line, size_t size, struct audit_record *record)
{
    uint64_t version;
    const char *at = line;
    const char *end = line + size;
    return skip(&at, end, "{\"v\":") && read_number(&at, end, ',', &version) && version == AUDIT_VERSION &&
           skip(&at, end, "\"seq\":") && read_number(&at, end, ',', &record->sequence) &&
           skip(&at, end, "\"time\":\"") && read_time(&at, end, &record->unix_ns) && skip(&at, end, "\",\"source\":\"");
}

int audit_record_peek(const char *line, size_t size, struct audit_record *ret_record)
{
    *ret_record = (struct audit_record){0};
    return size <= AUDIT_LINE_MAX && read_head(line, size, ret_record) ? 0 : -EINVAL;
}

int audit_record_read(const char *line, size_t size, struct audit_record *ret_record, struct error *error)
{
    uint8_t real[AUDIT_HASH_SIZE];
    *ret_record = (struct audit_record){0};
    if (size > AUDIT_LINE_MAX || !read_head(line, size, ret_record) || memchr(line, '\n', size) ||
            memchr(line, '\0', size))
        return error_text(error, EINVAL, "this is no record");
    const char *at = line + size - (size > TAIL_SIZE ? TAIL_SIZE : size);
    const char *end = line + size;
    bool fits = skip(&at, end, PREV_NAME) && audit_hash_parse(at, ret_record->prev) == 0;
    at += fits ? AUDIT_HASH_SIZE * 2 : 0;
    const char *sealed = at + 1;
    fits = fits && skip(&at, end, HASH_NAME) && audit_hash_parse(at, ret_record->hash) == 0;
    at += fits ? AUDIT_HASH_SIZE * 2 : 0;
    if (!fits || !skip(&at, end, LINE_END) || at != end)
        return error_text(error, EINVAL, "this record has no hashes at its end");
    int r = audit_hash(line, (size_t)(sealed - line), real);
    if (r < 0)
        return error_errno(error, -r, "compute a hash");
    ret_record->hash_fits = memcmp(real, ret_record->hash, sizeof(real)) == 0;
    return 0;
}
