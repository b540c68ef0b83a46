/* The canonical form: each value as "KEY SIZE\n" and its bytes, keys in a fixed order, so that no text can look like
 * the next key. */
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/fd.h"
#include "runtime/build.h"
#include "runtime/profile.h"
#include "runtime/spec.h"

#define DIGEST_SIZE 32U

static void put(FILE *file, const char *key, const char *text)
{
    (void)fprintf(file, "%s %zu\n%s\n", key, strlen(text), text);
}

static void put_number(FILE *file, const char *key, uint64_t number)
{
    (void)fprintf(file, "%s %" PRIu64 "\n", key, number);
}

static void put_list(FILE *file, const char *key, const struct runtime_list *list)
{
    put_number(file, key, list->count);
    for (size_t i = 0; i < list->count; i++)
        put(file, "-", list->items[i]);
}

static void put_spec(FILE *file, const struct runtime_spec *spec)
{
    put(file, "schema_version", "1.0");
    put(file, "name", spec->name);
    put(file, "version", spec->version);
    put(file, "description", spec->description);
    put(file, "language", runtime_language_name(spec->language));
    put(file, "language_version", spec->language_version);
    put_list(file, "pip", &spec->pip);
    put_list(file, "pip_options", &spec->pip_options);
    put_list(file, "npm", &spec->npm);
    put_list(file, "environment", &spec->environment);
    put_number(file, "gpu", spec->gpu);
    put(file, "cuda_version", spec->cuda_version);
    put_number(file, "min_memory", spec->min_memory_bytes);
    for (unsigned i = 0; i < RUNTIME_PLATFORM_COUNT; i++)
        if (spec->platforms & 1U << i)
            put(file, "platform", runtime_platform_find(i)->name);
    put_list(file, "libraries", &spec->libraries);
    if (spec->keep.count > 0) /* younger than the runtimes that others have */
        put_list(file, "keep", &spec->keep);
    put_number(file, "timeout", spec->hook_timeout_ns);
    put(file, "pre_install", spec->pre_install);
    put(file, "post_install", spec->post_install);
}

static int sum(const char *text, size_t size, unsigned char ret_bytes[EVP_MAX_MD_SIZE])
{
    return EVP_Digest(text, size, ret_bytes, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

static void print_hex(const uint8_t bytes[DIGEST_SIZE], char ret_text[RUNTIME_DIGEST_MAX])
{
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        (void)snprintf(ret_text + 2 * i, 3, "%02x", bytes[i]);
}

static int sum_in_hex(const char *text, size_t size, char ret_text[RUNTIME_DIGEST_MAX])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    if (sum(text, size, bytes) < 0)
        return -ENOMEM;
    print_hex(bytes, ret_text);
    return 0;
}

static int digest(const struct runtime_spec *spec, const char *setup_script, char ret_digest[RUNTIME_DIGEST_MAX])
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return -ENOMEM;
    put_spec(file, spec);
    if (*setup_script)
        put(file, "setup_script", setup_script);
    bool failed = ferror(file);
    if (fclose(file) != 0 || failed)
        return -ENOMEM;
    return sum_in_hex(text, size, ret_digest);
}

int runtime_spec_digest(const struct runtime_spec *spec, char ret_digest[RUNTIME_DIGEST_MAX])
{
    return digest(spec, "", ret_digest);
}

int runtime_build_digest(const struct runtime_spec *spec, const char *setup_script, char ret_digest[RUNTIME_DIGEST_MAX])
{
    return digest(spec, setup_script, ret_digest);
}

/* Of a package index, a registry, a mirror. Through which proxy they are asked changes nothing of what they have. */
static bool is_address(const char *variable)
{
    static const char proxy[] = "_proxy";
    size_t name = strcspn(variable, "=");
    return strstr(variable + name, "://") &&
           (name < strlen(proxy) || strncasecmp(variable + name - strlen(proxy), proxy, strlen(proxy)) != 0);
}

/* The digest is no secret, so that no password may be part of it: one that is short could be guessed. */
static void put_without_users(FILE *file, const char *variable)
{
    for (const char *mark; (mark = strstr(variable, "://"));) {
        const char *host = mark + 3;
        const char *at = memrchr(host, '@', strcspn(host, "/ \t,"));
        (void)fprintf(file, "%.*s", (int)(host - variable), variable);
        variable = at ? at + 1 : host;
    }
    (void)fprintf(file, "%s\n", variable);
}

int runtime_sources_digest(const uint8_t fingerprint[RUNTIME_FINGERPRINT_SIZE], const struct runtime_list *environment,
        char ret_digest[RUNTIME_DIGEST_MAX])
{
    _Static_assert(RUNTIME_FINGERPRINT_SIZE == DIGEST_SIZE, "both are printed the same");
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    bool has_address = false;
    print_hex(fingerprint, ret_digest);
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return -ENOMEM;
    (void)fprintf(file, "%s\n", ret_digest);
    for (size_t i = 0; i < environment->count; i++)
        if (is_address(environment->items[i])) {
            put_without_users(file, environment->items[i]);
            has_address = true;
        }
    bool failed = ferror(file);
    if (fclose(file) != 0 || failed)
        return -ENOMEM;
    return has_address ? sum_in_hex(text, size, ret_digest) : 0;
}

/* The words say all of it: packages in their order, the profile's choices, variables, the packager's own script. */
int runtime_build_base_key(
        const struct runtime_build *build, const char *version, uint8_t ret_key[RUNTIME_BASE_KEY_SIZE])
{
    _Static_assert(RUNTIME_BASE_KEY_SIZE == DIGEST_SIZE, "a key is a digest");
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    unsigned char bytes[EVP_MAX_MD_SIZE];
    struct runtime_list words = {0};
    int r = runtime_build_install(build, RUNTIME_PART_BASE, &words);
    FILE *file = r == 0 ? open_memstream(&text, &size) : NULL;
    if (file) {
        put(file, "builder", version);
        put_list(file, "words", &words);
        bool failed = ferror(file);
        r = fclose(file) != 0 || failed ? -ENOMEM : sum(text, size, bytes);
    } else {
        r = -ENOMEM;
    }
    runtime_list_done(&words);
    if (r == 0)
        memcpy(ret_key, bytes, RUNTIME_BASE_KEY_SIZE);
    return r;
}
