/*
 * Builds an overlay layer that hides parts of the lower directory below it: a whiteout for what must be gone, an opaque directory for what
 * must be there but empty. Directories on the way are made with the owner and mode they have in LOWER, because the topmost layer's count.
 * May be run again: what is there already stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "modes.h"

/* Makes one directory like its model; true when it exists in the end. */
static bool make_like(int layer, int lower, const char *path, bool *absent) {
    struct stat model;
    *absent = false;
    if (fstatat(lower, path, &model, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(model.st_mode)) {
        *absent = true; /* nothing below it to hide */
        return true;
    }
    if (mkdirat(layer, path, 0700) != 0)
        return errno == EEXIST;
    return fchownat(layer, path, model.st_uid, model.st_gid, 0) == 0 &&
           fchmodat(layer, path, model.st_mode & 07777, 0) == 0;
}

static bool hide(int layer, int lower, char *path, bool whole) {
    bool absent = false;
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        bool sound = make_like(layer, lower, path, &absent);
        *slash = '/';
        if (!sound || absent)
            return sound;
    }
    if (whole)
        return mknodat(layer, path, S_IFCHR | 0600, 0) == 0 || errno == EEXIST;
    if (!make_like(layer, lower, path, &absent) || absent)
        return absent;
    int fd = openat(layer, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool sound = fd >= 0 && fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) == 0;
    if (fd >= 0)
        close(fd);
    return sound;
}

int mode_layer(int argc, char **argv) {
    if (argc < 2)
        return 2;
    struct stat model;
    int lower = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int layer = open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lower < 0 || layer < 0 || fstat(lower, &model) != 0 || fchown(layer, model.st_uid, model.st_gid) != 0 ||
        fchmod(layer, model.st_mode & 07777) != 0) {
        fprintf(stderr, "cannot prepare %s for %s: %s\n", argv[0], argv[1], strerror(errno));
        return 1;
    }
    for (int i = 2; i < argc; i++) {
        bool whole = strncmp(argv[i], "gone:", 5) == 0;
        char *path = strchr(argv[i], ':');
        if (!path || !hide(layer, lower, path + 1, whole)) {
            fprintf(stderr, "cannot hide %s: %s\n", argv[i], strerror(errno));
            return 1;
        }
    }
    return 0;
}
