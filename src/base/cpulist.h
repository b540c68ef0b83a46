/* Sets of CPUs in the kernel's list format ("0-3,8"), as cpuset.cpus and /sys/devices/system/cpu/online use it
 * (Documentation/admin-guide/cputopology.rst). A plain value: it travels in messages and compares by memcmp. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

#define CPULIST_CPUS_MAX 1024U
/* The longest text that cpulist_format makes: every second CPU by itself. */
#define CPULIST_TEXT_MAX 2560U

struct cpulist {
    uint64_t bits[CPULIST_CPUS_MAX / 64];
};

/* Reads numbers and ranges, separated by commas, blanks around them permitted: "0-3", "1,3", "0-3, 5". Empty text is
 * the empty set. 0; -EINVAL with @error for anything else: a number named twice, a range from high to low, a number
 * above CPULIST_CPUS_MAX - 1. Any thread. */
int cpulist_parse(const char *text, struct cpulist *ret_list, struct error *error);
/* The shortest form: ascending, neighbours as ranges; "" for the empty set. */
void cpulist_format(const struct cpulist *list, char ret_text[CPULIST_TEXT_MAX]);

bool cpulist_is_empty(const struct cpulist *list);
/* The lowest CPU of @list that is not in @all, or -1 when all are. */
int cpulist_first_outside(const struct cpulist *list, const struct cpulist *all);
