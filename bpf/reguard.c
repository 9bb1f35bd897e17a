#include "reguard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "guard.h"
#include "inject.h"
#include "live.h"
#include "log.h"
#include "programs.h"

#define ROUNDS_MAX 10
#define THREADS_MAX 4096
/* For a whole sandbox. One that does not stop costs half a second, and a sandbox may hold as many
 * of those as it likes, while everybody else waits. */
#define PATIENCE_S 4

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#else
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#endif

struct program {
    struct sock_fprog header;
    struct sock_filter code[8];
};

static const struct sock_filter guard_code[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
_Static_assert(sizeof(guard_code) == sizeof(((struct program *)0)->code), "the program fits");

static int write_program(pid_t tid, uint64_t address) {
    struct program program = {.header = {.len = sizeof(guard_code) / sizeof(*guard_code)}};
    struct iovec local = {.iov_base = &program, .iov_len = sizeof(program)};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = sizeof(program)};
    memcpy(program.code, guard_code, sizeof(guard_code));
    program.header.filter =
        (struct sock_filter *)(uintptr_t)(address + offsetof(struct program, code));
    return process_vm_writev(tid, &local, 1, &remote, 1, 0) == sizeof(program) ? 0 : -EFAULT;
}

/* Not WAIT_KILLABLE_RECV: a caller that waits must still be freezable, for a checkpoint. */
static int64_t install(struct injection *injection, uint64_t program, bool all_threads) {
    uint64_t flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if (all_threads)
        flags |= SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    int64_t result =
        inject_call(injection, SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program, 0, 0, 0);
    if (result == -EACCES &&
        inject_call(injection, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0) == 0)
        result =
            inject_call(injection, SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program, 0, 0, 0);
    return result;
}

/* A copy of the tracee's descriptor, which is then closed there. */
static int fetch_listener(struct injection *injection, pid_t pid, int number) {
    int process = (int)syscall(SYS_pidfd_open, pid, 0), fd, error;
    if (process < 0)
        return -errno;
    fd = (int)syscall(SYS_pidfd_getfd, process, number, 0);
    error = fd < 0 ? -errno : 0;
    close(process);
    inject_call(injection, SYS_close, (uint64_t)number, 0, 0, 0, 0, 0);
    return error ? error : fd;
}

static time_t deadline_s;

static time_t now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* 0: guarded, now or already; -ESRCH: gone, or (with all_threads) its threads have different
 * filters. */
static int guard_thread(struct watch *watch, pid_t pid, pid_t tid, bool all_threads) {
    struct injection injection;
    int64_t result;
    int error = now_s() > deadline_s ? -ETIMEDOUT : inject_begin(&injection, tid);
    if (error)
        return error;
    int64_t page = inject_call(&injection, SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0);
    if (page < 0 && page > -4096) {
        inject_end(&injection);
        return (int)page;
    }
    error = write_program(tid, (uint64_t)page);
    if (!error) {
        result = install(&injection, (uint64_t)page, all_threads);
        if (result >= 0)
            error = fetch_listener(&injection, pid, (int)result);
        else
            error = (int)result;
    }
    inject_call(&injection, SYS_munmap, (uint64_t)page, 4096, 0, 0, 0, 0);
    inject_end(&injection);
    if (error >= 0)
        return guard_adopt(watch, error);
    return error == -EBUSY ? 0 : error; /* EBUSY: a filter of it has a live listener */
}

/* Threads that do not descend from one filter (CRIU restores them one by one) are taken one by one.
 */
static int guard_threads(struct watch *watch, pid_t pid) {
    static pid_t tids[THREADS_MAX];
    int count = process_threads(pid, tids, THREADS_MAX), error = 0;
    for (int i = 0; i < count; i++) {
        int one = guard_thread(watch, pid, tids[i], false);
        if (one && one != -ESRCH)
            error = one;
    }
    return error;
}

static int guard_process(struct watch *watch, pid_t pid) {
    int error = guard_thread(watch, pid, pid, true);
    if (error == -ESRCH && process_start(pid) != 0)
        error = guard_threads(watch, pid);
    return error;
}

struct attempt {
    pid_t pid;
    uint64_t start;
    int error;
};

static struct attempt *find_attempt(struct attempt *attempts, int count, pid_t pid,
                                    uint64_t start) {
    for (int i = 0; i < count; i++)
        if (attempts[i].pid == pid && attempts[i].start == start)
            return &attempts[i];
    return NULL;
}

/* Rounds, because an unguarded process may have forked in between; a guarded one's children are
 * guarded. */
int reguard(struct watch *watch, pid_t *failed, int room) {
    static pid_t pids[CGROUP_PIDS_MAX];
    static struct attempt attempts[CGROUP_PIDS_MAX];
    int attempted = 0, failures = 0, fresh = 1, error;
    if (!programs_have_lifecycle())
        return -ENOTSUP;
    if ((error = watch_set_guarded(watch)) != 0)
        return error;
    deadline_s = now_s() + PATIENCE_S;
    for (int round = 0; round < ROUNDS_MAX && fresh > 0; round++) {
        int count = cgroup_pids(watch->cgroup_path, pids, CGROUP_PIDS_MAX);
        if (count < 0)
            return count;
        fresh = 0;
        for (int i = 0; i < count && attempted < CGROUP_PIDS_MAX; i++) {
            uint64_t start = process_start(pids[i]);
            struct attempt *before = find_attempt(attempts, attempted, pids[i], start);
            if (start == 0 || (before && (before->error == 0 || round > 1)))
                continue;
            if (!before)
                before = &attempts[attempted++];
            *before = (struct attempt){
                .pid = pids[i], .start = start, .error = guard_process(watch, pids[i])};
            fresh++;
        }
        inject_reap();
    }
    for (int i = 0; i < attempted; i++) {
        if (attempts[i].error == 0 || process_start(attempts[i].pid) != attempts[i].start)
            continue;
        say("sandbox %u: process %d could not be guarded: %s", watch->sandbox, attempts[i].pid,
            strerror(-attempts[i].error));
        if (failures < room)
            failed[failures++] = attempts[i].pid;
    }
    return failures;
}
