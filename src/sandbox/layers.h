/* The layers of a builder root: the host's directories that hold its software, each with an overlay of its own. Below
 * it lies a read-only clone of the host's directory, in which the host's ids are the job's; above it a directory of the
 * build's disk, into which the masks are put before the overlay is mounted (A10, A11).
 *
 * On the disk, none of it in reach of the build but through the overlays:
 *     root/       the root itself, with all that is no layer
 *     upper/N     what the build writes to layer N, and its masks
 *     hidden/N    of some layers: names that are not there, whatever comes to lie below; between the two, so that the
 *                 build cannot take them away as it can what lies in its upper directory
 *     works/N     the overlay's own
 *     lower/N     where the host's directory is attached while the overlay is mounted
 *     layers      line N: the path of layer N, for the collect sandbox */
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

/* Attaches the build's disk at ROOT_DISK_PLACE. 0 or -errno with @error. */
int layers_attach_disk(const struct sandbox *sandbox, struct error *error);

/* Build: finds which directories the host has, and names them in sandbox->layers. 0 or -errno with @error. */
int layers_find(struct sandbox *sandbox, struct error *error);
/* Build: writes their list to the disk. */
int layers_save(const struct sandbox *sandbox, struct error *error);
/* Collect: reads it. The build could not write it; what is not of the compiled-in list is refused all the same. */
int layers_load(struct sandbox *sandbox, struct error *error);

/* The directory that is replaced by the downloads of earlier builds. */
bool layers_is_cache(const char *path);

/* True when the layer has a directory of names that never are there. */
bool layers_has_hidden(const char *path);
/* The directories below the overlay of layer @number, as the option "lowerdir" has them; with @is_merged, below which
 * nothing is written, the upper one too. */
#define LAYERS_BELOW_MAX 320U
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
