#include "grpc/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const status_names[] = {"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded",
        "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",
        "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"};

const char *grpc_status_name(int status)
{
    if (status < 0 || (size_t)status >= sizeof(status_names) / sizeof(status_names[0]))
        return "Unknown";
    return status_names[status];
}

static const struct {
    char unit;
    uint64_t ns;
} timeout_units[] = {
        {'n', 1}, {'u', 1000}, {'m', 1000000}, {'S', 1000000000ULL}, {'M', 60000000000ULL}, {'H', 3600000000000ULL}};

int grpc_parse_timeout(const char *text, size_t size, uint64_t *ret_ns)
{
    /* At most eight digits: the product stays below 2^63 for all units. */
    if (size < 2 || size > 9)
        return -EINVAL;
    uint64_t value = 0;
    for (size_t i = 0; i + 1 < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    for (size_t i = 0; i < sizeof(timeout_units) / sizeof(timeout_units[0]); i++) {
        if (timeout_units[i].unit == text[size - 1]) {
            *ret_ns = value > UINT64_MAX / timeout_units[i].ns ? UINT64_MAX : value * timeout_units[i].ns;
            return 0;
        }
    }
    return -EINVAL;
}

void grpc_format_timeout(uint64_t ns, char ret_text[16])
{
    /* The smallest unit whose value has at most eight digits, rounded up: never a deadline before the caller's. */
    for (size_t i = 0; i < sizeof(timeout_units) / sizeof(timeout_units[0]); i++) {
        uint64_t value = ns / timeout_units[i].ns + (ns % timeout_units[i].ns != 0);
        if (value <= 99999999) {
            (void)snprintf(ret_text, 16, "%llu%c", (unsigned long long)value, timeout_units[i].unit);
            return;
        }
    }
    (void)snprintf(ret_text, 16, "99999999H");
}

void grpc_encode_message(const char *text, char *ret_encoded, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t used = 0;
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        int is_plain = byte >= ' ' && byte <= '~' && byte != '%';
        if (used + (is_plain ? 1 : 3) >= size)
            break;
        if (is_plain) {
            ret_encoded[used++] = *text;
        } else {
            ret_encoded[used++] = '%';
            ret_encoded[used++] = digits[byte >> 4];
            ret_encoded[used++] = digits[byte & 15];
        }
    }
    ret_encoded[used] = '\0';
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

void grpc_decode_message(const char *encoded, size_t encoded_size, char *ret_text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < encoded_size && used + 1 < size; i++) {
        int high = encoded[i] == '%' && i + 2 < encoded_size ? hex_value(encoded[i + 1]) : -1;
        int low = high >= 0 ? hex_value(encoded[i + 2]) : -1;
        if (low >= 0 && (high || low)) {
            ret_text[used++] = (char)(high << 4 | low);
            i += 2;
        } else if (encoded[i]) {
            ret_text[used++] = encoded[i];
        }
    }
    ret_text[used] = '\0';
}
