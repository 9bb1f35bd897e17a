/*
 * Fork, exec and exit of the watched cgroups (and of cgroups below them), and the verification of
 * guarded execs. tp_btf because it loads where kprobes, fentry and LSM programs do not, and needs
 * no tracefs.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "argv-hash.h"
#include "events.h"

/* From sentry.h, which needs a C library's stdint.h; the sentry asserts that they agree. */
#define SENTRY_ARGV_ASK_MAX_CHUNKS (128 * 1024 / ARGV_CHUNK_BYTES)
#define SENTRY_KILLED_NOT_APPROVED 1
#define SENTRY_KILLED_OTHER_FILE 2
#define SENTRY_KILLED_FILE_CHANGED 3
#define SENTRY_KILLED_OTHER_ARGV 4
#define SIGKILL_VALUE 9
#define CGROUP_DEPTH_MAX 16

#include "identity.bpf.h"
#include "path.bpf.h"
#include "verify.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WATCHES_MAX);
    __type(key, __u64);
    __type(value, struct watch_value);
} watches SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, EVENT_RING_BYTES);
} events SEC(".maps");

struct event_scratch {
    struct process_event event;
    char data[EVENT_NAMES_MAX + EVENT_NAME_MAX + EVENT_ARGV_MAX];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct event_scratch);
} scratch SEC(".maps");

struct watch_counters counters[WATCHES_MAX];

static __always_inline struct watch_value *watch_of_current(void) {
    __u64 id = bpf_get_current_cgroup_id();
    struct watch_value *watch = bpf_map_lookup_elem(&watches, &id);
    if (watch)
        return watch;
    for (int level = 1; level < CGROUP_DEPTH_MAX; level++) {
        id = bpf_get_current_ancestor_cgroup_id(level);
        if (id == 0)
            return 0;
        watch = bpf_map_lookup_elem(&watches, &id);
        if (watch)
            return watch;
    }
    return 0;
}

static __always_inline struct watch_counters *counters_of(struct watch_value *watch) {
    return &counters[watch->slot & (WATCHES_MAX - 1)];
}

static __always_inline __u32 innermost_pid(struct task_struct *task) {
    struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
    __u32 level = BPF_CORE_READ(pid, level);
    struct upid number = {};
    bpf_core_read(&number, sizeof(number), &pid->numbers[level]);
    return number.nr;
}

static __always_inline void begin_event(struct process_event *event, __u32 kind,
                                        struct task_struct *task, struct watch_value *watch) {
    event->kind = kind;
    event->sandbox = watch->sandbox;
    event->pid = task->tgid;
    event->sandbox_pid = innermost_pid(task);
    event->at_ns = bpf_ktime_get_boot_ns();
    event->code = 0;
    event->flags = 0;
    event->names_length = 0;
    event->argv_length = 0;
}

static __always_inline void send_event(void *data, __u64 size, __u32 urgent,
                                       struct watch_value *watch) {
    __u64 flags = BPF_RB_NO_WAKEUP;
    if (urgent || bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > EVENT_RING_WAKE_BYTES)
        flags = BPF_RB_FORCE_WAKEUP;
    if (bpf_ringbuf_output(&events, data, size, flags) != 0)
        __sync_fetch_and_add(&counters_of(watch)->dropped, 1);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child) {
    struct watch_value *watch;
    if (child->pid != child->tgid)
        return 0;
    watch = watch_of_current();
    if (watch)
        __sync_fetch_and_add(&counters_of(watch)->forked, 1);
    return 0;
}

static __always_inline void read_names(struct event_scratch *out, struct task_struct *task,
                                       struct linux_binprm *bprm) {
    struct path_walk walk = {};
    struct vfsmount *mount = BPF_CORE_READ(bprm, file, f_path.mnt);
    struct vfsmount *root = BPF_CORE_READ(task, fs, root.mnt);
    walk.dentry = BPF_CORE_READ(bprm, file, f_path.dentry);
    walk.mount = (void *)mount - bpf_core_field_offset(struct mount, mnt);
    walk.root_dentry = BPF_CORE_READ(task, fs, root.dentry);
    walk.root_mount = (void *)root - bpf_core_field_offset(struct mount, mnt);
    walk.names = out->data;
    bpf_loop(PATH_STEPS_MAX, path_step, &walk, 0);
    out->event.names_length = walk.length;
    if (walk.truncated)
        out->event.flags |= EVENT_NAMES_TRUNCATED;
}

static __always_inline void read_argv(struct event_scratch *out, struct task_struct *task) {
    unsigned long start = BPF_CORE_READ(task, mm, arg_start);
    unsigned long size = BPF_CORE_READ(task, mm, arg_end) - start;
    __u32 at = out->event.names_length;
    if (size > EVENT_ARGV_MAX) {
        size = EVENT_ARGV_MAX;
        out->event.flags |= EVENT_ARGV_TRUNCATED;
    }
    if (at > EVENT_NAMES_MAX)
        return;
    if (bpf_probe_read_user(out->data + at, size, (void *)start) == 0)
        out->event.argv_length = size;
    else
        out->event.flags |= EVENT_ARGV_TRUNCATED;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, pid_t caller, struct linux_binprm *bprm) {
    struct watch_value *watch = watch_of_current();
    struct event_scratch *out;
    __u32 zero = 0, kind = EVENT_EXEC;
    int reason;
    if (!watch)
        return 0;
    __sync_fetch_and_add(&counters_of(watch)->executed, 1);
    reason = verify_exec(task, caller, bprm, watch);
    if (reason != VERIFIED) {
        bpf_send_signal(SIGKILL_VALUE);
        kind = EVENT_KILLED;
    }
    out = bpf_map_lookup_elem(&scratch, &zero);
    if (!out)
        return 0;
    begin_event(&out->event, kind, task, watch);
    out->event.code = reason;
    read_names(out, task, bprm);
    read_argv(out, task);
    __u64 size = sizeof(out->event) + out->event.names_length + out->event.argv_length;
    if (size > sizeof(*out))
        size = sizeof(*out);
    send_event(out, size, kind == EVENT_KILLED, watch);
    return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task) {
    struct watch_value *watch = watch_of_current();
    struct process_event event;
    __u32 tid = task->pid;
    if (!watch)
        return 0;
    bpf_map_delete_elem(&approvals, &tid);
    if (BPF_CORE_READ(task, signal, live.counter) != 0)
        return 0;
    __sync_fetch_and_add(&counters_of(watch)->exited, 1);
    begin_event(&event, EVENT_EXIT, task, watch);
    event.code = task->exit_code;
    send_event(&event, sizeof(event), 0, watch);
    return 0;
}

/* Run by the sentry on itself: the identity behind one of its descriptors, by the very function
 * that verifies. */
SEC("syscall")
int identify(struct identify_request *request) {
    struct task_struct *task = (void *)bpf_get_current_task();
    struct file **table = BPF_CORE_READ(task, files, fdt, fd);
    struct file *file = 0;
    struct inode *inode;
    struct identity found = {};
    __u32 fd = request->fd;
    request->pid = bpf_get_current_pid_tgid() >> 32;
    request->found = 0;
    if (fd >= BPF_CORE_READ(task, files, fdt, max_fds))
        return 0;
    bpf_probe_read_kernel(&file, sizeof(file), table + fd);
    if (!file)
        return 0;
    inode = BPF_CORE_READ(file, f_inode);
    identity_of(inode, &found);
    request->file = found;
    request->mode = BPF_CORE_READ(inode, i_mode);
    request->found = 1;
    return 0;
}
