/* A bounded byte queue (ring.h). */
#include "ring.h"

#include <stdlib.h>
#include <string.h>

bool ring_open(struct ring *ring, size_t capacity) {
    ring->bytes = malloc(capacity);
    ring->capacity = ring->bytes ? capacity : 0;
    ring->start = ring->used = 0;
    return ring->bytes != NULL;
}

void ring_close(struct ring *ring) {
    free(ring->bytes);
    memset(ring, 0, sizeof(*ring));
}

size_t ring_free(const struct ring *ring) { return ring->capacity - ring->used; }

size_t ring_put(struct ring *ring, const uint8_t *bytes, size_t size) {
    if (size > ring_free(ring))
        size = ring_free(ring);
    if (size == 0)
        return 0;
    size_t end = (ring->start + ring->used) % ring->capacity;
    size_t first = ring->capacity - end;
    if (first > size)
        first = size;
    memcpy(ring->bytes + end, bytes, first);
    memcpy(ring->bytes, bytes + first, size - first);
    ring->used += size;
    return size;
}

size_t ring_force(struct ring *ring, const uint8_t *bytes, size_t size) {
    size_t dropped = 0;
    if (size > ring->capacity) {
        dropped = size - ring->capacity;
        bytes += dropped;
        size = ring->capacity;
    }
    if (size > ring_free(ring)) {
        size_t excess = size - ring_free(ring);
        ring_consume(ring, excess);
        dropped += excess;
    }
    ring_put(ring, bytes, size);
    return dropped;
}

size_t ring_peek(const struct ring *ring, const uint8_t **bytes) {
    *bytes = ring->bytes + ring->start;
    size_t first = ring->capacity - ring->start;
    return ring->used < first ? ring->used : first;
}

void ring_consume(struct ring *ring, size_t size) {
    ring->used -= size;
    ring->start = ring->used == 0 ? 0 : (ring->start + size) % ring->capacity;
}
