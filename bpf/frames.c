#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* Beyond the first bound events are dropped, beyond the second nobody is asked for; beyond the
 * third the owner is taken for dead. */
#define OUT_EVENTS_MAX (8u << 20)
#define OUT_ASKS_MAX (16u << 20)
#define OUT_MAX (32u << 20)

static uint8_t in[sizeof(struct sentry_frame) + SENTRY_FRAME_MAX_IN];
static size_t in_length;

static uint8_t *out;
static size_t out_start, out_end, out_capacity, open_frame;
static bool in_frame;

bool frames_receive(frame_handler *handle) {
    ssize_t got = read(0, in + in_length, sizeof(in) - in_length);
    size_t at = 0;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0)
        return false;
    in_length += (size_t)got;
    while (in_length - at >= sizeof(struct sentry_frame)) {
        struct sentry_frame frame;
        memcpy(&frame, in + at, sizeof(frame));
        if (frame.length > SENTRY_FRAME_MAX_IN) {
            say("a frame of %u bytes is over the bound", frame.length);
            return false;
        }
        if (in_length - at < sizeof(frame) + frame.length)
            break;
        handle(&frame, in + at + sizeof(frame));
        frames_flush(); /* the next may take long; that it is broken is noticed later */
        at += sizeof(frame) + frame.length;
    }
    memmove(in, in + at, in_length - at);
    in_length -= at;
    return true;
}

static void reserve(size_t size) {
    if (out_end + size <= out_capacity)
        return;
    if (out_start > 0) {
        memmove(out, out + out_start, out_end - out_start);
        open_frame -= out_start;
        out_end -= out_start;
        out_start = 0;
    }
    if (out_end + size <= out_capacity)
        return;
    out_capacity = (out_end + size) * 2;
    if (out_end + size > OUT_MAX || !(out = realloc(out, out_capacity))) {
        say("the owner does not read: giving up");
        exit(1);
    }
}

void frame_begin(uint16_t type, uint32_t request, uint32_t sandbox) {
    struct sentry_frame frame = {.type = type, .request = request, .sandbox = sandbox};
    if (in_frame)
        abort();
    in_frame = true;
    open_frame = out_end;
    frame_put(&frame, sizeof(frame));
}

void frame_put(const void *data, size_t size) {
    if (size == 0)
        return;
    reserve(size);
    memcpy(out + out_end, data, size);
    out_end += size;
}

void frame_end(void) {
    size_t length = out_end - open_frame - sizeof(struct sentry_frame);
    uint32_t value = (uint32_t)length;
    if (!in_frame || length > SENTRY_FRAME_MAX_OUT)
        abort();
    memcpy(out + open_frame + offsetof(struct sentry_frame, length), &value, sizeof(value));
    in_frame = false;
}

bool frames_room_for_events(void) { return out_end - out_start < OUT_EVENTS_MAX; }

bool frames_room_for_asks(void) { return out_end - out_start < OUT_ASKS_MAX; }

bool frames_flush(void) {
    while (out_start < out_end) {
        ssize_t put = write(1, out + out_start, out_end - out_start);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno == EAGAIN;
        out_start += (size_t)put;
    }
    out_start = out_end = 0;
    return true;
}

bool frames_pending(void) { return out_start < out_end; }
