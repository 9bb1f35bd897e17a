/* The watched sandboxes: what each needs of BPF, and the answer to a fence. */
#ifndef SENTRY_WATCH_H
#define SENTRY_WATCH_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "reach.h"
#include "roots.h"
#include "sentry.h"

#define WATCH_ROOTS_MAX 32

struct watch {
    bool used;
    bool guarded;
    uint32_t sandbox;
    uint32_t slot;
    uint64_t cgroup_id;
    char cgroup_path[PATH_MAX];
    uint32_t root_count;
    struct tracked_root roots[WATCH_ROOTS_MAX];
    struct watch_counters before;
    uint64_t queue_dropped; /* events that the owner's pipe had no room for */
    struct reach reach;
};

struct watch *watch_find(uint32_t sandbox);
/* 0, or -errno with what failed in `trouble`. */
int watch_start(uint32_t sandbox, const struct sentry_watch *request, const uint8_t *strings,
                uint32_t length, const char **trouble);
void watch_stop(struct watch *watch);
/* From now on an exec without an approval is killed. 0, or -errno. */
int watch_set_guarded(struct watch *watch);
/* Answers a fence: everything that happened before the call. `flags`: SENTRY_FENCE_*. */
void watch_fence(struct watch *watch, uint32_t request, uint32_t flags);
/* Passes on what the programs have sent. */
void watch_drain(void);

#endif
