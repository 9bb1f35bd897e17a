/* The event loop's side of a descriptor. Owned by main.c. */
#ifndef SENTRY_LOOP_H
#define SENTRY_LOOP_H

#include <stdint.h>

struct source {
    int fd;
    void (*ready)(struct source *source, uint32_t events);
};

/* 0, or -errno. The source must stay in place until loop_remove. */
int loop_add(struct source *source, uint32_t events);
void loop_change(struct source *source, uint32_t events);
void loop_remove(struct source *source);

#endif
