#include "programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "argv-hash.h"
#include "hints.skel.h"
#include "lifecycle.skel.h"
#include "log.h"
#include "sentry.h"

_Static_assert(SENTRY_WATCHES_MAX == WATCHES_MAX && SENTRY_ROOTS_MAX == ROOTS_MAX, "limits agree");
_Static_assert(SENTRY_ARGV_ASK_MAX == 128 * 1024, "lifecycle.bpf.c counts chunks of this");

#define DRAIN_TRIES_MAX 20000

static struct lifecycle_bpf *lifecycle;
static struct hints_bpf *hints;
static struct ring_buffer *ring;
static const volatile unsigned long *consumer, *producer;
static event_handler *on_event;
static unsigned watch_count, root_count;
static __u64 key[2];
static char lifecycle_trouble[256], hints_trouble[256];
static volatile struct root_state *states;
static volatile struct root_inodes *inodes;
static volatile struct device_state *device_states;

static int on_record(void *context, void *data, size_t size) {
    const struct process_event *event = data;
    const char *names = (const char *)(event + 1);
    (void)context;
    if (size < sizeof(*event) ||
        size < sizeof(*event) + (size_t)event->names_length + event->argv_length)
        return 0;
    on_event(event, names, names + event->names_length);
    return 0;
}

static void trouble(char *where, size_t size, const char *what, int error) {
    snprintf(where, size, "%s: %s", what, strerror(error < 0 ? -error : error));
}

static int map_events(void) {
    int fd = bpf_map__fd(lifecycle->maps.events);
    long page = sysconf(_SC_PAGESIZE);
    void *first = mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, fd, 0);
    void *second = mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, fd, page);
    if (first == MAP_FAILED || second == MAP_FAILED)
        return -errno;
    consumer = first;
    producer = second;
    ring = ring_buffer__new(fd, on_record, NULL, NULL);
    return ring ? 0 : -errno;
}

static void load_lifecycle(__u32 event_ring_bytes) {
    int error;
    if (getrandom(key, sizeof(key), 0) != sizeof(key) || !(lifecycle = lifecycle_bpf__open())) {
        trouble(lifecycle_trouble, sizeof(lifecycle_trouble), "open", errno);
        return;
    }
    lifecycle->rodata->argv_key0 = key[0];
    lifecycle->rodata->argv_key1 = key[1];
    if (event_ring_bytes > 0)
        bpf_map__set_max_entries(lifecycle->maps.events, event_ring_bytes);
    error = lifecycle_bpf__load(lifecycle);
    if (!error)
        error = map_events();
    if (!error)
        return;
    trouble(lifecycle_trouble, sizeof(lifecycle_trouble), "load", error);
    lifecycle_bpf__destroy(lifecycle);
    lifecycle = NULL;
}

static void *map_array(struct bpf_map *map) {
    long page = sysconf(_SC_PAGESIZE);
    size_t size = (size_t)bpf_map__max_entries(map) * bpf_map__value_size(map);
    size = (size + (size_t)page - 1) / (size_t)page * (size_t)page;
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
}

static void load_hints(void) {
    int error;
    if (!(hints = hints_bpf__open())) {
        trouble(hints_trouble, sizeof(hints_trouble), "open", errno);
        return;
    }
    error = hints_bpf__load(hints);
    if (!error) {
        states = map_array(hints->maps.states);
        inodes = map_array(hints->maps.inodes);
        device_states = map_array(hints->maps.device_states);
        if (states != MAP_FAILED && inodes != MAP_FAILED && device_states != MAP_FAILED)
            return;
        error = -errno;
    }
    trouble(hints_trouble, sizeof(hints_trouble), "this kernel does not take the ctime tracepoints",
            error);
    hints_bpf__destroy(hints);
    hints = NULL;
}

void programs_load(__u32 event_ring_bytes) {
    libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
    load_lifecycle(event_ring_bytes);
    load_hints();
}

bool programs_have_lifecycle(void) { return lifecycle != NULL; }

bool programs_have_hints(void) { return hints != NULL; }

const char *programs_lifecycle_trouble(void) { return lifecycle_trouble; }

const char *programs_hints_trouble(void) { return hints_trouble; }

int programs_identify(int fd, struct identity *out, __u32 *mode) {
    struct identify_request request = {.fd = (__u32)fd};
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &request, .ctx_size_in = sizeof(request));
    if (!lifecycle)
        return -ENOTSUP;
    if (bpf_prog_test_run_opts(bpf_program__fd(lifecycle->progs.identify), &options) != 0)
        return -errno;
    if (!request.found)
        return -EBADF;
    if (request.pid != (__u32)getpid())
        return -EXDEV; /* our process numbers are not the kernel's: a PID namespace */
    *out = request.file;
    if (mode)
        *mode = request.mode;
    return 0;
}

int programs_watch(__u64 cgroup_id, const struct watch_value *value) {
    int error;
    if (!lifecycle)
        return -ENOTSUP;
    if (watch_count == 0 && (error = lifecycle_bpf__attach(lifecycle)) != 0)
        return error;
    if (bpf_map__lookup_elem(lifecycle->maps.watches, &cgroup_id, sizeof(cgroup_id),
                             &(struct watch_value){}, sizeof(*value), 0) != 0)
        watch_count++;
    return bpf_map__update_elem(lifecycle->maps.watches, &cgroup_id, sizeof(cgroup_id), value,
                                sizeof(*value), BPF_ANY);
}

void programs_unwatch(__u64 cgroup_id) {
    if (!lifecycle || watch_count == 0 ||
        bpf_map__delete_elem(lifecycle->maps.watches, &cgroup_id, sizeof(cgroup_id), 0) != 0)
        return;
    if (--watch_count == 0)
        lifecycle_bpf__detach(lifecycle);
}

struct watch_counters programs_counters(__u32 slot) {
    volatile struct watch_counters *counters = &lifecycle->bss->counters[slot];
    return (struct watch_counters){counters->forked, counters->executed, counters->exited,
                                   counters->dropped};
}

int programs_approve(pid_t tid, const struct approval *approval) {
    __u32 number = (__u32)tid;
    if (!lifecycle)
        return -ENOTSUP;
    return bpf_map__update_elem(lifecycle->maps.approvals, &number, sizeof(number), approval,
                                sizeof(*approval), BPF_ANY);
}

void programs_disapprove(pid_t tid) {
    __u32 number = (__u32)tid;
    if (lifecycle)
        bpf_map__delete_elem(lifecycle->maps.approvals, &number, sizeof(number), 0);
}

__u64 programs_argv_hash(const char *argv, size_t length) {
    struct argv_hash hash;
    argv_hash_start(&hash, key[0], key[1]);
    for (size_t at = 0; at < length; at += ARGV_CHUNK_BYTES) {
        __u64 words[ARGV_CHUNK_WORDS] = {0};
        size_t left = length - at;
        memcpy(words, argv + at, left < ARGV_CHUNK_BYTES ? left : ARGV_CHUNK_BYTES);
        for (size_t i = 0; i < ARGV_CHUNK_WORDS; i++)
            argv_hash_word(&hash, words[i]);
    }
    return argv_hash_end(&hash, length);
}

static void use_root_bit(const struct root_key *root, int more) {
    static unsigned users[ROOT_BITS];
    __u32 bit = root->ino % ROOT_BITS;
    __u64 mask = 1ull << (bit % 64);
    users[bit] += (unsigned)more;
    if (users[bit] > 0)
        __atomic_fetch_or(&hints->bss->root_bits[bit / 64], mask, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(&hints->bss->root_bits[bit / 64], ~mask, __ATOMIC_SEQ_CST);
}

int programs_add_root(const struct root_key *root, __u32 slot) {
    int error;
    if (!hints)
        return -ENOTSUP;
    /* Before the table has it: a program that finds the bit unset does not ask the table. */
    use_root_bit(root, 1);
    error = bpf_map__update_elem(hints->maps.roots, root, sizeof(*root), &slot, sizeof(slot),
                                 BPF_NOEXIST);
    if (error) {
        use_root_bit(root, -1);
        return error;
    }
    if (root_count++ == 0 && (error = hints_bpf__attach(hints)) != 0) {
        programs_remove_root(root);
        return error;
    }
    return 0;
}

void programs_remove_root(const struct root_key *root) {
    if (!hints || bpf_map__delete_elem(hints->maps.roots, root, sizeof(*root), 0) != 0)
        return;
    use_root_bit(root, -1);
    if (--root_count == 0)
        hints_bpf__detach(hints);
}

int programs_add_device(__u32 dev, __u32 index) {
    if (!hints)
        return -ENOTSUP;
    return bpf_map__update_elem(hints->maps.devices, &dev, sizeof(dev), &index, sizeof(index),
                                BPF_ANY);
}

void programs_remove_device(__u32 dev) {
    if (hints)
        bpf_map__delete_elem(hints->maps.devices, &dev, sizeof(dev), 0);
}

volatile struct root_state *programs_root_state(__u32 slot) { return &states[slot]; }

volatile struct root_inodes *programs_root_inodes(__u32 slot) { return &inodes[slot]; }

volatile struct device_state *programs_device_state(__u32 index) { return &device_states[index]; }

int programs_events_fd(void) { return ring ? ring_buffer__epoll_fd(ring) : -1; }

unsigned programs_drain(event_handler *handle) {
    unsigned long target;
    if (!ring)
        return 0;
    on_event = handle;
    target = __atomic_load_n(producer, __ATOMIC_ACQUIRE);
    for (unsigned tries = 0; tries < DRAIN_TRIES_MAX; tries++) {
        ring_buffer__consume(ring);
        if (__atomic_load_n(consumer, __ATOMIC_ACQUIRE) >= target)
            return 0;
        sched_yield(); /* an earlier record is still being written on another CPU */
    }
    return 1;
}
