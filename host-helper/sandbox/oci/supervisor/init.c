/*
 * Pid 1 of a sandbox: starts processes for the host, keeps their output, reaps everything, and tells of exits.
 * One host at a time is attached through a unix socket that listens inside the sandbox; the host detaches before a dump and attaches
 * after it, here and in every branch. Nothing in here knows why a process runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "modes.h"
#include "wire.h"

#define OUT_CAPACITY (256u << 10)
#define CONTROL_RESERVE (16u << 10) /* kept free of output, so that answers always fit */

static struct child children[CHILD_LIMIT];
static uint32_t next_tag = 1;
static uint32_t next_child; /* round robin among talkative children */

static int host_fd = -1;
static bool detaching;
static uint8_t in_buffer[sizeof(struct frame_header) + WIRE_MAX_PAYLOAD];
static size_t in_used;
static uint8_t out_buffer[OUT_CAPACITY];
static size_t out_used;

static void host_gone(void) {
    if (host_fd >= 0)
        close(host_fd);
    host_fd = -1;
    detaching = false;
    in_used = out_used = 0;
    for (uint32_t i = 0; i < CHILD_LIMIT; i++)
        children[i].exit_sent = false;
}

/* Queues a frame; a host that lets answers pile up past every bound is cut off. */
static void send_frame(uint8_t kind, uint8_t stream, uint32_t tag, const void *payload, uint32_t length) {
    struct frame_header header = {.length = length, .kind = kind, .stream = stream, .tag = tag};
    if (host_fd < 0)
        return;
    if (out_used + sizeof(header) + length > sizeof(out_buffer)) {
        host_gone();
        return;
    }
    memcpy(out_buffer + out_used, &header, sizeof(header));
    if (length > 0)
        memcpy(out_buffer + out_used + sizeof(header), payload, length);
    out_used += sizeof(header) + length;
}

static void send_child(uint8_t kind, uint32_t tag, const struct child *child) {
    struct child_payload payload = {
        .tag = child->tag,
        .pid = (uint32_t)child->pid,
        .flags = child->terminal ? SPAWN_TERMINAL : 0,
        .unconsumed = (uint32_t)child->input.used,
    };
    send_frame(kind, 0, tag, &payload, sizeof(payload));
}

static void send_failure(uint32_t request, struct spawn_failure failure) {
    send_frame(FRAME_SPAWN_FAILED, 0, request, &failure, sizeof(failure));
}

static void flush_out(void) {
    while (host_fd >= 0 && out_used > 0) {
        ssize_t put = send(host_fd, out_buffer, out_used, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (put < 0) {
            host_gone();
            return;
        }
        memmove(out_buffer, out_buffer + put, out_used - (size_t)put);
        out_used -= (size_t)put;
    }
}

static bool output_fits(uint32_t length) {
    return out_used + sizeof(struct frame_header) + length + CONTROL_RESERVE <= sizeof(out_buffer);
}

/* Moves one piece of a stream to the host; false when there is nothing or no room. */
static bool send_output(struct child *child, int stream) {
    const uint8_t *bytes;
    size_t size = child->output[stream].used ? ring_peek(&child->output[stream], &bytes) : 0;
    if (size == 0 || !output_fits(WIRE_MAX_OUTPUT))
        return false;
    if (child->dropped[stream] > 0) {
        send_frame(FRAME_DROPPED, (uint8_t)(stream + 1), child->tag, &child->dropped[stream], sizeof(uint64_t));
        child->dropped[stream] = 0;
    }
    if (size > WIRE_MAX_OUTPUT)
        size = WIRE_MAX_OUTPUT;
    send_frame(FRAME_OUTPUT, (uint8_t)(stream + 1), child->tag, bytes, (uint32_t)size);
    ring_consume(&child->output[stream], size);
    return true;
}

static void send_child_news(struct child *child) {
    if (child->consumed > 0 && output_fits(sizeof(uint32_t))) {
        send_frame(FRAME_STDIN_CONSUMED, 0, child->tag, &child->consumed, sizeof(uint32_t));
        child->consumed = 0;
    }
    bool more = child->output[0].used > 0 || child->output[1].used > 0;
    if (child->exited && child->started && !child->exit_sent && !child->acknowledged && !more &&
        output_fits(sizeof(uint32_t))) {
        send_frame(FRAME_EXIT, 0, child->tag, &child->exit_code, sizeof(uint32_t));
        child->exit_sent = true;
    }
}

static void send_news(void) {
    if (host_fd < 0 || detaching)
        return;
    bool busy = true;
    while (busy) {
        busy = false;
        for (uint32_t i = 0; i < CHILD_LIMIT && host_fd >= 0; i++) {
            struct child *child = &children[(next_child + i) % CHILD_LIMIT];
            if (!child->used || !child->started || child->acknowledged)
                continue;
            busy |= send_output(child, 0);
            busy |= send_output(child, 1);
            send_child_news(child);
        }
        next_child = (next_child + 1) % CHILD_LIMIT;
        flush_out();
    }
}

static struct child *find_tag(uint32_t tag) {
    for (uint32_t i = 0; i < CHILD_LIMIT; i++) {
        if (children[i].used && children[i].tag == tag)
            return &children[i];
    }
    return NULL;
}

static void on_spawn(uint32_t request, uint8_t *payload, uint32_t length) {
    struct spawn_failure failure = {EAGAIN, STAGE_RESOURCES};
    for (uint32_t i = 0; i < CHILD_LIMIT; i++) {
        if (children[i].used)
            continue;
        if (!child_spawn(&children[i], next_tag, payload, length, &failure))
            break;
        children[i].request = request;
        next_tag++;
        return;
    }
    send_failure(request, failure);
}

static bool on_frame(const struct frame_header *header, uint8_t *payload) {
    if (header->kind == FRAME_SPAWN) {
        on_spawn(header->tag, payload, header->length);
        return true;
    }
    if (header->kind == FRAME_DETACH) {
        detaching = true;
        return true;
    }
    struct child *child = find_tag(header->tag);
    if (!child)
        return true; /* ended meanwhile */
    uint32_t number = 0;
    struct size_payload size;
    switch (header->kind) {
    case FRAME_STDIN:
        if (ring_put(&child->input, payload, header->length) < header->length)
            return false; /* the host ignored the window */
        child_write(child);
        return true;
    case FRAME_STDIN_EOF:
        if (child->terminal) /* a terminal has no end of file, only the character that stands for it */
            ring_put(&child->input, (const uint8_t *)"\004", 1);
        child->input_ended = true;
        child_write(child);
        return true;
    case FRAME_RESIZE:
        if (header->length != sizeof(size))
            return false;
        memcpy(&size, payload, sizeof(size));
        child_resize(child, size.columns, size.rows);
        return true;
    case FRAME_KILL:
        if (header->length != sizeof(number))
            return false;
        memcpy(&number, payload, sizeof(number));
        /* After the leader was reaped its number may belong to another process, but never to another group: setsid made it ours while
         * any member lives. */
        if (number < 65)
            kill(-child->pid, (int)number);
        return true;
    case FRAME_EXIT_ACK:
        child->acknowledged = true;
        return true;
    default:
        return false;
    }
}

static void read_host(void) {
    ssize_t got = recv(host_fd, in_buffer + in_used, sizeof(in_buffer) - in_used, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        host_gone();
        return;
    }
    in_used += (size_t)got;
    size_t at = 0;
    while (host_fd >= 0 && in_used - at >= sizeof(struct frame_header)) {
        struct frame_header header;
        memcpy(&header, in_buffer + at, sizeof(header));
        if (header.length > WIRE_MAX_PAYLOAD) {
            host_gone();
            return;
        }
        if (in_used - at < sizeof(header) + header.length)
            break;
        bool sound = on_frame(&header, in_buffer + at + sizeof(header));
        if (host_fd < 0)
            return;
        if (!sound) {
            host_gone();
            return;
        }
        at += sizeof(header) + header.length;
    }
    memmove(in_buffer, in_buffer + at, in_used - at);
    in_used -= at;
}

/* A new host replaces the old one: a helper that was killed must not keep its successor out. */
static void accept_host(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);
    /* A process of another pid namespace has no number here. Everybody inside has one: nobody inside may be the host. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid != 0) {
        close(fd);
        return;
    }
    host_gone();
    host_fd = fd;
    uint32_t hello[2] = {WIRE_VERSION, 0};
    for (uint32_t i = 0; i < CHILD_LIMIT; i++)
        hello[1] += children[i].used && children[i].started && !children[i].acknowledged;
    send_frame(FRAME_HELLO, 0, 0, hello, sizeof(hello));
    for (uint32_t i = 0; i < CHILD_LIMIT; i++) {
        children[i].consumed = 0; /* the list tells what is still to be consumed */
        if (children[i].used && children[i].started && !children[i].acknowledged)
            send_child(FRAME_CHILD, 0, &children[i]);
    }
    send_frame(FRAME_READY, 0, 0, NULL, 0);
}

/* The status pipe ended: exec succeeded, or it holds the reason why not. */
static void read_status(struct child *child) {
    struct spawn_failure failure;
    ssize_t got = read(child->status_fd, &failure, sizeof(failure));
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    close(child->status_fd);
    child->status_fd = -1;
    child->started = true;
    uint32_t request = child->request;
    child->request = 0;
    if (got == sizeof(failure)) {
        child->acknowledged = true;
        if (request)
            send_failure(request, failure);
    } else if (request) {
        send_child(FRAME_SPAWNED, request, child);
    }
}

static void reap(void) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (uint32_t i = 0; i < CHILD_LIMIT; i++) {
            struct child *child = &children[i];
            if (!child->used || child->exited || child->pid != pid)
                continue;
            child->exited = true;
            child->exit_code = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 128u + (uint32_t)WTERMSIG(status);
            for (int stream = 0; stream < 2; stream++)
                child_read(child, stream, host_fd >= 0);
        }
    }
}

static void forget_finished(void) {
    for (uint32_t i = 0; i < CHILD_LIMIT; i++) {
        struct child *child = &children[i];
        if (child->used && child->exited && child->acknowledged && child->output_fd[0] < 0 && child->output_fd[1] < 0)
            child_forget(child);
    }
}

static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -1;
    strcpy(address.sun_path, path);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || chmod(path, 0600) != 0 ||
        listen(fd, 4) != 0)
        return -1;
    return fd;
}

enum slot_kind { SLOT_LISTENER, SLOT_SIGNAL, SLOT_HOST, SLOT_STATUS, SLOT_INPUT, SLOT_OUTPUT, SLOT_ERROR };
struct slot {
    enum slot_kind kind;
    struct child *child;
};
static struct pollfd polls[3 + CHILD_LIMIT * 4];
static struct slot slots[3 + CHILD_LIMIT * 4];
static nfds_t poll_count;

static void watch(int fd, short events, enum slot_kind kind, struct child *child) {
    if (fd < 0)
        return;
    polls[poll_count] = (struct pollfd){.fd = fd, .events = events};
    slots[poll_count++] = (struct slot){kind, child};
}

static void watch_child(struct child *child) {
    watch(child->status_fd, POLLIN, SLOT_STATUS, child);
    if (child->input.used > 0 || (child->input_ended && !child->terminal))
        watch(child->input_fd, POLLOUT, SLOT_INPUT, child);
    for (int stream = 0; stream < 2; stream++) {
        bool room = host_fd < 0 || child->acknowledged || ring_free(&child->output[stream]) > 0;
        if (room)
            watch(child->output_fd[stream], POLLIN, stream == 0 ? SLOT_OUTPUT : SLOT_ERROR, child);
    }
}

static void serve(int listener, int signals) {
    struct signalfd_siginfo info;
    poll_count = 0;
    watch(listener, POLLIN, SLOT_LISTENER, NULL);
    watch(signals, POLLIN, SLOT_SIGNAL, NULL);
    watch(host_fd, (short)((detaching ? 0 : POLLIN) | (out_used > 0 ? POLLOUT : 0)), SLOT_HOST, NULL);
    for (uint32_t i = 0; i < CHILD_LIMIT; i++) {
        if (children[i].used)
            watch_child(&children[i]);
    }
    if (poll(polls, poll_count, -1) < 0)
        return;
    for (nfds_t i = 0; i < poll_count; i++) {
        if (!polls[i].revents)
            continue;
        struct child *child = slots[i].child;
        switch (slots[i].kind) {
        case SLOT_LISTENER: accept_host(listener); break;
        case SLOT_SIGNAL: (void)!read(signals, &info, sizeof(info)); break;
        case SLOT_HOST:
            if (host_fd == polls[i].fd && (polls[i].revents & (POLLIN | POLLHUP | POLLERR)))
                read_host();
            break;
        case SLOT_STATUS: read_status(child); break;
        case SLOT_INPUT: child_write(child); break;
        case SLOT_OUTPUT: child_read(child, 0, host_fd >= 0); break;
        case SLOT_ERROR: child_read(child, 1, host_fd >= 0); break;
        }
    }
    reap();
    send_news();
    flush_out();
    if (detaching && out_used == 0)
        host_gone();
    forget_finished();
}

int mode_init(int argc, char **argv) {
    if (argc != 1)
        return 2;
    /* Nobody inside may read or trace the process that holds every pty. */
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_NAME, "turntable-init");
    umask(022);
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGCHLD);
    sigprocmask(SIG_BLOCK, &handled, NULL);
    int signals = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
    int listener = listen_at(argv[0]);
    if (signals < 0 || listener < 0)
        return 1;
    for (;;)
        serve(listener, signals);
}
