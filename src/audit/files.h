/* The files of the audit log in their directory. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* "00000000000000000001.jsonl" and NUL. */
#define AUDIT_NAME_MAX 32U

void audit_format_name(uint64_t first, char ret_name[AUDIT_NAME_MAX]);
/* The sequences of the first records of all files, ascending; the caller's. The number, or -errno. Other names are
 * passed over. */
int audit_list_files(int dir_fd, uint64_t **ret_firsts);
