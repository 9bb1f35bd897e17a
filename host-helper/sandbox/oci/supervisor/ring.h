/* A bounded byte queue. Knows nothing of where its bytes come from or go to. */
#ifndef TURNTABLE_RING_H
#define TURNTABLE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    uint8_t *bytes;
    size_t capacity;
    size_t start;
    size_t used;
};

bool ring_open(struct ring *ring, size_t capacity);
void ring_close(struct ring *ring);
size_t ring_free(const struct ring *ring);
/* Copies up to `size` bytes in; returns how many fitted. */
size_t ring_put(struct ring *ring, const uint8_t *bytes, size_t size);
/* Copies in and drops the oldest bytes where it must; returns how many were dropped. */
size_t ring_force(struct ring *ring, const uint8_t *bytes, size_t size);
/* The longest contiguous piece at the front. */
size_t ring_peek(const struct ring *ring, const uint8_t **bytes);
void ring_consume(struct ring *ring, size_t size);

#endif
