/*
 * Gives an overlay upper a new directory: contents move by rename, the root's mode, owner, times and attributes are copied.
 * Attributes of overlayfs itself on the root (which lower and which work directory it belonged to) stay behind, so that the next mount
 * takes it with whatever lower and work directory it gets. With FROM equal to TO only these are removed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "modes.h"

#define ATTRIBUTE_LIMIT (64u << 10)
static const char overlay_prefix[] = "trusted.overlay.";

static bool is_overlay(const char *name) { return strncmp(name, overlay_prefix, sizeof(overlay_prefix) - 1) == 0; }

/* Copies attributes when `to` is another directory; removes overlayfs's own from it otherwise. */
static bool attributes(int from, int to, bool same) {
    static char names[ATTRIBUTE_LIMIT], value[ATTRIBUTE_LIMIT];
    ssize_t size = flistxattr(from, names, sizeof(names));
    if (size < 0)
        return errno == ENOTSUP;
    for (char *name = names; name < names + size; name += strlen(name) + 1) {
        if (is_overlay(name)) {
            if (same && fremovexattr(from, name) != 0)
                return false;
            continue;
        }
        ssize_t length = same ? -1 : fgetxattr(from, name, value, sizeof(value));
        if (length >= 0 && fsetxattr(to, name, value, (size_t)length, 0) != 0)
            return false;
    }
    return true;
}

static bool move_children(int from, int to) {
    DIR *directory = fdopendir(openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory)
        return false;
    struct dirent *entry;
    bool sound = true, moved = false;
    while (sound && (errno = 0, entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        sound = renameat(from, entry->d_name, to, entry->d_name) == 0;
        moved = true;
    }
    if (sound && moved) { /* reading while renaming may skip entries: look again */
        closedir(directory);
        return move_children(from, to);
    }
    sound = sound && errno == 0;
    int error = errno;
    closedir(directory);
    errno = error;
    return sound;
}

int mode_upper(int argc, char **argv) {
    if (argc != 2)
        return 2;
    bool same = strcmp(argv[0], argv[1]) == 0;
    struct stat status;
    int from = open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!same && mkdir(argv[1], 0700) != 0 && errno != EEXIST)
        goto failed;
    int to = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 || to < 0 || fstat(from, &status) != 0 || !attributes(from, to, same))
        goto failed;
    if (same)
        return 0;
    if (!move_children(from, to) || fchown(to, status.st_uid, status.st_gid) != 0 ||
        fchmod(to, status.st_mode & 07777) != 0)
        goto failed;
    struct timespec times[2] = {status.st_atim, status.st_mtim};
    if (futimens(to, times) != 0)
        goto failed;
    return 0;
failed:
    fprintf(stderr, "cannot move %s to %s: %s\n", argv[0], argv[1], strerror(errno));
    return 1;
}
