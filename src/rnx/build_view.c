#include "rnx/build_view.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "rnx/interrupt.h"
#include "rnx/output.h"

/* A flood of lines is drawn at most so often. */
#define FRAME_NS 50000000LL
#define WIDTH_DEFAULT 80
/* Wider lines are of no use, and a buffer must end somewhere. */
#define WIDTH_MAX 512
/* A pipe that can be written to takes so much without waiting. */
#define WRITE_MAX 4096

/* To the line's beginning, and everything from there on away: also the rest of a live line that a terminal has wrapped
 * because it became narrower. */
#define ERASE "\r\033[J"

enum build_view_mode build_view_choose(int fd, bool json)
{
    if (json)
        return BUILD_VIEW_NONE;
    const char *term = getenv("TERM");
    bool able = term && *term && strcmp(term, "dumb") != 0;
    return able && isatty(fd) ? BUILD_VIEW_LIVE : BUILD_VIEW_PLAIN;
}

void build_view_init(struct build_view *view, enum build_view_mode mode, bool verbose, int fd)
{
    *view = (struct build_view){
            .mode = mode, .verbose = verbose, .fd = fd, .start_ns = text_now_monotonic_ns(), .changed = true};
}

void build_view_done(struct build_view *view)
{
    for (size_t i = 0; i < BUILD_VIEW_TAIL; i++)
        free(view->tail[i]);
    *view = (struct build_view){.fd = -EBADF};
}

void build_view_cut(const char *text, int columns, char *ret_text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t left = strlen(text);
    size_t used = 0;
    while (left > 0) {
        size_t length = output_character_size(bytes, left);
        length = length > 0 ? length : 1;
        columns -= length > 1 ? 2 : 1;
        if (columns < 0 || used + length >= size)
            break;
        memcpy(ret_text + used, bytes, length);
        used += length;
        bytes += length;
        left -= length;
    }
    ret_text[used] = '\0';
}

void build_view_format_elapsed(int64_t ns, char ret_text[BUILD_VIEW_ELAPSED_MAX])
{
    long long seconds = (long long)(ns / 1000000000);
    if (seconds < 60)
        (void)snprintf(ret_text, BUILD_VIEW_ELAPSED_MAX, "%llds", seconds);
    else if (seconds < 3600)
        (void)snprintf(ret_text, BUILD_VIEW_ELAPSED_MAX, "%lldm%02llds", seconds / 60, seconds % 60);
    else
        (void)snprintf(ret_text, BUILD_VIEW_ELAPSED_MAX, "%lldh%02lldm%02llds", seconds / 3600, seconds / 60 % 60,
                seconds % 60);
}

static int terminal_width(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return WIDTH_DEFAULT;
    return size.ws_col > WIDTH_MAX ? WIDTH_MAX : size.ws_col;
}

/* Appends the live line to @file; one column stays free, because a terminal may go to the next line after the last. */
static void draw(struct build_view *view, FILE *file, int width)
{
    char elapsed[BUILD_VIEW_ELAPSED_MAX];
    char whole[BUILD_VIEW_LINE_MAX + 256];
    char cut[WIDTH_MAX * 4];
    build_view_format_elapsed(text_now_monotonic_ns() - view->start_ns, elapsed);
    (void)snprintf(
            whole, sizeof(whole), "[%d/%d] %s (%s) %s", view->phase, view->total, view->name, elapsed, view->line);
    build_view_cut(whole, width - 1, cut, sizeof(cut));
    (void)fprintf(file, "%s\033[K\r", cut);
    view->width = width;
    view->changed = false;
    view->drawn_ns = text_now_monotonic_ns();
}

/* What is put together for one write. */
struct frame {
    char *data;
    size_t size;
    FILE *file;
};

static int frame_begin(struct frame *frame)
{
    *frame = (struct frame){0};
    frame->file = open_memstream(&frame->data, &frame->size);
    return frame->file ? 0 : -ENOMEM;
}

static int frame_write(struct build_view *view, struct frame *frame)
{
    int r = fclose(frame->file) == 0 ? 0 : -ENOMEM;
    for (size_t written = 0; r == 0 && written < frame->size;) {
        size_t part = frame->size - written < WRITE_MAX ? frame->size - written : WRITE_MAX;
        r = view->wait ? view->wait(view->context, view->fd) : 0;
        if (r == 0)
            r = output_write_all(view->fd, frame->data + written, part);
        written += part;
    }
    free(frame->data);
    return r;
}

/* A new frame, at a free line. */
static int frame_begin_at_line(struct build_view *view, struct frame *frame)
{
    int r = frame_begin(frame);
    if (r == 0 && view->width > 0)
        (void)fputs(ERASE, frame->file);
    view->width = 0;
    return r;
}

static int frame_end_with_line(struct build_view *view, struct frame *frame)
{
    (void)fputc('\n', frame->file);
    if (view->mode == BUILD_VIEW_LIVE && view->phase > 0)
        draw(view, frame->file, terminal_width(view->fd));
    return frame_write(view, frame);
}

/* Copies @text as output_text writes it; what does not fit is left out. */
static void copy_visible(const char *text, char *ret_text, size_t size)
{
    struct frame frame;
    *ret_text = '\0';
    if (frame_begin(&frame) < 0)
        return;
    output_bytes(frame.file, text, strnlen(text, size));
    if (fclose(frame.file) == 0)
        build_view_cut(frame.data, (int)(2 * size), ret_text, size);
    free(frame.data);
}

int build_view_tick(struct build_view *view)
{
    if (view->mode != BUILD_VIEW_LIVE || view->phase == 0)
        return 0;
    int64_t now_ns = text_now_monotonic_ns();
    int width = terminal_width(view->fd);
    /* The clock shows seconds. */
    bool second = (now_ns - view->start_ns) / 1000000000 != (view->drawn_ns - view->start_ns) / 1000000000;
    if (!second && width == view->width && !(view->changed && now_ns - view->drawn_ns >= FRAME_NS))
        return 0;
    struct frame frame;
    int r = frame_begin(&frame);
    if (r < 0)
        return r;
    if (width != view->width)
        (void)fputs(ERASE, frame.file);
    draw(view, frame.file, width);
    return frame_write(view, &frame);
}

int build_view_phase(struct build_view *view, int32_t number, int32_t total, const char *name, const char *message)
{
    if (view->mode == BUILD_VIEW_NONE)
        return 0;
    view->phase = number;
    view->total = total;
    copy_visible(name, view->name, sizeof(view->name));
    view->line[0] = '\0';
    struct frame frame;
    int r = frame_begin_at_line(view, &frame);
    if (r < 0)
        return r;
    (void)fprintf(frame.file, "[%d/%d] ", number, total);
    output_text(frame.file, name);
    (void)fputs(": ", frame.file);
    output_text(frame.file, message);
    return frame_end_with_line(view, &frame);
}

static void print_log(FILE *file, const char *level, const char *message)
{
    (void)fputc('[', file);
    for (const char *next = level; *next; next++) {
        char letter[2] = {(char)toupper((unsigned char)*next), '\0'};
        output_text(file, letter);
    }
    (void)fputs("] ", file);
    output_text(file, message);
}

/* Keeps the line for a failure. Without memory there is one line less to show. */
static void remember(struct build_view *view, const char *level, const char *message)
{
    struct frame frame;
    free(view->tail[view->tail_next]);
    view->tail[view->tail_next] = NULL;
    if (frame_begin(&frame) < 0)
        return;
    print_log(frame.file, level, message);
    if (fclose(frame.file) == 0)
        view->tail[view->tail_next] = frame.data;
    else
        free(frame.data);
    view->tail_next = (view->tail_next + 1) % BUILD_VIEW_TAIL;
}

int build_view_log(struct build_view *view, const char *level, const char *message)
{
    if (view->mode == BUILD_VIEW_NONE || (!view->verbose && strcmp(level, "debug") == 0))
        return 0;
    bool loud = strcmp(level, "warn") == 0 || strcmp(level, "error") == 0;
    if (view->mode == BUILD_VIEW_LIVE && !view->verbose && !loud) {
        copy_visible(message, view->line, sizeof(view->line));
        remember(view, level, message);
        view->changed = true;
        return build_view_tick(view);
    }
    struct frame frame;
    int r = frame_begin_at_line(view, &frame);
    if (r < 0)
        return r;
    print_log(frame.file, level, message);
    return frame_end_with_line(view, &frame);
}

int build_view_end(struct build_view *view, bool failed)
{
    if (view->mode != BUILD_VIEW_LIVE)
        return 0;
    if (interrupt_came()) {
        /* output_write_all would not write any more. A second Ctrl-C ends it when the terminal is held. */
        ssize_t written = view->width > 0 ? write(view->fd, ERASE, strlen(ERASE)) : 0;
        (void)written;
        return -EINTR;
    }
    struct frame frame;
    int r = frame_begin_at_line(view, &frame);
    if (r < 0)
        return r;
    bool any = false;
    for (size_t i = 0; failed && i < BUILD_VIEW_TAIL; i++) {
        const char *line = view->tail[(view->tail_next + i) % BUILD_VIEW_TAIL];
        if (!line)
            continue;
        (void)fprintf(frame.file, "%s%s\n", any ? "" : "\nThe log's last lines:\n", line);
        any = true;
    }
    return frame_write(view, &frame);
}
