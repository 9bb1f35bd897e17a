/*
 * treefs: the file tree worker of the store. Reads and writes trees that an agent may have filled with anything:
 * every path is resolved beneath a root descriptor, without following symbolic links (openat2). It owns the frames below
 * and the system calls; it knows nothing of versions, contents by hash, or sessions.
 *
 * Frames, little-endian, both ways: struct frame_header, then `length` bytes. Requests are answered one after the other; a
 * request ends with DONE or FAILED. Limits: MAX_PAYLOAD a frame, MAX_DEPTH directories deep, MAX_PATH_BYTES a path.
 */
#ifndef TREEFS_H
#define TREEFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define MAX_PAYLOAD (2u << 20)
#define MAX_PATH_BYTES 4000u
#define MAX_DEPTH 400
#define BLOCK_BYTES (256u << 10)
#define MAX_XATTR_BYTES (512u << 10)

enum request_type {
    REQUEST_SCAN = 1,   /* u32 flags (SCAN_*), str root, str start */
    REQUEST_DETAIL = 2, /* u32 inline limit, str root, u32 count, count * str path */
    REQUEST_STREAM = 3, /* str root, str path */
    REQUEST_SYNC = 4,   /* str root: syncfs */
    REQUEST_LOCK = 5,   /* str path, u32 pid */
    REQUEST_PUNCH = 6,  /* str root, str path, u32 count, count * (u64 offset, u64 length) */
    REQUEST_STRIP = 7,  /* str root: remove what ties directories to one mount (origin, impure, ...) */
    REQUEST_COPY_UP = 10, /* str root, u32 count, count * str path: sets each entry's mtime to what it is */
    REQUEST_APPLY = 8,  /* str root; then STEP_* frames, then REQUEST_APPLY_END */
    REQUEST_APPLY_END = 9, /* u32 flags (APPLY_*) */

    STEP_DIRECTORY = 32,  /* str path, meta: made if missing */
    STEP_FILE_BEGIN = 33, /* u32 flags (FILE_*), str path, expectation */
    STEP_FILE_DATA = 34,  /* u64 offset, bytes */
    STEP_FILE_ZERO = 35,  /* u64 offset, u64 length */
    STEP_FILE_END = 36,   /* u64 size, meta */
    STEP_SYMLINK = 37,    /* u32 flags, str path, expectation, str target, meta */
    STEP_NODE = 38,       /* str path, meta (mode tells FIFO, socket or whiteout) */
    STEP_LINK = 39,       /* str path, str existing */
    STEP_REMOVE = 40,     /* u32 flags (REMOVE_*), str path, expectation */
    STEP_META = 41,       /* str path, meta */
};

enum reply_type {
    REPLY_DONE = 128,   /* u64 count, u64 bytes */
    REPLY_FAILED = 129, /* i32 errno, str what */
    REPLY_SCAN = 130,   /* records: struct scan_record, name */
    REPLY_WARNING = 131, /* i32 errno, str path */
    REPLY_DETAIL = 132, /* struct detail_record, xattrs, target, content */
    REPLY_BLOCK = 133,  /* u64 offset, bytes */
    REPLY_STAT = 134,   /* struct wire_stat */
};

#define SCAN_STAY_ON_DEVICE 1u
#define SCAN_SHALLOW 2u /* do not descend */

#define FILE_IN_PLACE 1u /* change the existing inode instead of replacing it */
#define FILE_FSYNC 2u    /* make the file and its directory durable */
#define FILE_EXPECT 4u   /* what is replaced must be as the expectation says */

#define REMOVE_EXPECT 1u
#define REMOVE_ONLY_EMPTY 2u /* a directory that is not empty stays; not an error */
#define REMOVE_FSYNC 4u

#define APPLY_SYNC 1u /* syncfs at the end */

struct frame_header {
    uint32_t length;
    uint16_t type;
    uint16_t flags;
    uint32_t request;
};
_Static_assert(sizeof(struct frame_header) == 12, "frame header is 12 bytes");

struct wire_stat {
    uint64_t ino;
    uint64_t size;
    int64_t mtime_sec;
    int64_t ctime_sec;
    uint32_t mtime_nsec;
    uint32_t ctime_nsec;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t nlink;
    uint32_t rdev_major;
    uint32_t rdev_minor;
};
_Static_assert(sizeof(struct wire_stat) == 64, "stat is 64 bytes");

#define RECORD_OTHER_DEVICE 1u
#define RECORD_NOT_LISTED 2u /* too deep or unreadable: a warning tells which */

struct scan_record {
    struct wire_stat stat;
    uint16_t depth;
    uint16_t name_length;
    uint16_t flags;
    uint16_t padding;
};
_Static_assert(sizeof(struct scan_record) == 72, "scan record is 72 bytes");

#define DETAIL_HAS_CONTENT 1u
#define DETAIL_UNSTABLE 2u /* kept changing while it was read */

struct detail_record {
    uint32_t index;
    int32_t error;
    struct wire_stat stat;
    uint32_t flags;
    uint32_t xattr_length;
    uint32_t target_length;
    uint32_t content_length;
};
_Static_assert(sizeof(struct detail_record) == 88, "detail record is 88 bytes");

/* The part of a request not yet read; `bad` once something did not fit. */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

struct meta {
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    int64_t mtime_sec;
    uint32_t mtime_nsec;
    bool keep_times;
    bool keep_xattrs;
    const uint8_t *xattrs;
    uint32_t xattr_length;
};

/* ino 0: nothing may be there. */
struct expectation {
    uint64_t ino;
    int64_t ctime_sec;
    uint32_t ctime_nsec;
};

/* wire.c */
bool wire_read_frame(struct frame_header *header, uint8_t *payload);
void wire_begin(uint32_t request);
void wire_send(enum reply_type type, const void *head, size_t head_length, const void *tail, size_t tail_length);
void wire_send3(enum reply_type type, const void *a, size_t al, const void *b, size_t bl, const void *c, size_t cl);
void wire_done(uint64_t count, uint64_t bytes);
void wire_failed(int error, const char *what, const char *path);
void wire_warn(int error, const char *path);
void wire_flush(void);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
int64_t read_i64(struct reader *r);
const uint8_t *read_bytes(struct reader *r, size_t length);
/* A length-prefixed string, copied into `into` and terminated; refuses NUL bytes. */
void read_path(struct reader *r, char into[MAX_PATH_BYTES + 1]);
void read_meta(struct reader *r, struct meta *meta);
void read_expectation(struct reader *r, struct expectation *expectation);

/* place.c */
int open_root(const char *path);
/* An O_PATH descriptor of `path` beneath `root`, never through a symbolic link. "" is the root. */
int open_beneath(int root, const char *path, int flags);
/* The directory that holds `path`; `*name` points at its last part. */
int open_parent(int root, const char *path, const char **name);
/* Readable descriptor of a regular file that `path_fd` (O_PATH) is; never opens devices or FIFOs. */
int reopen(int path_fd, int flags);
void proc_path(char into[64], int fd);
int stat_fd(int fd, struct wire_stat *into);
int stat_at(int dir, const char *name, struct wire_stat *into, uint32_t *dev_major, uint32_t *dev_minor);

/* scan.c */
void handle_scan(struct reader *r);
void handle_strip(struct reader *r);

/* detail.c */
void handle_detail(struct reader *r);
void handle_stream(struct reader *r);

/* write.c */
void handle_apply(struct reader *r);
void handle_step(enum request_type type, struct reader *r);
void handle_apply_end(struct reader *r);
void handle_punch(struct reader *r);
void handle_copy_up(struct reader *r);
bool apply_is_open(void);
/* The helper is gone: the file that was being written goes too. */
void apply_abandon(void);

#endif
