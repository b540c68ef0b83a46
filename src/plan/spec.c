/* The texts lie in one block behind a header of fixed size. The decoder walks the block once with a bound, so that no
 * count or length of the sender's is ever used as an index. */
#include "plan/spec.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

#define SPEC_MAGIC 0x4350534aU /* "JSPC" */
#define SPEC_VERSION 1U

struct spec_header {
    uint32_t magic;
    uint32_t version;
    uint32_t size;
    uint32_t argument_count;
    uint32_t environment_count;
};

/* Adds the size of @texts to @size. The number of texts, or -E2BIG. */
static int64_t measure(char *const texts[], uint32_t count_max, size_t *size)
{
    uint32_t count = 0;
    for (; texts[count]; count++) {
        size_t length = strlen(texts[count]) + 1;
        if (count == count_max || length > SPEC_SIZE_MAX - *size)
            return -E2BIG;
        *size += length;
    }
    return count;
}

static char *append(char *at, const char *text)
{
    size_t length = strlen(text) + 1;
    memcpy(at, text, length);
    return at + length;
}

int spec_encode(
        const char *work_dir, char *const arguments[], char *const environment[], int *ret_fd, struct error *error)
{
    if (work_dir[0] != '/')
        return error_text(error, EINVAL, "the working directory '%.64s' is not absolute", work_dir);
    if (!arguments[0])
        return error_text(error, EINVAL, "there is no command");
    for (size_t i = 0; environment[i]; i++)
        if (!strchr(environment[i], '=') || environment[i][0] == '=')
            return error_text(error, EINVAL, "environment text %zu is not NAME=value", i);

    size_t size = sizeof(struct spec_header);
    if (strlen(work_dir) >= SPEC_SIZE_MAX - size)
        return error_text(error, E2BIG, "the working directory is too long");
    size += strlen(work_dir) + 1;
    int64_t argument_count = measure(arguments, SPEC_ARGUMENTS_MAX, &size);
    int64_t environment_count = argument_count < 0 ? 0 : measure(environment, SPEC_ENVIRONMENT_MAX, &size);
    if (argument_count < 0 || environment_count < 0)
        return error_text(
                error, E2BIG, "arguments and environment are larger than %u bytes or too many", SPEC_SIZE_MAX);

    char *bytes = malloc(size);
    if (!bytes)
        return error_errno(error, ENOMEM, "encode the request");
    const struct spec_header header = {
            .magic = htole32(SPEC_MAGIC),
            .version = htole32(SPEC_VERSION),
            .size = htole32((uint32_t)size),
            .argument_count = htole32((uint32_t)argument_count),
            .environment_count = htole32((uint32_t)environment_count),
    };
    memcpy(bytes, &header, sizeof(header));
    char *at = append(bytes + sizeof(header), work_dir);
    for (size_t i = 0; arguments[i]; i++)
        at = append(at, arguments[i]);
    for (size_t i = 0; environment[i]; i++)
        at = append(at, environment[i]);

    int fd = fd_new_sealed("joblet-spec", bytes, size);
    explicit_bzero(bytes, size);
    free(bytes);
    if (fd < 0)
        return error_errno(error, -fd, "make the request's memory file");
    *ret_fd = fd;
    return 0;
}

/* The next text of the block, or NULL when no whole one is left. */
static char *next_text(char **at, const char *end)
{
    char *text = *at;
    char *nul = text < end ? memchr(text, '\0', (size_t)(end - text)) : NULL;
    if (!nul)
        return NULL;
    *at = nul + 1;
    return text;
}

static bool header_is_sane(const struct spec_header *header, size_t size)
{
    return le32toh(header->magic) == SPEC_MAGIC && le32toh(header->version) == SPEC_VERSION &&
           le32toh(header->size) == size && le32toh(header->argument_count) >= 1 &&
           le32toh(header->argument_count) <= SPEC_ARGUMENTS_MAX &&
           le32toh(header->environment_count) <= SPEC_ENVIRONMENT_MAX;
}

static int spec_parse(struct spec *spec, struct error *error)
{
    struct spec_header header;
    if (spec->memory_size < sizeof(header))
        return error_text(error, EINVAL, "the request is cut in its header");
    memcpy(&header, spec->memory, sizeof(header));
    if (!header_is_sane(&header, spec->memory_size))
        return error_text(error, EINVAL, "the request's header is malformed");

    uint32_t argument_count = le32toh(header.argument_count);
    uint32_t environment_count = le32toh(header.environment_count);
    char *at = (char *)spec->memory + sizeof(header);
    const char *end = (char *)spec->memory + spec->memory_size;
    spec->arguments = calloc(argument_count + 1, sizeof(char *));
    spec->environment = calloc(environment_count + 1, sizeof(char *));
    if (!spec->arguments || !spec->environment)
        return error_errno(error, ENOMEM, "decode the request");

    spec->work_dir = next_text(&at, end);
    if (!spec->work_dir || spec->work_dir[0] != '/')
        return error_text(error, EINVAL, "the request's working directory is malformed");
    for (uint32_t i = 0; i < argument_count; i++)
        if (!(spec->arguments[i] = next_text(&at, end)))
            return error_text(error, EINVAL, "the request is cut in argument %u", i);
    for (uint32_t i = 0; i < environment_count; i++) {
        spec->environment[i] = next_text(&at, end);
        if (!spec->environment[i] || spec->environment[i][0] == '=' || !strchr(spec->environment[i], '='))
            return error_text(error, EINVAL, "the request's environment text %u is malformed", i);
    }
    if (at != end)
        return error_text(error, EINVAL, "the request has bytes behind its end");
    return 0;
}

/* Takes the memory of @spec into @ret_spec when it parses, else wipes it. */
static int spec_finish(struct spec *spec, struct spec *ret_spec, struct error *error)
{
    int r = spec_parse(spec, error);
    if (r < 0)
        spec_done(spec);
    else
        *ret_spec = *spec;
    return r;
}

int spec_decode(int fd, struct spec *ret_spec, struct error *error)
{
    struct spec spec = {0};
    /* The seals keep the bytes from changing between this check and the last use. */
    int r = fd_check_sealed(fd, SPEC_SIZE_MAX, &spec.memory_size);
    if (r < 0)
        return error_errno(error, -r, "check the request's seals and size");
    spec.memory = malloc(spec.memory_size + 1);
    if (!spec.memory)
        return error_errno(error, ENOMEM, "decode the request");
    for (size_t used = 0; used < spec.memory_size;) {
        ssize_t got = pread(fd, (char *)spec.memory + used, spec.memory_size - used, (off_t)used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            int code = got < 0 ? errno : ENODATA;
            spec_done(&spec);
            return error_errno(error, code, "read the request");
        }
        used += (size_t)got;
    }
    return spec_finish(&spec, ret_spec, error);
}

int spec_decode_bytes(const void *bytes, size_t size, struct spec *ret_spec, struct error *error)
{
    if (size > SPEC_SIZE_MAX)
        return error_text(error, EINVAL, "the request is larger than %u bytes", SPEC_SIZE_MAX);
    struct spec spec = {.memory = malloc(size + 1), .memory_size = size};
    if (!spec.memory)
        return error_errno(error, ENOMEM, "decode the request");
    memcpy(spec.memory, bytes, size);
    return spec_finish(&spec, ret_spec, error);
}

void spec_done(struct spec *spec)
{
    if (spec->memory)
        explicit_bzero(spec->memory, spec->memory_size);
    free(spec->memory);
    free(spec->arguments);
    free(spec->environment);
    *spec = (struct spec){0};
}
