/*
 * The doors of a sandbox: 127.0.0.1:PORT in its network namespace, each leading to one unix socket of the helper. Bytes pass both ways
 * unread, and each direction ends on its own (a half-closed connection stays half open). Owned by the sandbox's life, not by the
 * helper's: it goes on when the helper restarts and connects anew for every connection. While nobody answers outside, who knocks waits in
 * the kernel's queue: an agent whose helper is started again needs no patience of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "modes.h"

#define DOOR_LIMIT 16
#define PIPE_LIMIT 1024 /* connections at once, over all doors; more wait in the kernel's queue */
#define BUFFER_SIZE (64u << 10)
#define AWAY_LIMIT_MS 30000 /* how long who knocks waits for somebody to answer */
#define AWAY_RETRY_MS 50

struct door {
    int listener;
    struct sockaddr_un target;
    int64_t away_since_ms, tried_ms; /* 0: somebody answered the last time */
};

/* One direction of a connection. */
struct flow {
    uint8_t *buffer;
    uint32_t start, used;
    bool source_ended, sink_ended;
};

/* fds[0] is inside, fds[1] outside; flows[i] reads fds[i] and writes the other. */
struct passage {
    bool used;
    int fds[2];
    struct flow flows[2];
};

static struct door doors[DOOR_LIMIT];
static uint32_t door_count;
static struct passage passages[PIPE_LIMIT];
static uint32_t passage_count;

static void close_passage(struct passage *passage, bool broken) {
    if (broken) { /* tell the client at once, as the far end would */
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(passage->fds[0], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    for (int i = 0; i < 2; i++) {
        close(passage->fds[i]);
        free(passage->flows[i].buffer);
    }
    memset(passage, 0, sizeof(*passage));
    passage_count--;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool waits(const struct door *door, int64_t now) { return door->tried_ms != 0 && now - door->tried_ms < AWAY_RETRY_MS; }

/* The way out; -1 when there is none. `later`: nobody answers yet, try again in a moment. */
static int way_out(struct door *door, bool *later) {
    int64_t now = now_ms();
    int outside = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    *later = false;
    if (outside >= 0 && connect(outside, (const struct sockaddr *)&door->target, sizeof(door->target)) == 0) {
        door->away_since_ms = door->tried_ms = 0;
        return outside;
    }
    if (outside >= 0)
        close(outside);
    /* Nobody knocked for a while: this is another absence. */
    if (door->tried_ms == 0 || now - door->tried_ms > 20 * AWAY_RETRY_MS)
        door->away_since_ms = now;
    door->tried_ms = now;
    *later = now - door->away_since_ms < AWAY_LIMIT_MS;
    return -1;
}

static void open_passage(struct door *door) {
    bool later;
    int outside = way_out(door, &later);
    if (later)
        return;
    int inside = accept4(door->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (inside < 0) {
        if (outside >= 0)
            close(outside);
        return;
    }
    struct passage *passage = NULL;
    for (uint32_t i = 0; i < PIPE_LIMIT && !passage; i++) {
        if (!passages[i].used)
            passage = &passages[i];
    }
    uint8_t *buffers[2] = {malloc(BUFFER_SIZE), malloc(BUFFER_SIZE)};
    int one = 1;
    setsockopt(inside, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (!passage || outside < 0 || !buffers[0] || !buffers[1]) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(inside, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(inside);
        if (outside >= 0)
            close(outside);
        free(buffers[0]);
        free(buffers[1]);
        return;
    }
    *passage = (struct passage){.used = true, .fds = {inside, outside}};
    passage->flows[0].buffer = buffers[0];
    passage->flows[1].buffer = buffers[1];
    passage_count++;
}

/* Moves what can be moved from one side to the other; false when the connection broke. */
static bool move(struct passage *passage, int from) {
    struct flow *flow = &passage->flows[from];
    int source = passage->fds[from], sink = passage->fds[!from];
    if (!flow->source_ended && flow->used == 0) {
        ssize_t got = recv(source, flow->buffer, BUFFER_SIZE, MSG_DONTWAIT);
        if (got == 0)
            flow->source_ended = true;
        else if (got > 0) {
            flow->start = 0;
            flow->used = (uint32_t)got;
        } else if (errno != EAGAIN && errno != EINTR)
            return false;
    }
    if (flow->used > 0) {
        ssize_t put = send(sink, flow->buffer + flow->start, flow->used, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put > 0) {
            flow->start += (uint32_t)put;
            flow->used -= (uint32_t)put;
        } else if (put < 0 && errno != EAGAIN && errno != EINTR)
            return false;
    }
    if (flow->source_ended && flow->used == 0 && !flow->sink_ended) {
        flow->sink_ended = true;
        shutdown(sink, SHUT_WR);
    }
    return true;
}

static short wanted(const struct passage *passage, int side) {
    const struct flow *in = &passage->flows[side], *out = &passage->flows[!side];
    return (short)((!in->source_ended && in->used == 0 ? POLLIN : 0) | (out->used > 0 ? POLLOUT : 0));
}

static void serve(void) {
    static struct pollfd polls[DOOR_LIMIT + PIPE_LIMIT * 2];
    static int owners[DOOR_LIMIT + PIPE_LIMIT * 2];
    nfds_t count = 0;
    int64_t now = now_ms();
    int patience_ms = -1;
    for (uint32_t i = 0; i < door_count; i++) {
        bool waiting = waits(&doors[i], now);
        if (waiting)
            patience_ms = AWAY_RETRY_MS;
        owners[count] = -1 - (int)i;
        polls[count++] = (struct pollfd){.fd = doors[i].listener,
                                         .events = passage_count < PIPE_LIMIT && !waiting ? POLLIN : 0};
    }
    for (uint32_t i = 0, seen = 0; i < PIPE_LIMIT && seen < passage_count; i++) {
        if (!passages[i].used)
            continue;
        seen++;
        for (int side = 0; side < 2; side++) {
            short events = wanted(&passages[i], side);
            bool ended = passages[i].flows[side].source_ended && passages[i].flows[!side].sink_ended;
            owners[count] = (int)i;
            polls[count++] = (struct pollfd){.fd = ended ? -1 : passages[i].fds[side], .events = events};
        }
    }
    if (poll(polls, count, patience_ms) < 0)
        return;
    for (nfds_t i = 0; i < count; i++) {
        if (!polls[i].revents)
            continue;
        if (owners[i] < 0) {
            open_passage(&doors[-1 - owners[i]]);
            continue;
        }
        struct passage *passage = &passages[owners[i]];
        if (!passage->used)
            continue;
        bool sound = move(passage, 0) && move(passage, 1);
        /* An error or hang-up that moves nothing would otherwise be reported for ever. */
        bool stuck = (polls[i].revents & (POLLERR | POLLNVAL)) && !(polls[i].revents & (POLLIN | POLLOUT));
        bool hung = (polls[i].revents & POLLHUP) && !(polls[i].revents & (POLLIN | POLLOUT)) && !polls[i].events;
        if (!sound || stuck || hung)
            close_passage(passage, true);
        else if (passage->flows[0].sink_ended && passage->flows[1].sink_ended)
            close_passage(passage, false);
    }
}

static bool add_door(char *word) {
    char *path = strchr(word, '=');
    long port = strtol(word, NULL, 10);
    if (!path || port < 1 || port > 65535 || door_count == DOOR_LIMIT)
        return false;
    struct door *door = &doors[door_count];
    door->target.sun_family = AF_UNIX;
    if (strlen(path + 1) >= sizeof(door->target.sun_path))
        return false;
    strcpy(door->target.sun_path, path + 1);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    door->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    setsockopt(door->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (door->listener < 0 || bind(door->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(door->listener, 256) != 0)
        return false;
    door_count++;
    return true;
}

int mode_door(int argc, char **argv) {
    if (argc < 2)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    setsid();
    prctl(PR_SET_NAME, "turntable-door");
    int netns = open(argv[0], O_RDONLY | O_CLOEXEC);
    if (netns < 0 || setns(netns, CLONE_NEWNET) != 0) {
        fprintf(stderr, "cannot enter %s: %s\n", argv[0], strerror(errno));
        return 1;
    }
    close(netns);
    for (int i = 1; i < argc; i++) {
        if (!add_door(argv[i])) {
            fprintf(stderr, "cannot open the door %s: %s\n", argv[i], strerror(errno));
            return 1;
        }
    }
    (void)!write(STDOUT_FILENO, "ready\n", 6);
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    for (;;)
        serve();
}
