/* The processes of a cgroup and of those below it, from the cgroup's directory and /proc. */
#ifndef SENTRY_LIVE_H
#define SENTRY_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_PIDS_MAX 8192
#define CGROUP_DEPTH_MAX 16

/* Fills `pids`; how many, or -errno. More than `room` are left out. */
int cgroup_pids(const char *path, pid_t *pids, int room);
/* The threads of a process; how many, or -errno. */
int process_threads(pid_t pid, pid_t *tids, int room);
/* Field 22 of /proc/PID/stat; 0 when the process is gone. */
uint64_t process_start(pid_t pid);
/* Frozen (cgroup2 or the version 1 freezer) or stopped: it will go on where it was. */
bool thread_held(pid_t tid, const char *cgroup_path);
/* A file of /proc, unterminated; its length (at most `room`), or -1. */
ssize_t slurp(const char *path, char *out, size_t room);
/* Sends one SENTRY_LIVE frame for each process that is not a zombie. */
void live_send(const char *cgroup_path, uint32_t request, uint32_t sandbox);

#endif
