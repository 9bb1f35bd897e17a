/* Tracked roots: which directories' changes are hinted, and what was hinted since the fence before.
 */
#ifndef SENTRY_ROOTS_H
#define SENTRY_ROOTS_H

#include <linux/types.h>
#include <stdint.h>

#include "events.h"

/* Hinted so shortly before a fence that the next one tells it again. */
struct carried_hints {
    uint64_t newest_ns; /* CLOCK_MONOTONIC of the newest of them; 0: none */
    uint32_t count;
    int overflow;
    uint64_t ino[ROOT_INODES_MAX];
};

struct tracked_root {
    uint32_t root; /* the owner's number */
    uint32_t slot;
    uint32_t device;
    struct root_key key;
    uint64_t unassigned_before;
    struct carried_hints carried;
};

struct root_hints {
    uint64_t hints;
    uint32_t count;
    int overflow;
    uint64_t ino[2 * ROOT_INODES_MAX];
};

/* Starts hinting for the directory. 0, or -errno (EEXIST: tracked already; ENOTSUP: no hints on
 * this kernel). */
int root_track(struct tracked_root *out, uint32_t root, const char *path);
void root_untrack(struct tracked_root *root);
/*
 * Waits (bounded, some tens of ms) until no hint is as young as a clock tick: a second write in the
 * tick of a hinted one changes no ctime and would raise no hint after the fence. Where it stayed
 * noisy, or nobody waited, root_take tells the young ones again at the next fence.
 */
void roots_settle(const struct tracked_root *roots, uint32_t count);
/* Without `carry` everything is told once. */
void root_take(struct tracked_root *root, int carry, struct root_hints *out);
/* Changes since the last call, on the root's device, of which nobody can say below which root. */
uint64_t root_take_unassigned(struct tracked_root *root);

#endif
