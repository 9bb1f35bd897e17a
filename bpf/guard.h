/*
 * Exec guards: receives notification descriptors, asks the owner about each exec, carries out the
 * answers. What is remembered is the owner's decision kept here to save a round trip; nothing is
 * decided here.
 */
#ifndef SENTRY_GUARD_H
#define SENTRY_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry.h"
#include "watch.h"

/* 0, or -errno. */
int guard_listen(struct watch *watch, const char *path);
/* Serves a notification descriptor; it belongs to the guard from here on. 0, or -errno. */
int guard_adopt(struct watch *watch, int fd);
void guard_answer(const struct sentry_answer *answer);
void guard_forget(uint32_t sandbox);
/* Closes the sandbox's listeners: execs that wait, and later ones, fail. */
void guard_stop(uint32_t sandbox);
/* Withdraws asks whose callers are gone. Cheap; call it a few times a second while asks are
 * pending. */
void guard_check(void);
bool guard_pending(void);

#endif
