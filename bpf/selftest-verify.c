#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/limits.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "programs.h"
#include "selftest.h"

#define CGROUP2_MAGIC 0x63677270
#define SELFTEST_SLOT 0 /* before any watch exists */

/* Below the cgroup that we are in: a place where we may surely make one. */
static int make_cgroup(char *path, size_t size, __u64 *id) {
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char line[PATH_MAX] = "", own[PATH_MAX] = "/";
    struct statfs kind;
    struct stat status;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "0::", 3) == 0)
            snprintf(own, sizeof(own), "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    if (file)
        fclose(file);
    for (size_t i = 0; i < 2; i++) {
        if (statfs(mounts[i], &kind) != 0 || kind.f_type != CGROUP2_MAGIC)
            continue;
        /* The root of the mount first: a cgroup with controllers may not have both processes and
         * children. */
        if (snprintf(path, size, "%s/sentry-%d", mounts[i], getpid()) >= (int)size ||
            mkdir(path, 0700) != 0)
            if (snprintf(path, size, "%s%s/sentry-%d", mounts[i], own, getpid()) >= (int)size ||
                mkdir(path, 0700) != 0)
                return -errno;
        if (stat(path, &status) != 0)
            return -errno;
        *id = status.st_ino;
        return 0;
    }
    return -ENOENT;
}

static int enter(const char *cgroup) {
    char path[PATH_MAX + 16], number[16];
    snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
    int fd = open(path, O_WRONLY | O_CLOEXEC),
        length = snprintf(number, sizeof(number), "%d", getpid());
    if (fd < 0)
        return -1;
    int result = write(fd, number, (size_t)length) == length ? 0 : -1;
    close(fd);
    return result;
}

/* Any filter will do: only filtered tasks are verified. */
static int filter_self(void) {
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = 1, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                   syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0
               ? 0
               : -1;
}

/* Executes ourselves, which without arguments ends with status 2, after the parent's word. The wait
 * status, or -1. */
static int try_exec(const char *cgroup, const struct approval *approval) {
    static char *const argv[] = {"sentry", NULL};
    int gate[2], status;
    char byte = 0;
    if (pipe2(gate, O_CLOEXEC) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        if (enter(cgroup) != 0 || filter_self() != 0 || read(gate[0], &byte, 1) != 1)
            _exit(125);
        execv("/proc/self/exe", argv);
        _exit(126);
    }
    close(gate[0]);
    if (child > 0 && approval)
        programs_approve(child, approval);
    if (child < 0 || write(gate[1], &byte, 1) != 1 || waitpid(child, &status, 0) != child)
        status = -1;
    close(gate[1]);
    return status;
}

static int seen_exec, seen_exit, seen_killed;

static void count(const struct process_event *event, const char *names, const char *argv) {
    (void)names;
    seen_exec +=
        event->kind == EVENT_EXEC && event->argv_length == 7 && strcmp(argv, "sentry") == 0;
    seen_killed += event->kind == EVENT_KILLED;
    seen_exit += event->kind == EVENT_EXIT;
}

static bool run(const char *cgroup, bool *lifecycle, char *detail, size_t size) {
    struct approval approval = {
        .argc = 1, .argv_length = 7, .argv_hash = programs_argv_hash("sentry", 7)};
    int own = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    int error = own < 0 ? -errno : programs_identify(own, &approval.file, NULL);
    if (own >= 0)
        close(own);
    if (error) {
        snprintf(detail, size, "a file cannot be identified: %s", strerror(-error));
        return false;
    }
    int allowed = try_exec(cgroup, &approval);
    int unasked = try_exec(cgroup, NULL);
    approval.argv_hash ^= 1;
    int other = try_exec(cgroup, &approval);
    programs_drain(count);
    *lifecycle = seen_exec >= 1 && seen_exit >= 1;
    if (!WIFEXITED(allowed) || WEXITSTATUS(allowed) != 2)
        snprintf(detail, size, "an approved exec did not run (status %x)", allowed);
    else if (!WIFSIGNALED(unasked) || WTERMSIG(unasked) != SIGKILL)
        snprintf(detail, size, "an exec without approval was not killed (status %x)", unasked);
    else if (!WIFSIGNALED(other) || WTERMSIG(other) != SIGKILL)
        snprintf(detail, size, "an exec with another argv was not killed (status %x)", other);
    else if (seen_exec != 1 || seen_killed != 2 || seen_exit != 3)
        snprintf(detail, size, "events are missing: %d exec, %d kill, %d exit", seen_exec,
                 seen_killed, seen_exit);
    else {
        snprintf(detail, size,
                 "an approved exec runs, one without approval or with another argv is killed");
        return true;
    }
    return false;
}

bool selftest_verify(bool *lifecycle, char *detail, size_t size) {
    char cgroup[PATH_MAX];
    struct watch_value value = {.slot = SELFTEST_SLOT, .guarded = 1};
    __u64 id;
    int error;
    bool verified = false;
    *lifecycle = false;
    if (!programs_have_lifecycle()) {
        snprintf(detail, size, "the programs cannot be loaded: %s", programs_lifecycle_trouble());
        return false;
    }
    if ((error = make_cgroup(cgroup, sizeof(cgroup), &id)) != 0) {
        snprintf(detail, size, "no cgroup2 directory can be made: %s", strerror(-error));
        return false;
    }
    if ((error = programs_watch(id, &value)) != 0) {
        snprintf(detail, size, "the programs cannot be attached: %s", strerror(-error));
    } else {
        verified = run(cgroup, lifecycle, detail, size);
        programs_unwatch(id);
    }
    rmdir(cgroup);
    return verified;
}
