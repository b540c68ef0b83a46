#include "rnx/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "rnx/rnx.h"

void rnx_list_done(struct rnx_list *list)
{
    free(list->items);
    *list = (struct rnx_list){0};
}

/* A word taken apart: "--name=value". */
struct flag {
    const char *word;
    const char *name;
    size_t name_size;
    bool is_long;
    const char *value; /* after '=', or NULL */
};

/* "-" alone is a word by custom: standard input. */
static bool flag_read(const char *word, struct flag *ret_flag)
{
    if (word[0] != '-' || !word[1])
        return false;
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1);
    const char *equals = strchr(name, '=');
    *ret_flag = (struct flag){
            .word = word,
            .name = name,
            .name_size = equals ? (size_t)(equals - name) : strlen(name),
            .is_long = is_long,
            .value = equals ? equals + 1 : NULL,
    };
    return true;
}

static bool flag_is(const struct flag *flag, const struct rnx_option *option)
{
    if (!flag->is_long)
        return option->letter && flag->name_size == 1 && flag->name[0] == option->letter;
    return strlen(option->name) == flag->name_size && memcmp(option->name, flag->name, flag->name_size) == 0;
}

static const struct rnx_option *option_find(
        const struct rnx_option_set *sets, size_t set_count, const struct flag *flag, void **ret_target)
{
    for (size_t i = 0; i < set_count; i++)
        for (size_t j = 0; j < sets[i].count; j++)
            if (flag_is(flag, &sets[i].options[j])) {
                *ret_target = sets[i].target;
                return &sets[i].options[j];
            }
    return NULL;
}

static int set_switch(const struct rnx_option *option, bool *field, const char *value, struct rnx_error *error)
{
    if (!value || strcmp(value, "true") == 0 || strcmp(value, "1") == 0) {
        *field = true;
        return 0;
    }
    if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0) {
        *field = false;
        return 0;
    }
    return rnx_error_set(error, EINVAL, "invalid value \"%s\" for --%s: want true or false", value, option->name);
}

static int set_number(const struct rnx_option *option, int32_t *field, const char *value, struct rnx_error *error)
{
    uint64_t number;
    if (text_parse_u64(value, (uint64_t)option->max, &number) < 0)
        return rnx_error_set(error, EINVAL, "invalid value \"%s\" for --%s: want a whole number from 0 to %d", value,
                option->name, option->max);
    *field = (int32_t)number;
    return 0;
}

static int add_item(struct rnx_list *list, const char *value, struct rnx_error *error)
{
    const char **items = reallocarray(list->items, list->count + 1, sizeof(*items));
    if (!items)
        return rnx_error_set(error, ENOMEM, "out of memory");
    items[list->count++] = value;
    list->items = items;
    return 0;
}

static int option_set(const struct rnx_option *option, void *target, const char *value, struct rnx_error *error)
{
    void *field = (char *)target + option->offset;
    switch (option->kind) {
    case RNX_OPTION_SWITCH:
        return set_switch(option, field, value, error);
    case RNX_OPTION_TEXT:
        *(const char **)field = value;
        return 0;
    case RNX_OPTION_NUMBER:
        return set_number(option, field, value, error);
    case RNX_OPTION_LIST:
        return add_item(field, value, error);
    }
    return rnx_error_set(error, EINVAL, "--%s has no kind", option->name);
}

static int flag_unknown(const struct flag *flag, struct rnx_error *error)
{
    /* Without its value, which may be a secret. */
    if (flag->is_long)
        return rnx_error_set(error, EINVAL, "unknown flag: --%.*s", (int)flag->name_size, flag->name);
    return rnx_error_set(
            error, EINVAL, "unknown shorthand flag: '%c' in -%.*s", flag->name[0], (int)flag->name_size, flag->name);
}

/* Handles the flag at @words[0]; stores how many words it took, 0 when it is no flag. */
static int flag_apply(
        const struct rnx_option_set *sets, size_t set_count, char **words, size_t *ret_used, struct rnx_error *error)
{
    struct flag flag;
    *ret_used = 0;
    if (!flag_read(words[0], &flag))
        return 0;
    void *target = NULL;
    const struct rnx_option *option = option_find(sets, set_count, &flag, &target);
    if (!option)
        return flag_unknown(&flag, error);
    size_t used = 1;
    if (option->kind != RNX_OPTION_SWITCH && !flag.value) {
        if (!words[1])
            return rnx_error_set(error, EINVAL, "flag needs an argument: %s", flag.word);
        flag.value = words[1];
        used = 2;
    }
    int r = option_set(option, target, flag.value, error);
    if (r < 0)
        return r;
    *ret_used = used;
    return 0;
}

int options_parse(const struct rnx_option_set *sets, size_t set_count, unsigned flags, char **words, size_t *ret_count,
        struct rnx_error *error)
{
    size_t count = 0;
    size_t i = 0;
    while (words[i]) {
        if (strcmp(words[i], "--") == 0) {
            i++;
            break;
        }
        size_t used;
        int r = flag_apply(sets, set_count, words + i, &used, error);
        if (r < 0)
            return r;
        if (used == 0) {
            if (flags & OPTIONS_STOP_AT_WORD)
                break;
            words[count++] = words[i];
            used = 1;
        }
        i += used;
    }
    while (words[i])
        words[count++] = words[i++];
    words[count] = NULL;
    *ret_count = count;
    return 0;
}

int options_parse_leading(
        const struct rnx_option_set *sets, size_t set_count, char **words, size_t *ret_used, struct rnx_error *error)
{
    size_t i = 0;
    while (words[i]) {
        size_t used;
        int r = flag_apply(sets, set_count, words + i, &used, error);
        if (r < 0)
            return r;
        if (used == 0)
            break;
        i += used;
    }
    *ret_used = i;
    return 0;
}
