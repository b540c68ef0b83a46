/* How a step runs pip. */
#pragma once

/* For "python3 -c": the arguments are the directory of the downloads of earlier builds, that for new ones, and pip's
 * own arguments. */
extern const char runtime_pip_launcher[];
