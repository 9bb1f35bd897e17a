/*
 * The path of an open file as its own root sees it, component by component from the leaf up.
 * bpf_d_path is not to be had in tracepoints; the walk crosses mounts as d_path does. The sentry
 * turns the components round.
 */
#define PATH_STEPS_MAX 96

struct path_walk {
    struct dentry *dentry;
    struct mount *mount;
    struct dentry *root_dentry;
    struct mount *root_mount;
    char *names;
    __u32 length;
    __u32 truncated;
};

static long path_step(__u32 index, void *context) {
    struct path_walk *walk = context;
    struct dentry *dentry = walk->dentry;
    struct mount *mount = walk->mount;
    struct dentry *parent;
    if (dentry == walk->root_dentry && mount == walk->root_mount)
        return 1;
    parent = BPF_CORE_READ(dentry, d_parent);
    if (dentry == BPF_CORE_READ(mount, mnt.mnt_root) || dentry == parent) {
        struct mount *above = BPF_CORE_READ(mount, mnt_parent);
        if (above == mount || dentry != BPF_CORE_READ(mount, mnt.mnt_root))
            return 1;
        walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
        walk->mount = above;
        return 0;
    }
    __u32 at = walk->length;
    if (at > EVENT_NAMES_MAX - EVENT_NAME_MAX || index == PATH_STEPS_MAX - 1) {
        walk->truncated = 1;
        return 1;
    }
    at &= EVENT_NAMES_MAX - 1;
    long size = bpf_probe_read_kernel_str(walk->names + at, EVENT_NAME_MAX,
                                          BPF_CORE_READ(dentry, d_name.name));
    if (size <= 0) {
        walk->truncated = 1;
        return 1;
    }
    walk->length = at + size;
    walk->dentry = parent;
    return 0;
}
