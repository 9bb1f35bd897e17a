/* One process that the supervisor started: its descriptors, buffers and end. Knows nothing of the connection to the host. */
#ifndef TURNTABLE_CHILD_H
#define TURNTABLE_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ring.h"
#include "wire.h"

#define CHILD_LIMIT 256
#define CHILD_OUTPUT_CAPACITY (256u << 10) /* each stream, kept while nobody is attached or the host is slow */

struct child {
    bool used;
    bool terminal;
    bool started;      /* exec succeeded, or its failure was told */
    bool exited;
    bool exit_sent;    /* on this connection */
    bool acknowledged; /* the host knows; further output is thrown away */
    bool input_ended;
    uint32_t tag;
    uint32_t request; /* number of the SPAWN, until it is answered */
    uint32_t exit_code;
    uint32_t consumed; /* stdin bytes written since the last STDIN_CONSUMED */
    pid_t pid;
    int status_fd; /* tells of a failing exec; closed by a succeeding one */
    int input_fd;
    int output_fd[2]; /* stdout (or the pty), stderr */
    struct ring input;
    struct ring output[2];
    uint64_t dropped[2];
};

struct spawn_failure {
    int32_t error;
    uint32_t stage;
};

/* Starts a process from the payload of a SPAWN frame. On failure fills `failure` and leaves the slot free. */
bool child_spawn(struct child *child, uint32_t tag, uint8_t *payload, uint32_t length, struct spawn_failure *failure);
/* Reads what is there; with `keep` a full buffer means waiting, otherwise the oldest bytes go (and are counted). */
void child_read(struct child *child, int stream, bool keep);
/* Writes buffered stdin; closes it at its end. */
void child_write(struct child *child);
void child_resize(struct child *child, uint16_t columns, uint16_t rows);
/* Frees everything. The process must have been reaped. */
void child_forget(struct child *child);

#endif
