/* How a build is shown while it runs: as plain lines, one for each event, or on a terminal with one line below them
 * that lives: phase, elapsed time, the newest line of the log.
 *
 * The terminal's state is never changed, so nothing has to be restored, however rnx ends: the live line is shorter than
 * the terminal is wide and the cursor waits at its beginning, where the next frame, or the shell, writes over it. Each
 * frame is one write, so nothing flickers; the width is asked for with each, so a resize needs no signal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum build_view_mode {
    BUILD_VIEW_NONE,  /* --json: nothing */
    BUILD_VIEW_PLAIN, /* a line for each phase and each line of the log */
    BUILD_VIEW_LIVE,  /* lines for phases, warnings and errors; the rest only passes through the live line */
};

/* What is shown again when a build fails on a terminal. */
#define BUILD_VIEW_TAIL 20
/* Of a line of the log that passes through the live line. */
#define BUILD_VIEW_LINE_MAX 1024

struct build_view {
    enum build_view_mode mode;
    bool verbose; /* debug lines too; each line stays */
    int fd;
    /* Called before each write: waits until @fd takes something. 0 or -errno. NULL = the write itself waits. */
    int (*wait)(void *context, int fd);
    void *context;
    int64_t start_ns; /* monotonic */
    int64_t drawn_ns; /* the last frame */
    int width;        /* of the terminal then; 0 = no live line is there */
    bool changed;     /* since the last frame */
    int32_t phase;
    int32_t total;
    char name[128];
    char line[BUILD_VIEW_LINE_MAX];
    /* Lines that did not stay, with their level, in a ring. */
    char *tail[BUILD_VIEW_TAIL];
    size_t tail_next;
};

/* How often the live line's clock is to be looked at. */
#define BUILD_VIEW_TICK_MS 200

/* The mode for standard output @fd as it is. */
enum build_view_mode build_view_choose(int fd, bool json);
void build_view_init(struct build_view *view, enum build_view_mode mode, bool verbose, int fd);
void build_view_done(struct build_view *view);

/* What the server said, with its control characters made visible. 0; -EINTR after Ctrl-C; -errno when the output cannot
 * be written. */
int build_view_phase(struct build_view *view, int32_t number, int32_t total, const char *name, const char *message);
int build_view_log(struct build_view *view, const char *level, const char *message);
/* Nothing came for a while: the clock goes on. As above. */
int build_view_tick(struct build_view *view);
/* Takes the live line away. With @failed the last lines of the log that did not stay are written again. As above; once.
 */
int build_view_end(struct build_view *view, bool failed);

/* Writes the first characters of @text (as output_text makes them) that fit into @columns to @ret_text, of @size bytes.
 * A character beyond ASCII counts as two columns, which is the most that one takes. */
void build_view_cut(const char *text, int columns, char *ret_text, size_t size);
/* "5s", "1m05s", "1h02m05s" */
#define BUILD_VIEW_ELAPSED_MAX 32
void build_view_format_elapsed(int64_t ns, char ret_text[BUILD_VIEW_ELAPSED_MAX]);
