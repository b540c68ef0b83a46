/* What earlier builds have downloaded, laid ready for the steps of pip and npm, and told what was used of it. All of it
 * is a help: what does not work here only means that a step downloads. Nothing that is read here is believed: a hook
 * could have written it, in this build and for this build alone. */
#pragma once

struct downloads_kind;

struct downloads {
    const struct downloads_kind *kind; /* NULL: the step is no such one */
    int watch_fd;
};

/* Before the step of this name. To be ended with downloads_tell, or downloads_done when it failed. */
void downloads_begin(struct downloads *downloads, const char *step);
/* Behind it: "NAME: HIT 2 of 3 files (0.1 MB), MISS 1: not in the cache". */
void downloads_tell(struct downloads *downloads);
void downloads_done(struct downloads *downloads);
