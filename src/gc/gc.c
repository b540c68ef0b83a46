#include "gc/gc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "config/config.h"
#include "gc/downloads.h"
#include "gc/leftovers.h"

#define SIZE_MAX_MIB (1ULL << 30)
#define SECOND_NS 1000000000ULL

struct options {
    bool run;
    bool json;
    bool has_age;
    bool has_size;
    uint64_t age_ns;
    uint64_t size_mib;
};

static int usage(const char *problem, const char *value)
{
    (void)fprintf(stderr,
            "joblet gc: %s%s%s%s\nusage: joblet gc [--dry-run|--run] [--json] [--max-age DURATION] [--max-size MIB]\n",
            problem, value ? " '" : "", value ? value : "", value ? "'" : "");
    return 2;
}

/* The value of @name at @arguments, "--name VALUE" or "--name=VALUE"; NULL: it is another, or has none. */
static const char *take_value(const char *name, int *at, int count, char **arguments)
{
    size_t length = strlen(name);
    const char *argument = arguments[*at];
    if (strncmp(argument, name, length) != 0)
        return NULL;
    if (argument[length] == '=')
        return argument + length + 1;
    return argument[length] == '\0' && *at + 1 < count ? arguments[++*at] : NULL;
}

static int parse(int count, char **arguments, struct options *options)
{
    for (int i = 0; i < count; i++) {
        const char *value;
        const char *argument = arguments[i];
        if (strcmp(argument, "--run") == 0)
            options->run = true;
        else if (strcmp(argument, "--dry-run") == 0)
            options->run = false;
        else if (strcmp(argument, "--json") == 0)
            options->json = true;
        else if ((value = take_value("--max-age", &i, count, arguments))) {
            if (text_parse_duration(value, &options->age_ns) < 0)
                return usage("--max-age: not a duration like 720h", value);
            options->has_age = true;
        } else if ((value = take_value("--max-size", &i, count, arguments))) {
            if (text_parse_u64(value, SIZE_MAX_MIB, &options->size_mib) < 0)
                return usage("--max-size: not a whole number of MiB", value);
            options->has_size = true;
        } else
            return usage("unknown or incomplete argument", argument);
    }
    return 0;
}

static const char *verdict_text(enum downloads_verdict verdict)
{
    switch (verdict) {
    case DOWNLOADS_TOO_OLD:
        return "goes: too old";
    case DOWNLOADS_TOO_MANY:
        return "goes: the oldest of too many";
    case DOWNLOADS_NOT_OURS:
        return "left: not a file of ours";
    case DOWNLOADS_USED:
        return "kept: a build has it";
    case DOWNLOADS_KEPT:
        break;
    }
    return "kept";
}

static void report(const char *what, const struct downloads *downloads, int64_t now_unix, bool run)
{
    uint64_t kept = 0;
    uint64_t freed = 0;
    for (size_t i = 0; i < downloads->count; i++) {
        const struct download *item = &downloads->items[i];
        bool goes = item->verdict == DOWNLOADS_TOO_OLD || item->verdict == DOWNLOADS_TOO_MANY;
        *(goes ? &freed : &kept) += item->bytes;
        (void)printf("%-29s %10" PRIu64 " KiB  %6" PRId64 " h  owner %" PRIu32 "  %s\n", verdict_text(item->verdict),
                item->bytes / 1024, (now_unix - item->used_unix) / 3600, item->owner, item->name);
    }
    (void)printf("%" PRIu64 " MiB of %s are kept, %" PRIu64 " MiB %s\n", kept >> 20, what, freed >> 20,
            run ? "were freed" : "would be freed (--run frees them)");
}

static int report_json(const struct downloads *downloads, int64_t now_unix, bool run, json_t *array)
{
    static const char *const outcomes[][2] = {[DOWNLOADS_KEPT] = {"kept", "kept"},
            [DOWNLOADS_TOO_OLD] = {"goes", "removed"},
            [DOWNLOADS_TOO_MANY] = {"goes", "removed"},
            [DOWNLOADS_NOT_OURS] = {"not ours, left", "not ours, left"},
            [DOWNLOADS_USED] = {"kept", "kept"}};
    for (size_t i = 0; i < downloads->count; i++) {
        const struct download *item = &downloads->items[i];
        json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:s}", "name", item->name, "bytes", (json_int_t)item->bytes,
                "ageSeconds", (json_int_t)(now_unix - item->used_unix), "owner", (json_int_t)item->owner, "outcome",
                outcomes[item->verdict][run]);
        if (json_array_append_new(array, object) < 0)
            return -EINVAL;
    }
    return 0;
}

/* Builds read the downloads while they run, and hold the lock for as long. */
static int lock(int dir_fd, struct error *error)
{
    if (flock(dir_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK
                   ? error_text(error, EBUSY, "builds use the downloads now; try again when they have ended")
                   : error_errno(error, errno, "lock the downloads");
}

/* One directory of the cache. */
struct place {
    const char *path;
    const char *what;
    bool has_bases;
};

static int look_at_place(const struct place *place, int fd, const struct config *config, const struct options *options,
        json_t *json, struct error *error)
{
    uint64_t max_bytes = options->has_size ? options->size_mib << 20 : config->cache_bytes;
    uint64_t max_age_ns = options->has_age ? options->age_ns : config->cache_age_ns;
    struct downloads downloads;
    const int64_t now_unix = time(NULL);
    int r = downloads_list(fd, &downloads, error);
    if (r == 0) {
        if (place->has_bases)
            downloads_keep_bases(&downloads);
        downloads_judge(&downloads, now_unix, max_age_ns / SECOND_NS, max_bytes);
        if (options->run)
            r = place->has_bases ? downloads_remove_bases(fd, &downloads, error)
                                 : downloads_remove(fd, &downloads, error);
    }
    if (r == 0 && json)
        r = report_json(&downloads, now_unix, options->run, json) < 0
                    ? error_text(error, EINVAL, "the name of a download is not UTF-8")
                    : 0;
    else if (r == 0)
        report(place->what, &downloads, now_unix, options->run);
    downloads_done(&downloads);
    return r;
}

/* @json: NULL, or an array for what is there. */
static int collect_place(int prefix_fd, const struct place *place, const struct config *config,
        const struct options *options, json_t *json, struct error *error)
{
    _cleanup_close_ int fd = openat(prefix_fd, place->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (!json)
            (void)printf("there are no %s\n", place->what);
        return 0;
    }
    if (fd < 0)
        return error_errno(error, errno, "open '%s'", place->path);
    int r = options->run && !place->has_bases ? lock(fd, error) : 0;
    return r < 0 ? r : look_at_place(place, fd, config, options, json, error);
}

static int collect_places(const char *prefix, const struct config *config, const struct options *options, json_t *json,
        struct error *error)
{
    static const struct place places[] = {
            {"cache/apt", "downloads", false},
            {"cache/base", "bases of builds", true},
    };
    _cleanup_close_ int prefix_fd = open(prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (prefix_fd < 0)
        return error_errno(error, errno, "open '%s'", prefix);
    int r = 0;
    for (size_t i = 0; r == 0 && i < ELEMENTS(places); i++)
        r = collect_place(prefix_fd, &places[i], config, options, json, error);
    return r;
}

static void report_summary(const struct leftovers_summary *summary, bool run)
{
    if (run)
        (void)printf("%u leftovers of crashes, %u of them could not be removed\n", summary->found, summary->failed);
    else
        (void)printf("%u leftovers of crashes%s\n", summary->found, summary->found ? " (--run removes them)" : "");
}

/* The downloads are looked at also when something of the leftovers failed. */
static int collect(const char *prefix, const struct options *options)
{
    struct error error = {0};
    struct error downloads_error = {0};
    struct config *config = NULL;
    struct leftovers_summary summary = {0};
    if (config_load(prefix, &config, &error) < 0) {
        (void)fprintf(stderr, "joblet gc: %s\n", error.text);
        return 1;
    }
    json_t *leftovers = options->json ? json_array() : NULL;
    json_t *downloads = options->json ? json_array() : NULL;
    int r = leftovers_collect(prefix, config, options->run, leftovers, &summary, &error);
    if (r == 0 && !options->json)
        report_summary(&summary, options->run);
    int s = collect_places(prefix, config, options, downloads, &downloads_error);
    config_free(config);
    if (r < 0)
        (void)fprintf(stderr, "joblet gc: %s\n", error.text);
    if (s < 0)
        (void)fprintf(stderr, "joblet gc: %s\n", downloads_error.text);
    bool is_told = true;
    if (options->json) {
        json_t *report =
                json_pack("{s:b, s:o, s:o}", "run", (int)options->run, "leftovers", leftovers, "downloads", downloads);
        is_told = report && json_dumpf(report, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
        json_decref(report);
    }
    return fflush(stdout) == 0 && is_told && r == 0 && s == 0 && summary.failed == 0 ? 0 : 1;
}

int gc_main(const char *prefix, int count, char **arguments)
{
    struct options options = {0};
    int r = parse(count, arguments, &options);
    if (r != 0)
        return r;
    if (geteuid() != 0) {
        (void)fprintf(stderr, "joblet gc: needs root\n");
        return 1;
    }
    return collect(prefix, &options);
}
