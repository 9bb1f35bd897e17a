#include "reach.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "live.h"
#include "log.h"

#define EVENTS_BYTES 65536
/* More than the kernel keeps for us; a sandbox that writes as fast as we read must not hold us. */
#define READS_MAX 16

void reach_start(struct reach *reach) { reach->fd = -1; }

void reach_stop(struct reach *reach) {
    if (reach->fd >= 0)
        close(reach->fd);
    reach->fd = -1;
}

/* 1: watched; 0: there is no /proc of a sandbox's own to watch (yet); or -errno. A mark on a mount
 * costs only those who write through that mount. */
static int watch_proc(struct reach *reach, const char *cgroup_path) {
    struct stat own, theirs;
    char path[64];
    pid_t pid;
    if (cgroup_pids(cgroup_path, &pid, 1) < 1)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/root/proc", pid);
    if (stat("/proc", &own) != 0 || stat(path, &theirs) != 0 || own.st_dev == theirs.st_dev)
        return 0;
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_MODIFY, AT_FDCWD, path) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    reach->fd = fd;
    return 1;
}

static int is_memory(int fd) {
    char path[64], name[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, name, sizeof(name) - 1);
    if (length < 0)
        return 1;
    name[length] = 0;
    const char *last = strrchr(name, '/');
    return last && strcmp(last, "/mem") == 0;
}

uint64_t reach_take(struct reach *reach, const char *cgroup_path) {
    static _Alignas(struct fanotify_event_metadata) char events[EVENTS_BYTES];
    uint64_t count = 0;
    if (reach->fd < 0) {
        int watched = watch_proc(reach, cgroup_path);
        if (watched < 0)
            say("writes through a sandbox's /proc cannot be watched: %s", strerror(-watched));
        return watched < 0;
    }
    for (int reads = 0; reads < READS_MAX; reads++) {
        ssize_t length = read(reach->fd, events, sizeof(events));
        if (length < 0 && errno == EAGAIN)
            return count;
        if (length <= 0) {
            /* The file of a process that is gone cannot be opened for us any more; what else is
             * queued comes next. */
            if (length < 0 &&
                (errno == ESRCH || errno == EINTR || errno == ENOENT || errno == EACCES)) {
                count++;
                continue;
            }
            return count + 1;
        }
        const struct fanotify_event_metadata *event = (const void *)events;
        for (; FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length)) {
            if (event->fd < 0 || is_memory(event->fd))
                count++;
            if (event->fd >= 0)
                close(event->fd);
        }
    }
    return count + 1; /* nobody knows what is left; the next call reads it */
}
