/* Runs a fuzz target over the files of its corpus, so that the corpus is a plain test under every compiler. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return -1;
    }
    struct stat status;
    if (fstat(fileno(file), &status) < 0) {
        perror(path);
        fclose(file);
        return -1;
    }
    size_t size = (size_t)status.st_size;
    /* Exactly the size, so that a sanitizer sees the first byte beyond. */
    uint8_t *data = malloc(size ? size : 1);
    int result = -1;
    if (data && fread(data, 1, size, file) == size) {
        (void)LLVMFuzzerTestOneInput(data, size);
        result = 0;
    }
    free(data);
    fclose(file);
    return result;
}

int main(int count, char **arguments)
{
    unsigned replayed = 0;
    for (int i = 1; i < count; i++) {
        DIR *directory = opendir(arguments[i]);
        if (!directory) {
            perror(arguments[i]);
            return 1;
        }
        struct dirent *entry;
        while ((entry = readdir(directory))) {
            if (entry->d_name[0] == '.')
                continue;
            char path[4096];
            (void)snprintf(path, sizeof(path), "%s/%s", arguments[i], entry->d_name);
            if (replay_file(path) < 0)
                return 1;
            replayed++;
        }
        closedir(directory);
    }
    printf("%u inputs replayed\n", replayed);
    /* An empty corpus would be a test that cannot fail. */
    return replayed > 0 ? 0 : 1;
}
