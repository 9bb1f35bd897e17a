/*
 * The wire between the sentry and its owner: length-prefixed frames, little-endian, on the sentry's
 * stdin and stdout. Every struct here has fixed-width members and explicit padding;
 * host-helper/inspector/sentry-frames.ts mirrors them and a unit test compares the two by reading
 * this file. Strings follow their struct, unterminated, in the order of their lengths; an argv is a
 * block of NUL-terminated strings.
 */
#ifndef SENTRY_H
#define SENTRY_H

#include <stdint.h>

#define SENTRY_VERSION 3
#define SENTRY_FRAME_MAX_IN (512 * 1024)
#define SENTRY_FRAME_MAX_OUT (512 * 1024)
#define SENTRY_WATCHES_MAX 128
#define SENTRY_ROOTS_MAX 1024
#define SENTRY_ARGV_ASK_MAX (128 * 1024)
#define SENTRY_ASKS_MAX 1024

/* Before every payload. `request` pairs a reply with its request (0: unasked); `sandbox` is the
 * caller's number. */
struct sentry_frame {
    uint32_t length; /* of the payload */
    uint16_t type;
    uint16_t reserved;
    uint32_t request;
    uint32_t sandbox;
};
_Static_assert(sizeof(struct sentry_frame) == 16, "wire");

/* Requests. UNWATCH, REGUARD and FORGET have no payload; GUARD's payload is the path of its socket,
 * STATES' are process ids of 32 bits. */
#define SENTRY_WATCH 1
#define SENTRY_UNWATCH 2
#define SENTRY_FENCE 3
#define SENTRY_GUARD 4
#define SENTRY_REGUARD 5
#define SENTRY_ANSWER 6
#define SENTRY_FORGET 7
#define SENTRY_STATES 8

/* Replies and events. */
#define SENTRY_READY 64
#define SENTRY_DONE 65
#define SENTRY_EXEC 66
#define SENTRY_EXIT 67
#define SENTRY_ROOT 68
#define SENTRY_LIVE 69
#define SENTRY_FENCE_END 70
#define SENTRY_REGUARDED 71
#define SENTRY_EXEC_ASK 72
#define SENTRY_EXEC_GONE 73
#define SENTRY_EXEC_KILLED 74
#define SENTRY_STATES_ARE 75

/* Followed by the cgroup's path, then root_count times a sentry_watch_root with its path. */
struct sentry_watch {
    uint64_t cgroup_id;
    uint32_t cgroup_path_length;
    uint32_t root_count;
};
_Static_assert(sizeof(struct sentry_watch) == 16, "wire");

struct sentry_watch_root {
    uint32_t root;
    uint32_t path_length;
};
_Static_assert(sizeof(struct sentry_watch_root) == 8, "wire");

/* Do not wait until the clock that stamps files has moved on: a root with a hint as young as that
 * is told as dirty by the fence after this one, too. */
#define SENTRY_FENCE_NOW 1

struct sentry_fence {
    uint32_t flags;
    uint32_t reserved;
};
_Static_assert(sizeof(struct sentry_fence) == 8, "wire");

#define SENTRY_VERDICT_DENY 0
#define SENTRY_VERDICT_ALLOW 1

struct sentry_answer {
    uint64_t ask;
    uint32_t verdict;
    uint32_t remember;
};
_Static_assert(sizeof(struct sentry_answer) == 16, "wire");

#define SENTRY_HAS_LIFECYCLE 1
#define SENTRY_HAS_HINTS 2
#define SENTRY_HAS_VERIFY 4

/* The first frame. */
struct sentry_ready {
    uint32_t version;
    uint32_t features;
    uint32_t hints_detail_length;
    uint32_t verify_detail_length;
};
_Static_assert(sizeof(struct sentry_ready) == 16, "wire");

/* status: 0, or an errno; the message names what failed. */
struct sentry_done {
    int32_t status;
    uint32_t message_length;
};
_Static_assert(sizeof(struct sentry_done) == 8, "wire");

#define SENTRY_EXEC_ARGV_TRUNCATED 1

struct sentry_exec {
    uint32_t pid;
    uint32_t sandbox_pid;
    uint64_t at_ms;
    uint32_t flags;
    uint32_t program_length;
    uint32_t argv_length;
    uint32_t reserved;
};
_Static_assert(sizeof(struct sentry_exec) == 32, "wire");

struct sentry_exit {
    uint32_t pid;
    int32_t exit_code; /* 128 + signal where a signal ended it */
};
_Static_assert(sizeof(struct sentry_exit) == 8, "wire");

#define SENTRY_ROOT_DIRTY 1
#define SENTRY_ROOT_OVERFLOW 2

/* Followed by inode_count inode numbers of 64 bits, possibly with repetitions. */
struct sentry_root {
    uint32_t root;
    uint32_t flags;
    uint32_t inode_count;
    uint32_t reserved;
};
_Static_assert(sizeof(struct sentry_root) == 16, "wire");

#define SENTRY_LIVE_SHARED_WRITABLE 1

struct sentry_live {
    uint32_t pid;
    uint32_t parent_pid;
    uint32_t sandbox_pid;
    uint32_t flags;
    uint64_t start_ticks;
    uint64_t run_count;
    uint32_t program_length;
    uint32_t argv_length;
};
_Static_assert(sizeof(struct sentry_live) == 40, "wire");

/* Ends a fence's answer: all counts since the fence before. */
struct sentry_fence_end {
    uint64_t unassigned;
    uint64_t executed;
    uint64_t forked;
    uint64_t dropped;
    uint64_t reached; /* writes into the memory of a process through /proc */
};
_Static_assert(sizeof(struct sentry_fence_end) == 40, "wire");

/* Something of it can be changed by others in a way that these hashes do not show. */
#define SENTRY_STATE_UNCERTAIN 1

/* What others can change of a process that does not run. */
struct sentry_state {
    uint32_t pid;
    uint32_t flags;
    uint64_t start_ticks;
    uint64_t own;   /* signals, limits, priority, descriptors' offsets and queues, shared memory */
    uint64_t files; /* names and sizes of the files that it holds */
};
_Static_assert(sizeof(struct sentry_state) == 32, "wire");

/* Followed by count times a sentry_state; processes that are gone are left out, and those whose
 * main thread is. */
struct sentry_states {
    uint32_t count;
    uint32_t reserved;
};
_Static_assert(sizeof(struct sentry_states) == 8, "wire");

/* Followed by count process ids of 32 bits that could not be guarded. */
struct sentry_reguarded {
    uint32_t count;
    uint32_t reserved;
};
_Static_assert(sizeof(struct sentry_reguarded) == 8, "wire");

#define SENTRY_ASK_ARGV_TRUNCATED 1
#define SENTRY_ASK_SCRIPT 2
#define SENTRY_ASK_ARGUMENT 4

struct sentry_exec_ask {
    uint64_t ask;
    uint32_t tid;
    uint32_t pid;
    uint32_t flags;
    uint32_t program_length;
    uint32_t interpreter_length;
    uint32_t argument_length;
    uint32_t argv_length;
    uint32_t cwd_length;
};
_Static_assert(sizeof(struct sentry_exec_ask) == 40, "wire");

/* The caller is gone, or its call was interrupted: an answer has no effect any more. */
struct sentry_exec_gone {
    uint64_t ask;
};
_Static_assert(sizeof(struct sentry_exec_gone) == 8, "wire");

#define SENTRY_KILLED_NOT_APPROVED 1
#define SENTRY_KILLED_OTHER_FILE 2
#define SENTRY_KILLED_FILE_CHANGED 3
#define SENTRY_KILLED_OTHER_ARGV 4

struct sentry_exec_killed {
    uint32_t pid;
    uint32_t reason;
    uint32_t program_length;
    uint32_t reserved;
};
_Static_assert(sizeof(struct sentry_exec_killed) == 16, "wire");

#endif
