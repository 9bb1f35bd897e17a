/*
 * Which inodes below a tracked root changed? The ctime tracepoints see every way of changing a file
 * (system calls, io_uring, overlay copy-up, writers outside the sandbox) because every change of a
 * file changes its ctime; the first store through a shared mapping shows as a dirtied folio.
 * Tracking system calls instead misses most of these and costs the whole machine. These tracepoints
 * exist where the kernel has multigrain timestamps (6.13 and later).
 *
 * A change in the very clock tick of the one before, with nobody having looked at the file in
 * between, leaves its ctime as it is. Some of these could be seen (ctime_xchg_skip), for most of
 * what the sentry costs, but not all: so a fence tells what was hinted within a tick again at the
 * next one (roots.c), and that covers all of them.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "events.h"

#define WALK_DEPTH_MAX 64
#define ALIASES_MAX 32
#define MODE_TYPE 0170000
#define MODE_CHARACTER_DEVICE 0020000

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * Every change of every file on the device comes through here, so what an inode that is no root's
 * costs is what the whole machine pays: plain loads through typed pointers instead of a call of
 * bpf_probe_read_kernel each, and no map is asked about an inode whose number no root can have.
 * The kernels with these tracepoints have the cast.
 */
extern void *bpf_rdonly_cast(const void *pointer, __u32 btf_id) __ksym;
#define TYPED(type, pointer) ((type *)bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(type)))

/* Bit `ino % ROOT_BITS` is set for every root. */
__u64 root_bits[ROOT_BITS / 64];

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, ROOTS_MAX);
    __type(key, struct root_key);
    __type(value, __u32);
} roots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, DEVICES_MAX);
    __type(key, __u32);
    __type(value, __u32);
} devices SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, ROOTS_MAX);
    __type(key, __u32);
    __type(value, struct root_state);
} states SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, ROOTS_MAX);
    __type(key, __u32);
    __type(value, struct root_inodes);
} inodes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, DEVICES_MAX);
    __type(key, __u32);
    __type(value, struct device_state);
} device_states SEC(".maps");

struct seen_key {
    __u64 ino;
    __u32 slot;
    __u32 generation;
};

/* Only keeps repetitions out of the lists; what it forgets is listed twice. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 65536);
    __type(key, struct seen_key);
    __type(value, __u8);
} seen SEC(".maps");

static __always_inline void record_in(struct root_state *state, __u32 slot, __u32 generation,
                                      __u64 ino) {
    struct root_half *half = &state->half[generation & 1];
    struct seen_key key = {.ino = ino, .slot = slot, .generation = generation};
    struct root_inodes *list;
    __u8 one = 1;
    __u32 at;
    __sync_fetch_and_add(&half->hints, 1);
    if (bpf_map_lookup_elem(&seen, &key))
        return;
    bpf_map_update_elem(&seen, &key, &one, BPF_ANY);
    list = bpf_map_lookup_elem(&inodes, &slot);
    at = __sync_fetch_and_add(&half->count, 1);
    if (list && at < ROOT_INODES_MAX)
        list->ino[generation & 1][at] = ino;
    else
        half->overflow = 1;
}

static __always_inline void record(__u32 slot, __u64 ino) {
    struct root_state *state = bpf_map_lookup_elem(&states, &slot);
    __u32 generation;
    if (!state)
        return;
    state->last_ns = bpf_ktime_get_ns();
    generation = *(volatile __u32 *)&state->generation;
    record_in(state, slot, generation, ino);
    /* A fence came between: it may have read the old half already, so the new one gets the hint as
     * well. */
    __u32 now = *(volatile __u32 *)&state->generation;
    if (now != generation)
        record_in(state, slot, now, ino);
}

struct walk {
    struct dentry *dentry;
    struct dentry *top;
    __u32 dev;
    __u32 slot;
    __u32 found;
    __u32 outside;
};

static long walk_step(__u32 index, void *context) {
    struct walk *walk = context;
    struct dentry *dentry = TYPED(struct dentry, walk->dentry);
    struct dentry *parent;
    __u64 ino = dentry->d_inode->i_ino;
    __u32 bit = ino % ROOT_BITS;
    if (root_bits[bit / 64] >> (bit % 64) & 1) {
        struct root_key key = {.ino = ino, .dev = walk->dev};
        __u32 *slot = bpf_map_lookup_elem(&roots, &key);
        if (slot) {
            walk->slot = *slot;
            walk->found = 1;
            return 1;
        }
    }
    if (walk->dentry == walk->top) {
        walk->outside = 1;
        return 1;
    }
    parent = dentry->d_parent;
    if (parent == walk->dentry)
        return 1; /* not connected to the tree: opened by handle */
    walk->dentry = parent;
    return 0;
}

/* Being made (its directory is hinted when it gets a name) or without any name left: nothing that a
 * path could show. */
static __always_inline int has_no_name_by_right(struct inode *inode) {
    __u32 state = 0, new_bit = 0;
    if (bpf_core_enum_value_exists(enum inode_state_bits, __I_NEW))
        new_bit = bpf_core_enum_value(enum inode_state_bits, __I_NEW);
    bpf_core_read(&state, sizeof(state), &inode->i_state);
    return BPF_CORE_READ(inode, i_nlink) == 0 || BPF_CORE_READ(inode, i_ino) == 0 ||
           BPF_CORE_READ(inode, i_hash.pprev) == 0 || (state & (1u << new_bit));
}

struct aliases {
    struct hlist_node *node;
    struct dentry *top;
    __u64 ino;
    __u32 dev;
    __u32 lost;
};

/* A hard link in two roots is a change of both. A callback, not a loop: the verifier would follow
 * every combination. */
static long alias_step(__u32 index, void *context) {
    struct aliases *aliases = context;
    struct walk walk = {.dev = aliases->dev, .top = aliases->top};
    struct hlist_node *node = aliases->node;
    walk.dentry = (void *)node - bpf_core_field_offset(struct dentry, d_u.d_alias);
    bpf_loop(WALK_DEPTH_MAX, walk_step, &walk, 0);
    if (walk.found)
        record(walk.slot, aliases->ino);
    else if (!walk.outside)
        aliases->lost = 1;
    aliases->node = TYPED(struct hlist_node, node)->next;
    return aliases->node == 0;
}

/*
 * An overlay's whiteouts are links of one inode, thousands at times. Making or removing one changes
 * its directory, which is hinted; the inode itself holds nothing.
 */
static __always_inline int is_whiteout(struct inode *inode) {
    return (inode->i_mode & MODE_TYPE) == MODE_CHARACTER_DEVICE && inode->i_rdev == 0;
}

static __always_inline int changed(struct inode *inode) {
    struct aliases aliases = {};
    struct device_state *device;
    __u32 *index;
    aliases.dev = inode->i_sb->s_dev;
    index = bpf_map_lookup_elem(&devices, &aliases.dev);
    if (!index)
        return 0;
    device = bpf_map_lookup_elem(&device_states, index);
    if (!device)
        return 0;
    if (is_whiteout(inode))
        return 0;
    aliases.ino = inode->i_ino;
    aliases.top = inode->i_sb->s_root;
    aliases.node = inode->i_dentry.first;
    if (!aliases.node) {
        if (!has_no_name_by_right(inode))
            __sync_fetch_and_add(&device->unassigned, 1);
        return 0;
    }
    bpf_loop(ALIASES_MAX, alias_step, &aliases, 0);
    if (aliases.lost || aliases.node)
        __sync_fetch_and_add(&device->unassigned, 1);
    return 0;
}

SEC("tp_btf/ctime_ns_xchg")
int BPF_PROG(on_ctime, struct inode *inode) { return changed(inode); }

/* Stores through mappings only: whatever else dirties a page of a file is a call that changes its
 * ctime. */
SEC("tp_btf/writeback_dirty_folio")
int BPF_PROG(on_dirty_folio, struct folio *folio, struct address_space *mapping) {
    struct inode *host;
    if (!mapping || mapping->i_mmap_writable.counter <= 0)
        return 0;
    host = mapping->host;
    return host ? changed(host) : 0;
}
