#include "api/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static int read_settings(struct settings *ret_settings, struct error *error)
{
    _cleanup_close_ int fd = SETTINGS_FD_SETTINGS;
    struct settings settings;
    size_t size = 0;
    int r = fd_check_sealed(fd, sizeof(settings), &size);
    if (r < 0)
        return error_errno(error, -r, "settings");
    if (size != sizeof(settings) || pread(fd, &settings, sizeof(settings), 0) != (ssize_t)sizeof(settings))
        return error_text(error, EPROTO, "settings: %zu bytes instead of %zu", size, sizeof(settings));
    if (settings.magic != SETTINGS_MAGIC || settings.version != SETTINGS_VERSION)
        return error_text(error, EPROTO, "settings: of another version");
    if (!memchr(settings.node_id, '\0', sizeof(settings.node_id)) || settings.database_path[0] != '/' ||
            !memchr(settings.database_path, '\0', sizeof(settings.database_path)) || settings.chunk_bytes == 0 ||
            settings.runtimes_path[0] != '/' || !memchr(settings.runtimes_path, '\0', sizeof(settings.runtimes_path)))
        return error_text(error, EPROTO, "settings: malformed");
    *ret_settings = settings;
    return 0;
}

static int read_pem(int fd_take, const char *name, char **ret_text, struct error *error)
{
    _cleanup_close_ int fd = fd_take;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_errno(error, errno, "%s", name);
    if (!S_ISREG(status.st_mode) || status.st_size <= 0 || status.st_size > WORLD_PEM_MAX)
        return error_text(error, EINVAL, "%s: empty or too large", name);
    size_t size = (size_t)status.st_size;
    char *text = malloc(size + 1);
    if (!text)
        return error_text(error, ENOMEM, "%s: no memory", name);
    if (pread(fd, text, size, 0) != (ssize_t)size) {
        explicit_bzero(text, size);
        free(text);
        return error_text(error, EIO, "%s: cannot be read", name);
    }
    text[size] = '\0';
    *ret_text = text;
    return 0;
}

/* Texts with a NUL at the end of each. */
static int read_build_environment(struct runtime_list *list, struct error *error)
{
    _cleanup_close_ int fd = SETTINGS_FD_BUILD_ENVIRONMENT;
    char texts[WORLD_BUILD_ENVIRONMENT_MAX];
    size_t size = 0;
    int r = fd_check_sealed(fd, sizeof(texts), &size);
    if (r == 0 && pread(fd, texts, size, 0) != (ssize_t)size)
        r = -EIO;
    if (r == 0 && size > 0 && texts[size - 1] != '\0')
        r = -EPROTO;
    for (size_t at = 0; r == 0 && at < size; at += strlen(texts + at) + 1)
        r = strchr(texts + at, '=') ? runtime_list_add(list, texts + at) : -EPROTO;
    explicit_bzero(texts, sizeof(texts));
    return r < 0 ? error_errno(error, -r, "environment of builds") : 0;
}

int world_read(struct world *world, struct error *error)
{
    for (int fd = SETTINGS_FD_CHANNEL; fd < SETTINGS_FD_END; fd++)
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            return error_errno(error, errno, "descriptor %d is missing: joblet-api is started by joblet", fd);
    int r = read_settings(&world->settings, error);
    if (r == 0)
        r = read_pem(SETTINGS_FD_CERT, "server certificate", &world->cert_pem, error);
    if (r == 0)
        r = read_pem(SETTINGS_FD_KEY, "server key", &world->key_pem, error);
    if (r == 0)
        r = read_pem(SETTINGS_FD_CA, "certificate authority", &world->ca_pem, error);
    if (r == 0)
        r = read_build_environment(&world->build_environment, error);
    return r;
}

void world_forget_pems(struct world *world)
{
    if (world->key_pem)
        explicit_bzero(world->key_pem, strlen(world->key_pem));
    free(world->cert_pem);
    free(world->key_pem);
    free(world->ca_pem);
    world->cert_pem = world->key_pem = world->ca_pem = NULL;
}
