/*
 * One system call a sub-command, for the turns of the corpus: what a shell cannot say, or says through other calls than
 * the one that is meant. `mutate OP ARG...` exits 0, or 1 with the errno on stderr. Built by the runner; survivor.c is
 * the part that outlives its turn.
 */
#include "mutate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef RWF_APPEND
#define RWF_APPEND 0x10
#endif
#define EXCHANGE 2u
#define NOREPLACE 1u
#define WHITEOUT 4u

static char **args;

void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

void need(long result, const char *what) {
    if (result < 0)
        fail(what);
}

int opened(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC, 0644);
    need(fd, path);
    return fd;
}

static long number(int index) { return strtol(args[index], NULL, 0); }

static struct iovec piece(char *text) {
    return (struct iovec){.iov_base = text, .iov_len = strlen(text)};
}

/* Writing. */
static void op_write(void) {
    need(write(opened(args[0], O_WRONLY), args[1], strlen(args[1])), "write");
}
static void op_append(void) {
    need(write(opened(args[0], O_WRONLY | O_APPEND | O_CREAT), args[1], strlen(args[1])), "write");
}
static void op_pwrite(void) {
    need(pwrite(opened(args[0], O_WRONLY), args[2], strlen(args[2]), number(1)), "pwrite");
}
static void op_writev(void) {
    struct iovec parts[] = {piece(args[1]), piece(args[1])};
    need(writev(opened(args[0], O_WRONLY), parts, 2), "writev");
}
static void op_pwritev(void) {
    struct iovec parts[] = {piece(args[1])};
    need(pwritev(opened(args[0], O_WRONLY), parts, 1, 3), "pwritev");
}
static void op_pwritev2(void) {
    struct iovec parts[] = {piece(args[1])};
    need(pwritev2(opened(args[0], O_WRONLY), parts, 1, -1, RWF_APPEND), "pwritev2");
}
static void op_truncating(void) { opened(args[0], O_WRONLY | O_TRUNC); }
static void op_truncate(void) { need(truncate(args[0], number(1)), "truncate"); }
static void op_ftruncate(void) { need(ftruncate(opened(args[0], O_RDWR), number(1)), "ftruncate"); }
static void op_fallocate(void) {
    static const struct {
        const char *name;
        int mode;
    } modes[] = {{"extend", 0},
                 {"keep-size", FALLOC_FL_KEEP_SIZE},
                 {"punch-hole", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
                 {"zero-range", FALLOC_FL_ZERO_RANGE},
                 {"zero-keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE},
                 {"collapse-range", FALLOC_FL_COLLAPSE_RANGE},
                 {"insert-range", FALLOC_FL_INSERT_RANGE}};
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
        if (strcmp(modes[i].name, args[1]) == 0) {
            need(fallocate(opened(args[0], O_RDWR), modes[i].mode, number(2), number(3)), "fallocate");
            return;
        }
    errno = EINVAL;
    fail(args[1]);
}
static void op_copy_range(void) {
    need(copy_file_range(opened(args[0], O_RDONLY), NULL, opened(args[1], O_WRONLY), NULL, 4096, 0),
         "copy_file_range");
}
static void op_sendfile(void) {
    need(sendfile(opened(args[1], O_WRONLY), opened(args[0], O_RDONLY), NULL, 4096), "sendfile");
}
static void op_splice(void) {
    int ends[2];
    need(pipe(ends), "pipe");
    long got = splice(opened(args[0], O_RDONLY), NULL, ends[1], NULL, 4096, 0);
    need(got, "splice");
    need(splice(ends[0], NULL, opened(args[1], O_WRONLY), NULL, (size_t)got, 0), "splice");
}
static void op_tee(void) {
    int one[2], two[2];
    need(pipe(one) | pipe(two), "pipe");
    long got = splice(opened(args[0], O_RDONLY), NULL, one[1], NULL, 4096, 0);
    need(tee(one[0], two[1], (size_t)got, 0), "tee");
    need(splice(two[0], NULL, opened(args[1], O_WRONLY), NULL, (size_t)got, 0), "splice");
}
static void op_vmsplice(void) {
    int ends[2];
    struct iovec parts[] = {piece(args[1])};
    need(pipe(ends), "pipe");
    need(vmsplice(ends[1], parts, 1, 0), "vmsplice");
    need(splice(ends[0], NULL, opened(args[0], O_WRONLY), NULL, strlen(args[1]), 0), "splice");
}

/* Mapped files. */
static char *mapped(const char *path, int rights, int how, size_t *size) {
    int fd = opened(path, (rights & PROT_WRITE) && how == MAP_SHARED ? O_RDWR : O_RDONLY);
    struct stat status;
    need(fstat(fd, &status), "stat");
    *size = (size_t)status.st_size;
    char *bytes = mmap(NULL, *size, rights, how, fd, 0);
    if (bytes == MAP_FAILED)
        fail("mmap");
    close(fd);
    return bytes;
}
static void op_mmap(void) {
    size_t size;
    char *bytes = mapped(args[0], PROT_READ | PROT_WRITE, MAP_SHARED, &size);
    memcpy(bytes + number(1), args[2], strlen(args[2]));
}
static void op_mmap_msync(void) {
    size_t size;
    char *bytes = mapped(args[0], PROT_READ | PROT_WRITE, MAP_SHARED, &size);
    memcpy(bytes + number(1), args[2], strlen(args[2]));
    need(msync(bytes, size, MS_SYNC), "msync");
}
static void op_mmap_twice(void) {
    size_t size;
    char *bytes = mapped(args[0], PROT_READ | PROT_WRITE, MAP_SHARED, &size);
    bytes[0] = 'x';
    usleep(30000); /* another tick of the clock: this page is dirty already */
    memcpy(bytes + number(1), args[2], strlen(args[2]));
}
static void op_mmap_private(void) {
    size_t size;
    char *bytes = mapped(args[0], PROT_READ | PROT_WRITE, MAP_PRIVATE, &size);
    memset(bytes, 'p', size);
}
static void op_mmap_read(void) {
    size_t size, sum = 0;
    char *bytes = mapped(args[0], PROT_READ, MAP_SHARED, &size);
    for (size_t i = 0; i < size; i++)
        sum += (unsigned char)bytes[i];
    printf("%zu\n", sum);
}

/* Times, modes, owners, attributes. */
static void op_utimensat(void) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = number(1), .tv_nsec = number(2)}};
    need(utimensat(AT_FDCWD, args[0], times, AT_SYMLINK_NOFOLLOW), "utimensat");
}
static void op_atime(void) {
    struct timespec times[2] = {{.tv_sec = number(1)}, {.tv_nsec = UTIME_OMIT}};
    need(utimensat(AT_FDCWD, args[0], times, 0), "utimensat");
}
static void op_futimens(void) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = number(1), .tv_nsec = number(2)}};
    need(futimens(opened(args[0], O_RDONLY), times), "futimens");
}
static void op_utimes(void) {
    struct timeval times[2] = {{.tv_sec = number(1)}, {.tv_sec = number(1)}};
    need(utimes(args[0], times), "utimes");
}
static void op_chmod(void) { need(chmod(args[0], (mode_t)number(1)), "chmod"); }
static void op_fchmod(void) { need(fchmod(opened(args[0], O_RDONLY), (mode_t)number(1)), "fchmod"); }
static void op_fchmodat2(void) {
    need(syscall(SYS_fchmodat2, AT_FDCWD, args[0], number(1), AT_SYMLINK_NOFOLLOW), "fchmodat2");
}
static void op_chown(void) { need(chown(args[0], (uid_t)number(1), (gid_t)number(2)), "chown"); }
static void op_lchown(void) { need(lchown(args[0], (uid_t)number(1), (gid_t)number(2)), "lchown"); }
static void op_fchown(void) {
    need(fchown(opened(args[0], O_RDONLY), (uid_t)number(1), (gid_t)number(2)), "fchown");
}
static void op_fchownat(void) {
    need(fchownat(opened(args[0], O_PATH), "", (uid_t)number(1), (gid_t)number(2), AT_EMPTY_PATH),
         "fchownat");
}
static void op_setxattr(void) {
    need(setxattr(args[0], args[1], args[2], strlen(args[2]), 0), "setxattr");
}
static void op_lsetxattr(void) {
    need(lsetxattr(args[0], args[1], args[2], strlen(args[2]), 0), "lsetxattr");
}
static void op_fsetxattr(void) {
    need(fsetxattr(opened(args[0], O_RDONLY), args[1], args[2], strlen(args[2]), 0), "fsetxattr");
}
static void op_removexattr(void) { need(removexattr(args[0], args[1]), "removexattr"); }
static void op_fremovexattr(void) {
    need(fremovexattr(opened(args[0], O_RDONLY), args[1]), "fremovexattr");
}

/* Names. */
static void name_unnamed(int fd, const char *path) {
    char self[32];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    need(linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW), "linkat");
}
static void op_tmpfile(void) {
    int fd = opened(args[0], O_TMPFILE | O_RDWR);
    need(write(fd, args[2], strlen(args[2])), "write");
    if (args[1][0])
        name_unnamed(fd, args[1]);
}
static void op_rename(void) { need(rename(args[0], args[1]), "rename"); }
static void renamed(unsigned flags) {
    need(syscall(SYS_renameat2, AT_FDCWD, args[0], AT_FDCWD, args[1], flags), "renameat2");
}
static void op_exchange(void) { renamed(EXCHANGE); }
static void op_noreplace(void) { renamed(NOREPLACE); }
static void op_whiteout(void) { renamed(WHITEOUT); }
static void op_link(void) { need(link(args[0], args[1]), "link"); }
static void op_linkat(void) {
    need(linkat(AT_FDCWD, args[0], AT_FDCWD, args[1], AT_SYMLINK_FOLLOW), "linkat");
}
static void op_symlink(void) { need(symlink(args[0], args[1]), "symlink"); }
static void op_mkfifo(void) { need(mknod(args[0], S_IFIFO | 0600, 0), "mknod"); }
static void op_mknod(void) { need(mknod(args[0], S_IFREG | 0600, 0), "mknod"); }
static void op_mksocket(void) { need(mknod(args[0], S_IFSOCK | 0600, 0), "mknod"); }
static void op_device(void) { need(mknod(args[0], S_IFCHR | 0600, 0x0105), "mknod"); }
static void op_bind(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", args[0]);
    need(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, sizeof(address)), "bind");
}
static void op_unlink(void) { need(unlink(args[0]), "unlink"); }
static void op_unlinkat(void) { need(unlinkat(AT_FDCWD, args[0], 0), "unlinkat"); }
static void op_rmdir(void) { need(rmdir(args[0]), "rmdir"); }
static void op_rmdirat(void) { need(unlinkat(AT_FDCWD, args[0], AT_REMOVEDIR), "unlinkat"); }
static void op_mkdir(void) { need(mkdir(args[0], 0755), "mkdir"); }
static void op_mkdirat(void) { need(mkdirat(AT_FDCWD, args[0], 0700), "mkdirat"); }
static void op_creat(void) { need(creat(args[0], 0644), "creat"); }
static void op_exclusive(void) { opened(args[0], O_CREAT | O_EXCL | O_WRONLY); }

/* Written, and put back, times included. */
static void op_rewrite(void) {
    char bytes[65536];
    struct stat status;
    int fd = opened(args[0], O_RDWR);
    need(fstat(fd, &status), "stat");
    long got = read(fd, bytes, sizeof(bytes));
    need(got, "read");
    need(pwrite(fd, "-----------------", got < 16 ? (size_t)got : 16, 0), "write");
    need(pwrite(fd, bytes, (size_t)got, 0), "write");
    need(futimens(fd, (struct timespec[]){status.st_atim, status.st_mtim}), "futimens");
}
static void op_touch_back(void) {
    struct stat status;
    need(lstat(args[0], &status), "stat");
    need(utimensat(AT_FDCWD, args[0], (struct timespec[]){{.tv_sec = 1}, {.tv_sec = 1}}, AT_SYMLINK_NOFOLLOW),
         "utimensat");
    need(utimensat(AT_FDCWD, args[0], (struct timespec[]){status.st_atim, status.st_mtim},
                   AT_SYMLINK_NOFOLLOW),
         "utimensat");
}

/* What a sandbox does not allow, and what leaves no trace in files. */
static void op_io_uring(void) {
    uint8_t parameters[120] = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 4, parameters);
    need(ring, "io_uring_setup");
    /* Where it is allowed the corpus needs a ring's write here; so far it is nowhere. */
    errno = ENOSYS;
    fail("io_uring is allowed, and this program does not know how to use it");
}
static void op_by_handle(void) {
    struct {
        struct file_handle handle;
        uint8_t bytes[128];
    } at = {.handle.handle_bytes = 128};
    int mount, fd;
    need(name_to_handle_at(AT_FDCWD, args[0], &at.handle, &mount, 0), "name_to_handle_at");
    fd = open_by_handle_at(opened(args[1], O_RDONLY | O_DIRECTORY), &at.handle, O_WRONLY);
    need(fd, "open_by_handle_at");
    need(write(fd, args[2], strlen(args[2])), "write");
}
static void op_memfd(void) {
    int fd = memfd_create("scratch", 0);
    need(fd, "memfd_create");
    need(write(fd, args[0], strlen(args[0])), "write");
}
static void op_shared_memory(void) {
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    need(id, "shmget");
    char *bytes = shmat(id, NULL, 0);
    strcpy(bytes, "gone");
    need(shmctl(id, IPC_RMID, NULL), "shmctl");
}
static void op_terminal(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    need(master, "posix_openpt");
    need(grantpt(master) | unlockpt(master), "unlockpt");
    int slave = opened(ptsname(master), O_RDWR | O_NOCTTY);
    need(write(slave, args[0], strlen(args[0])), "write");
}
static void op_socket_pair(void) {
    int ends[2];
    char back[64];
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
    need(write(ends[0], args[0], strlen(args[0])), "write");
    need(read(ends[1], back, sizeof(back)), "read");
}
static void op_children(void) {
    for (long i = number(0); i > 0; i--) {
        pid_t child = fork();
        need(child, "fork");
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
}

/* Reaching into a process that does not run. */
static void op_poke(void) {
    struct iovec mine = piece(args[2]);
    struct iovec theirs = {.iov_base = (void *)strtoul(args[1], NULL, 16), .iov_len = mine.iov_len};
    need(syscall(SYS_process_vm_writev, number(0), &mine, 1, &theirs, 1, 0), "process_vm_writev");
}
static void op_poke_mem(void) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%s/mem", args[0]);
    need(pwrite(opened(path, O_RDWR), args[2], strlen(args[2]), (off_t)strtoul(args[1], NULL, 16)),
         "pwrite");
}
static void op_signal_thread(void) {
    need((int)syscall(SYS_tgkill, number(0), number(1), number(2)), "tgkill");
}

static void op_poke_traced(void) {
    pid_t pid = (pid_t)number(0);
    uint64_t word = 0;
    memcpy(&word, args[2], strlen(args[2]) < 8 ? strlen(args[2]) : 8);
    need(ptrace(PTRACE_ATTACH, pid, NULL, NULL), "ptrace");
    waitpid(pid, NULL, 0);
    need(ptrace(PTRACE_POKEDATA, pid, (void *)strtoul(args[1], NULL, 16), (void *)word), "ptrace");
    need(ptrace(PTRACE_DETACH, pid, NULL, NULL), "ptrace");
}
/* Opens the FIFO for both, so that nobody needs to listen. */
static void op_fill(void) {
    need(write(opened(args[0], O_RDWR | O_NONBLOCK), args[1], strlen(args[1])), "write");
}
static void op_seek_theirs(void) {
    int theirs = (int)syscall(SYS_pidfd_open, number(0), 0);
    need(theirs, "pidfd_open");
    int fd = (int)syscall(SYS_pidfd_getfd, theirs, number(1), 0);
    need(fd, "pidfd_getfd");
    need(lseek(fd, number(2), SEEK_SET), "lseek");
}

static const struct {
    const char *name;
    int count;
    void (*run)(void);
} operations[] = {
    {"write", 2, op_write},
    {"append", 2, op_append},
    {"pwrite", 3, op_pwrite},
    {"writev", 2, op_writev},
    {"pwritev", 2, op_pwritev},
    {"pwritev2", 2, op_pwritev2},
    {"truncating", 1, op_truncating},
    {"truncate", 2, op_truncate},
    {"ftruncate", 2, op_ftruncate},
    {"fallocate", 4, op_fallocate},
    {"copy-range", 2, op_copy_range},
    {"sendfile", 2, op_sendfile},
    {"splice", 2, op_splice},
    {"tee", 2, op_tee},
    {"vmsplice", 2, op_vmsplice},
    {"mmap", 3, op_mmap},
    {"mmap-msync", 3, op_mmap_msync},
    {"mmap-twice", 3, op_mmap_twice},
    {"mmap-private", 1, op_mmap_private},
    {"mmap-read", 1, op_mmap_read},
    {"utimensat", 3, op_utimensat},
    {"atime", 2, op_atime},
    {"futimens", 3, op_futimens},
    {"utimes", 2, op_utimes},
    {"chmod", 2, op_chmod},
    {"fchmod", 2, op_fchmod},
    {"fchmodat2", 2, op_fchmodat2},
    {"chown", 3, op_chown},
    {"lchown", 3, op_lchown},
    {"fchown", 3, op_fchown},
    {"fchownat", 3, op_fchownat},
    {"setxattr", 3, op_setxattr},
    {"lsetxattr", 3, op_lsetxattr},
    {"fsetxattr", 3, op_fsetxattr},
    {"removexattr", 2, op_removexattr},
    {"fremovexattr", 2, op_fremovexattr},
    {"tmpfile", 3, op_tmpfile},
    {"rename", 2, op_rename},
    {"exchange", 2, op_exchange},
    {"noreplace", 2, op_noreplace},
    {"whiteout", 2, op_whiteout},
    {"link", 2, op_link},
    {"linkat", 2, op_linkat},
    {"symlink", 2, op_symlink},
    {"mkfifo", 1, op_mkfifo},
    {"mknod", 1, op_mknod},
    {"mksocket", 1, op_mksocket},
    {"device", 1, op_device},
    {"bind", 1, op_bind},
    {"unlink", 1, op_unlink},
    {"unlinkat", 1, op_unlinkat},
    {"rmdir", 1, op_rmdir},
    {"rmdirat", 1, op_rmdirat},
    {"mkdir", 1, op_mkdir},
    {"mkdirat", 1, op_mkdirat},
    {"creat", 1, op_creat},
    {"exclusive", 1, op_exclusive},
    {"rewrite", 1, op_rewrite},
    {"touch-back", 1, op_touch_back},
    {"io-uring", 1, op_io_uring},
    {"by-handle", 3, op_by_handle},
    {"memfd", 1, op_memfd},
    {"shared-memory", 0, op_shared_memory},
    {"terminal", 1, op_terminal},
    {"socket-pair", 1, op_socket_pair},
    {"children", 1, op_children},
    {"poke", 3, op_poke},
    {"poke-mem", 3, op_poke_mem},
    {"poke-traced", 3, op_poke_traced},
    {"signal-thread", 3, op_signal_thread},
    {"fill", 2, op_fill},
    {"seek-theirs", 3, op_seek_theirs},
};

int main(int argc, char **argv) {
    if (argc >= 3 && strcmp(argv[1], "serve") == 0)
        return survivor_serve(argv[2], argc - 3, argv + 3);
    if (argc >= 4 && strcmp(argv[1], "tell") == 0)
        return survivor_tell(argv[2], argc - 3, argv + 3);
    args = argv + 2;
    for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
        if (argc < 2 || strcmp(operations[i].name, argv[1]) != 0)
            continue;
        if (argc - 2 != operations[i].count) {
            fprintf(stderr, "%s takes %d arguments\n", argv[1], operations[i].count);
            return 2;
        }
        operations[i].run();
        return 0;
    }
    fprintf(stderr, "usage: mutate OP ARG... | serve NAME [daemon|double] | tell NAME WORD ARG...\n");
    return 2;
}
