/* The findings for people and for programs. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor/row.h"

#define NAME_WIDTH 29
#define VERDICT_WIDTH 14

static const char *verdict_colour(enum verdict verdict, enum need need)
{
    if (verdict == VERDICT_HOLDS)
        return "\033[32m";
    return need == NEED_JOBS ? "\033[31m" : "\033[33m";
}

static void print_row(const struct row *row, const struct finding *finding, bool colours)
{
    (void)printf("  %-*s %s%-*s%s %s\n", NAME_WIDTH, row->name,
            colours ? verdict_colour(finding->verdict, row->need) : "", VERDICT_WIDTH, verdict_name(finding->verdict),
            colours ? "\033[0m" : "", finding->seen);
    if (finding->verdict != VERDICT_FAILS)
        return;
    (void)printf("  %-*s %-*s -> %s\n", NAME_WIDTH, "", VERDICT_WIDTH, "", row_follows(row));
    if (row->mend)
        (void)printf("  %-*s %-*s    %s\n", NAME_WIDTH, "", VERDICT_WIDTH, "", row->mend);
}

static unsigned count_missing(const struct finding findings[])
{
    unsigned count = 0;
    for (size_t i = 0; i < doctor_row_count; i++)
        if (doctor_rows[i].need == NEED_JOBS && findings[i].verdict != VERDICT_HOLDS)
            count++;
    return count;
}

int report_text(const struct doctor *doctor, const struct finding findings[], bool jobs_can_run)
{
    const char *area = "";
    bool colours = isatty(STDOUT_FILENO) == 1;
    (void)printf("joblet doctor: %s\n", doctor->prefix);
    for (size_t i = 0; i < doctor_row_count; i++) {
        if (doctor_rows[i].need == NEED_CIS)
            continue;
        if (strcmp(area, doctor_rows[i].area) != 0) {
            area = doctor_rows[i].area;
            (void)printf("\n%s\n", area);
        }
        print_row(&doctor_rows[i], &findings[i], colours);
    }
    if (jobs_can_run)
        (void)printf("\nJobs can run on this host.\n");
    else
        (void)printf("\nJobs cannot run: %u of the things that they need do not hold or could not be tested.\n",
                count_missing(findings));
    return fflush(stdout) == 0 ? 0 : -EIO;
}

static json_t *row_to_json(const struct row *row, const struct finding *finding)
{
    bool fails = finding->verdict == VERDICT_FAILS;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:s?}", "area", row->area, "name", row->name, "requiredFor",
            need_name(row->need), "result", verdict_name(finding->verdict), "seen", finding->seen, "follows",
            fails ? row_follows(row) : NULL, "mend", fails ? row->mend : NULL);
}

int report_json(const struct doctor *doctor, const struct finding findings[], bool jobs_can_run)
{
    struct utsname names = {0};
    (void)uname(&names);
    json_t *rows = json_array();
    size_t count = 0;
    for (size_t i = 0; i < doctor_row_count; i++) {
        if (doctor_rows[i].need == NEED_CIS)
            continue;
        (void)json_array_append_new(rows, row_to_json(&doctor_rows[i], &findings[i]));
        count++;
    }
    json_t *report = json_pack("{s:s, s:s, s:b, s:o}", "prefix", doctor->prefix, "kernel", names.release, "jobsCanRun",
            (int)jobs_can_run, "rows", rows);
    /* jansson refuses texts that are not UTF-8, such as a path may be. */
    int r = report && json_array_size(rows) == count ? json_dumpf(report, stdout, JSON_INDENT(2)) : -1;
    json_decref(report);
    return r == 0 && putchar('\n') != EOF && fflush(stdout) == 0 ? 0 : -EIO;
}

/* --- "doctor --cis" --- */

static const char *cis_name(enum verdict verdict)
{
    static const char *const names[] = {
            [VERDICT_NOT_TESTED] = "INFO", [VERDICT_HOLDS] = "PASS", [VERDICT_FAILS] = "FAIL"};
    return names[verdict];
}

unsigned report_cis_failures(const struct finding findings[])
{
    unsigned count = 0;
    for (size_t i = 0; i < doctor_row_count; i++)
        count += doctor_rows[i].id && findings[i].verdict == VERDICT_FAILS;
    return count;
}

int report_cis_text(const struct doctor *doctor, const struct finding findings[])
{
    (void)printf("joblet doctor --cis: %s\n\n", doctor->prefix);
    for (size_t i = 0; i < doctor_row_count; i++) {
        const struct row *row = &doctor_rows[i];
        if (!row->id)
            continue;
        (void)printf("%-4s  %-10s  %s: %s  (%s)\n", cis_name(findings[i].verdict), row->id, row->name, findings[i].seen,
                row->shows);
        if (findings[i].verdict == VERDICT_FAILS && row->mend)
            (void)printf("                  -> %s\n", row->mend);
    }
    (void)printf("\n%u of the checks fail\n", report_cis_failures(findings));
    return fflush(stdout) == 0 ? 0 : -EIO;
}

int report_cis_json(const struct doctor *doctor, const struct finding findings[])
{
    json_t *rows = json_array();
    for (size_t i = 0; i < doctor_row_count; i++) {
        const struct row *row = &doctor_rows[i];
        if (row->id)
            (void)json_array_append_new(
                    rows, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?}", "id", row->id, "name", row->name, "result",
                                  cis_name(findings[i].verdict), "seen", findings[i].seen, "shows", row->shows, "mend",
                                  findings[i].verdict == VERDICT_FAILS ? row->mend : NULL));
    }
    json_t *report = json_pack(
            "{s:s, s:i, s:o}", "prefix", doctor->prefix, "failed", (int)report_cis_failures(findings), "checks", rows);
    int r = report ? json_dumpf(report, stdout, JSON_INDENT(2)) : -1;
    json_decref(report);
    return r == 0 && putchar('\n') != EOF && fflush(stdout) == 0 ? 0 : -EIO;
}
