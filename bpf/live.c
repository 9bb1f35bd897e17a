#include "live.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frames.h"

#define ARGV_MAX 4096
#define THREADS_MAX 4096
#define KNOWN_MAX 1024

static int add_pids(const char *path, pid_t *pids, int count, int room, int depth) {
    char name[PATH_MAX];
    int pid;
    if (depth > CGROUP_DEPTH_MAX ||
        snprintf(name, sizeof(name), "%s/cgroup.procs", path) >= (int)sizeof(name))
        return count;
    FILE *file = fopen(name, "re");
    if (!file)
        return depth == 0 ? -errno : count;
    while (count < room && fscanf(file, "%d", &pid) == 1)
        if (pid > 0)
            pids[count++] = pid;
    fclose(file);
    DIR *directory = opendir(path);
    if (!directory)
        return count;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) < (int)sizeof(name))
            count = add_pids(name, pids, count, room, depth + 1);
    }
    closedir(directory);
    return count;
}

int cgroup_pids(const char *path, pid_t *pids, int room) {
    return add_pids(path, pids, 0, room, 0);
}

int process_threads(pid_t pid, pid_t *tids, int room) {
    char path[64];
    int count = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *directory = opendir(path);
    if (!directory)
        return -errno;
    for (struct dirent *entry; count < room && (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            tids[count++] = atoi(entry->d_name);
    closedir(directory);
    return count;
}

ssize_t slurp(const char *path, char *out, size_t room) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = -1;
    if (fd < 0)
        return -1;
    while (length < room && (got = read(fd, out + length, room - length)) > 0)
        length += (size_t)got;
    close(fd);
    return got < 0 ? -1 : (ssize_t)length;
}

struct stat_line {
    char state;
    int parent;
    unsigned long long start;
};

static int read_stat(pid_t pid, struct stat_line *out) {
    char path[64], line[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    ssize_t length = slurp(path, line, sizeof(line) - 1);
    if (length <= 0)
        return -1;
    line[length] = 0;
    char *rest = strrchr(line, ')'); /* the name may hold anything */
    if (!rest ||
        sscanf(rest + 1,
               " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &out->state, &out->parent, &out->start) != 3)
        return -1;
    return 0;
}

uint64_t process_start(pid_t pid) {
    struct stat_line stat;
    return read_stat(pid, &stat) == 0 ? stat.start : 0;
}

static bool file_says(const char *path, const char *words) {
    char text[512];
    ssize_t length = slurp(path, text, sizeof(text) - 1);
    if (length <= 0)
        return false;
    text[length] = 0;
    return strstr(text, words) != NULL;
}

static bool frozen_by_version_1(pid_t tid) {
    char path[PATH_MAX + 64], line[PATH_MAX + 64];
    bool frozen = false;
    snprintf(path, sizeof(path), "/proc/%d/cgroup", tid);
    FILE *file = fopen(path, "re");
    while (file && !frozen && fgets(line, sizeof(line), file)) {
        char *where = strstr(line, ":freezer:");
        if (!where)
            continue;
        where += strlen(":freezer:");
        where[strcspn(where, "\n")] = 0;
        if (snprintf(path, sizeof(path), "/sys/fs/cgroup/freezer%s/freezer.state", where) <
            (int)sizeof(path))
            frozen = file_says(path, "FR"); /* FROZEN or FREEZING, not THAWED */
    }
    if (file)
        fclose(file);
    return frozen;
}

bool thread_held(pid_t tid, const char *cgroup_path) {
    struct stat_line stat;
    char path[PATH_MAX + 16];
    if (read_stat(tid, &stat) != 0 || stat.state == 'Z' || stat.state == 'X')
        return false;
    if (stat.state == 'T' || stat.state == 't')
        return true;
    snprintf(path, sizeof(path), "%s/cgroup.events", cgroup_path);
    return file_says(path, "frozen 1") || frozen_by_version_1(tid);
}

/* Flat as long as no thread runs: times scheduled and time spent, for one that is never interrupted
 * is not scheduled again. */
static uint64_t run_count(pid_t pid) {
    static pid_t tids[THREADS_MAX];
    int threads = process_threads(pid, tids, THREADS_MAX);
    uint64_t total = 0;
    for (int i = 0; i < threads; i++) {
        char path[64], line[128];
        unsigned long long times, spent_ns;
        snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", pid, tids[i]);
        ssize_t length = slurp(path, line, sizeof(line) - 1);
        if (length <= 0)
            continue;
        line[length] = 0;
        if (sscanf(line, "%llu %*u %llu", &spent_ns, &times) == 2)
            total += times + spent_ns;
    }
    return total;
}

/* Its number in the innermost namespace. */
static uint32_t inner_pid(pid_t pid) {
    char path[64], line[512];
    uint32_t inner = (uint32_t)pid;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        char *last = strrchr(line, '\t');
        if (strncmp(line, "NSpid:", 6) != 0 || !last)
            continue;
        inner = (uint32_t)strtoul(last + 1, NULL, 10);
        break;
    }
    if (file)
        fclose(file);
    return inner;
}

/* A process lives on without its main thread, which stays a zombie until the last one has ended. A
 * thread through which it can be read; 0 when it is over. */
static pid_t living_thread(pid_t pid, const struct stat_line *stat) {
    pid_t tids[2];
    if (stat->state != 'Z' && stat->state != 'X')
        return pid;
    if (process_threads(pid, tids, 2) < 2)
        return 0;
    return tids[0] == pid ? tids[1] : tids[0];
}

/* Of a real file: not of anonymous shared memory, devices or System V segments, which no tracked
 * root holds. */
static int has_shared_writable(pid_t pid) {
    static const char *const not_files[] = {"/memfd:", "/dev/zero", "/SYSV", "/dev/shm/", "/dev/"};
    char path[64], line[PATH_MAX + 256];
    int found = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (!found && fgets(line, sizeof(line), file)) {
        char rights[8];
        int at = 0;
        if (sscanf(line, "%*s %7s %*s %*s %*u %n", rights, &at) != 1 || rights[1] != 'w' ||
            rights[3] != 's')
            continue;
        found = at > 0 && line[at] == '/';
        for (size_t i = 0; found && i < sizeof(not_files) / sizeof(*not_files); i++)
            if (strncmp(line + at, not_files[i], strlen(not_files[i])) == 0)
                found = 0;
    }
    fclose(file);
    return found;
}

/* What only the process itself can change is read again only when it has run. */
struct known {
    pid_t pid;
    struct sentry_live live;
    char *text; /* program, then argv */
};

static struct known known[KNOWN_MAX];

static bool learn(struct known *entry, struct sentry_live *live, pid_t through) {
    char path[64], program[PATH_MAX], argv[ARGV_MAX];
    pid_t pid = (pid_t)live->pid;
    live->sandbox_pid = inner_pid(pid);
    /* A thread may end while it is read, which the main one cannot do unnoticed. */
    if (through != pid || has_shared_writable(pid))
        live->flags |= SENTRY_LIVE_SHARED_WRITABLE;
    snprintf(path, sizeof(path), "/proc/%d/exe", through);
    ssize_t length = readlink(path, program, sizeof(program));
    live->program_length = length > 0 ? (uint32_t)length : 0;
    snprintf(path, sizeof(path), "/proc/%d/cmdline", through);
    length = slurp(path, argv, sizeof(argv));
    live->argv_length = length > 0 ? (uint32_t)length : 0;
    free(entry->text);
    entry->text = malloc(live->program_length + live->argv_length + 1);
    entry->pid = entry->text ? pid : 0;
    if (!entry->text)
        return false;
    memcpy(entry->text, program, live->program_length);
    memcpy(entry->text + live->program_length, argv, live->argv_length);
    entry->live = *live;
    return true;
}

static void send_one(pid_t pid, uint32_t request, uint32_t sandbox) {
    struct known *entry = &known[(uint32_t)pid % KNOWN_MAX];
    struct sentry_live live = {.pid = (uint32_t)pid};
    struct stat_line stat;
    pid_t through = read_stat(pid, &stat) == 0 ? living_thread(pid, &stat) : 0;
    if (through == 0)
        return;
    live.parent_pid = (uint32_t)stat.parent;
    live.start_ticks = stat.start;
    live.run_count = run_count(pid);
    if (entry->pid == pid && entry->live.start_ticks == live.start_ticks &&
        entry->live.run_count == live.run_count && stat.state != 'R') {
        live = entry->live;
        live.parent_pid = (uint32_t)stat.parent;
    } else if (!learn(entry, &live, through)) {
        return;
    }
    /* Its name is for people only; that it lives must always be told. */
    if (!frames_room_for_events())
        live.program_length = live.argv_length = 0;
    frame_begin(SENTRY_LIVE, request, sandbox);
    frame_put(&live, sizeof(live));
    frame_put(entry->text, live.program_length + live.argv_length);
    frame_end();
}

void live_send(const char *cgroup_path, uint32_t request, uint32_t sandbox) {
    static pid_t pids[CGROUP_PIDS_MAX];
    int count = cgroup_pids(cgroup_path, pids, CGROUP_PIDS_MAX);
    for (int i = 0; i < count; i++)
        send_one(pids[i], request, sandbox);
}
