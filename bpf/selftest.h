/* Decides by observed effect, at start-up, what works on this kernel and this file system. */
#ifndef SENTRY_SELFTEST_H
#define SENTRY_SELFTEST_H

#include <stdbool.h>
#include <stddef.h>

/* Makes every family of change below `state_dir` and looks for its hint. What went wrong, or was
 * tried, is in `detail`. */
bool selftest_hints(const char *state_dir, char *detail, size_t size);
/* Executes without and with an approval in a cgroup of its own. `lifecycle` tells whether events
 * came at all. */
bool selftest_verify(bool *lifecycle, char *detail, size_t size);

#endif
