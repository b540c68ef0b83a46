/* The list of suspects (plan/suspects.h) of one start: the one that joblet handed over, and the one that this start
 * writes. Which entries are noted, and what becomes of each that is looked at, is masks.c's alone.
 *
 * A list that is not about this host as it is now (other rules, another directory in a layer's place) is not used for
 * that layer, which is walked then. What cannot be written down makes no list, and the next build walks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct masks_rules;
struct plan;

struct masks_list;

/* Reads the list that the plan says was handed over and prepares the new one. NULL when the plan wants none, or when
 * there is no memory for it: then all is walked, and nothing noted. */
struct masks_list *masks_list_new(const struct plan *plan, const struct masks_rules *rules);
void masks_list_free(struct masks_list *list);

/* The paths of the layer @path, whose directory is @status, sorted so that those in one directory stand together, the
 * directory first. False: it is to be walked; what is noted from now on is. NULL is fine. */
bool masks_list_find(struct masks_list *list, const char *path, const struct stat *status, char *const **ret_paths,
        size_t *ret_count);

/* An entry was looked at. */
void masks_list_count(struct masks_list *list);
/* Notes "/usr/lib/x". */
void masks_list_note(struct masks_list *list, const char *path);
/* Something cannot be noted: what this start writes is no list. */
void masks_list_spoil(struct masks_list *list);
/* What is noted so far goes into the file: before and at the end of a copy of this process. */
void masks_list_flush(struct masks_list *list);
/* All layers are done: says in the file what it holds. */
void masks_list_finish(struct masks_list *list);
