/* The events of fanotify as bytes: what the kernel writes, and what it does not. */
#include "kernel/fanotify.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>

#include <cmocka.h>

#include "base/fd.h"

static char buffer[512] __attribute__((aligned(8)));
static size_t used;

static void put(const void *bytes, size_t size)
{
    memcpy(buffer + used, bytes, size);
    used += size;
}

static void begin(uint64_t mask)
{
    const struct fanotify_event_metadata head = {
            .metadata_len = sizeof(head), .vers = FANOTIFY_METADATA_VERSION, .mask = mask, .fd = FAN_NOFD};
    put(&head, sizeof(head));
}

/* A handle of 8 bytes, all @byte. */
static void add_part(uint8_t type, char byte, const char *name)
{
    char bytes[8];
    size_t name_size = name ? strlen(name) + 1 : 0;
    struct fanotify_event_info_fid head = {.hdr.info_type = type, .fsid.val = {7, 8}};
    const struct file_handle handle = {.handle_bytes = sizeof(bytes), .handle_type = 1};
    memset(bytes, byte, sizeof(bytes));
    head.hdr.len = (uint16_t)(sizeof(head) + sizeof(handle) + sizeof(bytes) + (name_size + 3) / 4 * 4);
    put(&head, sizeof(head));
    put(&handle, sizeof(handle));
    put(bytes, sizeof(bytes));
    memset(buffer + used, 0, (name_size + 3) / 4 * 4);
    memcpy(buffer + used, name ? name : "", name_size);
    used += (name_size + 3) / 4 * 4;
}

static void end(size_t from)
{
    uint32_t size = (uint32_t)(used - from);
    memcpy(buffer + from, &size, sizeof(size));
}

static void test_events(void **state)
{
    (void)state;
    struct fanotify_event event;
    size_t at = 0;
    used = 0;
    begin(FAN_CREATE);
    add_part(FAN_EVENT_INFO_TYPE_DFID_NAME, 'd', "name");
    add_part(FAN_EVENT_INFO_TYPE_FID, 'f', NULL);
    end(0);
    size_t second = used;
    begin(FAN_ATTRIB);
    add_part(FAN_EVENT_INFO_TYPE_FID, 'l', NULL);
    end(second);
    size_t third = used;
    begin(FAN_MOVED_TO | FAN_ONDIR);
    add_part(FAN_EVENT_INFO_TYPE_DFID_NAME, 'p', "dir");
    end(third);
    size_t fourth = used;
    begin(FAN_Q_OVERFLOW);
    end(fourth);
    assert_int_equal(fanotify_parse(buffer, used, at, &event, &at), 0);
    assert_string_equal(event.name, "name");
    assert_false(event.is_directory || event.is_moved || event.is_overflow);
    assert_int_equal(event.parent.size, sizeof(struct file_handle) + 8);
    assert_int_equal(((const char *)event.parent.bytes)[sizeof(struct file_handle)], 'd');
    assert_int_equal(((const char *)event.object.bytes)[sizeof(struct file_handle)], 'f');
    assert_int_equal(event.object.fsid[1], 8);
    assert_int_equal(fanotify_parse(buffer, used, at, &event, &at), 0);
    assert_null(event.name);
    assert_null(event.parent.bytes);
    assert_int_equal(fanotify_parse(buffer, used, at, &event, &at), 0);
    assert_true(event.is_directory && event.is_moved);
    assert_null(event.object.bytes);
    assert_int_equal(fanotify_parse(buffer, used, at, &event, &at), 0);
    assert_true(event.is_overflow);
    assert_int_equal(at, used);
}

/* Cut anywhere, and with each length wrong: refused, and nothing behind the end is read (the copy ends there). */
static void test_malformed(void **state)
{
    (void)state;
    struct fanotify_event event;
    size_t next;
    used = 0;
    begin(FAN_CREATE);
    add_part(FAN_EVENT_INFO_TYPE_DFID_NAME, 'd', "name");
    add_part(FAN_EVENT_INFO_TYPE_FID, 'f', NULL);
    end(0);
    for (size_t size = 0; size < used; size++) {
        _cleanup_free_ char *copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy, buffer, size);
        assert_int_equal(fanotify_parse(copy, size, 0, &event, &next), -EBADMSG);
        if (size < sizeof(uint32_t))
            continue;
        /* The event says that it ends here: only without any part of its second one is it whole. */
        uint32_t length = (uint32_t)size;
        memcpy(copy, &length, sizeof(length));
        size_t whole = sizeof(struct fanotify_event_metadata) + sizeof(struct fanotify_event_info_fid) +
                       sizeof(struct file_handle) + 8 + 8;
        assert_int_equal(fanotify_parse(copy, size, 0, &event, &next), size == whole ? 0 : -EBADMSG);
    }
    static const size_t lengths[] = {offsetof(struct fanotify_event_metadata, vers),
            offsetof(struct fanotify_event_metadata, metadata_len),
            sizeof(struct fanotify_event_metadata), /* the kind of the first part */
            sizeof(struct fanotify_event_metadata) + offsetof(struct fanotify_event_info_header, len) + 1,
            sizeof(struct fanotify_event_metadata) + sizeof(struct fanotify_event_info_fid)};
    for (size_t i = 0; i < ELEMENTS(lengths); i++) {
        char old = buffer[lengths[i]];
        buffer[lengths[i]] = (char)0xee;
        assert_int_equal(fanotify_parse(buffer, used, 0, &event, &next), -EBADMSG);
        buffer[lengths[i]] = old;
    }
    assert_int_equal(fanotify_parse(buffer, used, 0, &event, &next), 0);
    /* About nothing. */
    used = 0;
    begin(FAN_ATTRIB);
    end(0);
    assert_int_equal(fanotify_parse(buffer, used, 0, &event, &next), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_events), cmocka_unit_test(test_malformed)};
    return cmocka_run_group_tests_name("kernel/fanotify", tests, NULL, NULL);
}
