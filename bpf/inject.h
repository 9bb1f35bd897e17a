/*
 * Runs system calls in another process's thread, stopped by ptrace, without writing to its code or
 * its stack (its other threads go on running), and leaves it as it was: an interrupted system call
 * is restarted by the kernel.
 */
#ifndef SENTRY_INJECT_H
#define SENTRY_INJECT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__x86_64__)
#include <sys/user.h>
#else
struct user_regs_struct {
    uint64_t unsupported;
};
#endif

struct injection {
    pid_t tid;
    struct user_regs_struct saved;
    uint64_t saved_mask;
    uint64_t instruction; /* address of a `syscall` in the tracee */
    int deliver;          /* a signal that came in between */
};

/* Stops the thread. 0, or -errno: EPERM when it is traced already, EBUSY when it does not stop. */
int inject_begin(struct injection *injection, pid_t tid);
/* The call's result as the kernel gives it (-errno on failure); -ESRCH when the thread died. */
int64_t inject_call(struct injection *injection, long number, uint64_t a, uint64_t b, uint64_t c,
                    uint64_t d, uint64_t e, uint64_t f);
void inject_end(struct injection *injection);
/* Threads that would not stop in time are let go when they do. Call it now and then. */
void inject_reap(void);

#endif
