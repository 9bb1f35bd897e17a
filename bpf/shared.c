#include "shared.h"

#include <linux/limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "live.h"

#define NOTES_MAX 1024
/* What looking at the others may cost: everybody else waits meanwhile. */
#define LINES_MAX 65536

struct note {
    uint64_t inode;
    struct sentry_state *state;
};

static struct note notes[NOTES_MAX];
static uint32_t note_count;

/* 0: it is none. */
static uint64_t inode_of(const char *line) {
    unsigned long long inode;
    char rights[8];
    int at = 0;
    if (sscanf(line, "%*s %7s %*s %*s %llu %n", rights, &inode, &at) != 2 || at == 0 ||
        rights[3] != 's' || strncmp(line + at, "/dev/zero", strlen("/dev/zero")) != 0)
        return 0;
    return inode;
}

void shared_begin(void) { note_count = 0; }

void shared_note(const char *line, struct sentry_state *state) {
    uint64_t inode = inode_of(line);
    if (inode == 0)
        return;
    if (note_count == NOTES_MAX)
        state->flags |= SENTRY_STATE_UNCERTAIN;
    else
        notes[note_count++] = (struct note){.inode = inode, .state = state};
}

static void mark(uint64_t inode) {
    for (uint32_t i = 0; i < note_count; i++)
        if (inode == 0 || notes[i].inode == inode)
            notes[i].state->flags |= SENTRY_STATE_UNCERTAIN;
}

static bool is_among(pid_t pid, const uint8_t *pids, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(pids + i * sizeof(uint32_t), &pid, sizeof(pid)) == 0)
            return true;
    return false;
}

/* False when there were too many lines. */
static bool look_at(pid_t pid, uint32_t *lines_left) {
    static char line[PATH_MAX + 256];
    char path[64];
    bool enough = false;
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *file = fopen(path, "re");
    while (file && !enough && fgets(line, sizeof(line), file)) {
        enough = *lines_left == 0 || --*lines_left == 0;
        uint64_t inode = inode_of(line);
        if (inode != 0)
            mark(inode);
    }
    if (file)
        fclose(file);
    return !enough;
}

void shared_end(const char *cgroup_path, const uint8_t *pids, uint32_t count) {
    static pid_t living[CGROUP_PIDS_MAX];
    uint32_t lines_left = LINES_MAX;
    if (note_count == 0)
        return;
    int found = cgroup_pids(cgroup_path, living, CGROUP_PIDS_MAX);
    bool complete = found >= 0;
    for (int i = 0; complete && i < found; i++)
        if (!is_among(living[i], pids, count))
            complete = look_at(living[i], &lines_left);
    if (!complete)
        mark(0);
}
