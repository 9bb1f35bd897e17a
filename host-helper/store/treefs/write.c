/*
 * Changing a tree, step by step. A step that fails ends the request: later steps are read and ignored, the temporary file
 * goes away, and REQUEST_APPLY_END tells. A file appears whole or not at all (without a name while it is written, then a
 * temporary one, then rename), unless the step asks to change the inode in place. Devices other than the whiteout (character 0:0) are refused.
 */
#include "treefs.h"

#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct {
    int root; /* -1: no request is open */
    int error;
    char failed_path[MAX_PATH_BYTES + 1];
    uint64_t steps;
    uint64_t bytes;
    /* The file being written. */
    int file;
    int parent;
    uint32_t file_flags;
    bool named; /* the temporary name stands for `file` */
    struct expectation expected;
    char path[MAX_PATH_BYTES + 1];
    char temporary[64];
} work = {.root = -1, .file = -1, .parent = -1};

static uint32_t temporary_count;

bool apply_is_open(void) { return work.root >= 0; }

static void fail(int error, const char *path) {
    if (work.error == 0) {
        work.error = error ? error : EIO;
        snprintf(work.failed_path, sizeof(work.failed_path), "%s", path);
    }
}

static void next_temporary(void) {
    snprintf(work.temporary, sizeof(work.temporary), ".turntable-%d-%u.tmp", (int)getpid(), temporary_count++);
}

static void drop_file(void) {
    if (work.file >= 0) {
        close(work.file);
        if (work.named) unlinkat(work.parent, work.temporary, 0);
    }
    if (work.parent >= 0) close(work.parent);
    work.file = -1;
    work.parent = -1;
    work.named = false;
}

void apply_abandon(void) { drop_file(); }

static bool listed(const struct meta *meta, const char *name) {
    size_t length = strlen(name);
    for (uint32_t at = 0; at + 8 <= meta->xattr_length;) {
        uint16_t name_length;
        uint32_t value_length;
        memcpy(&name_length, meta->xattrs + at, 2);
        memcpy(&value_length, meta->xattrs + at + 4, 4);
        if (name_length == length && memcmp(meta->xattrs + at + 8, name, length) == 0) return true;
        at += 8u + name_length + value_length;
    }
    return false;
}

/* Makes the extended attributes of `path` (never followed) exactly those of `meta`. */
static int set_xattrs(const char *path, const struct meta *meta) {
    static char names[65536];
    char name[256];
    if (meta->keep_xattrs) return 0;
    ssize_t length = llistxattr(path, names, sizeof(names));
    for (const char *old = names; length > 0 && old < names + length; old += strlen(old) + 1) {
        if (!listed(meta, old) && lremovexattr(path, old) != 0 && errno != ENODATA) return -1;
    }
    for (uint32_t at = 0; at + 8 <= meta->xattr_length;) {
        uint16_t name_length;
        uint32_t value_length;
        memcpy(&name_length, meta->xattrs + at, 2);
        memcpy(&value_length, meta->xattrs + at + 4, 4);
        if (name_length >= sizeof(name) || (uint64_t)at + 8 + name_length + value_length > meta->xattr_length) {
            errno = EINVAL;
            return -1;
        }
        memcpy(name, meta->xattrs + at + 8, name_length);
        name[name_length] = 0;
        if (lsetxattr(path, name, meta->xattrs + at + 8 + name_length, value_length, 0) != 0) return -1;
        at += 8u + name_length + value_length;
    }
    return 0;
}

static void times_of(const struct meta *meta, struct timespec times[2]) {
    times[0] = (struct timespec){.tv_sec = meta->mtime_sec, .tv_nsec = meta->mtime_nsec};
    times[1] = times[0];
}

/* Owner, then mode (chown clears set-id bits), then xattrs (chown clears capabilities), then times. */
static int set_meta_at(int parent, const char *name, const struct meta *meta) {
    char path[64 + MAX_PATH_BYTES + 2];
    char link[64];
    struct timespec times[2];
    struct wire_stat stat;
    if (fchownat(parent, name, meta->uid, meta->gid, AT_SYMLINK_NOFOLLOW) != 0) return -1;
    if (!S_ISLNK(meta->mode)) {
        int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) return -1;
        proc_path(link, fd);
        int result = stat_fd(fd, &stat) != 0 || S_ISLNK(stat.mode) ? -1 : chmod(link, meta->mode & 07777);
        int error = errno;
        close(fd);
        if (result != 0) {
            errno = error;
            return -1;
        }
    }
    proc_path(link, parent);
    snprintf(path, sizeof(path), "%s/%s", link, name);
    if (set_xattrs(path, meta) != 0) return -1;
    if (meta->keep_times) return 0;
    times_of(meta, times);
    return utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW);
}

static int as_expected(int parent, const char *name, const struct expectation *expected) {
    struct wire_stat stat;
    int result = stat_at(parent, name, &stat, NULL, NULL);
    bool there = result == 0;
    if (!there && errno != ENOENT) return -1;
    bool same = expected->ino == 0 ? !there
                                   : there && stat.ino == expected->ino && stat.ctime_sec == expected->ctime_sec &&
                                         stat.ctime_nsec == expected->ctime_nsec;
    if (same) return 0;
    errno = ESTALE;
    return -1;
}

/* Moves the temporary entry to its name. */
static int settle(int parent, const char *name, bool expect, const struct expectation *expected) {
    if (!expect) return renameat(parent, work.temporary, parent, name);
    if (as_expected(parent, name, expected) != 0) return -1;
    if (expected->ino != 0) return renameat(parent, work.temporary, parent, name);
    if (renameat2(parent, work.temporary, parent, name, RENAME_NOREPLACE) == 0) return 0;
    return errno == EINVAL ? renameat(parent, work.temporary, parent, name) : -1;
}

static int sync_directory(int parent) {
    int fd = reopen(parent, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return -1;
    int result = fsync(fd);
    close(fd);
    return result;
}

static void step_directory(const char *path, const struct meta *meta) {
    const char *name;
    int parent = open_parent(work.root, path, &name);
    if (parent < 0) {
        fail(errno, path);
        return;
    }
    if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST) {
        fail(errno, path);
    } else {
        struct wire_stat stat;
        if (stat_at(parent, name, &stat, NULL, NULL) != 0) {
            fail(errno, path);
        } else if (!S_ISDIR(stat.mode)) {
            fail(ENOTDIR, path);
        } else if (set_meta_at(parent, name, meta) != 0) {
            fail(errno, path);
        }
    }
    close(parent);
}

static void step_file_begin(struct reader *r) {
    work.file_flags = read_u32(r);
    read_path(r, work.path);
    read_expectation(r, &work.expected);
    drop_file();
    if (r->bad || work.error) return;
    const char *name;
    work.parent = open_parent(work.root, work.path, &name);
    if (work.parent < 0) {
        fail(errno, work.path);
        return;
    }
    if (work.file_flags & FILE_IN_PLACE) {
        int fd = openat(work.parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct wire_stat stat;
        if (fd >= 0 && stat_fd(fd, &stat) == 0 && S_ISREG(stat.mode)) work.file = reopen(fd, O_RDWR);
        int error = errno;
        if (fd >= 0) close(fd);
        if (work.file < 0) fail(error, work.path);
        return;
    }
    next_temporary();
    /* Without a name nothing stays behind, however this process ends. */
    work.file = openat(work.parent, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (work.file >= 0) return;
    work.file = openat(work.parent, work.temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    work.named = work.file >= 0;
    if (work.file < 0) fail(errno, work.path);
}

/* Gives the file its temporary name, if it has none yet. */
static int name_file(void) {
    char link[64];
    if (work.named) return 0;
    proc_path(link, work.file);
    if (linkat(AT_FDCWD, link, work.parent, work.temporary, AT_SYMLINK_FOLLOW) != 0) return -1;
    work.named = true;
    return 0;
}

static void step_file_data(struct reader *r) {
    uint64_t offset = read_u64(r);
    size_t length = (size_t)(r->end - r->at);
    const uint8_t *data = read_bytes(r, length);
    if (work.error || work.file < 0) return;
    while (length > 0) {
        ssize_t n = pwrite(work.file, data, length, (off_t)offset);
        if (n < 0) {
            if (errno == EINTR) continue;
            fail(errno, work.path);
            return;
        }
        data += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
        work.bytes += (uint64_t)n;
    }
}

static void step_file_zero(struct reader *r) {
    static const uint8_t zeros[65536];
    uint64_t offset = read_u64(r);
    uint64_t length = read_u64(r);
    if (work.error || work.file < 0) return;
    if (fallocate(work.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) == 0) return;
    while (length > 0) {
        ssize_t n = pwrite(work.file, zeros, length < sizeof(zeros) ? length : sizeof(zeros), (off_t)offset);
        if (n < 0) {
            fail(errno, work.path);
            return;
        }
        offset += (uint64_t)n;
        length -= (uint64_t)n;
    }
}

static void step_file_end(struct reader *r) {
    uint64_t size = read_u64(r);
    struct meta meta;
    read_meta(r, &meta);
    if (work.error || work.file < 0 || r->bad) {
        drop_file();
        return;
    }
    struct timespec times[2];
    times_of(&meta, times);
    const char *slash = strrchr(work.path, '/');
    const char *name = slash ? slash + 1 : work.path;
    bool in_place = (work.file_flags & FILE_IN_PLACE) != 0;
    bool durable = (work.file_flags & FILE_FSYNC) != 0;
    char self[64 + 64 + 2];
    char directory[64];
    proc_path(directory, work.parent);
    snprintf(self, sizeof(self), "%s/%s", directory, work.temporary);
    char in_place_path[64 + MAX_PATH_BYTES + 2];
    snprintf(in_place_path, sizeof(in_place_path), "%s/%s", directory, name);
    if (ftruncate(work.file, (off_t)size) != 0 || fchown(work.file, meta.uid, meta.gid) != 0 ||
        fchmod(work.file, meta.mode & 07777) != 0 || (!meta.keep_times && futimens(work.file, times) != 0) ||
        (durable && fsync(work.file) != 0) || (!in_place && name_file() != 0) ||
        set_xattrs(in_place ? in_place_path : self, &meta) != 0 ||
        (durable && meta.xattr_length > 0 && fsync(work.file) != 0) ||
        (!in_place && settle(work.parent, name, (work.file_flags & FILE_EXPECT) != 0, &work.expected) != 0)) {
        fail(errno, work.path);
        drop_file();
        return;
    }
    close(work.file);
    work.file = -1;
    if (durable && sync_directory(work.parent) != 0) fail(errno, work.path);
    drop_file();
}

static void step_symlink(struct reader *r) {
    static char path[MAX_PATH_BYTES + 1];
    static char target[MAX_PATH_BYTES + 1];
    struct expectation expected;
    struct meta meta;
    uint32_t flags = read_u32(r);
    read_path(r, path);
    read_expectation(r, &expected);
    read_path(r, target);
    read_meta(r, &meta);
    if (r->bad || work.error) return;
    const char *name;
    int parent = open_parent(work.root, path, &name);
    next_temporary();
    if (parent < 0) {
        fail(errno, path);
        return;
    }
    if (symlinkat(target, parent, work.temporary) != 0) {
        fail(errno, path);
    } else if (set_meta_at(parent, work.temporary, &meta) != 0 ||
               settle(parent, name, (flags & FILE_EXPECT) != 0, &expected) != 0) {
        fail(errno, path);
        unlinkat(parent, work.temporary, 0);
    } else if ((flags & FILE_FSYNC) && sync_directory(parent) != 0) {
        fail(errno, path);
    }
    close(parent);
}

static void step_node(const char *path, const struct meta *meta) {
    const char *name;
    bool whiteout = S_ISCHR(meta->mode);
    if (!whiteout && !S_ISFIFO(meta->mode) && !S_ISSOCK(meta->mode)) {
        fail(EPERM, path);
        return;
    }
    int parent = open_parent(work.root, path, &name);
    if (parent < 0) {
        fail(errno, path);
        return;
    }
    next_temporary();
    if (mknodat(parent, work.temporary, (meta->mode & S_IFMT) | 0600, makedev(0, 0)) != 0) {
        fail(errno, path);
    } else if (set_meta_at(parent, work.temporary, meta) != 0 || renameat(parent, work.temporary, parent, name) != 0) {
        fail(errno, path);
        unlinkat(parent, work.temporary, 0);
    }
    close(parent);
}

static void step_link(const char *path, const char *existing) {
    const char *name;
    const char *from_name;
    int parent = open_parent(work.root, path, &name);
    int from = open_parent(work.root, existing, &from_name);
    next_temporary();
    if (parent < 0 || from < 0 || linkat(from, from_name, parent, work.temporary, 0) != 0) {
        fail(errno, path);
    } else {
        if (renameat(parent, work.temporary, parent, name) != 0) fail(errno, path);
        unlinkat(parent, work.temporary, 0); /* rename of two links to one inode does nothing */
    }
    if (parent >= 0) close(parent);
    if (from >= 0) close(from);
}

static int remove_tree(int parent, const char *name, int depth) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM) return -1;
    if (depth > MAX_DEPTH) {
        errno = ELOOP;
        return -1;
    }
    int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0) return -1;
    DIR *stream = fdopendir(dir);
    if (!stream) {
        close(dir);
        return -1;
    }
    int result = 0;
    struct dirent *entry;
    while (result == 0 && (entry = readdir(stream))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        result = remove_tree(dir, entry->d_name, depth + 1);
    }
    int error = errno;
    closedir(stream);
    errno = error;
    return result == 0 ? unlinkat(parent, name, AT_REMOVEDIR) : -1;
}

static void step_remove(struct reader *r) {
    static char path[MAX_PATH_BYTES + 1];
    struct expectation expected;
    uint32_t flags = read_u32(r);
    read_path(r, path);
    read_expectation(r, &expected);
    if (r->bad || work.error) return;
    const char *name;
    int parent = open_parent(work.root, path, &name);
    if (parent < 0) {
        if (errno != ENOENT) fail(errno, path);
        return;
    }
    if ((flags & REMOVE_EXPECT) && as_expected(parent, name, &expected) != 0) {
        fail(errno, path);
    } else if (flags & REMOVE_ONLY_EMPTY) {
        if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOTEMPTY && errno != ENOENT && errno != EEXIST) fail(errno, path);
    } else if (flags & REMOVE_EXPECT) {
        if (unlinkat(parent, name, 0) != 0) fail(errno, path); /* a single entry, never a tree */
    } else if (remove_tree(parent, name, 0) != 0) {
        fail(errno, path);
    }
    if (!work.error && (flags & REMOVE_FSYNC) && sync_directory(parent) != 0) fail(errno, path);
    close(parent);
}

static void step_meta(const char *path, const struct meta *meta) {
    const char *name;
    if (path[0] == 0) {
        /* The root itself: named by its own descriptor. */
        if (set_meta_at(work.root, ".", meta) != 0) fail(errno, ".");
        return;
    }
    int parent = open_parent(work.root, path, &name);
    if (parent < 0) {
        fail(errno, path);
        return;
    }
    if (set_meta_at(parent, name, meta) != 0) fail(errno, path);
    close(parent);
}

void handle_apply(struct reader *r) {
    static char root_path[MAX_PATH_BYTES + 1];
    read_path(r, root_path);
    if (r->bad) return;
    work.error = 0;
    work.steps = 0;
    work.bytes = 0;
    work.failed_path[0] = 0;
    work.root = open(root_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (work.root < 0) {
        /* Steps still follow: keep reading them. */
        work.root = open("/", O_PATH | O_CLOEXEC);
        fail(ENOENT, root_path);
    }
}

void handle_step(enum request_type type, struct reader *r) {
    static char path[MAX_PATH_BYTES + 1];
    static char second[MAX_PATH_BYTES + 1];
    struct meta meta;
    work.steps++;
    switch (type) {
    case STEP_FILE_BEGIN: step_file_begin(r); return;
    case STEP_FILE_DATA: step_file_data(r); return;
    case STEP_FILE_ZERO: step_file_zero(r); return;
    case STEP_FILE_END: step_file_end(r); return;
    case STEP_SYMLINK: step_symlink(r); return;
    case STEP_REMOVE: step_remove(r); return;
    case STEP_LINK:
        read_path(r, path);
        read_path(r, second);
        if (!r->bad && !work.error) step_link(path, second);
        return;
    case STEP_DIRECTORY:
    case STEP_NODE:
    case STEP_META:
        read_path(r, path);
        read_meta(r, &meta);
        if (r->bad || work.error) return;
        if (type == STEP_DIRECTORY) step_directory(path, &meta);
        if (type == STEP_NODE) step_node(path, &meta);
        if (type == STEP_META) step_meta(path, &meta);
        return;
    default: r->bad = true;
    }
}

void handle_apply_end(struct reader *r) {
    uint32_t flags = read_u32(r);
    drop_file();
    if (!work.error && (flags & APPLY_SYNC) && syncfs(work.root) != 0) fail(errno, ".");
    close(work.root);
    work.root = -1;
    if (work.error) {
        wire_failed(work.error, "write", work.failed_path);
    } else {
        wire_done(work.steps, work.bytes);
    }
}

/* Gives the ranges of a file back to the file system; the size stays. */
void handle_punch(struct reader *r) {
    static char root_path[MAX_PATH_BYTES + 1];
    static char path[MAX_PATH_BYTES + 1];
    read_path(r, root_path);
    read_path(r, path);
    uint32_t count = read_u32(r);
    if (r->bad) return;
    int root = open_root(root_path);
    int fd = root < 0 ? -1 : open_beneath(root, path, O_RDWR);
    int error = errno;
    if (root >= 0) close(root);
    if (fd < 0) {
        wire_failed(error, "open", path);
        return;
    }
    uint64_t freed = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = read_u64(r);
        uint64_t length = read_u64(r);
        if (r->bad) break;
        if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) == 0) freed += length;
    }
    close(fd);
    if (!r->bad) wire_done(count, freed);
}

/* Makes a mounted overlay copy entries up, by a change that changes nothing. Entries that are not there are passed over. */
void handle_copy_up(struct reader *r) {
    static char root_path[MAX_PATH_BYTES + 1];
    static char path[MAX_PATH_BYTES + 1];
    read_path(r, root_path);
    uint32_t count = read_u32(r);
    if (r->bad) return;
    int root = open_root(root_path);
    if (root < 0) {
        wire_failed(errno, "open", root_path);
        return;
    }
    uint64_t copied = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *name;
        struct wire_stat stat;
        read_path(r, path);
        if (r->bad) break;
        int parent = open_parent(root, path, &name);
        if (parent < 0) continue;
        if (stat_at(parent, name, &stat, NULL, NULL) == 0) {
            struct timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                                        {.tv_sec = stat.mtime_sec, .tv_nsec = stat.mtime_nsec}};
            if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) == 0) copied++;
        }
        close(parent);
    }
    close(root);
    if (!r->bad) wire_done(copied, 0);
}
