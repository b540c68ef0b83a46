/* What this server is: its version, and the commit that it was built from. The date is the commit's, so that the same
 * source gives the same program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/fd.h"
#include "monitor-version.h"
#include "monitor/message.h"
#include "monitor/sample.h"

int version_read(Joblet__ServerVersionInfo *version)
{
    char source[] = MONITOR_SOURCE;
    char *rest = source;
    const char *commit = strsep(&rest, "|");
    const char *date = strsep(&rest, "|");
    const char *tag = strsep(&rest, "|");
    struct utsname names = {0};
    char platform[128];
    (void)uname(&names);
    (void)snprintf(platform, sizeof(platform), "linux/%s", host_architecture(names.machine));
    int r = message_set_text(&version->version, MONITOR_VERSION);
    if (r == 0)
        r = message_set_text(&version->git_commit, commit);
    if (r == 0)
        r = message_set_text(&version->build_date, date ? date : "");
    if (r == 0)
        r = message_set_text(&version->git_tag, tag ? tag : "");
    if (r == 0)
        r = message_set_text(&version->component, "joblet");
    return r == 0 ? message_set_text(&version->platform, platform) : r;
}
