#include "scratch/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kernel/mount.h"
#include "scratch/message.h"

/* Below the first, as many are made as the second says; more than the third are not kept. Far enough apart that jobs
 * which leave their disk untouched, however many at a time, neither make nor drop any. */
#define READY_LOW 8U
#define READY_WANTED 16U
#define READY_MAX 48U
#define MAKING_MAX 64U
#define WORKERS 4U
/* What a disk holds at most for being written out when it is dropped, which costs a copy in memory: less than a line on
 * the console for every job that wrote a file. */
#define WRITTEN_OUT_MAX (64ULL << 20)
#define STACK_BYTES (256U * 1024)

enum task { TASK_MAKE, TASK_DROP, TASK_LET_GO, TASK_END };

struct item {
    struct item *next;
    uint64_t id;
    enum task task;
    bool is_taken;
    bool is_build;
    bool is_base;
    int image_fd;                      /* base: until it is mounted */
    uint64_t token;                    /* base: joblet's */
    const struct disk_template *model; /* NULL: a base */
    struct disk disk;
    struct error error; /* of making it; code 0: none */
};

struct queue {
    struct item *first;
    struct item *last;
};

struct keeper {
    int channel_fd;
    struct disk_place *place;
    const struct keeper_models *models;
    /* The main thread's. */
    struct item *items; /* ready or taken */
    uint64_t next_id;
    unsigned ready;
    unsigned making;
    unsigned dropping;
    unsigned waiting; /* starts, at joblet */
    bool paused;      /* making failed: not again until something is asked for */
    unsigned builds_wanted;
    unsigned builds_making;
    unsigned bases_making;
    struct item *build_ahead;
    /* Shared. */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct queue todo;
    struct queue done;
    int done_fd;
    pthread_t threads[WORKERS];
    unsigned thread_count;
};

static void queue_push(struct queue *queue, struct item *item)
{
    item->next = NULL;
    *(queue->last ? &queue->last->next : &queue->first) = item;
    queue->last = item;
}

static struct item *queue_pop(struct queue *queue)
{
    struct item *item = queue->first;
    if (item)
        queue->first = item->next;
    if (!queue->first)
        queue->last = NULL;
    return item;
}

/* --- the other threads --- */

static void name_place(const struct item *item, char ret_path[24])
{
    (void)snprintf(ret_path, 24, "/%llu", (unsigned long long)item->id);
}

/* Attached, for only what is attached can be cloned (kernel 6.1). */
static void make(struct keeper *keeper, struct item *item)
{
    char path[24];
    name_place(item, path);
    int r = item->is_base ? disk_open(keeper->place, TAKE_FD(item->image_fd), &item->disk, &item->error)
                          : disk_make(keeper->place, item->model, &item->disk, &item->error);
    if (r < 0)
        return;
    _cleanup_close_ int target = mkdir(path, 0700) < 0 ? -errno : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    r = target < 0 ? -errno : mount_attach(item->disk.mount_fd, target);
    if (r == 0)
        return;
    (void)error_errno(&item->error, -r, "attach a disk");
    (void)rmdir(path);
    disk_close(keeper->place, &item->disk);
}

static void drop(struct keeper *keeper, struct item *item)
{
    char path[24];
    name_place(item, path);
    if (item->task == TASK_DROP && !item->is_base && disk_used_bytes(item->model, &item->disk) > WRITTEN_OUT_MAX)
        disk_shut(&item->disk);
    (void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
    disk_close(keeper->place, &item->disk);
    (void)rmdir(path);
}

static void *work(void *user)
{
    struct keeper *keeper = user;
    const uint64_t one = 1;
    for (;;) {
        (void)pthread_mutex_lock(&keeper->lock);
        struct item *item;
        while (!(item = queue_pop(&keeper->todo)))
            (void)pthread_cond_wait(&keeper->work, &keeper->lock);
        (void)pthread_mutex_unlock(&keeper->lock);
        if (item->task == TASK_END) {
            free(item);
            return NULL;
        }
        if (item->task == TASK_MAKE)
            make(keeper, item);
        else
            drop(keeper, item);
        (void)pthread_mutex_lock(&keeper->lock);
        queue_push(&keeper->done, item);
        (void)pthread_mutex_unlock(&keeper->lock);
        (void)!write(keeper->done_fd, &one, sizeof(one));
    }
}

static void hand_over(struct keeper *keeper, struct item *item, enum task task)
{
    item->task = task;
    keeper->making += task == TASK_MAKE;
    keeper->dropping += task == TASK_DROP || task == TASK_LET_GO;
    (void)pthread_mutex_lock(&keeper->lock);
    queue_push(&keeper->todo, item);
    (void)pthread_cond_signal(&keeper->work);
    (void)pthread_mutex_unlock(&keeper->lock);
}

/* --- the stock --- */

/* joblet never waits for us, so that we may for it. */
static int say(const struct keeper *keeper, const struct scratch_message *message, const int fds[], unsigned count)
{
    int r;
    while ((r = scratch_send(keeper->channel_fd, message, fds, count)) == -EAGAIN) {
        struct pollfd entry = {.fd = keeper->channel_fd, .events = POLLOUT};
        (void)poll(&entry, 1, -1);
    }
    return r;
}

static void refill(struct keeper *keeper)
{
    unsigned have = keeper->ready + keeper->making - keeper->builds_making - keeper->bases_making;
    if (keeper->paused || have >= READY_LOW + keeper->waiting)
        return;
    for (; have < READY_WANTED + keeper->waiting && keeper->making < MAKING_MAX; have++) {
        struct item *item = calloc(1, sizeof(*item));
        if (!item)
            return;
        item->id = ++keeper->next_id;
        item->model = &keeper->models->work;
        hand_over(keeper, item, TASK_MAKE);
    }
}

static void complain_of_build(const struct keeper *keeper, const struct error *error)
{
    struct scratch_message message = {.magic = SCRATCH_MAGIC, .kind = SCRATCH_BUILD_TROUBLE, .error = *error};
    (void)say(keeper, &message, NULL, 0);
}

static void complain(struct keeper *keeper, const struct error *error)
{
    struct scratch_message message = {.magic = SCRATCH_MAGIC, .kind = SCRATCH_TROUBLE, .error = *error};
    keeper->paused = true;
    keeper->waiting = 0;
    (void)say(keeper, &message, NULL, 0);
}

/* Lends the disk to joblet: it is in the list from now on. */
static void offer(struct keeper *keeper, struct item *item)
{
    struct scratch_message message = {.magic = SCRATCH_MAGIC, .kind = SCRATCH_READY, .id = item->id};
    struct error error = {0};
    _cleanup_close_ int fd = disk_clone(&item->disk);
    int r = fd < 0 ? fd : say(keeper, &message, &fd, 1);
    if (r < 0) {
        if (fd < 0) {
            (void)error_errno(&error, -fd, "clone a disk for /work");
            complain(keeper, &error);
        }
        hand_over(keeper, item, TASK_DROP);
        return;
    }
    item->is_taken = false;
    item->next = keeper->items;
    keeper->items = item;
    keeper->ready++;
}

/* --- disks of builds --- */

static void make_build(struct keeper *keeper)
{
    const struct error no_memory = {.code = ENOMEM, .text = "no memory for a disk"};
    struct item *item = calloc(1, sizeof(*item));
    if (!item) {
        if (keeper->builds_wanted > 0) {
            keeper->builds_wanted--;
            complain_of_build(keeper, &no_memory);
        }
        return;
    }
    item->id = ++keeper->next_id;
    item->is_build = true;
    item->model = &keeper->models->build;
    keeper->builds_making++;
    hand_over(keeper, item, TASK_MAKE);
}

/* Gives the disk to joblet, with a mount for the build and one for what looks at it afterwards. */
static void give_build(struct keeper *keeper, struct item *item)
{
    const struct scratch_message message = {.magic = SCRATCH_MAGIC,
            .kind = SCRATCH_BUILD_READY,
            .id = item->id,
            .bytes = item->model->bytes,
            .inodes = item->model->inodes};
    struct error error = {0};
    _cleanup_close_ int first = disk_clone_whole(&item->disk);
    _cleanup_close_ int second = disk_clone_whole(&item->disk);
    const int fds[] = {first, second, item->disk.image_fd};
    keeper->builds_wanted--;
    int r = first < 0 ? first : second;
    if (r >= 0)
        r = say(keeper, &message, fds, ELEMENTS(fds));
    if (r < 0) {
        (void)error_errno(&error, -r, "clone a disk");
        complain_of_build(keeper, &error);
        hand_over(keeper, item, TASK_DROP);
        return;
    }
    item->is_taken = true;
    item->next = keeper->items;
    keeper->items = item;
}

/* For each that is wanted, and one ahead. */
static void refill_builds(struct keeper *keeper)
{
    while (keeper->builds_making < keeper->builds_wanted + 1)
        make_build(keeper);
}

static void on_build_wanted(struct keeper *keeper)
{
    if (keeper->models->build_error.code != 0) {
        complain_of_build(keeper, &keeper->models->build_error);
        return;
    }
    keeper->builds_wanted++;
    if (keeper->build_ahead) {
        struct item *item = keeper->build_ahead;
        keeper->build_ahead = NULL;
        give_build(keeper, item);
    }
    refill_builds(keeper);
}

static void on_build_made(struct keeper *keeper, struct item *item)
{
    keeper->builds_making--;
    if (item->error.code != 0) {
        log_event(LOG_LEVEL_ERROR, "no disk for a build can be made", "error", item->error.text, NULL);
        if (keeper->builds_wanted > 0) {
            keeper->builds_wanted--;
            complain_of_build(keeper, &item->error);
        }
        free(item);
    } else if (keeper->builds_wanted > 0) {
        give_build(keeper, item);
    } else if (!keeper->build_ahead) {
        keeper->build_ahead = item;
    } else {
        hand_over(keeper, item, TASK_DROP);
    }
}

/* --- bases --- */

static void answer_base(const struct keeper *keeper, uint64_t token, const struct error *error)
{
    struct scratch_message message = {
            .magic = SCRATCH_MAGIC, .kind = SCRATCH_BASE_TROUBLE, .token = token, .error = *error};
    (void)say(keeper, &message, NULL, 0);
}

/* Takes @image_fd. */
static void on_base_wanted(struct keeper *keeper, uint64_t token, int image_fd)
{
    const struct error no_memory = {.code = ENOMEM, .text = "no memory for a disk"};
    struct item *item = calloc(1, sizeof(*item));
    if (!item) {
        (void)fd_close(image_fd);
        answer_base(keeper, token, &no_memory);
        return;
    }
    item->id = ++keeper->next_id;
    item->is_build = item->is_base = true;
    item->image_fd = image_fd;
    item->token = token;
    keeper->bases_making++;
    hand_over(keeper, item, TASK_MAKE);
}

static void on_base_made(struct keeper *keeper, struct item *item)
{
    const struct scratch_message message = {
            .magic = SCRATCH_MAGIC, .kind = SCRATCH_BASE_READY, .id = item->id, .token = item->token};
    keeper->bases_making--;
    if (item->error.code != 0) {
        answer_base(keeper, item->token, &item->error);
        free(item);
        return;
    }
    _cleanup_close_ int first = disk_clone_whole(&item->disk);
    _cleanup_close_ int second = disk_clone_whole(&item->disk);
    const int fds[] = {first, second};
    int r = first < 0 ? first : second;
    if (r >= 0)
        r = say(keeper, &message, fds, ELEMENTS(fds));
    if (r < 0) {
        struct error error = {0};
        (void)error_errno(&error, -r, "clone a disk");
        answer_base(keeper, item->token, &error);
        hand_over(keeper, item, TASK_DROP);
        return;
    }
    item->is_taken = true;
    item->next = keeper->items;
    keeper->items = item;
}

/* --- what joblet says --- */

static struct item *find(const struct keeper *keeper, uint64_t id)
{
    struct item *item = keeper->items;
    while (item && item->id != id)
        item = item->next;
    return item;
}

static void take_off(struct keeper *keeper, const struct item *item)
{
    struct item **at = &keeper->items;
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
}

static void on_returned(struct keeper *keeper, struct item *item)
{
    take_off(keeper, item);
    if (!item->is_build && keeper->ready < READY_MAX + keeper->waiting && disk_is_untouched(item->model, &item->disk))
        offer(keeper, item);
    else
        hand_over(keeper, item, TASK_DROP);
}

static int on_message(struct keeper *keeper, const struct scratch_message *message, int fds[SCRATCH_FDS_MAX])
{
    struct item *item;
    switch (message->kind) {
    case SCRATCH_WANTED:
        keeper->waiting = message->count;
        break;
    case SCRATCH_TAKEN:
        item = find(keeper, message->id);
        if (!item || item->is_taken)
            return -EPROTO;
        item->is_taken = true;
        keeper->ready--;
        keeper->waiting = message->count;
        break;
    case SCRATCH_RETURNED:
        item = find(keeper, message->id);
        if (!item || !item->is_taken)
            return -EPROTO;
        on_returned(keeper, item);
        return 0;
    case SCRATCH_BUILD_WANTED:
        on_build_wanted(keeper);
        return 0;
    case SCRATCH_BASE_WANTED:
        if (fds[0] < 0)
            return -EPROTO;
        on_base_wanted(keeper, message->token, TAKE_FD(fds[0]));
        return 0;
    default:
        return -EPROTO;
    }
    keeper->paused = false;
    return 0;
}

static int read_channel(struct keeper *keeper)
{
    struct scratch_message message = {0};
    for (;;) {
        int fds[SCRATCH_FDS_MAX] = {-EBADF, -EBADF, -EBADF};
        int r = scratch_receive(keeper->channel_fd, /* wait= */ 0, &message, fds);
        if (r == -EAGAIN)
            return 0;
        if (r == 0)
            r = on_message(keeper, &message, fds);
        for (unsigned i = 0; i < SCRATCH_FDS_MAX; i++)
            (void)fd_close(fds[i]);
        if (r < 0)
            return r;
    }
}

static void read_done(struct keeper *keeper)
{
    uint64_t count;
    (void)!read(keeper->done_fd, &count, sizeof(count));
    for (;;) {
        (void)pthread_mutex_lock(&keeper->lock);
        struct item *item = queue_pop(&keeper->done);
        (void)pthread_mutex_unlock(&keeper->lock);
        if (!item)
            return;
        if (item->task != TASK_MAKE) {
            keeper->dropping--;
            free(item);
            continue;
        }
        keeper->making--;
        if (item->is_base) {
            on_base_made(keeper, item);
            continue;
        }
        if (item->is_build) {
            on_build_made(keeper, item);
            continue;
        }
        if (item->error.code == 0) {
            offer(keeper, item);
            continue;
        }
        if (!keeper->paused)
            log_event(LOG_LEVEL_ERROR, "no disk for /work can be made", "error", item->error.text, NULL);
        complain(keeper, &item->error);
        free(item);
    }
}

/* --- beginning and end --- */

static int start_workers(struct keeper *keeper)
{
    pthread_attr_t attributes;
    int r = -pthread_attr_init(&attributes);
    if (r == 0)
        r = -pthread_attr_setstacksize(&attributes, STACK_BYTES);
    while (r == 0 && keeper->thread_count < WORKERS) {
        r = -pthread_create(&keeper->threads[keeper->thread_count], &attributes, work, keeper);
        keeper->thread_count += r == 0;
    }
    (void)pthread_attr_destroy(&attributes);
    return r;
}

static void wait_done(const struct keeper *keeper)
{
    struct pollfd entry = {.fd = keeper->done_fd, .events = POLLIN};
    (void)poll(&entry, 1, -1);
}

/* What no job has is dropped; what one has goes with it, and nothing of it is lost before. */
static void finish(struct keeper *keeper)
{
    keeper->paused = true;
    keeper->builds_wanted = 0;
    while (keeper->making > 0) {
        wait_done(keeper);
        read_done(keeper);
    }
    if (keeper->build_ahead)
        hand_over(keeper, TAKE_PTR(keeper->build_ahead), TASK_DROP);
    while (keeper->items) {
        struct item *item = keeper->items;
        take_off(keeper, item);
        hand_over(keeper, item, item->is_taken ? TASK_LET_GO : TASK_DROP);
    }
    while (keeper->dropping > 0) {
        wait_done(keeper);
        read_done(keeper);
    }
    for (unsigned i = 0; i < keeper->thread_count; i++) {
        struct item *item = calloc(1, sizeof(*item));
        if (!item)
            return; /* the process ends in any case */
        hand_over(keeper, item, TASK_END);
    }
    while (keeper->thread_count > 0)
        (void)pthread_join(keeper->threads[--keeper->thread_count], NULL);
}

int keeper_serve(int channel_fd, struct disk_place *place, const struct keeper_models *models)
{
    struct keeper keeper = {.channel_fd = channel_fd,
            .place = place,
            .models = models,
            .lock = PTHREAD_MUTEX_INITIALIZER,
            .work = PTHREAD_COND_INITIALIZER};
    keeper.done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = keeper.done_fd < 0 ? -errno : start_workers(&keeper);
    while (r == 0) {
        refill(&keeper);
        struct pollfd entries[] = {{.fd = channel_fd, .events = POLLIN}, {.fd = keeper.done_fd, .events = POLLIN}};
        if (poll(entries, 2, -1) < 0 && errno != EINTR)
            r = -errno;
        if (entries[1].revents)
            read_done(&keeper);
        if (r == 0 && entries[0].revents)
            r = read_channel(&keeper);
    }
    finish(&keeper);
    (void)fd_close(keeper.done_fd);
    return r == -ENODATA || r == -ECONNRESET ? 0 : r;
}
