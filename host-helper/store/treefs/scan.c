/*
 * Listing a tree: every entry once, parents before children, names of a directory in byte order, so that the reader can
 * build its hash tree while it reads. Descends by descriptor, never by path, never through a symbolic link.
 */
#include "treefs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BATCH_BYTES (128u << 10)
#define DENTS_BYTES (64u << 10)

struct names {
    char *arena;
    size_t used;
    size_t size;
    size_t *offsets;
    size_t count;
    size_t room;
};

struct walk {
    uint32_t dev_major;
    uint32_t dev_minor;
    bool stay_on_device;
    bool shallow;
    uint64_t entries;
    size_t batch_used;
    size_t path_length;
    char path[MAX_PATH_BYTES + 1];
    uint8_t batch[BATCH_BYTES];
};

static struct walk walk;
static const char *sort_arena;

static int by_bytes(const void *a, const void *b) {
    return strcmp(sort_arena + *(const size_t *)a, sort_arena + *(const size_t *)b);
}

static void names_free(struct names *names) {
    free(names->arena);
    free(names->offsets);
}

static bool names_add(struct names *names, const char *name) {
    size_t length = strlen(name) + 1;
    if (names->used + length > names->size) {
        size_t size = names->size ? names->size * 2 : 4096;
        while (size < names->used + length) size *= 2;
        char *arena = realloc(names->arena, size);
        if (!arena) return false;
        names->arena = arena;
        names->size = size;
    }
    if (names->count == names->room) {
        size_t room = names->room ? names->room * 2 : 64;
        size_t *offsets = realloc(names->offsets, room * sizeof(*offsets));
        if (!offsets) return false;
        names->offsets = offsets;
        names->room = room;
    }
    memcpy(names->arena + names->used, name, length);
    names->offsets[names->count++] = names->used;
    names->used += length;
    return true;
}

static int names_read(int dir, struct names *names) {
    static _Alignas(struct dirent64) char buffer[DENTS_BYTES];
    for (;;) {
        long n = syscall(SYS_getdents64, dir, buffer, sizeof(buffer));
        if (n < 0) return -1;
        if (n == 0) break;
        for (long at = 0; at < n;) {
            const struct dirent64 *entry = (const struct dirent64 *)(buffer + at);
            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
            if (!names_add(names, entry->d_name)) {
                errno = ENOMEM;
                return -1;
            }
        }
    }
    sort_arena = names->arena;
    if (names->count > 1) qsort(names->offsets, names->count, sizeof(size_t), by_bytes);
    return 0;
}

static void batch_flush(void) {
    if (walk.batch_used == 0) return;
    wire_send(REPLY_SCAN, walk.batch, walk.batch_used, NULL, 0);
    walk.batch_used = 0;
}

static void emit(const struct wire_stat *stat, const char *name, int depth, uint16_t flags) {
    size_t length = strlen(name);
    struct scan_record record = {
        .stat = *stat, .depth = (uint16_t)depth, .name_length = (uint16_t)length, .flags = flags, .padding = 0};
    if (walk.batch_used + sizeof(record) + length > BATCH_BYTES) batch_flush();
    memcpy(walk.batch + walk.batch_used, &record, sizeof(record));
    memcpy(walk.batch + walk.batch_used + sizeof(record), name, length);
    walk.batch_used += sizeof(record) + length;
    walk.entries++;
}

static void descend(int dir, int depth);

static void visit(int dir, const char *name, int depth) {
    struct wire_stat stat;
    uint32_t major = 0;
    uint32_t minor = 0;
    size_t before = walk.path_length;
    size_t length = strlen(name);
    bool fits = before + length + 1 <= MAX_PATH_BYTES;
    if (fits) {
        if (before) walk.path[walk.path_length++] = '/';
        memcpy(walk.path + walk.path_length, name, length + 1);
        walk.path_length += length;
    }
    if (!fits) {
        wire_warn(ENAMETOOLONG, walk.path);
    } else if (stat_at(dir, name, &stat, &major, &minor) != 0) {
        if (errno != ENOENT) wire_warn(errno, walk.path);
    } else if (!S_ISDIR(stat.mode) || walk.shallow) {
        emit(&stat, name, depth, 0);
    } else if (walk.stay_on_device && (major != walk.dev_major || minor != walk.dev_minor)) {
        emit(&stat, name, depth, RECORD_OTHER_DEVICE);
        wire_warn(EXDEV, walk.path);
    } else if (depth >= MAX_DEPTH) {
        emit(&stat, name, depth, RECORD_NOT_LISTED);
        wire_warn(ELOOP, walk.path);
    } else {
        int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
        if (child < 0) {
            emit(&stat, name, depth, RECORD_NOT_LISTED);
            wire_warn(errno, walk.path);
        } else {
            emit(&stat, name, depth, 0);
            descend(child, depth);
        }
    }
    walk.path_length = before;
    walk.path[before] = 0;
}

/* Takes over `dir`. */
static void descend(int dir, int depth) {
    struct names names = {0};
    if (names_read(dir, &names) != 0) wire_warn(errno, walk.path);
    for (size_t i = 0; i < names.count; i++) visit(dir, names.arena + names.offsets[i], depth + 1);
    names_free(&names);
    close(dir);
}

void handle_scan(struct reader *r) {
    static char root_path[MAX_PATH_BYTES + 1];
    static char start[MAX_PATH_BYTES + 1];
    uint32_t flags = read_u32(r);
    read_path(r, root_path);
    read_path(r, start);
    if (r->bad) return;
    int root = open_root(root_path);
    if (root < 0) {
        wire_failed(errno, "open", root_path);
        return;
    }
    int dir = open_beneath(root, start, O_RDONLY | O_DIRECTORY | O_NOATIME);
    int error = errno;
    close(root);
    struct wire_stat stat;
    if (dir < 0 || stat_fd(dir, &stat) != 0) {
        wire_failed(dir < 0 ? error : errno, "open", start[0] ? start : root_path);
        if (dir >= 0) close(dir);
        return;
    }
    struct statx sx;
    walk.batch_used = 0;
    walk.entries = 0;
    walk.path_length = 0;
    walk.path[0] = 0;
    walk.stay_on_device = (flags & SCAN_STAY_ON_DEVICE) != 0;
    walk.shallow = (flags & SCAN_SHALLOW) != 0;
    if (statx(dir, "", AT_EMPTY_PATH, 0, &sx) == 0) {
        walk.dev_major = sx.stx_dev_major;
        walk.dev_minor = sx.stx_dev_minor;
    }
    emit(&stat, "", 0, 0);
    descend(dir, 0);
    batch_flush();
    wire_done(walk.entries, 0);
}

/* What names one mount's lower or upper inodes; a fresh work directory must not meet it (overlayfs sets it anew). */
static const char *const ties[] = {"trusted.overlay.origin", "trusted.overlay.impure", "trusted.overlay.nlink",
                                   "trusted.overlay.upper", "trusted.overlay.uuid"};

static uint64_t strip_below(int dir, int depth) {
    uint64_t removed = 0;
    char list[1024];
    if (flistxattr(dir, list, sizeof(list)) != 0) {
        for (size_t i = 0; i < sizeof(ties) / sizeof(ties[0]); i++) {
            if (fremovexattr(dir, ties[i]) == 0) removed++;
        }
    }
    struct names names = {0};
    if (depth < MAX_DEPTH && names_read(dir, &names) == 0) {
        for (size_t i = 0; i < names.count; i++) {
            const char *name = names.arena + names.offsets[i];
            int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
            if (child >= 0) removed += strip_below(child, depth + 1);
        }
    }
    names_free(&names);
    close(dir);
    return removed;
}

void handle_strip(struct reader *r) {
    static char root_path[MAX_PATH_BYTES + 1];
    read_path(r, root_path);
    if (r->bad) return;
    int root = open(root_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0) {
        wire_failed(errno, "open", root_path);
        return;
    }
    wire_done(strip_below(root, 0), 0);
}
