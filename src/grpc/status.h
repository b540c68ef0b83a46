/* gRPC status codes and the small texts of the protocol: names, percent-encoding of grpc-message, grpc-timeout. Shared
 * by server and client. Source: the gRPC over HTTP/2 protocol description and its list of status codes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

/* In the form of Go's clients ("NotFound", "DeadlineExceeded", ...), which rnx prints. "Code(N)" has no static text:
 * "Unknown" is returned for a number that is none. */
const char *grpc_status_name(int status);

/* "grpc-timeout" (at most 8 digits and a unit of H M S m u n) to nanoseconds. 0 or -EINVAL. */
int grpc_parse_timeout(const char *text, size_t size, uint64_t *ret_ns);
void grpc_format_timeout(uint64_t ns, char ret_text[16]);

/* grpc-message: bytes outside space..~ and '%' as %XX. Truncated (never in the middle of %XX) to @size with NUL. */
void grpc_encode_message(const char *text, char *ret_encoded, size_t size);
/* Wrong escapes are kept as they are. */
void grpc_decode_message(const char *encoded, size_t encoded_size, char *ret_text, size_t size);
