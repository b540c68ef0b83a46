/* What `rnx audit list` and `show` share. */
#pragma once

#include "joblet_ext.pb-c.h"

/* The value of the record's field, or "". Borrowed. */
const char *audit_field(const Joblet__Ext__AuditRecord *record, const char *name);
