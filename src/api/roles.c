#include "api/roles.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/fd.h"

static const char *const role_names[ROLE_COUNT] = {
        [ROLE_UNKNOWN] = "unknown",
        [ROLE_READER] = "reader",
        [ROLE_DEVELOPER] = "developer",
        [ROLE_MAINTAINER] = "maintainer",
        [ROLE_ADMIN] = "admin",
};

static const struct {
    const char *unit;
    enum role role;
} role_units[] = {
        {"reader", ROLE_READER},
        {"viewer", ROLE_READER},
        {"developer", ROLE_DEVELOPER},
        {"maintainer", ROLE_MAINTAINER},
        {"admin", ROLE_ADMIN},
};

#define JOB(name) "/joblet.JobService/" name
#define NETWORK(name) "/joblet.NetworkService/" name
#define VOLUME(name) "/joblet.VolumeService/" name
#define MONITORING(name) "/joblet.MonitoringService/" name
#define RUNTIME(name) "/joblet.RuntimeService/" name

static const struct role_method methods[] = {
        {JOB("RunJob"), "run_job", ROLE_DEVELOPER},
        {JOB("GetJobStatus"), "get_job", ROLE_READER},
        {JOB("StopJob"), "stop_job", ROLE_DEVELOPER},
        {JOB("CancelJob"), "stop_job", ROLE_DEVELOPER},
        {JOB("DeleteJob"), "delete_job", ROLE_DEVELOPER},
        {JOB("DeleteAllJobs"), "delete_job", ROLE_DEVELOPER},
        {JOB("GetJobLogs"), "get_job_logs", ROLE_READER},
        {JOB("ListJobs"), "list_jobs", ROLE_READER},
        {JOB("StreamJobMetrics"), "get_job", ROLE_READER},
        {JOB("GetJobMetrics"), "get_job", ROLE_READER},
        {JOB("StreamJobTelematics"), "get_job", ROLE_READER},
        {JOB("GetJobTelematics"), "get_job", ROLE_READER},
        {NETWORK("CreateNetwork"), "create_network", ROLE_MAINTAINER},
        {NETWORK("ListNetworks"), "list_networks", ROLE_READER},
        {NETWORK("RemoveNetwork"), "remove_network", ROLE_ADMIN},
        {VOLUME("CreateVolume"), "create_volume", ROLE_MAINTAINER},
        {VOLUME("ListVolumes"), "list_volumes", ROLE_READER},
        {VOLUME("RemoveVolume"), "remove_volume", ROLE_ADMIN},
        {MONITORING("GetSystemStatus"), "get_metrics", ROLE_READER},
        {MONITORING("StreamSystemMetrics"), "get_metrics", ROLE_READER},
        {RUNTIME("ListRuntimes"), "list_runtimes", ROLE_READER},
        {RUNTIME("GetRuntimeInfo"), "get_runtime_info", ROLE_READER},
        {RUNTIME("TestRuntime"), "test_runtime", ROLE_DEVELOPER},
        {RUNTIME("RemoveRuntime"), "remove_runtime", ROLE_ADMIN},
        {RUNTIME("BuildRuntime"), "build_runtime", ROLE_MAINTAINER},
        {RUNTIME("ValidateRuntimeYAML"), "validate_runtime", ROLE_MAINTAINER},
};

const char *role_name(enum role role)
{
    return role < ROLE_COUNT ? role_names[role] : role_names[ROLE_UNKNOWN];
}

static enum role role_from_unit(const char *unit)
{
    for (size_t i = 0; i < ELEMENTS(role_units); i++)
        if (strcasecmp(unit, role_units[i].unit) == 0)
            return role_units[i].role;
    return ROLE_UNKNOWN;
}

enum role role_from_units(const char *const units[], size_t count)
{
    enum role lowest = ROLE_UNKNOWN;
    for (size_t i = 0; i < count; i++) {
        enum role role = role_from_unit(units[i]);
        if (role != ROLE_UNKNOWN && (lowest == ROLE_UNKNOWN || role < lowest))
            lowest = role;
    }
    return lowest;
}

const struct role_method *role_method_find(const char *path)
{
    for (size_t i = 0; i < ELEMENTS(methods); i++)
        if (strcmp(methods[i].path, path) == 0)
            return &methods[i];
    return NULL;
}

const struct role_method *role_methods(size_t *ret_count)
{
    *ret_count = ELEMENTS(methods);
    return methods;
}

int role_permit(enum role role, const char *path, struct error *error)
{
    const struct role_method *method = role_method_find(path);
    if (!method || (role != ROLE_UNKNOWN && role >= method->lowest))
        return 0;
    return error_text(
            error, EACCES, "role %s is not allowed to perform operation %s", role_name(role), method->operation);
}
