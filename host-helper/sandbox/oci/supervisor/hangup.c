/*
 * After a restore: connections to a door came back without their other end, and their owners would wait for an answer for ever. This finds
 * them and shuts them down, so that the owner sees the end at once and asks again. Connections inside the sandbox are left alone.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "modes.h"

#define SOCKET_LIMIT 4096
#define PORT_LIMIT 16

static uint64_t inodes[SOCKET_LIMIT];
static uint32_t inode_count;
static long ports[PORT_LIMIT];
static uint32_t port_count;

/* Collects the inodes of sockets whose far end is a door, from a table in the format of proc(5). */
static void collect(pid_t pid, const char *table) {
    char path[64], line[512];
    snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, table);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        unsigned port;
        uint64_t inode;
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%*x %*[0-9A-Fa-f]:%x %*x %*x:%*x %*x:%*x %*x %*u %*u %" SCNu64, &port,
                   &inode) != 2)
            continue;
        for (uint32_t i = 0; i < port_count && inode_count < SOCKET_LIMIT; i++) {
            if (inode && ports[i] == (long)port)
                inodes[inode_count++] = inode;
        }
    }
    if (file)
        fclose(file);
}

static bool wanted(uint64_t inode) {
    for (uint32_t i = 0; i < inode_count; i++) {
        if (inodes[i] == inode)
            return true;
    }
    return false;
}

static uint32_t hang_up(pid_t pid) {
    char path[64], target[64];
    uint32_t count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    int pidfd = directory ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    struct dirent *entry;
    while (pidfd >= 0 && (entry = readdir(directory))) {
        uint64_t inode;
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        ssize_t size = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
        if (size < 0)
            continue;
        target[size] = 0;
        if (sscanf(target, "socket:[%" SCNu64 "]", &inode) != 1 || !wanted(inode))
            continue;
        int fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
        if (fd < 0)
            continue;
        count += shutdown(fd, SHUT_RDWR) == 0;
        close(fd);
    }
    if (pidfd >= 0)
        close(pidfd);
    if (directory)
        closedir(directory);
    return count;
}

int mode_hangup(int argc, char **argv) {
    if (argc < 2 || argc - 1 > PORT_LIMIT)
        return 2;
    for (int i = 1; i < argc; i++)
        ports[port_count++] = strtol(argv[i], NULL, 10);
    FILE *procs = fopen(argv[0], "re");
    int pid;
    bool first = true;
    uint32_t count = 0;
    while (procs && fscanf(procs, "%d", &pid) == 1) {
        if (first) {
            collect(pid, "tcp");
            collect(pid, "tcp6");
            first = false;
        }
        if (inode_count > 0)
            count += hang_up(pid);
    }
    if (!procs) {
        fprintf(stderr, "cannot read %s: %s\n", argv[0], strerror(errno));
        return 1;
    }
    printf("%u\n", count);
    return 0;
}
