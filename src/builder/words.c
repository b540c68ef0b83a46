#include "builder/words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"

/* How the arguments of a word read. Each letter is one argument: t a text, n a number, d a timeout, p a phase, l a
 * level, k a name of what is kept, e NAME=VALUE, a an absolute path, h a digest, m a manager; c a count and that many
 * texts, the last letter. Numbers are stored, texts stay where they are. */
static const struct {
    const char *name;
    enum word_kind kind;
    unsigned modes;
    const char *arguments;
} table[] = {
        {"phase", WORD_PHASE, WORDS_INSTALL | WORDS_COLLECT, "ptt"},
        {"say", WORD_SAY, WORDS_INSTALL | WORDS_COLLECT, "lt"},
        {"env", WORD_ENV, WORDS_INSTALL, "e"},
        {"run", WORD_RUN, WORDS_INSTALL, "tdc"},
        {"query", WORD_QUERY, WORDS_INSTALL, "tdc"},
        {"packager", WORD_PACKAGER, WORDS_COLLECT, "m"},
        {"package", WORD_PACKAGE, WORDS_COLLECT, "t"},
        {"binary", WORD_BINARY, WORDS_COLLECT, "t"},
        {"path", WORD_PATH, WORDS_COLLECT, "t"},
        {"library", WORD_LIBRARY, WORDS_COLLECT, "a"},
        {"keep", WORD_KEEP, WORDS_COLLECT, "k"},
        {"step", WORD_STEP, WORDS_COLLECT, "tnn"},
        {"runtime-dir", WORD_RUNTIME_DIR, WORDS_COLLECT, "a"},
        {"file", WORD_FILE, WORDS_COLLECT, "tc"},
        {"limit", WORD_LIMIT, WORDS_COLLECT, "n"},
        {"cache", WORD_CACHE, WORDS_COLLECT, "n"},
        {"private", WORD_PRIVATE, WORDS_COLLECT, "t"},
        {"since", WORD_SINCE, WORDS_COLLECT, "n"},
        {"failed", WORD_FAILED, WORDS_COLLECT, ""},
        {"digest", WORD_DIGEST, WORDS_VERIFY, "h"},
};

static const struct {
    const char *name;
    unsigned bit;
} keeps[] = {{"doc", KEEP_DOC}, {"man", KEEP_MAN}, {"locale", KEEP_LOCALE}, {"headers", KEEP_HEADERS},
        {"static", KEEP_STATIC}};

static bool is_one_of(const char *text, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(text, *list) == 0)
            return true;
    return false;
}

static bool is_environment(const char *text)
{
    const char *equals = strchr(text, '=');
    char name[256];
    if (!equals || (size_t)(equals - text) >= sizeof(name))
        return false;
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = '\0';
    return text_is_environment_name(name);
}

/* No component that leads elsewhere: such a path is compared as a text. */
static bool is_path(const char *text)
{
    if (*text != '/')
        return false;
    for (const char *part = text; *part;) {
        part += strspn(part, "/");
        size_t size = strcspn(part, "/");
        if ((size == 1 && part[0] == '.') || (size == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += size;
    }
    return true;
}

static bool is_digest(const char *text)
{
    return strcmp(text, "-") == 0 || (strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64);
}

static int read_keep(const char *text, uint64_t *ret_bits)
{
    for (size_t i = 0; i < ELEMENTS(keeps); i++) {
        if (strcmp(text, keeps[i].name) == 0) {
            *ret_bits = keeps[i].bit;
            return 0;
        }
    }
    return -EINVAL;
}

/* One argument that is not a list. */
static int read_argument(char letter, const char *text, uint64_t *ret_number)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    static const char *const managers[] = {"apt", "dnf", "apk", NULL};
    switch (letter) {
    case 'n':
        return text_parse_u64(text, INT64_MAX, ret_number);
    case 'd':
        return text_parse_u64(text, WORDS_TIMEOUT_NS_MAX, ret_number);
    case 'p':
        return text_parse_u64(text, WORDS_PHASE_MAX, ret_number);
    case 'k':
        return read_keep(text, ret_number);
    case 'l':
        return is_one_of(text, levels) ? 0 : -EINVAL;
    case 'm':
        return is_one_of(text, managers) ? 0 : -EINVAL;
    case 'e':
        return is_environment(text) ? 0 : -EINVAL;
    case 'a':
        return is_path(text) ? 0 : -EINVAL;
    case 'h':
        return is_digest(text) ? 0 : -EINVAL;
    default:
        return 0;
    }
}

static int complain(struct error *error, const char *name, const char *text)
{
    return text ? error_text(error, EINVAL, "recipe: '%.60s' may not be '%.60s'", name, text)
                : error_text(error, EINVAL, "recipe: '%.60s' has too few words", name);
}

/* The list at the end of a word: its count, then the texts. */
static int read_list(
        const char *name, char *const *texts, size_t left, struct word *word, size_t *used, struct error *error)
{
    uint64_t count;
    if (*used >= left)
        return complain(error, name, NULL);
    int r = text_parse_u64(texts[*used], SIZE_MAX / 2, &count);
    if (r < 0)
        return complain(error, name, texts[*used]);
    (*used)++;
    if (count > left - *used || (count == 0 && word->kind != WORD_FILE))
        return complain(error, name, NULL);
    word->texts = texts + *used;
    word->count = (size_t)count;
    *used += (size_t)count;
    return 0;
}

/* Reads the word at @texts and its arguments. Stores how many texts they are. */
static int read_word(enum words_mode mode, char *const *texts, size_t left, struct word *ret_word, size_t *ret_used,
        struct error *error)
{
    const char *name = texts[0];
    size_t row = 0;
    while (row < ELEMENTS(table) && (strcmp(name, table[row].name) != 0 || !(table[row].modes & mode)))
        row++;
    if (row == ELEMENTS(table))
        return error_text(error, EINVAL, "recipe: '%.60s' is not a word of this mode", name);
    struct word word = {.kind = table[row].kind};
    size_t used = 1;
    size_t numbers = 0;
    for (const char *letter = table[row].arguments; *letter; letter++) {
        if (*letter == 'c') {
            int r = read_list(name, texts, left, &word, &used, error);
            if (r < 0)
                return r;
            break;
        }
        if (used >= left)
            return complain(error, name, NULL);
        uint64_t number = UINT64_MAX;
        if (read_argument(*letter, texts[used], &number) < 0)
            return complain(error, name, texts[used]);
        if (number != UINT64_MAX)
            word.numbers[numbers++] = number;
        else if (!word.name)
            word.name = texts[used];
        else
            word.text = texts[used];
        used++;
    }
    *ret_word = word;
    *ret_used = used;
    return 0;
}

int words_parse(enum words_mode mode, char *const *texts, size_t count, struct words *ret_words, struct error *error)
{
    struct words words = {.items = calloc(count + 1, sizeof(struct word))};
    if (!words.items)
        return error_errno(error, ENOMEM, "recipe");
    for (size_t at = 0; at < count;) {
        size_t used = 0;
        int r = read_word(mode, texts + at, count - at, &words.items[words.count], &used, error);
        if (r < 0) {
            words_done(&words);
            return r;
        }
        words.count++;
        at += used;
    }
    *ret_words = words;
    return 0;
}

void words_done(struct words *words)
{
    free(words->items);
    *words = (struct words){0};
}

const struct word *words_find(const struct words *words, enum word_kind kind)
{
    for (size_t i = 0; i < words->count; i++)
        if (words->items[i].kind == kind)
            return &words->items[i];
    return NULL;
}
