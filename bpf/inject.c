#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define STOP_PATIENCE_MS 500
#define SCAN_BYTES_MAX (4u << 20)
#define STEPS_MAX 64

#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif
#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif
#define PTRACE_GETSIGMASK_VALUE 0x420a
#define PTRACE_SETSIGMASK_VALUE 0x420b
#define TRAP_BIT (1ull << (SIGTRAP - 1))

static int late; /* threads seized that had not stopped in time */

void inject_reap(void) {
    int status;
    pid_t tid;
    while (late > 0 && (tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
        if (WIFSTOPPED(status))
            ptrace(PTRACE_DETACH, tid, 0, status >> 16 ? 0 : WSTOPSIG(status));
        late--;
    }
    if (late > 0 && tid < 0)
        late = 0;
}

#if defined(__x86_64__)

/* Waits for a stop; 0, -ESRCH when the thread is gone, -ETIMEDOUT. */
static int wait_stop(pid_t tid, int *status) {
    for (int waited_us = 0; waited_us < STOP_PATIENCE_MS * 1000;) {
        int step_us = waited_us < 2000 ? 50 : 1000;
        pid_t got = waitpid(tid, status, __WALL | WNOHANG);
        if (got < 0)
            return -ESRCH;
        if (got == tid)
            return WIFSTOPPED(*status) ? 0 : -ESRCH;
        nanosleep(&(struct timespec){.tv_nsec = step_us * 1000L}, NULL);
        waited_us += step_us;
    }
    return -ETIMEDOUT;
}

/* Any `syscall` instruction in executable memory will do; the vdso has one. */
static uint64_t find_instruction(pid_t tid) {
    char path[64], line[512];
    uint64_t found = 0;
    uint8_t *bytes = malloc(SCAN_BYTES_MAX);
    snprintf(path, sizeof(path), "/proc/%d/mem", tid);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%d/maps", tid);
    for (int pass = 0; pass < 2 && !found && bytes && memory >= 0; pass++) {
        FILE *maps = fopen(path, "re");
        while (maps && !found && fgets(line, sizeof(line), maps)) {
            unsigned long start, end;
            char rights[8];
            if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) != 3 || rights[0] != 'r' ||
                rights[2] != 'x' || (pass == 0 && !strstr(line, "[vdso]")) ||
                strstr(line, "[vsyscall]"))
                continue;
            size_t size = end - start < SCAN_BYTES_MAX ? end - start : SCAN_BYTES_MAX;
            ssize_t got = pread(memory, bytes, size, (off_t)start);
            for (ssize_t i = 0; i + 1 < got && !found; i++)
                if (bytes[i] == 0x0f && bytes[i + 1] == 0x05)
                    found = start + (uint64_t)i;
        }
        if (maps)
            fclose(maps);
    }
    if (memory >= 0)
        close(memory);
    free(bytes);
    return found;
}

/*
 * A few calls answer EINTR to any interruption, even by ptrace, where most are restarted by
 * themselves (signal(7)). The program must not notice us: make the kernel restart them unless a
 * handler really runs.
 */
static void mend_interrupted(struct user_regs_struct *regs) {
    static const long fragile[] = {SYS_epoll_wait,   SYS_epoll_pwait, 441 /* epoll_pwait2 */,
                                   SYS_semop,        SYS_semtimedop,  SYS_rt_sigtimedwait,
                                   SYS_io_getevents, SYS_msgrcv,      SYS_msgsnd};
    if ((long)regs->rax != -EINTR)
        return;
    for (size_t i = 0; i < sizeof(fragile) / sizeof(*fragile); i++)
        if ((long)regs->orig_rax == fragile[i])
            regs->rax = (unsigned long long)-514; /* ERESTARTNOHAND */
}

static int stop(struct injection *injection) {
    int status, error;
    /* Suspending seccomp lets a sandbox's own filter not refuse what we install; not every kernel
     * has it. */
    if (ptrace(PTRACE_SEIZE, injection->tid, 0, PTRACE_O_SUSPEND_SECCOMP) != 0 &&
        (errno != EPERM && errno != EINVAL ? 1 : ptrace(PTRACE_SEIZE, injection->tid, 0, 0) != 0))
        return -errno;
    if (ptrace(PTRACE_INTERRUPT, injection->tid, 0, 0) != 0)
        return -errno;
    error = wait_stop(injection->tid, &status);
    if (error == -ETIMEDOUT) {
        late++;
        return -EBUSY;
    }
    if (!error && status >> 16 != PTRACE_EVENT_STOP)
        injection->deliver = WSTOPSIG(status);
    return error;
}

int inject_begin(struct injection *injection, pid_t tid) {
    uint64_t blocked = ~TRAP_BIT;
    int error;
    memset(injection, 0, sizeof(*injection));
    injection->tid = tid;
    if ((error = stop(injection)) != 0)
        return error;
    if (ptrace(PTRACE_GETREGS, tid, 0, &injection->saved) != 0 ||
        ptrace(PTRACE_GETSIGMASK_VALUE, tid, sizeof(injection->saved_mask),
               &injection->saved_mask) != 0 ||
        ptrace(PTRACE_SETSIGMASK_VALUE, tid, sizeof(blocked), &blocked) != 0) {
        error = -errno;
        ptrace(PTRACE_DETACH, tid, 0, injection->deliver);
        return error;
    }
    mend_interrupted(&injection->saved);
    injection->instruction = injection->saved.cs == 0x33 ? find_instruction(tid) : 0;
    if (injection->instruction == 0) {
        inject_end(injection);
        return -ENOEXEC; /* 32-bit, or nothing to run */
    }
    return 0;
}

int64_t inject_call(struct injection *injection, long number, uint64_t a, uint64_t b, uint64_t c,
                    uint64_t d, uint64_t e, uint64_t f) {
    struct user_regs_struct regs = injection->saved;
    int status, error;
    regs.rax = (unsigned long long)number;
    regs.orig_rax = (unsigned long long)-1; /* not in a system call: nothing to restart */
    regs.rip = injection->instruction;
    regs.rdi = a;
    regs.rsi = b;
    regs.rdx = c;
    regs.r10 = d;
    regs.r8 = e;
    regs.r9 = f;
    if (ptrace(PTRACE_SETREGS, injection->tid, 0, &regs) != 0)
        return -ESRCH;
    for (int step = 0; step < STEPS_MAX; step++) {
        if (ptrace(PTRACE_SINGLESTEP, injection->tid, 0, 0) != 0)
            return -ESRCH;
        if ((error = wait_stop(injection->tid, &status)) != 0)
            return error;
        if (status >> 16 == 0 && WSTOPSIG(status) == SIGTRAP) {
            if (ptrace(PTRACE_GETREGS, injection->tid, 0, &regs) != 0)
                return -ESRCH;
            if (regs.rip == injection->instruction + 2)
                return (int64_t)regs.rax;
        } else if (status >> 16 == 0) {
            injection->deliver = WSTOPSIG(status); /* cannot be blocked: a SIGSTOP */
        }
    }
    return -EBUSY;
}

void inject_end(struct injection *injection) {
    ptrace(PTRACE_SETREGS, injection->tid, 0, &injection->saved);
    ptrace(PTRACE_SETSIGMASK_VALUE, injection->tid, sizeof(injection->saved_mask),
           &injection->saved_mask);
    ptrace(PTRACE_DETACH, injection->tid, 0, injection->deliver);
}

#else

int inject_begin(struct injection *injection, pid_t tid) {
    (void)injection;
    (void)tid;
    return -ENOSYS;
}

int64_t inject_call(struct injection *injection, long number, uint64_t a, uint64_t b, uint64_t c,
                    uint64_t d, uint64_t e, uint64_t f) {
    (void)injection, (void)number, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return -ENOSYS;
}

void inject_end(struct injection *injection) { (void)injection; }

#endif
