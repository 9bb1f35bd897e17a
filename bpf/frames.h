/* Frames in and out: buffers, bounds and byte order of nothing else. Knows no message by name. */
#ifndef SENTRY_FRAMES_H
#define SENTRY_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sentry.h"

typedef void frame_handler(const struct sentry_frame *frame, const uint8_t *payload);

/* Reads what stdin has and hands over whole frames. False at its end, or when a frame is out of
 * bounds. */
bool frames_receive(frame_handler *handle);

/* One frame at a time: begin, put, end. A frame that would not fit the bound is a bug and aborts.
 */
void frame_begin(uint16_t type, uint32_t request, uint32_t sandbox);
void frame_put(const void *data, size_t size);
void frame_end(void);

/* False when the owner reads so slowly that events must be dropped (and counted) instead of queued.
 */
bool frames_room_for_events(void);
/* False when not even what waits for an answer may be queued. A sandbox decides how much there is
 * of either: the bound at which the owner is taken for dead must be out of its reach. */
bool frames_room_for_asks(void);
/* Writes what stdout takes; false when it is broken. */
bool frames_flush(void);
bool frames_pending(void);

#endif
