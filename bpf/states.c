/*
 * A process that was not scheduled has changed nothing of itself. Others may have: a signal that
 * stays pending, bytes in a queue that it does not read, an offset of a shared descriptor, a limit,
 * memory that it shares, the name or size of a file that it holds. All of that is read here, and
 * nothing that moves by itself.
 */
#include "states.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "frames.h"
#include "live.h"
#include "sentry.h"
#include "shared.h"

/* More shared memory than this is not hashed but called uncertain. */
#define SHARED_BYTES_MAX (4u << 20)
#define TEXT_BYTES (64u << 10)
#define THREADS_MAX 4096

/* As a file, a queue of POSIX messages has always this size. */
#define MESSAGE_QUEUE_SIZE 80
#define MESSAGE_QUEUE_MAGIC 0x19800202

/* What one request may cost, whatever a sandbox holds: everybody else waits meanwhile. */
#define BUDGET_BYTES (64u << 20)
#define BUDGET_DESCRIPTORS 16384
#define BUDGET_MAPPINGS 131072

static struct {
    uint64_t bytes;
    uint32_t descriptors;
    uint32_t mappings;
} budget;

static char text[TEXT_BYTES + 1];

static void mix(uint64_t *hash, const void *data, size_t length) {
    const uint8_t *at = data;
    uint64_t word;
    for (size_t left = length; left > 0;) {
        size_t part = left < sizeof(word) ? left : sizeof(word);
        word = 0;
        memcpy(&word, at, part);
        *hash = (*hash ^ word) * 0x9fb21c651e98df25ull;
        *hash ^= *hash >> 29;
        at += part;
        left -= part;
    }
    *hash = (*hash ^ length) * 0xd6e8feb86659fd93ull;
    *hash ^= *hash >> 32;
}

static void mix_number(uint64_t *hash, uint64_t number) { mix(hash, &number, sizeof(number)); }

static bool starts_with(const char *name, const char *start) {
    return strncmp(name, start, strlen(start)) == 0;
}

/* Terminated in `text`; false when it cannot be read, which on its own means nothing. */
static bool read_proc(pid_t pid, const char *name) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    ssize_t length = slurp(path, text, TEXT_BYTES);
    text[length > 0 ? length : 0] = 0;
    return length >= 0;
}

struct scheduling {
    char kind;
    unsigned long long group, session, nice, threads, start, priority, policy;
};

static bool read_scheduling(pid_t pid, const char *name, struct scheduling *out) {
    if (!read_proc(pid, name))
        return false;
    char *rest = strrchr(text, ')');
    return rest &&
           sscanf(rest + 1,
                  " %c %*d %llu %llu %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %llu %llu %*d "
                  "%llu %*u %*d %*u %*u "
                  "%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d %*d %llu %llu",
                  &out->kind, &out->group, &out->session, &out->nice, &out->threads, &out->start,
                  &out->priority, &out->policy) == 8;
}

static void mix_line_of_text(const char *start, struct sentry_state *state) {
    char *line = strstr(text, start);
    if (line)
        mix(&state->own, line, strcspn(line, "\n"));
}

/* Each thread has a priority and pending signals of its own; those of the main one are mixed with
 * what belongs to all. */
static void mix_other_threads(pid_t pid, struct sentry_state *state) {
    static pid_t tids[THREADS_MAX];
    int count = process_threads(pid, tids, THREADS_MAX);
    for (int i = 0; i < count; i++) {
        struct scheduling of = {0};
        char name[64];
        if (tids[i] == pid)
            continue;
        snprintf(name, sizeof(name), "task/%d/stat", tids[i]);
        read_scheduling(pid, name, &of);
        uint64_t facts[] = {(uint64_t)tids[i], of.nice, of.priority, of.policy};
        mix(&state->own, facts, sizeof(facts));
        snprintf(name, sizeof(name), "task/%d/status", tids[i]);
        read_proc(pid, name);
        mix_line_of_text("SigPnd:", state);
    }
}

static bool mix_scheduling(pid_t pid, struct sentry_state *state) {
    struct scheduling of;
    if (!read_scheduling(pid, "stat", &of) || of.kind == 'Z' ||
        of.kind == 'X') /* its other threads may live, but nothing of it can be read */
        return false;
    state->start_ticks = of.start;
    uint64_t facts[] = {
        of.kind == 'T' || of.kind == 't', of.group, of.session, of.nice, of.priority, of.policy};
    mix(&state->own, facts, sizeof(facts));
    if (of.threads > 1)
        mix_other_threads(pid, state);
    return true;
}

static void mix_status(pid_t pid, struct sentry_state *state) {
    read_proc(pid, "status");
    mix_line_of_text("SigPnd:", state);
    mix_line_of_text("ShdPnd:", state);
    read_proc(pid, "limits");
    mix(&state->own, text, strlen(text));
    read_proc(pid, "oom_score_adj");
    mix(&state->own, text, strlen(text));
}

/* Not the numbers of mounts, which say nothing, nor the time that a timer has left, only whether it
 * runs. */
static void mix_fdinfo(pid_t pid, const char *number, struct sentry_state *state) {
    char name[64], *rest = NULL;
    snprintf(name, sizeof(name), "fdinfo/%s", number);
    read_proc(pid, name);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (starts_with(line, "it_value:"))
            mix_number(&state->own, strcmp(line, "it_value: (0, 0)") != 0);
        else if (!starts_with(line, "mnt_id:") && !starts_with(line, "ino:") &&
                 !starts_with(line, "ticks:"))
            mix(&state->own, line, strlen(line));
}

/* Through a duplicate of the descriptor: opening a FIFO anew would wake who waits for that. */
static void mix_queue(int process, int number, bool socket, struct sentry_state *state) {
    int fd = (int)syscall(SYS_pidfd_getfd, process, number, 0);
    int waiting = 0, type = 0, listening = 0;
    socklen_t size = sizeof(type);
    if (fd < 0) {
        state->flags |= SENTRY_STATE_UNCERTAIN;
        return;
    }
    struct pollfd ready = {.fd = fd, .events = POLLIN | POLLRDHUP};
    poll(&ready, 1, 0);
    if (ioctl(fd, FIONREAD, &waiting) != 0)
        waiting = -1;
    mix_number(&state->own, (uint64_t)waiting << 16 | (uint16_t)ready.revents);
    if (socket && (ready.revents & POLLIN)) {
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
        /* Of messages and connections only the first is told. */
        if (type != SOCK_STREAM || listening)
            state->flags |= SENTRY_STATE_UNCERTAIN;
    }
    close(fd);
}

/* Never waits: a lease on the file would be broken first, a FIFO in its place opened by others. */
static int open_regular(const char *path) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A descriptor's file for reading. A duplicate breaks no lease, but can be read only where the
 * original can. */
static int open_descriptor(int process, int number) {
    char path[64];
    struct stat status;
    int fd = (int)syscall(SYS_pidfd_getfd, process, number, 0);
    if (fd < 0)
        return -1;
    int flags = fcntl(fd, F_GETFL);
    if (!(flags & O_PATH) && (flags & O_ACCMODE) != O_WRONLY && fstat(fd, &status) == 0 &&
        S_ISREG(status.st_mode))
        return fd;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int readable = open_regular(path);
    close(fd);
    return readable;
}

/* False where this is too much: then it is uncertain. */
static bool affordable(uint64_t length, struct sentry_state *state) {
    if (length > SHARED_BYTES_MAX || length > budget.bytes) {
        state->flags |= SENTRY_STATE_UNCERTAIN;
        return false;
    }
    budget.bytes -= length;
    return true;
}

/* Closes `fd`. */
static void mix_contents(int fd, off_t start, uint64_t length, struct sentry_state *state) {
    static char block[65536];
    ssize_t got = fd < 0 ? -1 : 0;
    for (uint64_t at = 0; fd >= 0 && at < length; at += (uint64_t)got) {
        size_t part = length - at < sizeof(block) ? (size_t)(length - at) : sizeof(block);
        if ((got = pread(fd, block, part, start + (off_t)at)) <= 0) {
            got = -1;
            break;
        }
        mix(&state->own, block, (size_t)got);
    }
    if (got < 0)
        state->flags |= SENTRY_STATE_UNCERTAIN;
    if (fd >= 0)
        close(fd);
}

/* That others can open by a name. The rest is inherited: see shared.h. */
static bool is_shared_memory(const char *name) {
    return starts_with(name, "/memfd:") || starts_with(name, "/SYSV") ||
           starts_with(name, "/dev/shm/");
}

/* The content of a file without a name is part of whoever holds it. Whether to mix that, too; of a
 * large one there are only the times, which every write moves. */
static bool mix_deleted(const struct stat *status, struct sentry_state *state) {
    uint64_t size = (uint64_t)status->st_size;
    mix_number(&state->own, size);
    mix(&state->own, &status->st_mtim, sizeof(status->st_mtim));
    mix(&state->own, &status->st_ctim, sizeof(status->st_ctim));
    return size <= SHARED_BYTES_MAX && affordable(size, state);
}

/* False where the request has cost enough: what is not looked at is uncertain. */
static bool spend(uint32_t *left, struct sentry_state *state) {
    if (*left == 0) {
        state->flags |= SENTRY_STATE_UNCERTAIN;
        return false;
    }
    --*left;
    return true;
}

/* Of what is queued there nothing can be read without taking it out. */
static bool is_message_queue(const char *path, const struct stat *status) {
    struct statfs of;
    return status->st_size == MESSAGE_QUEUE_SIZE && statfs(path, &of) == 0 &&
           of.f_type == MESSAGE_QUEUE_MAGIC;
}

static void mix_descriptor(pid_t pid, int process, const char *number, struct sentry_state *state) {
    char path[64], link[PATH_MAX];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, number);
    ssize_t length = readlink(path, link, sizeof(link) - 1);
    if (length < 0 || stat(path, &status) != 0)
        return;
    link[length] = 0;
    mix(&state->own, number, strlen(number));
    mix(&state->files, link, (size_t)length);
    if (S_ISREG(status.st_mode)) {
        if (is_message_queue(path, &status))
            state->flags |= SENTRY_STATE_UNCERTAIN;
        mix_number(&state->files, (uint64_t)status.st_size);
        if (is_shared_memory(link) ? affordable((uint64_t)status.st_size, state)
                                   : status.st_nlink == 0 && mix_deleted(&status, state))
            mix_contents(open_descriptor(process, atoi(number)), 0, (uint64_t)status.st_size,
                         state);
    } else if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || strstr(link, "inotify") ||
               starts_with(link, "/dev/pts/") || starts_with(link, "/dev/ptmx")) {
        mix_queue(process, atoi(number), S_ISSOCK(status.st_mode), state);
    }
    mix_fdinfo(pid, number, state);
}

static void mix_descriptors(pid_t pid, struct sentry_state *state) {
    char path[64];
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        if (!spend(&budget.descriptors, state))
            break;
        mix_descriptor(pid, process, entry->d_name, state);
    }
    if (directory)
        closedir(directory);
    if (process >= 0)
        close(process);
}

static void mix_mappings(pid_t pid, struct sentry_state *state) {
    static char line[PATH_MAX + 256], last[PATH_MAX];
    char path[64], full[PATH_MAX + 64];
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *file = fopen(path, "re");
    last[0] = 0;
    while (file && fgets(line, sizeof(line), file) && spend(&budget.mappings, state)) {
        unsigned long long start, end;
        struct stat status;
        char rights[8];
        int at = 0;
        if (sscanf(line, "%llx-%llx %7s %*s %*s %*u %n", &start, &end, rights, &at) != 3 ||
            at == 0 || line[at] != '/')
            continue;
        char *name = line + at;
        name[strcspn(name, "\n")] = 0;
        if (rights[3] == 's' && starts_with(name, "/dev/zero"))
            shared_note(line, state);
        if (is_shared_memory(name) && rights[3] == 's') {
            snprintf(full, sizeof(full), "/proc/%d/mem", pid);
            if (affordable(end - start, state))
                mix_contents(open(full, O_RDONLY | O_CLOEXEC), (off_t)start, end - start, state);
            continue;
        }
        if (strcmp(name, last) == 0)
            continue;
        snprintf(last, sizeof(last), "%s", name);
        mix(&state->files, name, strlen(name));
        size_t length = strlen(name);
        if (length > 10 && strcmp(name + length - 10, " (deleted)") == 0) {
            snprintf(full, sizeof(full), "/proc/%d/map_files/%llx-%llx", pid, start, end);
            if (!starts_with(name, "/dev/zero") && stat(full, &status) == 0 &&
                mix_deleted(&status, state))
                mix_contents(open_regular(full), 0, (uint64_t)status.st_size, state);
            continue;
        }
        snprintf(full, sizeof(full), "/proc/%d/root%s", pid, name);
        mix_number(&state->files, stat(full, &status) == 0 ? (uint64_t)status.st_size : UINT64_MAX);
    }
    if (file)
        fclose(file);
}

static void mix_places(pid_t pid, struct sentry_state *state) {
    static const char *const names[] = {"cwd", "root", "exe"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char path[64], link[PATH_MAX];
        snprintf(path, sizeof(path), "/proc/%d/%s", pid, names[i]);
        ssize_t length = readlink(path, link, sizeof(link));
        mix(&state->files, link, length > 0 ? (size_t)length : 0);
    }
}

void states_send(const uint8_t *pids, uint32_t count, uint32_t request, uint32_t sandbox,
                 const char *cgroup_path) {
    static struct sentry_state all[CGROUP_PIDS_MAX];
    struct sentry_states head = {0};
    budget.bytes = BUDGET_BYTES;
    budget.descriptors = BUDGET_DESCRIPTORS;
    budget.mappings = BUDGET_MAPPINGS;
    shared_begin();
    for (uint32_t i = 0; i < count; i++) {
        struct sentry_state *state = &all[head.count];
        memset(state, 0, sizeof(*state));
        memcpy(&state->pid, pids + i * sizeof(state->pid), sizeof(state->pid));
        pid_t pid = (pid_t)state->pid;
        if (!mix_scheduling(pid, state))
            continue;
        mix_status(pid, state);
        mix_descriptors(pid, state);
        mix_mappings(pid, state);
        mix_places(pid, state);
        head.count++;
    }
    shared_end(cgroup_path, pids, count);
    frame_begin(SENTRY_STATES_ARE, request, sandbox);
    frame_put(&head, sizeof(head));
    frame_put(all, head.count * sizeof(*all));
    frame_end();
}
