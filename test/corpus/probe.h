/* What the parts of `probe` share: the oracle that labels the corpus's turns, independent of all that it is to judge. */
#ifndef PROBE_H
#define PROBE_H

#include <stdint.h>
#include <stddef.h>

struct hash {
    uint64_t one;
    uint64_t two;
};

void hash_start(struct hash *hash);
void hash_add(struct hash *hash, const void *data, size_t length);
/* Content of an open file, holes and all, from its start. */
void hash_file(struct hash *hash, int fd);
/* Printable, without spaces: the rest is %XX. */
void put_escaped(const char *text, size_t length);

/* probe-tree.c: `upper` NULL walks all of `merged`; else only what an overlay's upper mentions, with the state below. */
void probe_tree(const char *name, const char *merged, const char *upper, const char *lower);

/* probe-processes.c: everything in a cgroup2 directory but the init of its PID namespace. */
void probe_processes(const char *cgroup);
/* A number that stays the same while nothing in the cgroup is scheduled. */
uint64_t probe_scheduling(const char *cgroup);

#endif
