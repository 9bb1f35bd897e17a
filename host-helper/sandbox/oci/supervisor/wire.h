/*
 * The framed protocol between the helper and the supervisor: one header, then `length` bytes. Little endian.
 * The TypeScript side is ../supervisor-wire.ts; a unit test reads the numbers below and compares.
 */
#ifndef TURNTABLE_WIRE_H
#define TURNTABLE_WIRE_H

#include <stdint.h>

#define WIRE_VERSION 1
#define WIRE_MAX_PAYLOAD (2u << 20)  /* host to supervisor: a spawn with a large environment */
#define WIRE_MAX_OUTPUT (32u << 10)  /* supervisor to host: one piece of output */
#define WIRE_STDIN_WINDOW (256u << 10) /* unconsumed stdin bytes that the host may have sent */

struct frame_header {
    uint32_t length; /* payload bytes after this header */
    uint8_t kind;
    uint8_t stream;    /* OUTPUT, DROPPED: 1 stdout, 2 stderr */
    uint16_t reserved; /* zero */
    uint32_t tag;      /* child; for SPAWN and its answers the request number of the host */
};
_Static_assert(sizeof(struct frame_header) == 12, "wire size");

enum frame_kind {
    /* host to supervisor */
    FRAME_SPAWN = 1,     /* struct spawn_header, then cwd, argv, env, each ended by NUL */
    FRAME_STDIN = 2,     /* bytes */
    FRAME_STDIN_EOF = 3, /* no payload */
    FRAME_RESIZE = 4,    /* struct size_payload */
    FRAME_KILL = 5,      /* uint32 signal, sent to the process group */
    FRAME_EXIT_ACK = 6,  /* the host knows of the exit: the child may be forgotten */
    FRAME_DETACH = 7,    /* stop sending, flush, close: nothing is lost over a dump */
    /* supervisor to host */
    FRAME_HELLO = 64,          /* uint32 version, uint32 number of children */
    FRAME_CHILD = 65,          /* struct child_payload, once a child after HELLO */
    FRAME_READY = 66,          /* the list is complete */
    FRAME_SPAWNED = 67,        /* struct child_payload; header.tag is the request */
    FRAME_SPAWN_FAILED = 68,   /* uint32 errno, uint32 stage; header.tag is the request */
    FRAME_OUTPUT = 69,         /* bytes */
    FRAME_DROPPED = 70,        /* uint64 bytes lost since the last such frame */
    FRAME_EXIT = 71,           /* uint32 code; repeated after every attach until acknowledged */
    FRAME_STDIN_CONSUMED = 72, /* uint32 bytes */
};

struct spawn_header {
    uint32_t flags; /* SPAWN_TERMINAL */
    uint16_t columns;
    uint16_t rows;
    uint32_t argument_count;
    uint32_t environment_count;
};
_Static_assert(sizeof(struct spawn_header) == 16, "wire size");
#define SPAWN_TERMINAL 1u

struct size_payload {
    uint16_t columns;
    uint16_t rows;
};
_Static_assert(sizeof(struct size_payload) == 4, "wire size");

struct child_payload {
    uint32_t tag;
    uint32_t pid; /* in the sandbox */
    uint32_t flags; /* SPAWN_TERMINAL */
    uint32_t unconsumed; /* stdin bytes buffered here */
};
_Static_assert(sizeof(struct child_payload) == 16, "wire size");

/* Where a spawn failed. */
enum spawn_stage {
    STAGE_REQUEST = 0,
    STAGE_RESOURCES = 1,
    STAGE_CWD = 2,
    STAGE_EXEC = 3,
};

#endif
