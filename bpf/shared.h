/* Shared anonymous memory: whoever maps it can write it, and it has no name to be opened by. Those
 * who are asked about are told apart by whether they ran; of anybody else nobody knows. */
#ifndef SENTRY_SHARED_H
#define SENTRY_SHARED_H

#include <stdint.h>

#include "sentry.h"

void shared_begin(void);
/* A line of /proc/PID/maps, of the process with this state. */
void shared_note(const char *line, struct sentry_state *state);
/* Makes uncertain who maps memory that a process of the cgroup maps, too, which is not among them.
 */
void shared_end(const char *cgroup_path, const uint8_t *pids, uint32_t count);

#endif
