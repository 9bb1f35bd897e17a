#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "caller.h"
#include "frames.h"
#include "live.h"
#include "log.h"
#include "loop.h"
#include "programs.h"

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "say which audit architecture this is"
#endif

#define LISTENERS_MAX 2048
#define REMEMBERED_MAX 8192
#define STATE_BYTES_MAX 65536
#define NOTIFICATION_BYTES_MAX 512
#define INTERRUPTED_MS_MAX 300

struct listener {
    struct source source; /* first: the loop hands it back */
    uint32_t sandbox;
    struct listener *next;
};

struct socket {
    struct source source;
    uint32_t sandbox;
    char path[108];
    struct socket *next;
};

/*
 * A signal with a handler interrupts a caller that waits; the kernel restarts its call, which then
 * is a new notification of the same exec (a Go program is interrupted every 10 ms). The ask
 * outlives that, and so does an answer that came in between.
 */
struct pending {
    bool used;
    bool answered;
    struct sentry_answer answer;
    uint64_t invalid_since_ms; /* 0: it stands there */
    uint64_t ask;
    uint64_t notification;
    struct listener *listener;
    struct exec_call *call;
};

struct remembered {
    uint32_t sandbox;
    struct identity file;
};

static struct listener *listeners;
static struct socket *sockets;
static unsigned listener_count, pending_count, remembered_count;
static struct pending pendings[SENTRY_ASKS_MAX];
static struct remembered remembered[REMEMBERED_MAX];
static uint64_t next_ask = 1;

static void respond(const struct listener *listener, uint64_t id, int error, uint32_t flags) {
    struct seccomp_notif_resp response = {.id = id, .error = -error, .flags = flags};
    /* ENOENT: the caller is gone, or its call was interrupted and will be made again. */
    if (ioctl(listener->source.fd, SECCOMP_IOCTL_NOTIF_SEND, &response) != 0 && errno != ENOENT)
        say("answering an exec failed: %s", strerror(errno));
}

static bool still_valid(const struct listener *listener, uint64_t id) {
    return ioctl(listener->source.fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static bool same_identity(const struct identity *a, const struct identity *b) {
    return a->ino == b->ino && a->dev == b->dev && a->ctime_sec == b->ctime_sec &&
           a->ctime_nsec == b->ctime_nsec;
}

static bool is_remembered(uint32_t sandbox, const struct identity *file) {
    for (unsigned i = 0; i < remembered_count; i++)
        if (remembered[i].sandbox == sandbox && same_identity(&remembered[i].file, file))
            return true;
    return false;
}

static void remember(uint32_t sandbox, const struct identity *file) {
    if (is_remembered(sandbox, file))
        return;
    if (remembered_count == REMEMBERED_MAX) {
        say("no room to remember another program: it will be asked about again");
        return;
    }
    remembered[remembered_count++] = (struct remembered){.sandbox = sandbox, .file = *file};
}

void guard_forget(uint32_t sandbox) {
    unsigned kept = 0;
    for (unsigned i = 0; i < remembered_count; i++)
        if (remembered[i].sandbox != sandbox)
            remembered[kept++] = remembered[i];
    remembered_count = kept;
}

/*
 * Lets the exec go on, bound to what was read. An argv that is too long to be shown cannot be
 * bound; it passes only when the answer was for any argv, and never for a script, whose own name is
 * part of the argv.
 */
static void allow(struct listener *listener, uint64_t id, const struct exec_call *call,
                  bool any_argv) {
    struct approval approval = {.file = call->file,
                                .sandbox = listener->sandbox,
                                .argc = call->expected_argc,
                                .argv_length = call->expected_length,
                                .argv_hash = call->expected_hash};
    if (call->argv_truncated && (!any_argv || call->interpreter[0])) {
        respond(listener, id, E2BIG, 0);
        return;
    }
    if (call->argv_truncated)
        approval.flags |= APPROVAL_ARGV_FREE;
    if (!exec_call_unchanged(call) || programs_approve(call->tid, &approval) != 0) {
        respond(listener, id, EPERM, 0);
        return;
    }
    if (!still_valid(listener, id)) {
        programs_disapprove(call->tid);
        return;
    }
    respond(listener, id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

static void send_ask(const struct pending *pending) {
    const struct exec_call *call = pending->call;
    struct sentry_exec_ask ask = {.ask = pending->ask,
                                  .tid = (uint32_t)call->tid,
                                  .pid = (uint32_t)call->pid,
                                  .program_length = (uint32_t)strlen(call->program),
                                  .interpreter_length = (uint32_t)strlen(call->interpreter),
                                  .argument_length =
                                      call->has_argument ? (uint32_t)strlen(call->argument) : 0,
                                  .argv_length = call->argv_length,
                                  .cwd_length = (uint32_t)strlen(call->cwd)};
    if (call->argv_truncated)
        ask.flags |= SENTRY_ASK_ARGV_TRUNCATED;
    if (call->interpreter[0])
        ask.flags |= SENTRY_ASK_SCRIPT;
    if (call->has_argument)
        ask.flags |= SENTRY_ASK_ARGUMENT;
    frame_begin(SENTRY_EXEC_ASK, 0, pending->listener->sandbox);
    frame_put(&ask, sizeof(ask));
    frame_put(call->program, ask.program_length);
    frame_put(call->interpreter, ask.interpreter_length);
    frame_put(call->argument, ask.argument_length);
    frame_put(call->argv, ask.argv_length);
    frame_put(call->cwd, ask.cwd_length);
    frame_end();
}

static void drop_pending(struct pending *pending) {
    exec_call_close(pending->call);
    pending->used = false;
    pending_count--;
}

static void withdraw(struct pending *pending) {
    struct sentry_exec_gone gone = {.ask = pending->ask};
    if (!pending->answered) {
        frame_begin(SENTRY_EXEC_GONE, 0, pending->listener->sandbox);
        frame_put(&gone, sizeof(gone));
        frame_end();
    }
    drop_pending(pending);
}

static void carry_out(struct pending *pending) {
    const struct sentry_answer *answer = &pending->answer;
    if (answer->verdict != SENTRY_VERDICT_ALLOW) {
        respond(pending->listener, pending->notification, EPERM, 0);
    } else {
        if (answer->remember)
            remember(pending->listener->sandbox, &pending->call->program_file);
        allow(pending->listener, pending->notification, pending->call, answer->remember != 0);
    }
    drop_pending(pending);
}

static bool same_call(const struct exec_call *a, const struct exec_call *b) {
    return same_identity(&a->program_file, &b->program_file) && same_identity(&a->file, &b->file) &&
           a->argv_truncated == b->argv_truncated && a->expected_argc == b->expected_argc &&
           a->expected_length == b->expected_length && a->expected_hash == b->expected_hash &&
           strcmp(a->program, b->program) == 0 && strcmp(a->cwd, b->cwd) == 0;
}

/* The caller stood here before: true when this is the same exec again, which then has its ask (or
 * its answer). */
static bool resumed(struct listener *listener, uint64_t id, struct exec_call *call) {
    for (int i = 0; i < SENTRY_ASKS_MAX; i++) {
        struct pending *pending = &pendings[i];
        if (!pending->used || pending->listener != listener || pending->call->tid != call->tid)
            continue;
        if (!same_call(pending->call, call)) {
            withdraw(pending);
            return false;
        }
        exec_call_close(pending->call);
        pending->call = call;
        pending->notification = id;
        pending->invalid_since_ms = 0;
        if (pending->answered)
            carry_out(pending);
        return true;
    }
    return false;
}

static void ask(struct listener *listener, uint64_t id, struct exec_call *call) {
    for (int i = 0; i < SENTRY_ASKS_MAX && frames_room_for_asks(); i++) {
        struct pending *pending = &pendings[i];
        if (pending->used)
            continue;
        *pending = (struct pending){.used = true,
                                    .ask = next_ask++,
                                    .notification = id,
                                    .listener = listener,
                                    .call = call};
        pending_count++;
        send_ask(pending);
        return;
    }
    say("%u execs wait already: refusing another", pending_count);
    respond(listener, id, EAGAIN, 0);
    exec_call_close(call);
}

static void on_notification(struct listener *listener, const struct seccomp_notif *notification) {
    struct exec_call *call;
    int error;
    programs_disapprove((pid_t)notification->pid); /* of an earlier exec that failed */
    if (notification->data.arch != NATIVE_ARCH ||
        (notification->data.nr != SYS_execve && notification->data.nr != SYS_execveat)) {
        respond(listener, notification->id, ENOSYS, 0);
        return;
    }
    error = exec_call_read(notification, &call);
    /* What was read belongs to the caller only if the caller still stood there afterwards. */
    if (!still_valid(listener, notification->id)) {
        if (!error)
            exec_call_close(call);
        return;
    }
    if (error) {
        respond(listener, notification->id, error, 0);
        return;
    }
    if (is_remembered(listener->sandbox, &call->program_file)) {
        allow(listener, notification->id, call, true);
        exec_call_close(call);
        return;
    }
    if (!resumed(listener, notification->id, call))
        ask(listener, notification->id, call);
}

static void close_listener(struct listener *listener) {
    for (int i = 0; i < SENTRY_ASKS_MAX; i++)
        if (pendings[i].used && pendings[i].listener == listener)
            withdraw(&pendings[i]);
    for (struct listener **at = &listeners; *at; at = &(*at)->next) {
        if (*at != listener)
            continue;
        *at = listener->next;
        break;
    }
    loop_remove(&listener->source);
    close(listener->source.fd);
    free(listener);
    listener_count--;
}

static void on_listener(struct source *source, uint32_t events) {
    struct listener *listener = (struct listener *)source;
    union {
        struct seccomp_notif notification;
        uint8_t bytes[NOTIFICATION_BYTES_MAX]; /* a later kernel's may be longer */
    } buffer;
    if (events & EPOLLIN) {
        memset(&buffer, 0, sizeof(buffer));
        if (ioctl(source->fd, SECCOMP_IOCTL_NOTIF_RECV, &buffer) == 0)
            on_notification(listener, &buffer.notification);
        return;
    }
    if (events & (EPOLLHUP | EPOLLERR)) /* nobody is left under this filter */
        close_listener(listener);
}

int guard_adopt(struct watch *watch, int fd) {
    uint64_t none = 0;
    struct listener *listener = NULL;
    int error = -EMFILE;
    /* ENOENT says "a notification descriptor that has no such notification"; anything else is
     * another kind of file. */
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &none) != 0 && errno != ENOENT) {
        close(fd);
        return -EINVAL;
    }
    if (listener_count < LISTENERS_MAX && (listener = calloc(1, sizeof(*listener)))) {
        listener->source = (struct source){.fd = fd, .ready = on_listener};
        listener->sandbox = watch->sandbox;
        /* Before the first notification is served: from here on an exec without an approval is
         * killed. */
        error = watch_set_guarded(watch);
        if (!error)
            error = loop_add(&listener->source, EPOLLIN);
    }
    if (error) {
        free(listener);
        close(fd);
        return error;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    listener->next = listeners;
    listeners = listener;
    listener_count++;
    return 0;
}

/* runc sends the container's state as JSON, of which nothing is needed, and the descriptor with it.
 */
static int receive_descriptor(int connection) {
    static char state[STATE_BYTES_MAX];
    char control[CMSG_SPACE(8 * sizeof(int))];
    struct iovec part = {.iov_base = state, .iov_len = sizeof(state)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    int fd = -1;
    if (recvmsg(connection, &message, MSG_CMSG_CLOEXEC) <= 0)
        return -1;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        int count = (int)((at->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < count; i++) {
            int got;
            memcpy(&got, CMSG_DATA(at) + (size_t)i * sizeof(int), sizeof(int));
            if (fd < 0)
                fd = got;
            else
                close(got);
        }
    }
    return fd;
}

static void on_socket(struct source *source, uint32_t events) {
    struct socket *socket = (struct socket *)source;
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);
    struct timeval patience = {.tv_usec = 500 * 1000};
    struct watch *watch = watch_find(socket->sandbox);
    int connection = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC), fd, error;
    (void)events;
    if (connection < 0)
        return;
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    fd = peer.uid == geteuid() ? receive_descriptor(connection) : -1;
    close(connection);
    if (fd < 0 || !watch) {
        say("sandbox %u: a connection brought no notification descriptor", socket->sandbox);
        if (fd >= 0)
            close(fd);
        return;
    }
    error = guard_adopt(watch, fd);
    if (error)
        say("sandbox %u: the notification descriptor was not taken: %s", socket->sandbox,
            strerror(-error));
}

int guard_listen(struct watch *watch, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct socket *made;
    int fd, error;
    if (!programs_have_lifecycle())
        return -ENOTSUP; /* without verification an answer would bind nothing */
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    made = calloc(1, sizeof(*made));
    if (fd < 0 || !made) {
        error = -errno;
        goto failed;
    }
    unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || chmod(path, 0600) != 0 ||
        listen(fd, 8) != 0) {
        error = -errno;
        goto failed;
    }
    made->source = (struct source){.fd = fd, .ready = on_socket};
    made->sandbox = watch->sandbox;
    strcpy(made->path, path);
    if ((error = loop_add(&made->source, EPOLLIN)) != 0)
        goto failed;
    made->next = sockets;
    sockets = made;
    return 0;
failed:
    if (fd >= 0)
        close(fd);
    free(made);
    return error;
}

void guard_answer(const struct sentry_answer *answer) {
    for (int i = 0; i < SENTRY_ASKS_MAX; i++) {
        struct pending *pending = &pendings[i];
        if (!pending->used || pending->ask != answer->ask)
            continue;
        pending->answer = *answer;
        pending->answered = true;
        if (still_valid(pending->listener, pending->notification))
            carry_out(pending);
        return;
    }
}

void guard_stop(uint32_t sandbox) {
    guard_forget(sandbox);
    for (struct listener *at = listeners, *next; at; at = next) {
        next = at->next;
        if (at->sandbox == sandbox)
            close_listener(at);
    }
    for (struct socket **at = &sockets; *at;) {
        struct socket *socket = *at;
        if (socket->sandbox != sandbox) {
            at = &socket->next;
            continue;
        }
        *at = socket->next;
        loop_remove(&socket->source);
        close(socket->source.fd);
        unlink(socket->path);
        free(socket);
    }
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1;
}

static bool is_held(const struct pending *pending) {
    const struct watch *watch = watch_find(pending->listener->sandbox);
    return watch && thread_held(pending->call->tid, watch->cgroup_path);
}

void guard_check(void) {
    static uint64_t checked_ms;
    uint64_t now = now_ms();
    if (pending_count == 0 || now - checked_ms < INTERRUPTED_MS_MAX / 3)
        return;
    checked_ms = now;
    for (int i = 0; i < SENTRY_ASKS_MAX; i++) {
        struct pending *pending = &pendings[i];
        if (!pending->used)
            continue;
        if (still_valid(pending->listener, pending->notification))
            pending->invalid_since_ms = 0;
        else if (pending->invalid_since_ms == 0)
            pending->invalid_since_ms = now;
        else if (is_held(pending))
            pending->invalid_since_ms =
                now; /* frozen for a checkpoint: it will stand there again */
        else if (now - pending->invalid_since_ms > INTERRUPTED_MS_MAX)
            withdraw(pending);
    }
}

bool guard_pending(void) { return pending_count > 0; }
