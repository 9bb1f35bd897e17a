/*
 * Processes as `P PID:START KEY VALUE` lines: who they are, their memory, descriptors, directory, signals, limits and what
 * waits for them. Memory is hashed where it is the process's own: written private pages and shared memory that is no file.
 */
#include "probe.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define PIDS_MAX 4096
#define PAGE_BYTES 4096
#define PAGES_AT_ONCE 512
#define PAGE_PRESENT (1ull << 63)
#define PAGE_SWAPPED (1ull << 62)
#define PAGE_OF_FILE (1ull << 61)

static char text[1 << 20];

/* A file of /proc, terminated; its length, or -1 when the process is gone. */
static ssize_t slurp(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = -1;
    while (fd >= 0 && length < sizeof(text) - 1 &&
           (got = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)got;
    if (fd >= 0)
        close(fd);
    text[length] = 0;
    return got < 0 ? -1 : (ssize_t)length;
}

static int pids_of(const char *cgroup, int *pids) {
    char path[PATH_MAX];
    int count = 0;
    snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
    FILE *file = fopen(path, "re");
    while (file && count < PIDS_MAX && fscanf(file, "%d", &pids[count]) == 1)
        count++;
    if (file)
        fclose(file);
    return count;
}

static int inner_pid(int pid) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    if (slurp(path) < 0)
        return 0;
    char *line = strstr(text, "\nNSpid:");
    char *end = line ? strchr(line + 1, '\n') : NULL;
    if (!end)
        return 0;
    *end = 0;
    return atoi(strrchr(line, '\t') + 1);
}

uint64_t probe_scheduling(const char *cgroup) {
    static int pids[PIDS_MAX];
    struct hash hash;
    int count = pids_of(cgroup, pids);
    hash_start(&hash);
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        if (inner_pid(pids[i]) == 1)
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task", pids[i]);
        DIR *tasks = opendir(path);
        for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
            snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pids[i], entry->d_name);
            ssize_t length = slurp(path);
            hash_add(&hash, text, length > 0 ? (size_t)length : 0);
        }
        if (tasks)
            closedir(tasks);
    }
    return hash.one;
}

static void put(const char *who, const char *key, const char *value) {
    printf("P %s %s ", who, key);
    put_escaped(value, strlen(value));
    putchar('\n');
}

static void put_hash(const char *who, const char *key, const struct hash *hash) {
    printf("P %s %s %016llx%016llx\n", who, key, (unsigned long long)hash->one,
           (unsigned long long)hash->two);
}

static void put_status(int pid, const char *who) {
    static const char *const lines[] = {"Uid:",    "Gid:",    "SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:",
                                        "SigCgt:", "NSpgid:", "NSsid:",  "Umask:",  "Threads:"};
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    slurp(path);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
            if (strncmp(line, lines[i], strlen(lines[i])) == 0)
                put(who, lines[i], line + strlen(lines[i]));
        if (strncmp(line, "State:\tT", 8) == 0)
            put(who, "stopped", "yes");
    }
    snprintf(path, sizeof(path), "/proc/%d/limits", pid);
    slurp(path);
    put(who, "limits", text);
    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
    slurp(path);
    put(who, "oom", text);
}

/* Where each thread waits: a sleeping thread's registers do not change while it sleeps. */
static void put_threads(int pid, const char *who) {
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%s/syscall", pid, entry->d_name);
        slurp(path);
        char key[64];
        snprintf(key, sizeof(key), "thread-%s", entry->d_name);
        put(who, key, text);
        snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, entry->d_name);
        long nice = 0;
        char fact[64];
        char *rest = slurp(path) > 0 ? strrchr(text, ')') : NULL;
        if (rest)
            sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %ld", &nice);
        snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid, entry->d_name);
        char *pending = slurp(path) > 0 ? strstr(text, "SigPnd:") : NULL;
        snprintf(fact, sizeof(fact), "nice %ld %.24s", nice, pending ? pending : "");
        snprintf(key, sizeof(key), "of-thread-%s", entry->d_name);
        put(who, key, fact);
    }
    if (tasks)
        closedir(tasks);
}

static void hash_pages(struct hash *hash, int memory, int pagemap, uint64_t start, uint64_t end,
                       bool private) {
    static uint64_t entries[PAGES_AT_ONCE];
    static char page[PAGE_BYTES], zero[PAGE_BYTES];
    for (uint64_t at = start; at < end; at += PAGES_AT_ONCE * PAGE_BYTES) {
        uint64_t pages = (end - at) / PAGE_BYTES;
        if (pages > PAGES_AT_ONCE)
            pages = PAGES_AT_ONCE;
        ssize_t got = pread(pagemap, entries, pages * 8, (off_t)(at / PAGE_BYTES * 8));
        for (ssize_t i = 0; i < got / 8; i++) {
            /* What is shared may be there without being in this process's table. */
            if (private && (!(entries[i] & (PAGE_PRESENT | PAGE_SWAPPED)) || (entries[i] & PAGE_OF_FILE)))
                continue;
            uint64_t offset = at + (uint64_t)i * PAGE_BYTES;
            if (pread(memory, page, sizeof(page), (off_t)offset) != sizeof(page) ||
                memcmp(page, zero, sizeof(page)) == 0)
                continue;
            hash_add(hash, &offset, sizeof(offset));
            hash_add(hash, page, sizeof(page));
        }
    }
}

static bool is_file(const char *name) {
    static const char *const others[] = {"/memfd:", "/dev/zero", "/SYSV", "/dev/shm/"};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        if (strncmp(name, others[i], strlen(others[i])) == 0)
            return false;
    return name[0] == '/';
}

static void put_memory(int pid, const char *who) {
    char path[64];
    struct hash map, pages;
    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *file = fopen(path, "re");
    char line[PATH_MAX + 256];
    hash_start(&map);
    hash_start(&pages);
    while (file && fgets(line, sizeof(line), file)) {
        unsigned long long start, end, offset, inode;
        char rights[8], device[16];
        int at = 0;
        if (sscanf(line, "%llx-%llx %7s %llx %15s %llu %n", &start, &end, rights, &offset, device, &inode,
                   &at) != 6)
            continue;
        line[strcspn(line, "\n")] = 0;
        const char *name = line + at;
        /* Files by number: that one was renamed is no change of the process, that its last name went is one. */
        bool gone = strstr(name, " (deleted)") != NULL && is_file(name);
        char fact[256];
        snprintf(fact, sizeof(fact), "%llx %llx %s %llx %s %llu %d", start, end, rights, offset, device, inode,
                 gone);
        hash_add(&map, fact, strlen(fact));
        bool private = rights[3] == 'p';
        if (strncmp(name, "[v", 2) != 0 && (private || !is_file(name) || gone))
            hash_pages(&pages, memory, pagemap, start, end, private);
    }
    if (file)
        fclose(file);
    close(memory);
    close(pagemap);
    put_hash(who, "mappings", &map);
    put_hash(who, "memory", &pages);
}

/* What is queued behind a descriptor, through a duplicate of it: opening a FIFO would wake who waits for that. */
static void put_queue(int process, const char *who, int number, char kind) {
    int fd = (int)syscall(SYS_pidfd_getfd, process, number, 0);
    char key[32], value[256];
    int waiting = 0, listening = 0, type = 0;
    socklen_t size = sizeof(int);
    if (fd < 0)
        return;
    if (ioctl(fd, FIONREAD, &waiting) != 0)
        waiting = -1;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    poll(&ready, 1, 0);
    size_t length = (size_t)snprintf(value, sizeof(value), "%d %d", waiting, ready.revents & POLLIN);
    if (kind == 's') {
        struct sockaddr_un address = {0};
        socklen_t room = sizeof(address);
        struct hash hash;
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
        size = sizeof(int);
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
        getsockname(fd, (struct sockaddr *)&address, &room);
        hash_start(&hash);
        hash_add(&hash, &address, room < sizeof(address) ? room : sizeof(address));
        snprintf(value + length, sizeof(value) - length, " %d %d %d %016llx", type, listening,
                 address.sun_family, (unsigned long long)hash.one);
    }
    close(fd);
    snprintf(key, sizeof(key), "queue-%d", number);
    put(who, key, value);
}

static void put_descriptors(int pid, const char *who) {
    char path[PATH_MAX], key[64];
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct stat status;
        char link[PATH_MAX] = {0}, fact[256];
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, entry->d_name);
        if (stat(path, &status) != 0 || readlink(path, link, sizeof(link) - 1) < 0)
            continue;
        bool gone = S_ISREG(status.st_mode) && status.st_nlink == 0;
        snprintf(fact, sizeof(fact), "%o %llx %llu %d", status.st_mode & S_IFMT,
                 (unsigned long long)status.st_dev, (unsigned long long)status.st_ino, gone);
        snprintf(key, sizeof(key), "fd-%s", entry->d_name);
        put(who, key, fact);
        if (gone) {
            struct hash hash;
            hash_start(&hash);
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            hash_file(&hash, fd);
            close(fd);
            snprintf(key, sizeof(key), "deleted-%s", entry->d_name);
            put_hash(who, key, &hash);
        }
        if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || strstr(link, "inotify"))
            put_queue(process, who, atoi(entry->d_name), S_ISSOCK(status.st_mode) ? 's' : 'p');
        snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, entry->d_name);
        slurp(path);
        char *rest = NULL;
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
            if (strncmp(line, "pos:", 4) == 0 || strncmp(line, "flags:", 6) == 0 ||
                strncmp(line, "lock:", 5) == 0 || strncmp(line, "eventfd-count:", 14) == 0 ||
                strncmp(line, "tfd:", 4) == 0) {
                snprintf(key, sizeof(key), "fdinfo-%s", entry->d_name);
                put(who, key, line);
            }
        }
    }
    if (directory)
        closedir(directory);
    close(process);
}

/* The object behind /proc/PID/NAME, not its path. */
static void put_object(int pid, const char *who, const char *name) {
    char path[64], fact[128];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    if (stat(path, &status) != 0)
        return;
    snprintf(fact, sizeof(fact), "%llx %llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    put(who, name, fact);
}

static char state_of(const char *path) {
    if (slurp(path) <= 0)
        return 'X';
    char *rest = strrchr(text, ')');
    return rest ? rest[2] : 'X';
}

/* What can be read of a process whose main thread has ended is read through another; 0: it is over. */
static int through_whom(int pid) {
    char path[64 + NAME_MAX];
    int found = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && !found && (entry = readdir(directory));) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, entry->d_name);
        char state = state_of(path);
        if (state != 'Z' && state != 'X')
            found = atoi(entry->d_name);
    }
    if (directory)
        closedir(directory);
    return found;
}

void probe_processes(const char *cgroup) {
    static int pids[PIDS_MAX];
    int count = pids_of(cgroup, pids);
    for (int i = 0; i < count; i++) {
        char path[64], who[64];
        unsigned long long start = 0;
        int inner = inner_pid(pids[i]);
        if (inner <= 1)
            continue;
        snprintf(path, sizeof(path), "/proc/%d/stat", pids[i]);
        if (slurp(path) <= 0)
            continue;
        char *rest = strrchr(text, ')');
        long nice = 0;
        if (!rest)
            continue;
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %ld %*d %*d %llu",
               &nice, &start);
        snprintf(who, sizeof(who), "%d:%llu", inner, start);
        char number[32];
        snprintf(number, sizeof(number), "%ld", nice);
        int pid = through_whom(pids[i]);
        if (pid == 0)
            continue;
        put(who, "nice", number);
        snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
        ssize_t length = slurp(path);
        printf("P %s cmdline ", who);
        put_escaped(text, length > 0 ? (size_t)length : 0);
        putchar('\n');
        put_status(pid, who);
        put_threads(pid, who);
        put_memory(pid, who);
        put_descriptors(pid, who);
        put_object(pid, who, "cwd");
        put_object(pid, who, "root");
        put_object(pid, who, "exe");
    }
}
