/* Between leftover.c and the finders. */
#pragma once

#include <sys/stat.h>

#include "broker/leftover.h"

/* A new item, zero but for kind and name, or NULL when there is no room. */
struct leftover *leftover_add(struct leftover_list *list, enum leftover_kind kind, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* True when it came to be since the service that serves the prefix has started: then it is that one's. */
bool leftover_is_younger(const struct leftover_place *place, const struct stat *status);

/* Each adds what it finds. 0 or -errno with @error. */
int leftover_find_jobs(struct leftover_place *place, struct leftover_list *list, struct error *error);
int leftover_find_groups(struct leftover_place *place, struct leftover_list *list, struct error *error);
int leftover_find_store(struct leftover_place *place, struct leftover_list *list, struct error *error);
int leftover_find_files(struct leftover_place *place, struct leftover_list *list, struct error *error);
int leftover_find_devices(struct leftover_place *place, struct leftover_list *list, struct error *error);
int leftover_find_network(struct leftover_place *place, struct leftover_list *list, struct error *error);

/* Each removes one. 0 or -errno with @error. */
int leftover_remove_job(struct leftover_place *place, const struct leftover *item, struct error *error);
int leftover_remove_job_files(struct leftover_place *place, const struct leftover *item, struct error *error);
int leftover_remove_note(struct leftover_place *place, const struct leftover *item, struct error *error);
int leftover_remove_group(struct leftover_place *place, const struct leftover *item, struct error *error);
int leftover_remove_parent(struct leftover_place *place, const struct leftover *item, struct error *error);
int leftover_remove_tree(struct leftover_place *place, const struct leftover *item, struct error *error);
int leftover_remove_name(struct leftover_place *place, const struct leftover *item, struct error *error);
int leftover_remove_base(struct leftover_place *place, const struct leftover *item, struct error *error);
int leftover_remove_half_file(struct leftover_place *place, const struct leftover *item, struct error *error);
int leftover_remove_run_file(struct leftover_place *place, const struct leftover *item, struct error *error);
int leftover_remove_device(struct leftover_place *place, const struct leftover *item, struct error *error);
int leftover_remove_network(struct leftover_place *place, const struct leftover *item, struct error *error);
