/* Finding things beneath a root without being led out of it: openat2 with RESOLVE_BENEATH and no symbolic links. */
#include "treefs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int open_root(const char *path) { return open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }

int open_beneath(int root, const char *path, int flags) {
    struct open_how how = {
        .flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC | O_NOFOLLOW),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof(how));
}

int open_parent(int root, const char *path, const char **name) {
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if ((*name)[0] == 0 || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0) {
        errno = EINVAL;
        return -1;
    }
    if (!slash) return open_beneath(root, "", O_PATH | O_DIRECTORY);
    char parent[MAX_PATH_BYTES + 1];
    size_t length = (size_t)(slash - path);
    memcpy(parent, path, length);
    parent[length] = 0;
    return open_beneath(root, parent, O_PATH | O_DIRECTORY);
}

void proc_path(char into[64], int fd) { snprintf(into, 64, "/proc/self/fd/%d", fd); }

int reopen(int path_fd, int flags) {
    char path[64];
    proc_path(path, path_fd);
    return open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static void fill(const struct statx *from, struct wire_stat *into) {
    memset(into, 0, sizeof(*into));
    into->ino = from->stx_ino;
    into->size = S_ISDIR(from->stx_mode) ? 0 : from->stx_size;
    into->mtime_sec = from->stx_mtime.tv_sec;
    into->mtime_nsec = from->stx_mtime.tv_nsec;
    into->ctime_sec = from->stx_ctime.tv_sec;
    into->ctime_nsec = from->stx_ctime.tv_nsec;
    into->mode = from->stx_mode;
    into->uid = from->stx_uid;
    into->gid = from->stx_gid;
    into->nlink = S_ISDIR(from->stx_mode) ? 1 : from->stx_nlink;
    into->rdev_major = from->stx_rdev_major;
    into->rdev_minor = from->stx_rdev_minor;
}

int stat_fd(int fd, struct wire_stat *into) {
    struct statx sx;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx) != 0) return -1;
    fill(&sx, into);
    return 0;
}

int stat_at(int dir, const char *name, struct wire_stat *into, uint32_t *dev_major, uint32_t *dev_minor) {
    struct statx sx;
    if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &sx) != 0) return -1;
    fill(&sx, into);
    if (dev_major) *dev_major = sx.stx_dev_major;
    if (dev_minor) *dev_minor = sx.stx_dev_minor;
    return 0;
}
