/* Reading one entry: attributes, link target, content. Notices a file that changes while it is read. */
#include "treefs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define READ_TRIES 3

static uint8_t content[BLOCK_BYTES];
static uint8_t xattrs[MAX_XATTR_BYTES];
static char target[8192];

/* u16 name length, u16 padding, u32 value length, name, value; a list over the limit is E2BIG. */
static ssize_t collect_xattrs(int path_fd) {
    static char names[65536];
    static uint8_t value[65536];
    char path[64];
    proc_path(path, path_fd);
    ssize_t length = listxattr(path, names, sizeof(names));
    if (length < 0) return errno == ENOTSUP ? 0 : -1;
    size_t used = 0;
    for (const char *name = names; name < names + length; name += strlen(name) + 1) {
        ssize_t n = getxattr(path, name, value, sizeof(value));
        if (n < 0) {
            if (errno == ENODATA) continue;
            return -1;
        }
        uint16_t name_length = (uint16_t)strlen(name);
        uint16_t padding = 0;
        uint32_t value_length = (uint32_t)n;
        if (used + 8 + name_length + value_length > sizeof(xattrs)) {
            errno = E2BIG;
            return -1;
        }
        memcpy(xattrs + used, &name_length, 2);
        memcpy(xattrs + used + 2, &padding, 2);
        memcpy(xattrs + used + 4, &value_length, 4);
        memcpy(xattrs + used + 8, name, name_length);
        memcpy(xattrs + used + 8 + name_length, value, value_length);
        used += 8u + name_length + value_length;
    }
    return (ssize_t)used;
}

static bool same(const struct wire_stat *a, const struct wire_stat *b) {
    return a->size == b->size && a->mtime_sec == b->mtime_sec && a->mtime_nsec == b->mtime_nsec &&
           a->ctime_sec == b->ctime_sec && a->ctime_nsec == b->ctime_nsec && a->ino == b->ino;
}

static ssize_t read_at(int fd, uint8_t *into, size_t length, uint64_t offset) {
    size_t got = 0;
    while (got < length) {
        ssize_t n = pread(fd, into + got, length - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

/* Fills record->stat, content_length and flags from a regular file. */
static int read_small(int path_fd, struct detail_record *record, uint32_t limit) {
    int fd = reopen(path_fd, O_RDONLY | O_NOATIME);
    if (fd < 0) return -1;
    for (int try = 0; try < READ_TRIES; try++) {
        struct wire_stat after;
        if (stat_fd(fd, &record->stat) != 0) break;
        if (record->stat.size > limit || record->stat.size > sizeof(content)) {
            close(fd);
            return 0;
        }
        ssize_t n = read_at(fd, content, (size_t)record->stat.size, 0);
        if (n < 0 || stat_fd(fd, &after) != 0) break;
        record->flags = DETAIL_HAS_CONTENT;
        record->content_length = (uint32_t)n;
        if (same(&record->stat, &after) && (uint64_t)n == after.size) {
            close(fd);
            return 0;
        }
        record->flags |= DETAIL_UNSTABLE;
    }
    int error = errno;
    close(fd);
    if (record->flags & DETAIL_UNSTABLE) return 0;
    errno = error;
    return -1;
}

static void detail_one(int root, const char *path, uint32_t index, uint32_t limit) {
    struct detail_record record;
    memset(&record, 0, sizeof(record));
    record.index = index;
    int fd = open_beneath(root, path, O_PATH);
    if (fd < 0 || stat_fd(fd, &record.stat) != 0) {
        record.error = errno;
        if (fd >= 0) close(fd);
        wire_send(REPLY_DETAIL, &record, sizeof(record), NULL, 0);
        return;
    }
    if (S_ISREG(record.stat.mode) && limit > 0 && read_small(fd, &record, limit) != 0) record.error = errno;
    if (S_ISLNK(record.stat.mode)) {
        ssize_t n = readlinkat(fd, "", target, sizeof(target));
        if (n < 0) record.error = errno;
        record.target_length = n < 0 ? 0 : (uint32_t)n;
    }
    ssize_t length = collect_xattrs(fd);
    if (length < 0) record.error = errno;
    record.xattr_length = length < 0 ? 0 : (uint32_t)length;
    close(fd);
    struct frame_part {
        const void *data;
        size_t length;
    } tail = {S_ISLNK(record.stat.mode) ? (const void *)target : (const void *)content,
              S_ISLNK(record.stat.mode) ? record.target_length : record.content_length};
    wire_send3(REPLY_DETAIL, &record, sizeof(record), xattrs, record.xattr_length, tail.data, tail.length);
}

void handle_detail(struct reader *r) {
    static char root_path[MAX_PATH_BYTES + 1];
    static char path[MAX_PATH_BYTES + 1];
    uint32_t limit = read_u32(r);
    read_path(r, root_path);
    uint32_t count = read_u32(r);
    if (r->bad) return;
    int root = open_root(root_path);
    if (root < 0) {
        wire_failed(errno, "open", root_path);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        read_path(r, path);
        if (r->bad) break;
        detail_one(root, path, i, limit);
    }
    close(root);
    if (!r->bad) wire_done(count, 0);
}

/* Blocks that hold data, in order; a block that is all hole is left out. The state before and after tell if it held still. */
void handle_stream(struct reader *r) {
    static char root_path[MAX_PATH_BYTES + 1];
    static char path[MAX_PATH_BYTES + 1];
    read_path(r, root_path);
    read_path(r, path);
    if (r->bad) return;
    int root = open_root(root_path);
    int path_fd = root < 0 ? -1 : open_beneath(root, path, O_PATH);
    struct wire_stat stat;
    int error = errno;
    if (root >= 0) close(root);
    if (path_fd < 0) {
        wire_failed(error, "open", path);
        return;
    }
    if (stat_fd(path_fd, &stat) != 0 || !S_ISREG(stat.mode)) {
        close(path_fd);
        wire_failed(EINVAL, "not a regular file:", path);
        return;
    }
    int fd = reopen(path_fd, O_RDONLY | O_NOATIME);
    error = errno;
    close(path_fd);
    if (fd < 0 || stat_fd(fd, &stat) != 0) {
        wire_failed(fd < 0 ? error : errno, "open", path);
        if (fd >= 0) close(fd);
        return;
    }
    wire_send(REPLY_STAT, &stat, sizeof(stat), NULL, 0);
    uint64_t bytes = 0;
    for (uint64_t offset = 0; offset < stat.size;) {
        off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
        if (data < 0 && errno == ENXIO) break;
        if (data > 0) offset = (uint64_t)data / BLOCK_BYTES * BLOCK_BYTES;
        if (offset >= stat.size) break;
        uint64_t left = stat.size - offset;
        ssize_t n = read_at(fd, content, left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES, offset);
        if (n < 0) {
            wire_failed(errno, "read", path);
            close(fd);
            return;
        }
        if (n == 0) break;
        wire_send(REPLY_BLOCK, &offset, sizeof(offset), content, (size_t)n);
        bytes += (uint64_t)n;
        offset += BLOCK_BYTES;
    }
    if (stat_fd(fd, &stat) == 0) wire_send(REPLY_STAT, &stat, sizeof(stat), NULL, 0);
    close(fd);
    wire_done(1, bytes);
}
