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
#define AUDIT(name) "/joblet.ext.AuditService/" name

static const struct role_method methods[] = {
        {JOB("RunJob"), "run_job", ROLE_DEVELOPER, "job.run", true},
        {JOB("GetJobStatus"), "get_job", ROLE_READER, "job.status", false},
        {JOB("StopJob"), "stop_job", ROLE_DEVELOPER, "job.stop", true},
        {JOB("CancelJob"), "stop_job", ROLE_DEVELOPER, "job.cancel", true},
        {JOB("DeleteJob"), "delete_job", ROLE_DEVELOPER, "job.delete", true},
        {JOB("DeleteAllJobs"), "delete_job", ROLE_DEVELOPER, "job.delete-all", true},
        {JOB("GetJobLogs"), "get_job_logs", ROLE_READER, "job.log", false},
        {JOB("ListJobs"), "list_jobs", ROLE_READER, "job.list", false},
        {JOB("StreamJobMetrics"), "get_job", ROLE_READER, "job.metrics", false},
        {JOB("GetJobMetrics"), "get_job", ROLE_READER, "job.metrics", false},
        {JOB("StreamJobTelematics"), "get_job", ROLE_READER, "job.telematics", false},
        {JOB("GetJobTelematics"), "get_job", ROLE_READER, "job.telematics", false},
        {NETWORK("CreateNetwork"), "create_network", ROLE_MAINTAINER, "network.create", true},
        {NETWORK("ListNetworks"), "list_networks", ROLE_READER, "network.list", false},
        {NETWORK("RemoveNetwork"), "remove_network", ROLE_ADMIN, "network.remove", true},
        {VOLUME("CreateVolume"), "create_volume", ROLE_MAINTAINER, "volume.create", true},
        {VOLUME("ListVolumes"), "list_volumes", ROLE_READER, "volume.list", false},
        {VOLUME("RemoveVolume"), "remove_volume", ROLE_ADMIN, "volume.remove", true},
        {MONITORING("GetSystemStatus"), "get_metrics", ROLE_READER, "monitor.status", false},
        {MONITORING("StreamSystemMetrics"), "get_metrics", ROLE_READER, "monitor.metrics", false},
        {RUNTIME("ListRuntimes"), "list_runtimes", ROLE_READER, "runtime.list", false},
        {RUNTIME("GetRuntimeInfo"), "get_runtime_info", ROLE_READER, "runtime.info", false},
        {RUNTIME("TestRuntime"), "test_runtime", ROLE_DEVELOPER, "runtime.test", true},
        {RUNTIME("RemoveRuntime"), "remove_runtime", ROLE_ADMIN, "runtime.remove", true},
        {RUNTIME("BuildRuntime"), "build_runtime", ROLE_MAINTAINER, "runtime.build", true},
        {RUNTIME("ValidateRuntimeYAML"), "validate_runtime", ROLE_MAINTAINER, "runtime.validate", true},
        {AUDIT("ListRecords"), "list_audit", ROLE_ADMIN, "audit.list", false},
        {AUDIT("GetRecord"), "show_audit", ROLE_ADMIN, "audit.show", false},
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
