/* The layers of a builder root: the host's directories that hold its software, each with an overlay of its own. Below
 * it lies a read-only clone of the host's directory, in which the host's ids are the job's; above it a directory of the
 * build's disk, and between the two another one, which holds the masks (A10, A11).
 *
 * On the disk, none of it in reach of the build but through the overlays:
 *     root/       the root itself, with all that is no layer
 *     upper/N     what the build writes to layer N, and the files made for it
 *     hidden/N    the masks of layer N, and names that are not there, whatever comes to lie below; between the two, so
 *                 that the build cannot take them away as it can what lies in its upper directory
 *     works/N     the overlay's own
 *     lower/N     where the host's directory is attached while the overlay is mounted
 *     layers      line N: the path of layer N, for the collect sandbox
 *     base/       with a base: where its disk, which has all of these too, is attached
 *
 * A base is the disk of an earlier build, read-only. Its upper/N lies between ours and our masks, which are of now: so
 * what it changed is there, and what of the host must not be seen is not. Its root/ lies below ours. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

struct error;
struct sandbox;

#define LAYERS_ROOT "root"
#define LAYERS_UPPER "upper"
#define LAYERS_HIDDEN "hidden"
#define LAYERS_WORKS "works"
#define LAYERS_LOWER "lower"
#define LAYERS_LIST "layers"
#define LAYERS_BASE "base"
/* In place of a layer's number: the root itself, an overlay where there is a base. */
#define LAYERS_NUMBER_ROOT 99U

/* Attaches the build's disk at ROOT_DISK_PLACE, and the base's below it. 0 or -errno with @error. */
int layers_attach_disk(const struct sandbox *sandbox, struct error *error);

/* Build: finds which directories the host has, and names them in sandbox->layers. 0 or -errno with @error. */
int layers_find(struct sandbox *sandbox, struct error *error);
/* Build: writes their list to the disk. */
int layers_save(const struct sandbox *sandbox, struct error *error);
/* Collect: reads it. The build could not write it; what is not of the compiled-in list is refused all the same. */
int layers_load(struct sandbox *sandbox, struct error *error);

/* The directory that is replaced by the downloads of earlier builds. */
bool layers_is_cache(const char *path);

/* With a base: reads its list, once ours is known. It must have the same layers, but for the downloads: the host's
 * directories are not those that it was made over otherwise. 0; -ESTALE; -errno, with @error. */
int layers_load_base(struct sandbox *sandbox, struct error *error);

/* The directories of layer @number, as the options of an overlay name them. Those below, as "lowerdir" has them; with
 * @is_merged, where nothing is written, the upper one too. */
#define LAYERS_PLACE_MAX 96U
void layers_format_upper(unsigned number, char ret_text[LAYERS_PLACE_MAX]);
void layers_format_work(unsigned number, char ret_text[LAYERS_PLACE_MAX]);
#define LAYERS_BELOW_MAX 448U
void layers_format_below(
        const struct sandbox *sandbox, unsigned number, bool is_merged, char ret_text[LAYERS_BELOW_MAX]);

/* Makes the directories of layer @number on the disk, when they are not there, and attaches what lies below it. 0 or
 * -errno with @error, which names the directory. */
int layers_attach_lower(const struct sandbox *sandbox, unsigned number, struct error *error);
/* The overlay of layer @number as a detached mount; with @is_merged read-only, of its two parts alone. A descriptor or
 * -errno with @error. */
int layers_mount(const struct sandbox *sandbox, unsigned number, bool is_merged, struct error *error);

/* True when the directory is the prefix, or another that is not there under whatever name. */
bool layers_is_absent(const struct sandbox *sandbox, const struct stat *status);

/* True when @path, absolute, lies in the directory @above (or is it). */
bool layers_path_is_in(const char *path, const char *above);
