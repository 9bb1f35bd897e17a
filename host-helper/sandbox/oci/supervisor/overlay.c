/*
 * Mounts the overlays of a sandbox in one go, each with the first set of options that the file systems below take. For every one a line
 * comes back: the number of the set, or -1, errno and its words. A failure of one does not keep the others from being mounted.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "modes.h"

/* As mount(2) takes them: one page, its end included. */
#define DATA_LIMIT 4096
#define FLAGS (MS_NOSUID | MS_NODEV)

/* The upper belongs to another mount, or to other layers: without an index it would mount, over an upper that is still written to. */
static bool is_held(int error) { return error == EBUSY || error == ESTALE; }

static int mount_one(const char *target, const char *places, int sets, char **options) {
    char data[DATA_LIMIT];
    for (int i = 0; i < sets; i++) {
        int length = snprintf(data, sizeof(data), "%s%s%s", places, options[i][0] ? "," : "", options[i]);
        if (length < 0 || (size_t)length >= sizeof(data)) {
            errno = ENAMETOOLONG;
            return -1;
        }
        if (mount("turntable", target, "overlay", FLAGS, data) == 0)
            return mount(NULL, target, NULL, MS_PRIVATE, NULL) == 0 ? i : -1;
        if (is_held(errno))
            return -1;
    }
    return -1;
}

int mode_overlay(int argc, char **argv) {
    char *end;
    long sets = argc > 0 ? strtol(argv[0], &end, 10) : 0;
    if (sets < 1 || *end || argc < 1 + sets || (argc - 1 - sets) % 3 != 0)
        return 2;
    for (int at = 1 + (int)sets; at < argc; at += 3) {
        const char *target = argv[at], *fresh = argv[at + 1], *places = argv[at + 2];
        /* A fresh work directory knows nothing of what the upper was tied to before. */
        if (*fresh && mode_upper(2, (char *[]){(char *)fresh, (char *)fresh}) != 0)
            return 1;
        int set = mount_one(target, places, (int)sets, argv + 1);
        if (set >= 0)
            printf("%d\n", set);
        else
            printf("-1 %d %s\n", errno, strerror(errno));
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
