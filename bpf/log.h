/* One line on stderr for people; the owner puts it into its log. */
#ifndef SENTRY_LOG_H
#define SENTRY_LOG_H

#include <stdio.h>

#define say(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr))

#endif
