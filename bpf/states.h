/* What others can change of a process that does not run, as hashes to compare with those of another
 * time. */
#ifndef SENTRY_STATES_H
#define SENTRY_STATES_H

#include <stdint.h>

/* Answers a STATES request: `pids` are `count` numbers of 32 bits, possibly unaligned, of processes
 * in the cgroup. */
void states_send(const uint8_t *pids, uint32_t count, uint32_t request, uint32_t sandbox,
                 const char *cgroup_path);

#endif
