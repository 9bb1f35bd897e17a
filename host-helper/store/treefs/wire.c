/* Frames and the parts of a request: reading with limits, writing through one buffer. Knows no file system. */
#include "treefs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint8_t out[256u << 10];
static size_t out_used;
static uint32_t current_request;

static void write_all(const uint8_t *data, size_t length) {
    while (length > 0) {
        ssize_t n = write(STDOUT_FILENO, data, length);
        if (n < 0) {
            if (errno == EINTR) continue;
            _exit(0); /* the helper went away */
        }
        data += n;
        length -= (size_t)n;
    }
}

static bool read_all(uint8_t *into, size_t length) {
    while (length > 0) {
        ssize_t n = read(STDIN_FILENO, into, length);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        into += n;
        length -= (size_t)n;
    }
    return true;
}

void wire_flush(void) {
    write_all(out, out_used);
    out_used = 0;
}

static void put(const void *data, size_t length) {
    if (length == 0) return;
    if (out_used + length > sizeof(out)) wire_flush();
    if (length > sizeof(out)) {
        write_all(data, length);
        return;
    }
    memcpy(out + out_used, data, length);
    out_used += length;
}

bool wire_read_frame(struct frame_header *header, uint8_t *payload) {
    if (!read_all((uint8_t *)header, sizeof(*header))) return false;
    if (header->length > MAX_PAYLOAD) {
        fprintf(stderr, "treefs: frame of %u bytes is over the limit\n", header->length);
        return false;
    }
    return read_all(payload, header->length);
}

void wire_begin(uint32_t request) { current_request = request; }

void wire_send3(enum reply_type type, const void *a, size_t al, const void *b, size_t bl, const void *c, size_t cl) {
    struct frame_header header = {
        .length = (uint32_t)(al + bl + cl), .type = (uint16_t)type, .flags = 0, .request = current_request};
    put(&header, sizeof(header));
    put(a, al);
    put(b, bl);
    put(c, cl);
}

void wire_send(enum reply_type type, const void *head, size_t head_length, const void *tail, size_t tail_length) {
    wire_send3(type, head, head_length, tail, tail_length, NULL, 0);
}

void wire_done(uint64_t count, uint64_t bytes) {
    uint64_t body[2] = {count, bytes};
    wire_send(REPLY_DONE, body, sizeof(body), NULL, 0);
    wire_flush();
}

static void send_error(enum reply_type type, int error, const char *text) {
    uint32_t length = (uint32_t)strlen(text);
    int32_t head[2] = {error, (int32_t)length};
    wire_send(type, head, sizeof(head), text, length);
}

void wire_failed(int error, const char *what, const char *path) {
    char text[MAX_PATH_BYTES + 128];
    snprintf(text, sizeof(text), "%s %s", what, path);
    send_error(REPLY_FAILED, error, text);
    wire_flush();
}

void wire_warn(int error, const char *path) { send_error(REPLY_WARNING, error, path); }

const uint8_t *read_bytes(struct reader *r, size_t length) {
    if (r->bad || (size_t)(r->end - r->at) < length) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *data = r->at;
    r->at += length;
    return data;
}

uint32_t read_u32(struct reader *r) {
    uint32_t value = 0;
    const uint8_t *data = read_bytes(r, sizeof(value));
    if (data) memcpy(&value, data, sizeof(value));
    return value;
}

uint64_t read_u64(struct reader *r) {
    uint64_t value = 0;
    const uint8_t *data = read_bytes(r, sizeof(value));
    if (data) memcpy(&value, data, sizeof(value));
    return value;
}

int64_t read_i64(struct reader *r) { return (int64_t)read_u64(r); }

void read_path(struct reader *r, char into[MAX_PATH_BYTES + 1]) {
    into[0] = 0;
    uint32_t length = read_u32(r);
    if (length > MAX_PATH_BYTES) r->bad = true;
    const uint8_t *data = read_bytes(r, length);
    if (!data) return;
    if (memchr(data, 0, length)) {
        r->bad = true;
        return;
    }
    memcpy(into, data, length);
    into[length] = 0;
}

/* u32 mode, u32 uid, u32 gid, i64 mtime seconds, u32 nanoseconds, u32 flags (1 keep times, 2 keep xattrs), u32 length, xattrs */
void read_meta(struct reader *r, struct meta *meta) {
    meta->mode = read_u32(r);
    meta->uid = read_u32(r);
    meta->gid = read_u32(r);
    meta->mtime_sec = read_i64(r);
    meta->mtime_nsec = read_u32(r);
    uint32_t flags = read_u32(r);
    meta->keep_times = (flags & 1u) != 0;
    meta->keep_xattrs = (flags & 2u) != 0;
    meta->xattr_length = read_u32(r);
    meta->xattrs = read_bytes(r, meta->xattr_length);
}

void read_expectation(struct reader *r, struct expectation *expectation) {
    expectation->ino = read_u64(r);
    expectation->ctime_sec = read_i64(r);
    expectation->ctime_nsec = read_u32(r);
}
