/* One process that the supervisor started (child.h). */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ARGUMENT_LIMIT 4096u

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void set_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

/* Splits NUL-ended strings; returns the rest, or NULL when the payload is malformed. */
static uint8_t *take_strings(uint8_t *at, uint8_t *end, uint32_t count, char **strings) {
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *stop = memchr(at, 0, (size_t)(end - at));
        if (!stop)
            return NULL;
        strings[i] = (char *)at;
        at = stop + 1;
    }
    strings[count] = NULL;
    return at;
}

/* In the new process: never returns. `fds` are stdin, stdout, stderr. */
static void run(const int fds[3], bool terminal, int status_fd, const char *cwd, char **argv, char **env) {
    struct spawn_failure failure = {0};
    setsid();
    if (terminal)
        ioctl(fds[0], TIOCSCTTY, 0);
    for (int i = 0; i < 3; i++) {
        if (dup2(fds[i], i) < 0)
            goto resources;
    }
    for (int sig = 1; sig < 65; sig++)
        signal(sig, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (chdir(cwd) != 0) {
        failure = (struct spawn_failure){errno, STAGE_CWD};
        goto report;
    }
    environ = env;
    execvpe(argv[0], argv, env);
    failure = (struct spawn_failure){errno, STAGE_EXEC};
    goto report;
resources:
    failure = (struct spawn_failure){errno, STAGE_RESOURCES};
report:
    (void)!write(status_fd, &failure, sizeof(failure));
    _exit(127);
}

/* A pty pair of the given size. */
static bool open_terminal(int *master, int *slave, uint16_t columns, uint16_t rows) {
    *master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*master < 0 || unlockpt(*master) != 0)
        return false;
    *slave = ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct winsize size = {.ws_col = columns, .ws_row = rows};
    ioctl(*master, TIOCSWINSZ, &size);
    return *slave >= 0;
}

bool child_spawn(struct child *child, uint32_t tag, uint8_t *payload, uint32_t length, struct spawn_failure *failure) {
    static char *argv[ARGUMENT_LIMIT + 1], *env[ARGUMENT_LIMIT + 1];
    char *cwd[2];
    struct spawn_header header;
    int ours[3] = {-1, -1, -1}, theirs[3] = {-1, -1, -1}, status[2] = {-1, -1};

    *failure = (struct spawn_failure){EINVAL, STAGE_REQUEST};
    if (length < sizeof(header))
        return false;
    memcpy(&header, payload, sizeof(header));
    if (header.argument_count == 0 || header.argument_count > ARGUMENT_LIMIT ||
        header.environment_count > ARGUMENT_LIMIT)
        return false;
    uint8_t *at = payload + sizeof(header), *end = payload + length;
    if (!(at = take_strings(at, end, 1, cwd)) || !(at = take_strings(at, end, header.argument_count, argv)) ||
        !(at = take_strings(at, end, header.environment_count, env)))
        return false;

    bool terminal = header.flags & SPAWN_TERMINAL;
    memset(child, 0, sizeof(*child));
    child->status_fd = child->input_fd = child->output_fd[0] = child->output_fd[1] = -1;
    failure->stage = STAGE_RESOURCES;
    if (pipe2(status, O_CLOEXEC) != 0)
        goto failed;
    if (terminal) {
        if (!open_terminal(&ours[0], &theirs[0], header.columns, header.rows))
            goto failed;
        theirs[1] = theirs[2] = theirs[0];
    } else {
        int pipes[3][2];
        for (int i = 0; i < 3; i++) {
            if (pipe2(pipes[i], O_CLOEXEC) != 0)
                goto failed;
            theirs[i] = pipes[i][i == 0 ? 0 : 1];
            ours[i] = pipes[i][i == 0 ? 1 : 0];
        }
    }
    if (!ring_open(&child->output[0], CHILD_OUTPUT_CAPACITY) || !ring_open(&child->input, WIRE_STDIN_WINDOW) ||
        (!terminal && !ring_open(&child->output[1], CHILD_OUTPUT_CAPACITY))) {
        errno = ENOMEM;
        goto failed;
    }
    pid_t pid = fork();
    if (pid < 0)
        goto failed;
    if (pid == 0)
        run(theirs, terminal, status[1], cwd[0], argv, env);

    close(status[1]);
    close(theirs[0]);
    if (!terminal) {
        close(theirs[1]);
        close(theirs[2]);
    }
    for (int i = 0; i < 3; i++) {
        if (ours[i] >= 0)
            set_nonblocking(ours[i]);
    }
    set_nonblocking(status[0]);
    child->used = true;
    child->terminal = terminal;
    child->tag = tag;
    child->pid = pid;
    child->status_fd = status[0];
    child->input_fd = ours[0];
    child->output_fd[0] = terminal ? ours[0] : ours[1];
    child->output_fd[1] = terminal ? -1 : ours[2];
    return true;

failed:
    failure->error = errno;
    close_fd(&status[0]);
    close_fd(&status[1]);
    for (int i = 0; i < 3; i++) {
        close_fd(&ours[i]);
        if (!terminal || i == 0)
            close_fd(&theirs[i]);
    }
    ring_close(&child->output[0]);
    ring_close(&child->output[1]);
    ring_close(&child->input);
    child->used = false;
    return false;
}

static void end_output(struct child *child, int stream) {
    if (child->terminal && child->input_fd == child->output_fd[stream])
        child->input_fd = -1;
    close_fd(&child->output_fd[stream]);
}

void child_read(struct child *child, int stream, bool keep) {
    static uint8_t buffer[64 << 10];
    struct ring *ring = &child->output[stream];
    while (child->output_fd[stream] >= 0) {
        size_t wanted = sizeof(buffer);
        if (keep && !child->acknowledged) {
            if (ring_free(ring) < wanted)
                wanted = ring_free(ring);
            if (wanted == 0)
                return;
        }
        ssize_t got = read(child->output_fd[stream], buffer, wanted);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) { /* a pty says EIO when its last user is gone */
            end_output(child, stream);
            return;
        }
        if (!child->acknowledged)
            child->dropped[stream] += ring_force(ring, buffer, (size_t)got);
        if ((size_t)got < wanted)
            return;
    }
}

void child_write(struct child *child) {
    const uint8_t *bytes;
    while (child->input_fd >= 0 && child->input.used > 0) {
        size_t size = ring_peek(&child->input, &bytes);
        ssize_t put = write(child->input_fd, bytes, size);
        if (put < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (put < 0) { /* nobody reads any more: what is left counts as consumed */
            child->consumed += (uint32_t)child->input.used;
            ring_consume(&child->input, child->input.used);
            if (!child->terminal)
                close_fd(&child->input_fd);
            return;
        }
        child->consumed += (uint32_t)put;
        ring_consume(&child->input, (size_t)put);
    }
    if (child->input_ended && child->input.used == 0 && !child->terminal)
        close_fd(&child->input_fd);
}

void child_resize(struct child *child, uint16_t columns, uint16_t rows) {
    struct winsize size = {.ws_col = columns, .ws_row = rows};
    if (child->terminal && child->output_fd[0] >= 0)
        ioctl(child->output_fd[0], TIOCSWINSZ, &size);
}

void child_forget(struct child *child) {
    close_fd(&child->status_fd);
    if (!child->terminal)
        close_fd(&child->input_fd);
    close_fd(&child->output_fd[0]);
    close_fd(&child->output_fd[1]);
    ring_close(&child->output[0]);
    ring_close(&child->output[1]);
    ring_close(&child->input);
    memset(child, 0, sizeof(*child));
}
