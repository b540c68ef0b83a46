/* What joblet-api tells joblet-builder to do, and what joblet-builder says of it.
 *
 * The words of a recipe are the arguments of the spec (spec.h), [0] being the mode. They are texts, each as long as an
 * argument can be; nothing in them is parsed by a shell but what a step hands to one itself. joblet does not read them.
 *
 * install: in the order in which they stand
 *     phase NUMBER NAME MESSAGE           tell of it
 *     say LEVEL TEXT                      debug, info, warn, error
 *     env NAME=VALUE                      for all further steps; NAME= empty unsets nothing, it is an empty value
 *     run NAME TIMEOUT_NS COUNT WORD...   a step: COUNT words, executed by path or by PATH, without a terminal, with
 *                                         /work as directory. Whatever it leaves running is killed after it. A step
 *                                         that fails ends the build.
 *     query NAME TIMEOUT_NS COUNT WORD... the same; its standard output goes into "value" lines and not into the log
 *
 * collect: in any order, each as often as it makes sense; the order of the work is fixed
 *     phase, say                          as above; a phase, and what is said right behind it, are told when its work
 *                                         begins (*)
 *     packager apt|dnf|apk                whose database tells what a package is made of; all but apt fail
 *     package NAME                        (or NAME:ARCHITECTURE) goes into the runtime with all that it depends on
 *     binary NAME                         must be found in the runtime's PATH
 *     path VALUE                          that PATH
 *     library GLOB                        goes into the runtime, with the libraries that it needs
 *     keep doc|man|locale|headers|static  what is otherwise left out (**)
 *     step NAME BEGIN_NS END_NS           of the install, for the origin of files; what "sandbox" wrote is none's: it
 *                                         stands between the steps of a base and those after it
 *     runtime-dir PATH                    what steps put there goes into the runtime at the same path, and what is in
 *                                         PATH/isolated at its root; its last two components are name and version
 *     file NAME COUNT TEXT...             a file beside isolated/, of the COUNT texts joined
 *     limit BYTES                         the largest permitted size of the runtime
 *     cache BYTES                         of the downloads that are kept: the oldest go, what is new is added where
 *                                         it fits. Without the word they stay as they are.
 *     private STEP                        downloads of this step are not kept: other builds could read them
 *     since NS                            when the build began: what changed on the host since is told
 *     failed                              the build did: nothing is made of it; what it changed is told, and
 *                                         whether the host was changed
 *
 *     (*) 10: packages, the base, what the steps wrote; 11: libraries; 12: accounts, places for mounts, then the copy;
 *     13: the files beside isolated/; 14: programs are looked for, manifest and changes written, the disk synced, the
 *     host looked at. Others are not told, but for 0, at the start.
 *
 *     (**) /usr/share/{doc,man,info,locale...}, static libraries with a shared one beside them. Headers of packages in
 *     the runtime always stay.
 *
 * verify:
 *     digest HEX                          SHA-256 of the manifest; "-": not known
 *
 * sweep: no words
 *
 * test mode words that are unknown, too few or out of range end the program with "fail" before anything is done.
 *
 * Output, on standard output, one line each; a line of a step's own output is never taken for one, because each comes
 * within a "log" line. Bytes below 0x20 but the tab, 0x7f, and what is no UTF-8 are replaced by "?"; lines are cut at
 * RECIPE_LINE_MAX. The first character is RECIPE_MARK.
 *     phase NUMBER NAME: MESSAGE
 *     log LEVEL TEXT
 *     begin NAME UNIX_NS                  a step, by the clock of files; what cannot be executed
 *                                         has no "end". What two steps write has times that do not meet.
 *     end NAME UNIX_NS exit|signal NUMBER
 *     value NAME TEXT                     of a query
 *     package NAME VERSION ARCHITECTURE   collect: in the runtime
 *     stripped KIND PATH                  collect: set-id, capability; or left out: device, fifo, socket
 *     stray PATH                          collect: written to outside of what is kept, and thrown away (the first 1000)
 *     changed KIND ORIGIN PATH            collect of a failed build: added, changed or removed by it (the first 1000,
 *                                         what no package owns before the rest); ORIGIN as below, its blank a colon
 *     host-changed PATH                   collect: an inode of the host's that changed since (the first 100)
 *     count NAME NUMBER                   collect: files, bytes, packages, changed, stray, stripped, host-changed;
 *                                         verify: entries, wrong; sweep: removed
 *     digest HEX                          collect: SHA-256 of the manifest
 *     wrong PATH TEXT                     verify: what is not as the manifest says (the first 100)
 *     fail TEXT                           the last line of a failure: exit status 1, or RECIPE_EXIT_HOST_CHANGED
 *     done                                the last line of a success: exit status 0
 */
#pragma once

#define RECIPE_MARK '@'
#define RECIPE_LINE_MAX 4096U

/* What a collected runtime is made of; names beside each other in its directory.
 *
 * Lines of JSON, one flat object each, without white space. Texts are bytes: a control character is written as
 * "\u00XX", a byte that is part of no well-formed UTF-8 as "\udcXX" (builder/json.h); only in paths, targets and
 * origins.
 *
 * manifest: the first is {"manifest":1,"name":...,"version":...}; then one
 *   {"package":NAME,"version":V,"architecture":A,"source":S,"license":L,"type":"apt|pip|npm"} for each
 *   package (L: names, one a line; not there when not known); one
 *   {"file":NAME,"size":N,"sha256":HEX} for each file beside isolated/ but the manifest; one
 *   {"path":"/usr/bin/x","type":"file|link|directory","mode":"0755","uid":0,"gid":0,"size":N,"sha256":HEX,"target":T,
 *   "origin":O} for each entry of isolated/, itself ("/") included, sorted by the bytes of the path (size and sha256 of
 *   files, target of links); the last is {"files":N,"bytes":N}: files by name, bytes of each content once.
 *   O: "package NAME", "base", "step NAME", "script" (a maintainer's), "joblet".
 * changes: one for each entry that the build made, changed or removed in its root, sorted by path:
 *   {"path":...,"change":"added|changed|removed","kept":true|false,"origin":O} */
#define RECIPE_FILE_RUNTIME "runtime.yml"
#define RECIPE_FILE_MANIFEST "manifest"
#define RECIPE_FILE_CHANGES "changes"
#define RECIPE_DIRECTORY_ROOT "isolated"

/* The step of this name is the package manager's: what it wrote and no package owns is of origin "script". Packages
 * that other steps installed (a hook that calls apt-get) belong to the runtime as those of "package" do. */
#define RECIPE_STEP_PACKAGES "base"
/* The exit status of a collect that saw the host change: by itself a failure, or beside another one. */
#define RECIPE_EXIT_HOST_CHANGED 75
/* While it lasted a sandbox was made over a base: nothing of the build ran. */
#define RECIPE_STEP_SANDBOX "sandbox"

/* Downloads that later builds use: where a build finds those of earlier ones, all in one directory (apt's, under
 * names that apt does not look for), and where the steps of pip and npm leave theirs. The names tell what is in a file:
 * "apt-" and the SHA-256, "npm-" and the SHA-512, "pip-" and the BLAKE2b-256 of the content. */
#define RECIPE_DOWNLOADS "/var/cache/apt/archives"
#define RECIPE_DOWNLOADS_APT "apt-"
#define RECIPE_DOWNLOADS_NPM "npm-"
#define RECIPE_DOWNLOADS_PIP "pip-"
#define RECIPE_NPM_CACHE "/tmp/npm-cache"
#define RECIPE_PIP_CACHE "/tmp/pip-cache"
#define RECIPE_PIP_FILES "/tmp/pip-files" /* named by their BLAKE2b-256 */
/* Around the steps of these names joblet-builder lays downloads ready, and tells what was used of them. */
#define RECIPE_STEP_PIP "pip"
#define RECIPE_STEP_NPM "npm"

/* Where joblet-builder finds what in a collect sandbox. */
#define RECIPE_MERGED "/merged" /* the builder root as the build left it, read-only */
#define RECIPE_UPPER "/upper"   /* one directory for each layer, by number: what the build wrote */
/* The same of the base that the build began with; none where it has no such layer, or there is no base. */
#define RECIPE_BASE_UPPER "/base-upper"
#define RECIPE_LOWER "/lower"   /* one for each layer, by number: the host's directories */
#define RECIPE_LAYERS "/layers" /* a file: line N is the path of layer N in the builder root, "usr" and so on */
#define RECIPE_BASE "/base"
#define RECIPE_STAGE "/stage"
#define RECIPE_CACHE "/cache"
