/* Notices writes into the memory of a sandbox's processes through its /proc: no run count moves for
 * them. */
#ifndef SENTRY_REACH_H
#define SENTRY_REACH_H

#include <stdint.h>

struct reach {
    int fd; /* fanotify; -1 before the first look that finds the sandbox's /proc */
};

void reach_start(struct reach *reach);
void reach_stop(struct reach *reach);
/* Writes since the last call. Where they cannot be watched every call says one: better a needless
 * dump than a missed change. */
uint64_t reach_take(struct reach *reach, const char *cgroup_path);

#endif
