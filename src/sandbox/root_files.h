/* The texts of the files that are made for each sandbox. Cut at @size, and never overflowed. */
#pragma once

#include <stddef.h>

struct sandbox;

void root_files_hosts(const struct sandbox *sandbox, char *ret_text, size_t size);
void root_files_hostname(const struct sandbox *sandbox, char *ret_text, size_t size);
/* resolv.conf */
void root_files_resolvers(const struct sandbox *sandbox, char *ret_text, size_t size);
