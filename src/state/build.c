#include "state/build.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

#define TEXTS 9

static void texts_of(struct state_build *build, char **ret_texts[TEXTS])
{
    char **texts[TEXTS] = {&build->name, &build->version, &build->digest, &build->fingerprint, &build->who,
            &build->role, &build->failure, &build->manifest_digest, &build->details};
    memcpy(ret_texts, texts, sizeof(texts));
}

void state_build_free(struct state_build *build)
{
    if (!build)
        return;
    char **texts[TEXTS];
    texts_of(build, texts);
    for (size_t i = 0; i < TEXTS; i++)
        free(*texts[i]);
    free(build);
}

void state_build_freep(struct state_build **build)
{
    state_build_free(*build);
    *build = NULL;
}

struct state_build *state_build_copy(const struct state_build *build)
{
    _cleanup_(state_build_freep) struct state_build *copy = malloc(sizeof(*copy));
    if (!copy)
        return NULL;
    *copy = *build;
    char **texts[TEXTS];
    texts_of(copy, texts);
    const char *from[TEXTS];
    for (size_t i = 0; i < TEXTS; i++) {
        from[i] = *texts[i] ? *texts[i] : "";
        *texts[i] = NULL;
    }
    for (size_t i = 0; i < TEXTS; i++)
        if (!(*texts[i] = strdup(from[i])))
            return NULL;
    if (!copy->outcome)
        copy->outcome = "";
    return TAKE_PTR(copy);
}
