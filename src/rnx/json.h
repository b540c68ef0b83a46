/* JSON as Go's encoding/json writes it with an indent of two blanks, because scripts compare it: "<", ">", "&" and the
 * two Unicode line separators as \uXXXX, other Unicode as it is, bytes that are no UTF-8 as \ufffd, floating-point
 * numbers in the shortest form that reads back. jansson escapes and prints numbers in another way, so the writer is
 * ours. It streams: keys come out in the order of the calls. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH_MAX 16

struct json {
    FILE *file;
    bool compact; /* one line, no blanks */
    unsigned depth;
    bool filled[JSON_DEPTH_MAX]; /* the object or list of this depth has a member */
    bool after_key;
};

/* @file is borrowed. */
void json_init(struct json *json, FILE *file, bool compact);
/* Ends the document with a newline. */
void json_done(struct json *json);

void json_begin_object(struct json *json);
void json_end_object(struct json *json);
void json_begin_list(struct json *json);
void json_end_list(struct json *json);
/* In an object, before each value. */
void json_key(struct json *json, const char *key);

void json_text(struct json *json, const char *text);
void json_bytes(struct json *json, const void *data, size_t size);
void json_integer(struct json *json, int64_t value);
/* Not a number and infinity, which JSON does not have, are written as 0. */
void json_number(struct json *json, double value);
void json_bool(struct json *json, bool value);
void json_null(struct json *json);

/* Key and value; the _set forms write nothing for "" and 0, as Go's omitempty. */
void json_put_text(struct json *json, const char *key, const char *text);
void json_put_text_set(struct json *json, const char *key, const char *text);
void json_put_integer(struct json *json, const char *key, int64_t value);
void json_put_integer_set(struct json *json, const char *key, int64_t value);
void json_put_number(struct json *json, const char *key, double value);
void json_put_number_set(struct json *json, const char *key, double value);
void json_put_bool(struct json *json, const char *key, bool value);
/* A list of texts; when empty the plain form writes null, as Go does for a list that was never made. */
void json_put_texts(struct json *json, const char *key, char *const *texts, size_t count);
void json_put_texts_set(struct json *json, const char *key, char *const *texts, size_t count);
