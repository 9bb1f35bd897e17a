/* Chooses the mode (modes.h). One static binary, so that a sandbox of any distribution can run it. */
#include <stdio.h>
#include <string.h>

#include "modes.h"

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int, char **);
    } modes[] = {
        {"init", mode_init},   {"door", mode_door},     {"upper", mode_upper},   {"overlay", mode_overlay},
        {"layer", mode_layer}, {"hangup", mode_hangup}, {"listen", mode_listen},
    };
    for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(argv[1], modes[i].name) == 0)
            return modes[i].run(argc - 2, argv + 2);
    }
    fprintf(stderr, "usage: supervisor init|door|upper|overlay|layer|hangup|listen ARGUMENTS\n");
    return 2;
}
