/* Puts restored processes under a seccomp listener again. */
#include <stdio.h>

#include "modes.h"

int mode_guard(int argc, char **argv) {
    (void)argc;
    (void)argv;
    fprintf(stderr, "not available\n");
    return 3;
}
