/*
 * Which file is it, and has it changed: the one place that reads a device, an inode number and a
 * ctime. Approvals and verification both come here, so that they compare like with like on every
 * file system.
 */
#define OVERLAYFS_MAGIC 0x794c7630
#define CTIME_QUERIED                                                                              \
    (1u << 31) /* multigrain timestamps: "somebody looked", not part of the time */

/* Before 6.6, and 6.6 to 6.10; later kernels have i_ctime_sec and i_ctime_nsec. */
struct inode___plain_ctime {
    struct timespec64 i_ctime;
} __attribute__((preserve_access_index));
struct inode___wrapped_ctime {
    struct timespec64 __i_ctime;
} __attribute__((preserve_access_index));
struct inode___split_ctime {
    __s64 i_ctime_sec;
    __u32 i_ctime_nsec;
} __attribute__((preserve_access_index));

struct ovl_inode___upper {
    struct inode vfs_inode;
    struct dentry *__upperdentry;
} __attribute__((preserve_access_index));

static __always_inline void read_ctime(struct inode *inode, struct identity *out) {
    struct inode___split_ctime *split = (void *)inode;
    struct inode___wrapped_ctime *wrapped = (void *)inode;
    struct inode___plain_ctime *plain = (void *)inode;
    if (bpf_core_field_exists(split->i_ctime_sec)) {
        out->ctime_sec = BPF_CORE_READ(split, i_ctime_sec);
        out->ctime_nsec = BPF_CORE_READ(split, i_ctime_nsec);
    } else if (bpf_core_field_exists(wrapped->__i_ctime)) {
        out->ctime_sec = BPF_CORE_READ(wrapped, __i_ctime.tv_sec);
        out->ctime_nsec = (__u32)BPF_CORE_READ(wrapped, __i_ctime.tv_nsec);
    } else {
        out->ctime_sec = BPF_CORE_READ(plain, i_ctime.tv_sec);
        out->ctime_nsec = (__u32)BPF_CORE_READ(plain, i_ctime.tv_nsec);
    }
    out->ctime_nsec &= ~CTIME_QUERIED;
}

/*
 * On overlay the number and device are the overlay's own, but the time is the upper file's: a store
 * through a mapping changes only that one.
 */
static __always_inline void identity_of(struct inode *inode, struct identity *out) {
    struct inode *content = inode;
    out->ino = BPF_CORE_READ(inode, i_ino);
    out->dev = BPF_CORE_READ(inode, i_sb, s_dev);
    if (BPF_CORE_READ(inode, i_sb, s_magic) == OVERLAYFS_MAGIC &&
        bpf_core_type_exists(struct ovl_inode___upper)) {
        struct ovl_inode___upper *overlay =
            (void *)inode - bpf_core_field_offset(struct ovl_inode___upper, vfs_inode);
        struct inode *upper = BPF_CORE_READ(overlay, __upperdentry, d_inode);
        if (upper)
            content = upper;
    }
    read_ctime(content, out);
}
