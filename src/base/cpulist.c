#include "base/cpulist.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

static bool has(const struct cpulist *list, unsigned cpu)
{
    return list->bits[cpu / 64] & 1ULL << cpu % 64;
}

/* One number at *at, with the blanks around it. */
static bool parse_number(const char **at, unsigned *ret_number)
{
    unsigned number = 0;
    *at += strspn(*at, " ");
    if (**at < '0' || **at > '9')
        return false;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        number = number * 10 + (unsigned)(**at - '0');
        if (number >= CPULIST_CPUS_MAX)
            return false;
    }
    *at += strspn(*at, " ");
    *ret_number = number;
    return true;
}

/* One number or range; false when it is none, or names a CPU again. */
static bool parse_part(const char **at, struct cpulist *list)
{
    unsigned first;
    if (!parse_number(at, &first))
        return false;
    unsigned last = first;
    if (**at == '-') {
        (*at)++;
        if (!parse_number(at, &last) || last < first)
            return false;
    }
    for (unsigned cpu = first; cpu <= last; cpu++) {
        if (has(list, cpu))
            return false;
        list->bits[cpu / 64] |= 1ULL << cpu % 64;
    }
    return true;
}

int cpulist_parse(const char *text, struct cpulist *ret_list, struct error *error)
{
    struct cpulist list = {0};
    const char *at = text;
    bool is_right = !*at || parse_part(&at, &list);
    while (is_right && *at == ',') {
        at++;
        is_right = parse_part(&at, &list);
    }
    if (!is_right || *at)
        return error_text(error, EINVAL, "'%.60s' is not a list of CPUs such as 0-3 or 1,3 (each once, 0 to %u)", text,
                CPULIST_CPUS_MAX - 1);
    *ret_list = list;
    return 0;
}

void cpulist_format(const struct cpulist *list, char ret_text[CPULIST_TEXT_MAX])
{
    size_t used = 0;
    ret_text[0] = '\0';
    for (unsigned cpu = 0; cpu < CPULIST_CPUS_MAX; cpu++) {
        if (!has(list, cpu))
            continue;
        unsigned first = cpu;
        while (cpu + 1 < CPULIST_CPUS_MAX && has(list, cpu + 1))
            cpu++;
        int size = snprintf(ret_text + used, CPULIST_TEXT_MAX - used, first < cpu ? "%s%u-%u" : "%s%u",
                used > 0 ? "," : "", first, cpu);
        used += size > 0 ? (size_t)size : 0;
    }
}

bool cpulist_is_empty(const struct cpulist *list)
{
    static const struct cpulist none;
    return memcmp(list, &none, sizeof(none)) == 0;
}

int cpulist_first_outside(const struct cpulist *list, const struct cpulist *all)
{
    for (unsigned i = 0; i < CPULIST_CPUS_MAX / 64; i++) {
        uint64_t outside = list->bits[i] & ~all->bits[i];
        if (outside)
            return (int)(i * 64) + __builtin_ctzll(outside);
    }
    return -1;
}
