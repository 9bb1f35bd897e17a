/*
 * What the BPF programs and the sentry share: map values and ring buffer records. Never leaves this
 * machine's kernel, so it may change freely; the wire to the owner is sentry.h. The includer brings
 * __u32 and __u64.
 */
#ifndef SENTRY_EVENTS_H
#define SENTRY_EVENTS_H

#define WATCHES_MAX 128
#define APPROVALS_MAX 4096
#define EVENT_ARGV_MAX 4096
#define EVENT_NAMES_MAX 4096
#define EVENT_NAME_MAX 256
#define EVENT_RING_BYTES (2 * 1024 * 1024)
/* The owner reads at fences; the ring wakes it earlier only when it fills, or for a kill. */
#define EVENT_RING_WAKE_BYTES (EVENT_RING_BYTES / 4)

/* By cgroup2 id. */
struct watch_value {
    __u32 sandbox;
    __u32 slot;
    __u32 guarded;
    __u32 reserved;
};

struct watch_counters {
    __u64 forked;
    __u64 executed;
    __u64 exited;
    __u64 dropped;
};

/*
 * Which file, and in which state. Always filled by the same BPF function, whether from a descriptor
 * of the sentry or from the file being executed, because what statx says of a device or an inode
 * number differs on overlay and btrfs.
 */
struct identity {
    __u64 ino;
    __s64 ctime_sec;
    __u32 ctime_nsec;
    __u32 dev;
};

#define APPROVAL_ARGV_FREE 1

/* By the calling thread's id; used once. */
struct approval {
    struct identity file;
    __u32 sandbox;
    __u32 flags;
    __u32 argc;
    __u32 argv_length;
    __u64 argv_hash;
};

struct identify_request {
    __u32 fd;
    __u32 pid; /* answer: the kernel's number of the calling process */
    struct identity file;
    __u32 mode;
    __u32 found;
};

#define EVENT_EXEC 1
#define EVENT_EXIT 2
#define EVENT_KILLED 3
#define EVENT_ARGV_TRUNCATED 1
#define EVENT_NAMES_TRUNCATED 2

/* Followed by the program's path, its components leaf first and NUL-terminated, and then the argv
 * block. */
struct process_event {
    __u32 kind;
    __u32 sandbox;
    __u32 pid;
    __u32 sandbox_pid;
    __u64 at_ns; /* CLOCK_BOOTTIME */
    __u32 code;  /* EXIT: wait status; KILLED: SENTRY_KILLED_* */
    __u32 flags;
    __u32 names_length;
    __u32 argv_length;
};

#define ROOTS_MAX 1024
/* A filter in front of the table of roots; enough that few other inodes pass. */
#define ROOT_BITS 4096
#define DEVICES_MAX 16
#define ROOT_INODES_MAX 512

struct root_key {
    __u64 ino;
    __u32 dev;
    __u32 reserved;
};

struct root_half {
    __u64 hints;
    __u32 count;
    __u32 overflow;
};

/* Two halves: programs write the one of the current generation, a fence moves to the next and reads
 * the other. */
struct root_state {
    __u64 last_ns; /* CLOCK_MONOTONIC of the newest hint */
    __u32 generation;
    __u32 reserved;
    struct root_half half[2];
};

struct root_inodes {
    __u64 ino[2][ROOT_INODES_MAX];
};

struct device_state {
    __u64 unassigned;
};

#endif
