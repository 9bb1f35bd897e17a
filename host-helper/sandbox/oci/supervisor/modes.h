/* What the one binary can be: pid 1 of a sandbox, or a small job on the host. Each takes its own arguments after the mode word. */
#ifndef TURNTABLE_MODES_H
#define TURNTABLE_MODES_H

/* `init SOCKET`: pid 1 inside a sandbox. */
int mode_init(int argc, char **argv);
/* `door NETNS PORT=SOCKET…`: forwards 127.0.0.1:PORT in a network namespace to a unix socket outside. */
int mode_door(int argc, char **argv);
/* `upper FROM TO`: moves the contents of an overlay upper to a new directory and forgets what tied it to its old mount. */
int mode_upper(int argc, char **argv);
/* `overlay SETS OPTIONS… (TARGET FRESH PLACES)…`: mounts overlays; FRESH is an upper to be untied first, or empty. */
int mode_overlay(int argc, char **argv);
/* `layer DIRECTORY LOWER WORD…`: builds the overlay layer that hides parts of a lower directory; a word is gone:PATH or empty:PATH. */
int mode_layer(int argc, char **argv);
/* `hangup CGROUP_PROCS PORT…`: ends the connections to doors that a restore brought back without their other end. */
int mode_hangup(int argc, char **argv);
/* `listen PORT`: for the probe of the host. */
int mode_listen(int argc, char **argv);

#endif
