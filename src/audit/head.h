/* The head of the audit log: one line of JSON, "sig" over the bytes before ',"sig":'. */
#pragma once

#include <stdbool.h>

#include "audit/key.h"
#include "audit/log.h"

/* The size, or -errno. */
int audit_head_format(
        struct audit_key *key, const struct audit_head *head, int64_t unix_ns, char ret_text[AUDIT_HEAD_MAX]);
/* 0; -EBADMSG: not signed with this key; -EINVAL; both with @error. */
int audit_head_parse(
        struct audit_key *key, const char *text, size_t size, struct audit_head *ret_head, struct error *error);
/* Whether @text looks like the head of a log without a record; its signature is not looked at. */
bool audit_head_is_first(const char *text);
