#include "watch.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "events.h"
#include "frames.h"
#include "live.h"
#include "log.h"
#include "programs.h"

static struct watch watches[WATCHES_MAX];

struct watch *watch_find(uint32_t sandbox) {
    for (int i = 0; i < WATCHES_MAX; i++)
        if (watches[i].used && watches[i].sandbox == sandbox)
            return &watches[i];
    return NULL;
}

static struct watch *find_free(uint64_t cgroup_id, int *error) {
    struct watch *free = NULL;
    for (int i = 0; i < WATCHES_MAX; i++) {
        if (!watches[i].used && !free) {
            free = &watches[i];
            memset(free, 0, sizeof(*free));
            free->slot = (uint32_t)i;
        }
        if (watches[i].used && watches[i].cgroup_id == cgroup_id) {
            *error = -EEXIST;
            return NULL;
        }
    }
    *error = free ? 0 : -ENOSPC;
    return free;
}

static int copy_string(char *to, size_t room, const uint8_t **at, uint32_t *left, uint32_t length) {
    if (length > *left || length >= room || memchr(*at, 0, length))
        return -EINVAL;
    memcpy(to, *at, length);
    to[length] = 0;
    *at += length;
    *left -= length;
    return 0;
}

static int add_roots(struct watch *watch, uint32_t count, const uint8_t *at, uint32_t left,
                     const char **trouble) {
    char path[PATH_MAX];
    *trouble = "a tracked root";
    if (count > WATCH_ROOTS_MAX)
        return -E2BIG;
    for (uint32_t i = 0; i < count; i++) {
        struct sentry_watch_root root;
        if (left < sizeof(root))
            return -EINVAL;
        memcpy(&root, at, sizeof(root));
        at += sizeof(root);
        left -= (uint32_t)sizeof(root);
        int error = copy_string(path, sizeof(path), &at, &left, root.path_length);
        if (!error)
            error = root_track(&watch->roots[watch->root_count], root.root, path);
        /* Without hints a watch still gives lifecycle events; READY said that there are none. */
        if (error == -ENOTSUP && !programs_have_hints())
            continue;
        if (error)
            return error;
        watch->root_count++;
    }
    return 0;
}

int watch_start(uint32_t sandbox, const struct sentry_watch *request, const uint8_t *strings,
                uint32_t length, const char **trouble) {
    int error;
    struct watch *watch = find_free(request->cgroup_id, &error);
    *trouble = "the watch";
    if (watch_find(sandbox))
        return -EEXIST;
    if (!watch)
        return error;
    *trouble = "the cgroup's path";
    error = copy_string(watch->cgroup_path, sizeof(watch->cgroup_path), &strings, &length,
                        request->cgroup_path_length);
    if (error)
        return error;
    watch->sandbox = sandbox;
    watch->cgroup_id = request->cgroup_id;
    error = add_roots(watch, request->root_count, strings, length, trouble);
    if (!error && programs_have_lifecycle()) {
        struct watch_value value = {.sandbox = sandbox, .slot = watch->slot};
        *trouble = "the lifecycle programs";
        watch->before = programs_counters(watch->slot);
        error = programs_watch(watch->cgroup_id, &value);
    }
    if (error) {
        while (watch->root_count > 0)
            root_untrack(&watch->roots[--watch->root_count]);
        return error;
    }
    reach_start(&watch->reach);
    watch->used = true;
    return 0;
}

void watch_stop(struct watch *watch) {
    watch_drain();
    reach_stop(&watch->reach);
    if (programs_have_lifecycle())
        programs_unwatch(watch->cgroup_id);
    while (watch->root_count > 0)
        root_untrack(&watch->roots[--watch->root_count]);
    watch->used = false;
}

int watch_set_guarded(struct watch *watch) {
    struct watch_value value = {.sandbox = watch->sandbox, .slot = watch->slot, .guarded = 1};
    int error = programs_watch(watch->cgroup_id, &value);
    if (!error)
        watch->guarded = true;
    return error;
}

static uint64_t wall_ms(uint64_t boot_ns) {
    struct timespec boot, wall;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t age = (int64_t)boot.tv_sec * 1000000000 + boot.tv_nsec - (int64_t)boot_ns;
    return (uint64_t)(((int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - age) / 1000000);
}

/* The components come leaf first; the path is written from its end. Returns its start. */
static const char *join_names(const char *names, uint32_t length, char *out, size_t size) {
    char *at = out + size;
    const char *end = names + length;
    *--at = 0;
    while (names < end) {
        size_t part = strnlen(names, (size_t)(end - names));
        if ((size_t)(at - out) < part + 1)
            break;
        at -= part;
        memcpy(at, names, part);
        *--at = '/';
        names += part + 1;
    }
    return at;
}

static void send_exec(const struct process_event *event, const char *program, const char *argv) {
    struct sentry_exec exec = {.pid = event->pid,
                               .sandbox_pid = event->sandbox_pid,
                               .at_ms = wall_ms(event->at_ns),
                               .program_length = (uint32_t)strlen(program),
                               .argv_length = event->argv_length};
    if (event->flags & EVENT_ARGV_TRUNCATED)
        exec.flags |= SENTRY_EXEC_ARGV_TRUNCATED;
    frame_begin(SENTRY_EXEC, 0, event->sandbox);
    frame_put(&exec, sizeof(exec));
    frame_put(program, exec.program_length);
    frame_put(argv, exec.argv_length);
    frame_end();
}

static void send_killed(const struct process_event *event, const char *program) {
    struct sentry_exec_killed killed = {
        .pid = event->pid, .reason = event->code, .program_length = (uint32_t)strlen(program)};
    frame_begin(SENTRY_EXEC_KILLED, 0, event->sandbox);
    frame_put(&killed, sizeof(killed));
    frame_put(program, killed.program_length);
    frame_end();
}

static void send_exit(const struct process_event *event) {
    struct sentry_exit gone = {.pid = event->pid};
    int signal = (int)(event->code & 0x7f);
    gone.exit_code = signal ? 128 + signal : (int32_t)(event->code >> 8 & 0xff);
    frame_begin(SENTRY_EXIT, 0, event->sandbox);
    frame_put(&gone, sizeof(gone));
    frame_end();
}

static void on_event(const struct process_event *event, const char *names, const char *argv) {
    char path[EVENT_NAMES_MAX + EVENT_NAME_MAX];
    struct watch *watch = watch_find(event->sandbox);
    if (!watch)
        return;
    if (event->kind != EVENT_KILLED && !frames_room_for_events()) {
        watch->queue_dropped++;
        return;
    }
    if (event->kind == EVENT_EXIT) {
        send_exit(event);
        return;
    }
    const char *program = join_names(names, event->names_length, path, sizeof(path));
    if (event->kind == EVENT_KILLED)
        send_killed(event, program);
    else if (event->kind == EVENT_EXEC)
        send_exec(event, program, argv);
}

void watch_drain(void) {
    if (programs_drain(on_event) == 0)
        return;
    say("events are still being written after a long wait: counted as dropped");
    for (int i = 0; i < WATCHES_MAX; i++)
        if (watches[i].used)
            watches[i].queue_dropped++;
}

static void send_root(const struct watch *watch, uint32_t request, uint32_t number,
                      const struct root_hints *hints) {
    struct sentry_root root = {.root = number, .inode_count = hints->count};
    if (hints->hints > 0)
        root.flags |= SENTRY_ROOT_DIRTY;
    if (hints->overflow)
        root.flags |= SENTRY_ROOT_OVERFLOW;
    frame_begin(SENTRY_ROOT, request, watch->sandbox);
    frame_put(&root, sizeof(root));
    frame_put(hints->ino, hints->count * sizeof(*hints->ino));
    frame_end();
}

static bool first_on_device(const struct watch *watch, uint32_t index) {
    for (uint32_t i = 0; i < index; i++)
        if (watch->roots[i].device == watch->roots[index].device)
            return false;
    return true;
}

void watch_fence(struct watch *watch, uint32_t request, uint32_t flags) {
    struct sentry_fence_end end = {0};
    static struct root_hints hints;
    if (!(flags & SENTRY_FENCE_NOW))
        roots_settle(watch->roots, watch->root_count);
    for (uint32_t i = 0; i < watch->root_count; i++) {
        uint64_t unassigned;
        root_take(&watch->roots[i], 1, &hints);
        send_root(watch, request, watch->roots[i].root, &hints);
        unassigned = root_take_unassigned(&watch->roots[i]);
        if (first_on_device(watch, i))
            end.unassigned += unassigned;
    }
    if (programs_have_lifecycle()) {
        /* Counters first: what they hold has been sent to the ring, or was counted as dropped. */
        struct watch_counters now = programs_counters(watch->slot);
        watch_drain();
        end.executed = now.executed - watch->before.executed;
        end.forked = now.forked - watch->before.forked;
        end.dropped =
            programs_counters(watch->slot).dropped - watch->before.dropped + watch->queue_dropped;
        now.dropped = programs_counters(watch->slot).dropped;
        watch->before = now;
        watch->queue_dropped = 0;
    }
    end.reached = reach_take(&watch->reach, watch->cgroup_path);
    live_send(watch->cgroup_path, request, watch->sandbox);
    frame_begin(SENTRY_FENCE_END, request, watch->sandbox);
    frame_put(&end, sizeof(end));
    frame_end();
}
