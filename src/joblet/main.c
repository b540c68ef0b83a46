/* The program "joblet": a table of verbs. "--prefix DIR" stands before or after the verb; the rest is the verb's. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/config.h"
#include "gc/gc.h"
#include "joblet/verbs.h"
#ifdef HAVE_SETUP
#include "setup/setup.h"
#endif
#include "verify/verify.h"
#ifdef HAVE_DOCTOR
#include "doctor/doctor.h"
#endif

static int verb_help(const char *prefix, int count, char **arguments);

static const struct verb {
    const char *name;
    int (*run)(const char *prefix, int count, char **arguments);
    const char *text;
} verbs[] = {
        {"serve", verb_serve, "run the service (what is done without a verb)"},
#ifdef HAVE_SETUP
        {"setup", setup_main, "make certificates, configuration and the base root"},
#endif
#ifdef HAVE_DOCTOR
        {"doctor", doctor_main, "say what this host can and cannot enforce"},
#endif
        {"audit", verb_audit, "list, show and verify what was recorded"},
        {"gc", gc_main, "list and remove what crashes left, and old downloads"},
        {"verify", verify_main, "try each promise on this host, beside the running service"},
        {"version", verb_version, "print the version"},
        {"help", verb_help, "print this text"},
};

static int verb_help(const char *prefix, int count, char **arguments)
{
    (void)prefix;
    (void)count;
    (void)arguments;
    (void)printf("usage: joblet [--prefix DIR] [VERB] [ARGUMENTS]\n\n");
    for (size_t i = 0; i < ELEMENTS(verbs); i++)
        (void)printf("  %-8s  %s\n", verbs[i].name, verbs[i].text);
    (void)printf("\n  --prefix DIR   where everything lies (%s)\n", CONFIG_PREFIX_DEFAULT);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* Takes "--prefix DIR" and "--prefix=DIR" out of @arguments, wherever they stand. -1: a value is missing. */
static int take_prefix(int count, char **arguments, const char **prefix)
{
    static const char name[] = "--prefix";
    const size_t length = sizeof(name) - 1;
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (strncmp(arguments[i], name, length) == 0 && arguments[i][length] == '=')
            *prefix = arguments[i] + length + 1;
        else if (strcmp(arguments[i], name) != 0)
            arguments[kept++] = arguments[i];
        else if (i + 1 < count)
            *prefix = arguments[++i];
        else
            return -1;
    }
    return **prefix ? kept : -1;
}

/* The prefix as an absolute path in @path. */
static const char *make_absolute(const char *prefix, char path[PATH_MAX])
{
    char here[PATH_MAX];
    if (*prefix == '/')
        return prefix;
    if (!getcwd(here, sizeof(here)) || snprintf(path, PATH_MAX, "%s/%s", here, prefix) >= PATH_MAX)
        return NULL;
    return path;
}

static const char *find_name(const char *argument)
{
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
        return "help";
    return strcmp(argument, "--version") == 0 ? "version" : argument;
}

int main(int argc, char **argv)
{
    const char *prefix = CONFIG_PREFIX_DEFAULT;
    int count = argc > 0 ? take_prefix(argc - 1, argv + 1, &prefix) : 0;
    char path[PATH_MAX];
    prefix = count < 0 ? NULL : make_absolute(prefix, path);
    if (!prefix) {
        (void)fprintf(stderr, "joblet: --prefix needs a directory\n");
        return 2;
    }
    if (count == 0)
        return verb_serve(prefix, 0, NULL);
    const char *name = find_name(argv[1]);
    for (size_t i = 0; i < ELEMENTS(verbs); i++)
        if (strcmp(name, verbs[i].name) == 0)
            return verbs[i].run(prefix, count - 1, argv + 2);
    (void)fprintf(stderr, "joblet: unknown verb '%s' (see 'joblet help')\n", argv[1]);
    return 2;
}
