#include "audit/head.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"

#define SIGNATURE_NAME ",\"sig\":\""

static int put_signature(struct audit_key *key, char text[AUDIT_HEAD_MAX], int size)
{
    uint8_t signature[AUDIT_SIGNATURE_SIZE];
    char hex[2][AUDIT_HASH_HEX_MAX];
    int r = audit_key_sign(key, text, (size_t)size, signature);
    if (r < 0)
        return r;
    /* As long as two hashes. */
    audit_hash_format(signature, hex[0]);
    audit_hash_format(signature + AUDIT_HASH_SIZE, hex[1]);
    int more = snprintf(text + size, AUDIT_HEAD_MAX - (size_t)size, SIGNATURE_NAME "%s%s\"}\n", hex[0], hex[1]);
    return more > 0 && size + more < (int)AUDIT_HEAD_MAX ? size + more : -EOVERFLOW;
}

/* What is signed. Its size, or -EOVERFLOW. */
static int format(const struct audit_head *head, const char *when, char text[AUDIT_HEAD_MAX])
{
    char last[AUDIT_HASH_HEX_MAX];
    char prev[AUDIT_HASH_HEX_MAX];
    audit_hash_format(head->last.hash, last);
    audit_hash_format(head->first_prev, prev);
    int size = snprintf(text, AUDIT_HEAD_MAX,
            "{\"v\":%u,\"seq\":%" PRIu64 ",\"hash\":\"%s\",\"first\":%" PRIu64 ",\"first_prev\":\"%s\",\"time\":\"%s\"",
            AUDIT_VERSION, head->last.sequence, last, head->first, prev, when);
    return size > 0 && size < (int)AUDIT_HEAD_MAX ? size : -EOVERFLOW;
}

int audit_head_format(
        struct audit_key *key, const struct audit_head *head, int64_t unix_ns, char ret_text[AUDIT_HEAD_MAX])
{
    char when[AUDIT_TIME_MAX];
    audit_format_time(unix_ns, when);
    int size = format(head, when, ret_text);
    return size < 0 ? size : put_signature(key, ret_text, size);
}

static int read_fields(const char *text, struct audit_head *head, char when[AUDIT_TIME_MAX])
{
    char last[AUDIT_HASH_HEX_MAX];
    char prev[AUDIT_HASH_HEX_MAX];
    unsigned version;
    int count = sscanf(text,
            "{\"v\":%u,\"seq\":%" SCNu64 ",\"hash\":\"%64[0-9a-f]\",\"first\":%" SCNu64
            ",\"first_prev\":\"%64[0-9a-f]\",\"time\":\"%31[0-9TZ:.-]\"",
            &version, &head->last.sequence, last, &head->first, prev, when);
    if (count != 6 || version != AUDIT_VERSION || strlen(last) != 2 * AUDIT_HASH_SIZE ||
            strlen(prev) != 2 * AUDIT_HASH_SIZE)
        return -EINVAL;
    int r = audit_hash_parse(last, head->last.hash);
    return r < 0 ? r : audit_hash_parse(prev, head->first_prev);
}

int audit_head_parse(
        struct audit_key *key, const char *text, size_t size, struct audit_head *ret_head, struct error *error)
{
    char again[AUDIT_HEAD_MAX];
    char when[AUDIT_TIME_MAX];
    uint8_t signature[AUDIT_SIGNATURE_SIZE];
    const char *found = size < AUDIT_HEAD_MAX && strlen(text) == size ? strstr(text, SIGNATURE_NAME) : NULL;
    const char *hex = found ? found + sizeof(SIGNATURE_NAME) - 1 : NULL;
    /* Read, and written again: there is one way to write it. */
    if (!found || read_fields(text, ret_head, when) < 0 || format(ret_head, when, again) != found - text ||
            memcmp(again, text, (size_t)(found - text)) != 0 || strlen(hex) != 4 * AUDIT_HASH_SIZE + strlen("\"}\n") ||
            strcmp(hex + 4 * AUDIT_HASH_SIZE, "\"}\n") != 0 || audit_hash_parse(hex, signature) < 0 ||
            audit_hash_parse(hex + 2 * AUDIT_HASH_SIZE, signature + AUDIT_HASH_SIZE) < 0)
        return error_text(error, EINVAL, "the head of the audit log is damaged");
    if (audit_key_check(key, text, (size_t)(found - text), signature) < 0)
        return error_text(error, EBADMSG, "the head of the audit log is not signed with the key of this prefix");
    return 0;
}

bool audit_head_is_first(const char *text)
{
    static const char start[] = "{\"v\":1,\"seq\":0,";
    return strncmp(text, start, sizeof(start) - 1) == 0;
}
