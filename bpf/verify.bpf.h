/*
 * At the point of no return of an exec, before the new program's first instruction: is this what
 * was approved? What is compared cannot be changed any more by the caller or its friends: the file
 * the kernel opened, and the kernel's own copy of the argv. What a seccomp notification showed
 * earlier could.
 */
#define SECCOMP_MODE_FILTER_VALUE 2
#define VERIFIED 0

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, APPROVALS_MAX);
    __type(key, __u32);
    __type(value, struct approval);
} approvals SEC(".maps");

const volatile __u64 argv_key0 = 0;
const volatile __u64 argv_key1 = 0;

struct argv_walk {
    struct argv_hash hash;
    unsigned long start;
    __u32 length;
    __u32 failed;
};

static long argv_step(__u32 index, void *context) {
    struct argv_walk *walk = context;
    __u64 words[ARGV_CHUNK_WORDS] = {};
    __u32 at = index * ARGV_CHUNK_BYTES;
    if (at >= walk->length)
        return 1;
    __u32 left = walk->length - at;
    if (left > ARGV_CHUNK_BYTES)
        left = ARGV_CHUNK_BYTES;
    if (bpf_probe_read_user(words, left, (void *)(walk->start + at)) != 0) {
        walk->failed = 1;
        return 1;
    }
    for (int i = 0; i < ARGV_CHUNK_WORDS; i++)
        argv_hash_word(&walk->hash, words[i]);
    return 0;
}

static __always_inline int argv_differs(struct approval *approved, struct task_struct *task,
                                        struct linux_binprm *bprm) {
    struct argv_walk walk = {};
    /* bprm->mm has been given to the task by now. */
    unsigned long start = BPF_CORE_READ(task, mm, arg_start);
    unsigned long end = BPF_CORE_READ(task, mm, arg_end);
    if (bprm->argc != (int)approved->argc || end - start != approved->argv_length)
        return 1;
    walk.start = start;
    walk.length = approved->argv_length;
    argv_hash_start(&walk.hash, argv_key0, argv_key1);
    bpf_loop(SENTRY_ARGV_ASK_MAX_CHUNKS, argv_step, &walk, 0);
    return walk.failed || argv_hash_end(&walk.hash, walk.length) != approved->argv_hash;
}

/*
 * A task of a guarded cgroup that has no filter at all came from outside (runc joining a process to
 * the sandbox before it installs the filter): filters are inherited and cannot be dropped, so
 * nothing from inside looks like that.
 */
static __always_inline int verify_exec(struct task_struct *task, __u32 caller,
                                       struct linux_binprm *bprm, struct watch_value *watch) {
    struct approval *found, approved;
    struct identity actual = {};
    if (!watch->guarded || task->seccomp.mode != SECCOMP_MODE_FILTER_VALUE)
        return VERIFIED;
    found = bpf_map_lookup_elem(&approvals, &caller);
    if (!found)
        return SENTRY_KILLED_NOT_APPROVED;
    approved = *found;
    bpf_map_delete_elem(&approvals, &caller);
    if (approved.sandbox != watch->sandbox)
        return SENTRY_KILLED_NOT_APPROVED;
    identity_of(BPF_CORE_READ(bprm, file, f_inode), &actual);
    if (actual.ino != approved.file.ino || actual.dev != approved.file.dev)
        return SENTRY_KILLED_OTHER_FILE;
    if (actual.ctime_sec != approved.file.ctime_sec ||
        actual.ctime_nsec != approved.file.ctime_nsec)
        return SENTRY_KILLED_FILE_CHANGED;
    if (!(approved.flags & APPROVAL_ARGV_FREE) && argv_differs(&approved, task, bprm))
        return SENTRY_KILLED_OTHER_ARGV;
    return VERIFIED;
}
