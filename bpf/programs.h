/* The BPF objects: loading, attaching, maps. Knows nothing of frames or sandboxes' meaning. */
#ifndef SENTRY_PROGRAMS_H
#define SENTRY_PROGRAMS_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "events.h"

/* Loads both objects; what could not be loaded says why. Nothing is attached yet. */
void programs_load(__u32 event_ring_bytes);
bool programs_have_lifecycle(void);
bool programs_have_hints(void);
const char *programs_lifecycle_trouble(void);
const char *programs_hints_trouble(void);

/* Which file is behind one of our descriptors; `mode` may be null. 0, or -errno. */
int programs_identify(int fd, struct identity *out, __u32 *mode);

/* Lifecycle programs are attached while there is a watch. 0, or -errno. */
int programs_watch(__u64 cgroup_id, const struct watch_value *value);
void programs_unwatch(__u64 cgroup_id);
struct watch_counters programs_counters(__u32 slot);

int programs_approve(pid_t tid, const struct approval *approval);
void programs_disapprove(pid_t tid);
__u64 programs_argv_hash(const char *argv, size_t length);

/* Hints programs are attached while there is a root. 0, or -errno. */
int programs_add_root(const struct root_key *key, __u32 slot);
void programs_remove_root(const struct root_key *key);
int programs_add_device(__u32 dev, __u32 index);
void programs_remove_device(__u32 dev);
volatile struct root_state *programs_root_state(__u32 slot);
volatile struct root_inodes *programs_root_inodes(__u32 slot);
volatile struct device_state *programs_device_state(__u32 index);

typedef void event_handler(const struct process_event *event, const char *names, const char *argv);

/* The ring's descriptor for the loop, or -1. */
int programs_events_fd(void);
/* Hands over every event that was sent before this call; returns how many could not be waited for.
 */
unsigned programs_drain(event_handler *handle);

#endif
