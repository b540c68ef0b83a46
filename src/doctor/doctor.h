/* The verb "joblet doctor": what this host can and cannot enforce, found by trying each thing that a sandbox needs. */
#pragma once

/* Tries every row of the table for the prefix at @prefix, which need not be set up, and prints a table, or with
 * "--json" one JSON object. With "--cis" the rows with an id, as PASS, FAIL or INFO. Each try runs in a process of its
 * own and leaves nothing. @arguments are those behind the verb. The exit status: 0 when everything that jobs need holds
 * (with --cis: when nothing fails), 1 when not, 2 for a malformed call. */
int doctor_main(const char *prefix, int count, char **arguments);
