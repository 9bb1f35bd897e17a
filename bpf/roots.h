/* Tracked roots: which directories' changes are hinted, and what was hinted since the fence before.
 */
#ifndef SENTRY_ROOTS_H
#define SENTRY_ROOTS_H

#include <linux/types.h>
#include <stdint.h>

#include "events.h"

struct tracked_root {
    uint32_t root; /* the owner's number */
    uint32_t slot;
    uint32_t device;
    struct root_key key;
    uint64_t unassigned_before;
};

struct root_hints {
    uint64_t hints;
    uint32_t count;
    int overflow;
    uint64_t ino[ROOT_INODES_MAX];
};

/* Starts hinting for the directory. 0, or -errno (EEXIST: tracked already; ENOTSUP: no hints on
 * this kernel). */
int root_track(struct tracked_root *out, uint32_t root, const char *path);
void root_untrack(struct tracked_root *root);
/* Whether no hint is as young as a clock tick: then a fence need neither wait nor carry over. */
int roots_settled(const struct tracked_root *roots, uint32_t count);
/*
 * Waits (bounded, some tens of ms) until no hint is as young as a clock tick: a second write in the
 * tick of a hinted one changes no ctime and would raise no hint after the fence. Returns 0 when it
 * stayed noisy; then root_take must carry its hints over into the next fence.
 */
int roots_settle(const struct tracked_root *roots, uint32_t count);
void root_take(struct tracked_root *root, int carry, struct root_hints *out);
/* Changes since the last call, on the root's device, of which nobody can say below which root. */
uint64_t root_take_unassigned(struct tracked_root *root);

#endif
