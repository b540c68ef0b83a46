/* A recipe, one text a line, read for each mode: refused with a text, or every list lies within what was given. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "builder/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXTS_MAX 1000U

static void require(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum words_mode modes[] = {WORDS_INSTALL, WORDS_COLLECT, WORDS_VERIFY, WORDS_SWEEP};
    static char *texts[TEXTS_MAX];
    size_t count = 0;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    char *next = text;
    while (next && count < TEXTS_MAX)
        texts[count++] = strsep(&next, "\n");
    for (size_t i = 0; i < ELEMENTS(modes); i++) {
        struct words words;
        struct error error = {0};
        if (words_parse(modes[i], texts, count, &words, &error) < 0) {
            require(strncmp(error.text, "recipe: ", 8) == 0);
            continue;
        }
        require(words.count <= count);
        for (size_t j = 0; j < words.count; j++)
            require(words.items[j].count == 0 ||
                    (words.items[j].texts >= texts && words.items[j].texts + words.items[j].count <= texts + count));
        words_done(&words);
    }
    free(text);
    return 0;
}
