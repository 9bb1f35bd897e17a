#include "roots.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "programs.h"

#define SETTLE_MIN_NS (12 * 1000 * 1000ull)
#define SETTLE_TRIES_MAX 3

static uint8_t slot_used[ROOTS_MAX];
static struct {
    uint32_t dev;
    uint32_t users;
} devices[DEVICES_MAX];

static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* Two ticks of the clock that stamps files, at least what was measured to be enough. */
static uint64_t settle_ns(void) {
    struct timespec tick;
    uint64_t two;
    clock_getres(CLOCK_REALTIME_COARSE, &tick);
    two = 2 * (uint64_t)tick.tv_nsec + 2000000;
    return two > SETTLE_MIN_NS ? two : SETTLE_MIN_NS;
}

static int take_device(uint32_t dev, uint32_t *index) {
    int free = -1;
    for (int i = 0; i < DEVICES_MAX; i++) {
        if (devices[i].users > 0 && devices[i].dev == dev) {
            devices[i].users++;
            *index = (uint32_t)i;
            return 0;
        }
        if (devices[i].users == 0 && free < 0)
            free = i;
    }
    if (free < 0)
        return -ENOSPC;
    int error = programs_add_device(dev, (uint32_t)free);
    if (error)
        return error;
    devices[free].dev = dev;
    devices[free].users = 1;
    *index = (uint32_t)free;
    return 0;
}

static void release_device(uint32_t index) {
    if (--devices[index].users == 0)
        programs_remove_device(devices[index].dev);
}

static int take_slot(uint32_t *slot) {
    for (uint32_t i = 0; i < ROOTS_MAX; i++) {
        if (slot_used[i])
            continue;
        slot_used[i] = 1;
        *slot = i;
        return 0;
    }
    return -ENOSPC;
}

int root_track(struct tracked_root *out, uint32_t root, const char *path) {
    struct identity identity;
    struct root_hints discarded;
    int error, fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    error = programs_identify(fd, &identity, NULL);
    close(fd);
    if (error)
        return error;
    memset(out, 0, sizeof(*out));
    out->root = root;
    out->key = (struct root_key){.ino = identity.ino, .dev = identity.dev};
    if ((error = take_slot(&out->slot)) != 0)
        return error;
    if ((error = take_device(identity.dev, &out->device)) != 0)
        goto no_device;
    if ((error = programs_add_root(&out->key, out->slot)) != 0)
        goto no_root;
    root_take(out, 0, &discarded);
    root_take_unassigned(out);
    return 0;
no_root:
    release_device(out->device);
no_device:
    slot_used[out->slot] = 0;
    return error;
}

void root_untrack(struct tracked_root *root) {
    programs_remove_root(&root->key);
    release_device(root->device);
    slot_used[root->slot] = 0;
}

/* How long until every hint is old enough; 0 when that is so. */
static uint64_t unsettled_ns(const struct tracked_root *roots, uint32_t count) {
    uint64_t quiet = settle_ns(), newest = 0, now;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t last = programs_root_state(roots[i].slot)->last_ns;
        if (last > newest)
            newest = last;
    }
    now = monotonic_ns();
    if (now >= newest && now - newest > quiet)
        return 0;
    return quiet + 500000 - (now >= newest ? now - newest : 0);
}

void roots_settle(const struct tracked_root *roots, uint32_t count) {
    for (int tries = 0; tries < SETTLE_TRIES_MAX; tries++) {
        uint64_t wait = unsettled_ns(roots, count);
        if (wait == 0)
            return;
        nanosleep(&(struct timespec){.tv_nsec = (long)wait}, NULL);
    }
}

static void add_inodes(const uint64_t *ino, uint32_t count, uint64_t *to, uint32_t *at,
                       uint32_t room, int *overflow) {
    for (uint32_t i = 0; i < count; i++) {
        if (*at == room) {
            *overflow = 1;
            return;
        }
        to[(*at)++] = ino[i];
    }
}

/*
 * What is young is told again at the next fence, once: what was only told again here has aged
 * meanwhile, unless the fences follow each other within the same tick.
 */
static void carry_young(struct tracked_root *root, const struct root_hints *now, uint32_t own) {
    struct carried_hints *carried = &root->carried;
    uint64_t newest_ns = programs_root_state(root->slot)->last_ns;
    int young = carried->newest_ns != 0 && monotonic_ns() - carried->newest_ns <= settle_ns();
    if (now->hints == 0 || unsettled_ns(root, 1) == 0) {
        if (!young)
            carried->newest_ns = 0;
        return;
    }
    if (!young)
        carried->count = carried->overflow = 0;
    carried->newest_ns = newest_ns;
    carried->overflow |= now->overflow;
    add_inodes(now->ino, own, carried->ino, &carried->count, ROOT_INODES_MAX, &carried->overflow);
}

void root_take(struct tracked_root *root, int carry, struct root_hints *out) {
    volatile struct root_state *state = programs_root_state(root->slot);
    volatile struct root_inodes *list = programs_root_inodes(root->slot);
    const struct carried_hints before = root->carried;
    uint32_t old = state->generation & 1, new = old ^ 1;
    uint32_t kept = 0;
    /* The other half was read at the fence before; late writers to it also wrote to the half that
     * is read now. */
    state->half[new].hints = 0;
    state->half[new].count = 0;
    state->half[new].overflow = 0;
    __atomic_add_fetch(&state->generation, 1, __ATOMIC_SEQ_CST);
    out->hints = state->half[old].hints;
    out->count = state->half[old].count;
    out->overflow = state->half[old].overflow != 0;
    if (out->count > ROOT_INODES_MAX) {
        out->count = ROOT_INODES_MAX;
        out->overflow = 1;
    }
    for (uint32_t i = 0; i < out->count; i++) {
        uint64_t ino = list->ino[old][i];
        if (ino != 0) /* counted, but not written yet: its hint is repeated in the new half */
            out->ino[kept++] = ino;
        list->ino[old][i] = 0;
    }
    out->count = kept;
    if (carry)
        carry_young(root, out, kept);
    if (before.newest_ns == 0)
        return;
    out->hints++;
    out->overflow |= before.overflow;
    add_inodes(before.ino, before.count, out->ino, &out->count, 2 * ROOT_INODES_MAX,
               &out->overflow);
}

uint64_t root_take_unassigned(struct tracked_root *root) {
    uint64_t now = programs_device_state(root->device)->unassigned;
    uint64_t since = now - root->unassigned_before;
    root->unassigned_before = now;
    return since;
}
