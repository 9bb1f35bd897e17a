/*
 * The sentry: holds BPF, seccomp notifications and the verification at exec for its owner, which
 * speaks frames on our stdin and stdout. Mechanism only; every decision is the owner's. Ends when
 * stdin ends. sentry --state-dir DIR [--event-ring-bytes N]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "frames.h"
#include "guard.h"
#include "inject.h"
#include "live.h"
#include "log.h"
#include "loop.h"
#include "programs.h"
#include "reguard.h"
#include "selftest.h"
#include "states.h"
#include "watch.h"

#define CHECK_ASKS_MS 100
#define IDLE_MS 5000

static int epoll;
static bool ended;

int loop_add(struct source *source, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, source->fd, &event) == 0 ? 0 : -errno;
}

void loop_change(struct source *source, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    epoll_ctl(epoll, EPOLL_CTL_MOD, source->fd, &event);
}

void loop_remove(struct source *source) { epoll_ctl(epoll, EPOLL_CTL_DEL, source->fd, NULL); }

static void send_done(const struct sentry_frame *frame, int error, const char *message) {
    struct sentry_done done = {.status = -error, .message_length = (uint32_t)strlen(message)};
    frame_begin(SENTRY_DONE, frame->request, frame->sandbox);
    frame_put(&done, sizeof(done));
    frame_put(message, done.message_length);
    frame_end();
}

static void on_watch(const struct sentry_frame *frame, const uint8_t *payload) {
    struct sentry_watch request;
    const char *trouble = "the frame";
    int error = -EINVAL;
    if (frame->length >= sizeof(request)) {
        memcpy(&request, payload, sizeof(request));
        error = watch_start(frame->sandbox, &request, payload + sizeof(request),
                            frame->length - (uint32_t)sizeof(request), &trouble);
    }
    send_done(frame, error, error ? trouble : "");
}

static void on_guard(const struct sentry_frame *frame, const uint8_t *payload,
                     struct watch *watch) {
    char path[PATH_MAX];
    int error = -ENAMETOOLONG;
    if (frame->length < sizeof(path)) {
        memcpy(path, payload, frame->length);
        path[frame->length] = 0;
        error = guard_listen(watch, path);
    }
    send_done(frame, error, error ? "the guard's socket" : "");
}

static void on_reguard(const struct sentry_frame *frame, struct watch *watch) {
    static pid_t failed[REGUARD_FAILED_MAX];
    struct sentry_reguarded reply = {0};
    int count = reguard(watch, failed, REGUARD_FAILED_MAX);
    if (count < 0) {
        send_done(frame, count, "the sandbox's processes");
        return;
    }
    reply.count = (uint32_t)count;
    frame_begin(SENTRY_REGUARDED, frame->request, frame->sandbox);
    frame_put(&reply, sizeof(reply));
    frame_put(failed, (size_t)count * sizeof(*failed));
    frame_end();
}

static void on_fence(const struct sentry_frame *frame, const uint8_t *payload,
                     struct watch *watch) {
    struct sentry_fence fence = {0};
    if (frame->length == sizeof(fence))
        memcpy(&fence, payload, sizeof(fence));
    watch_fence(watch, frame->request, fence.flags);
}

static void on_states(const struct sentry_frame *frame, const uint8_t *payload,
                      const struct watch *watch) {
    uint32_t count = frame->length / (uint32_t)sizeof(uint32_t);
    if (count > CGROUP_PIDS_MAX)
        send_done(frame, -E2BIG, "the processes");
    else
        states_send(payload, count, frame->request, frame->sandbox, watch->cgroup_path);
}

static void on_answer(const struct sentry_frame *frame, const uint8_t *payload) {
    struct sentry_answer answer;
    if (frame->length != sizeof(answer))
        return;
    memcpy(&answer, payload, sizeof(answer));
    guard_answer(&answer);
}

static void on_frame(const struct sentry_frame *frame, const uint8_t *payload) {
    struct watch *watch = watch_find(frame->sandbox);
    if (frame->type == SENTRY_WATCH) {
        on_watch(frame, payload);
    } else if (frame->type == SENTRY_ANSWER) {
        on_answer(frame, payload);
    } else if (frame->type == SENTRY_FORGET) {
        guard_forget(frame->sandbox);
    } else if (!watch) {
        send_done(frame, -ENOENT, "no such watch");
    } else if (frame->type == SENTRY_UNWATCH) {
        guard_stop(frame->sandbox);
        watch_stop(watch);
        send_done(frame, 0, "");
    } else if (frame->type == SENTRY_FENCE) {
        on_fence(frame, payload, watch);
    } else if (frame->type == SENTRY_STATES) {
        on_states(frame, payload, watch);
    } else if (frame->type == SENTRY_GUARD) {
        on_guard(frame, payload, watch);
    } else if (frame->type == SENTRY_REGUARD) {
        on_reguard(frame, watch);
    } else {
        send_done(frame, -ENOSYS, "unknown request");
    }
}

static void on_stdin(struct source *source, uint32_t events) {
    (void)source;
    (void)events;
    if (!frames_receive(on_frame))
        ended = true;
}

static void on_stdout(struct source *source, uint32_t events) {
    (void)source;
    if (events & (EPOLLERR | EPOLLHUP))
        ended = true;
}

static void on_events(struct source *source, uint32_t events) {
    (void)source;
    (void)events;
    watch_drain();
}

static void send_ready(const char *state_dir) {
    char hints[512], verify[512];
    struct sentry_ready ready = {.version = SENTRY_VERSION};
    bool lifecycle = false;
    if (selftest_verify(&lifecycle, verify, sizeof(verify)))
        ready.features |= SENTRY_HAS_VERIFY;
    if (lifecycle)
        ready.features |= SENTRY_HAS_LIFECYCLE;
    if (selftest_hints(state_dir, hints, sizeof(hints)))
        ready.features |= SENTRY_HAS_HINTS;
    ready.hints_detail_length = (uint32_t)strlen(hints);
    ready.verify_detail_length = (uint32_t)strlen(verify);
    frame_begin(SENTRY_READY, 0, 0);
    frame_put(&ready, sizeof(ready));
    frame_put(hints, ready.hints_detail_length);
    frame_put(verify, ready.verify_detail_length);
    frame_end();
}

static void run(void) {
    struct source in = {.fd = 0, .ready = on_stdin}, out = {.fd = 1, .ready = on_stdout};
    struct source events = {.fd = programs_events_fd(), .ready = on_events};
    bool writing = false;
    loop_add(&in, EPOLLIN);
    loop_add(&out, 0);
    if (events.fd >= 0)
        loop_add(&events, EPOLLIN);
    while (!ended) {
        struct epoll_event event;
        if (!frames_flush())
            break;
        if (frames_pending() != writing) {
            writing = !writing;
            loop_change(&out, writing ? EPOLLOUT : 0);
        }
        /* One at a time: a handler may close and free another's source. */
        int got = epoll_wait(epoll, &event, 1, guard_pending() ? CHECK_ASKS_MS : IDLE_MS);
        if (got > 0) {
            struct source *source = event.data.ptr;
            source->ready(source, event.events);
        }
        guard_check();
        inject_reap();
    }
}

int main(int argc, char **argv) {
    struct rlimit files = {65536, 65536};
    uint32_t event_ring_bytes = 0; /* as large as it was built */
    if (argc == 5 && strcmp(argv[3], "--event-ring-bytes") == 0)
        event_ring_bytes = (uint32_t)strtoul(argv[4], NULL, 10);
    else if (argc != 3)
        argc = 0;
    if (argc == 0 || strcmp(argv[1], "--state-dir") != 0) {
        say("usage: sentry --state-dir DIR [--event-ring-bytes N]");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    /* A terminal's interrupt goes to the owner as well, who still needs us to end in order; stdin's
     * end is our sign. */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    setrlimit(RLIMIT_NOFILE, &files); /* held files of pending asks; fewer is fine */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    programs_load(event_ring_bytes);
    send_ready(argv[2]);
    fcntl(0, F_SETFL, O_NONBLOCK);
    fcntl(1, F_SETFL, O_NONBLOCK);
    run();
    return 0;
}
