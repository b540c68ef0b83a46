/* joblet-builder: what runs inside the sandboxes of runtime builds. It is the command of the sandbox, with mapped
 * root's ids and the few capabilities of its type; its arguments are a recipe, its standard output is read by
 * joblet-api (plan/recipe.h). Static, and part of no process of the host. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/modes.h"
#include "builder/say.h"
#include "plan/recipe.h"

static const struct {
    const char *name;
    enum words_mode mode;
    int (*run)(const struct words *words, char *const *environment, struct error *error);
} modes[] = {
        {"install", WORDS_INSTALL, install_run},
        {"collect", WORDS_COLLECT, collect_run},
        {"verify", WORDS_VERIFY, verify_run},
        {"sweep", WORDS_SWEEP, sweep_run},
};

/* joblet-init puts the program's path first, or the mode itself: the recipe starts at the mode. */
static int find_mode(int count, char *const *arguments, int *ret_first)
{
    for (int first = 0; first < count && first < 2; first++) {
        for (size_t i = 0; i < ELEMENTS(modes); i++) {
            if (strcmp(arguments[first], modes[i].name) == 0) {
                *ret_first = first + 1;
                return (int)i;
            }
        }
    }
    return -1;
}

int main(int count, char **arguments)
{
    struct error error = {0};
    struct words words = {0};
    int first = 0;
    int mode = find_mode(count, arguments, &first);
    if (mode < 0) {
        (void)error_text(&error, EINVAL, "a mode is missing: install, collect, verify or sweep");
        return say_fail(&error);
    }
    int r = words_parse(modes[mode].mode, (char *const *)arguments + first, (size_t)(count - first), &words, &error);
    if (r == 0)
        r = modes[mode].run(&words, environ, &error);
    words_done(&words);
    if (r == 0)
        return say_done();
    int status = say_fail(&error);
    return r == -ESTALE ? RECIPE_EXIT_HOST_CHANGED : status;
}
