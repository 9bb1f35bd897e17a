/*
 * Puts processes whose exec filter lost its listener (a restore by CRIU, an earlier sentry that
 * died) under a new one. A filter cannot be removed, but a newer one with the same action is served
 * first.
 */
#ifndef SENTRY_REGUARD_H
#define SENTRY_REGUARD_H

#include <sys/types.h>

#include "watch.h"

#define REGUARD_FAILED_MAX 1024

/* Guards every process of the watch; fills the pids that could not be. How many those are, or
 * -errno. */
int reguard(struct watch *watch, pid_t *failed, int room);

#endif
