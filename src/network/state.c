#include "network/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#define STATE_SIZE_MAX 1024U

/* The lines that must be there for the rest to mean anything. */
static int format_head(const char *identity, char *ret_text, size_t size)
{
    _cleanup_free_ char *boot = NULL;
    int r = fd_read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &boot, NULL);
    if (r < 0)
        return r;
    boot[strcspn(boot, "\n")] = '\0';
    int length = snprintf(ret_text, size, "version 1\nidentity %s\nboot %s\n", identity, boot);
    return length < 0 || (size_t)length >= size ? -E2BIG : length;
}

int state_write(int run_fd, const char *identity, const struct state *state, struct error *error)
{
    char text[STATE_SIZE_MAX];
    char network[RANGE_TEXT_MAX];
    int head = format_head(identity, text, sizeof(text));
    if (head < 0)
        return error_errno(error, -head, "write down what is changed for the network");
    range_format(&state->network, network);
    int tail =
            snprintf(text + head, sizeof(text) - (size_t)head, "network %s\nforwarding %s\n", network, state->switched);
    int r = fd_replace_file_at(run_fd, STATE_FILE, text, (size_t)head + (size_t)tail, 0600);
    return r < 0 ? error_errno(error, -r, "write down what is changed for the network") : 0;
}

/* The rest of the line that begins with @key, cut out of @text. NULL: there is none. */
static char *find_line(char *text, const char *key)
{
    size_t length = strlen(key);
    for (char *line = text; *line != '\0';) {
        char *end = line + strcspn(line, "\n");
        if (strncmp(line, key, length) == 0) {
            *end = '\0';
            return line + length;
        }
        line = *end == '\0' ? end : end + 1;
    }
    return NULL;
}

int state_read(int run_fd, const char *identity, struct state *ret_state, struct error *error)
{
    char head[STATE_SIZE_MAX];
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(run_fd, STATE_FILE, STATE_SIZE_MAX, &text, NULL);
    if (r == -ENOENT)
        return r;
    int length = r < 0 ? r : format_head(identity, head, sizeof(head));
    if (length < 0)
        return error_errno(error, -length, "read what was changed for the network");
    if (strncmp(text, head, (size_t)length) != 0)
        return -ENOENT;
    struct state state = {0};
    /* The last line first: each is cut off by a NUL. */
    const char *switched = find_line(text, "forwarding ");
    const char *network = find_line(text, "network ");
    if (!switched || !network || strlen(switched) >= sizeof(state.switched) || range_parse(network, &state.network) < 0)
        return error_text(error, EBADMSG, "what was changed for the network: '" STATE_FILE "' cannot be read");
    memcpy(state.switched, switched, strlen(switched) + 1);
    *ret_state = state;
    return 0;
}

void state_remove(int run_fd)
{
    (void)unlinkat(run_fd, STATE_FILE, 0);
}
