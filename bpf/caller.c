#include "caller.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "programs.h"
#include "sentry.h"

#define POINTERS_AT_ONCE 256
#define OPEN_TRIES_MAX 8
/* Interpreter, its argument and the script's name, for every interpreter in the chain. */
#define PREFIX_MAX (INTERPRETERS_MAX * (2 * INTERPRETER_LINE_MAX) + PATH_MAX)

static ssize_t peek(pid_t tid, uint64_t address, void *to, size_t size) {
    struct iovec local = {.iov_base = to, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
    ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
    return got < 0 ? -errno : got;
}

/* A string with its NUL, at most `room` bytes; its length with the NUL, -E2BIG when there is no
 * NUL, or -errno. */
static ssize_t peek_string(pid_t tid, uint64_t address, char *to, size_t room) {
    size_t length = 0;
    while (length < room) {
        size_t chunk = 4096 - (size_t)((address + length) & 4095);
        if (chunk > room - length)
            chunk = room - length;
        ssize_t got = peek(tid, address + length, to + length, chunk);
        if (got <= 0)
            return got < 0 ? got : -EFAULT;
        char *end = memchr(to + length, 0, (size_t)got);
        if (end)
            return end - to + 1;
        length += (size_t)got;
    }
    return -E2BIG;
}

static int read_argv(struct exec_call *call, uint64_t address) {
    uint64_t pointers[POINTERS_AT_ONCE];
    size_t have = 0, at = 0;
    call->argv = malloc(SENTRY_ARGV_ASK_MAX);
    if (!call->argv)
        return ENOMEM;
    if (address == 0)
        return 0;
    for (;;) {
        if (at == have) {
            /* Up to the page's end only: the array may be the last thing that is mapped. */
            size_t bytes = 4096 - (size_t)(address & 4095);
            if (bytes > sizeof(pointers))
                bytes = sizeof(pointers);
            if (bytes < sizeof(uint64_t))
                bytes = sizeof(uint64_t);
            ssize_t got = peek(call->tid, address, pointers, bytes / 8 * 8);
            if (got < 8)
                return EFAULT;
            have = (size_t)got / 8;
            address += have * 8;
            at = 0;
        }
        if (pointers[at] == 0)
            return 0;
        ssize_t length = peek_string(call->tid, pointers[at++], call->argv + call->argv_length,
                                     SENTRY_ARGV_ASK_MAX - call->argv_length);
        if (length == -E2BIG) {
            call->argv_truncated = true;
            return 0;
        }
        if (length < 0)
            return EFAULT;
        call->argv_length += (uint32_t)length;
        call->argc++;
    }
}

static int thread_group_of(pid_t tid, pid_t *out) {
    char path[64], line[256];
    int tgid = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", tid);
    FILE *file = fopen(path, "re");
    if (!file)
        return ESRCH;
    while (tgid == 0 && fgets(line, sizeof(line), file))
        sscanf(line, "Tgid: %d", &tgid);
    fclose(file);
    *out = tgid;
    return tgid > 0 ? 0 : ESRCH;
}

static int read_link(const char *path, char *out) {
    ssize_t length = readlink(path, out, PATH_MAX - 1);
    if (length < 0)
        return errno;
    out[length] = 0;
    return 0;
}

/* Takes the caller's root off a path that we read, when the caller is in a chroot. */
static int without_root(pid_t tid, char *path) {
    char own[64], root[PATH_MAX];
    snprintf(own, sizeof(own), "/proc/%d/root", tid);
    int error = read_link(own, root);
    size_t length = strlen(root);
    if (error || length <= 1 || strncmp(path, root, length) != 0)
        return error;
    if (path[length] == '/')
        memmove(path, path + length, strlen(path + length) + 1);
    else if (path[length] == 0)
        strcpy(path, "/");
    return 0;
}

/* /proc/TID/NAME's target as the caller's root sees it. */
static int caller_link(pid_t tid, const char *name, char *out) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", tid, name);
    int error = read_link(path, out);
    return error ? error : without_root(tid, out);
}

/* Where an O_PATH descriptor of ours leads, as the caller's root sees it. */
static int object_path(pid_t tid, int fd, char *out) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int error = read_link(path, out);
    return error ? error : without_root(tid, out);
}

/*
 * The kernel's magic links mean the reader's own process and are refused by RESOLVE_IN_ROOT; the
 * forms that programs do execute are looked up in the caller's own directory. A link to such a link
 * is not followed: the exec is refused.
 */
static int open_magic(pid_t tid, const char *path) {
    static const char *const prefixes[] = {"/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/"};
    char own[64];
    if (strcmp(path, "/proc/self/exe") == 0 || strcmp(path, "/proc/thread-self/exe") == 0) {
        snprintf(own, sizeof(own), "/proc/%d/exe", tid);
        return open(own, O_PATH | O_CLOEXEC);
    }
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
        size_t length = strlen(prefixes[i]);
        const char *digits = path + length;
        if (strncmp(path, prefixes[i], length) != 0 || !*digits || strlen(digits) > 9 ||
            digits[strspn(digits, "0123456789")] != 0)
            continue;
        snprintf(own, sizeof(own), "/proc/%d/fd/%s", tid, digits);
        return open(own, O_PATH | O_CLOEXEC);
    }
    return -1;
}

/* As the caller would: its root, and symbolic links inside it. A descriptor, or -errno. */
static int open_as_caller(pid_t tid, const char *absolute, bool follow) {
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    char path[64];
    int fd, root, error = EAGAIN;
    if ((fd = open_magic(tid, absolute)) >= 0)
        return fd;
    if (!follow)
        how.flags |= O_NOFOLLOW;
    snprintf(path, sizeof(path), "/proc/%d/root", tid);
    root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    /* EAGAIN: a rename elsewhere made "did we leave the root" undecidable for a moment. */
    for (int tries = 0; error == EAGAIN && tries < OPEN_TRIES_MAX; tries++) {
        fd = (int)syscall(SYS_openat2, root, absolute, &how, sizeof(how));
        error = fd < 0 ? errno : 0;
    }
    close(root);
    return error ? -error : fd;
}

static int join(char *out, const char *directory, const char *name) {
    int length =
        snprintf(out, PATH_MAX, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, name);
    return length < PATH_MAX ? 0 : ENAMETOOLONG;
}

/* A regular file with an execute bit; its identity, after a stat that makes every later change
 * visible in the ctime. */
static int examine(int fd, struct identity *out) {
    struct statx status;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MODE | STATX_CTIME, &status) != 0)
        return errno;
    if (!S_ISREG(status.stx_mode) || (status.stx_mode & 0111) == 0)
        return EACCES;
    return -programs_identify(fd, out, NULL);
}

/* The caller's program. `name` becomes what the kernel calls it, which is what a script's
 * interpreter gets. */
static int open_program(struct exec_call *call, const struct seccomp_notif *notification,
                        char *name) {
    const uint64_t *args = (const uint64_t *)notification->data.args;
    bool at = notification->data.nr == SYS_execveat;
    int dirfd = at ? (int)args[0] : AT_FDCWD;
    int flags = at ? (int)args[4] : 0;
    char path[PATH_MAX], absolute[PATH_MAX], directory[PATH_MAX], own[64];
    int error;
    ssize_t length = peek_string(call->tid, at ? args[1] : args[0], path, sizeof(path));
    if (length < 0)
        return length == -E2BIG ? ENAMETOOLONG : EFAULT;
    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return EINVAL;
    if (path[0] == 0) {
        if (!(flags & AT_EMPTY_PATH))
            return ENOENT;
        snprintf(name, PATH_MAX, "/dev/fd/%d", dirfd);
        snprintf(own, sizeof(own), dirfd == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", call->tid,
                 dirfd);
        call->program_fd = open(own, O_PATH | O_CLOEXEC);
        return call->program_fd < 0 ? errno : 0;
    }
    memcpy(name, path, (size_t)length);
    if (path[0] == '/') {
        memcpy(absolute, path, (size_t)length);
    } else if (dirfd == AT_FDCWD) {
        if ((error = join(absolute, call->cwd, path)) != 0)
            return error;
    } else {
        snprintf(own, sizeof(own), "fd/%d", dirfd);
        if ((error = caller_link(call->tid, own, directory)) != 0)
            return error == ENOENT ? EBADF : error;
        if ((error = join(absolute, directory, path)) != 0)
            return error;
        if (snprintf(name, PATH_MAX, "/dev/fd/%d/%s", dirfd, path) >= PATH_MAX)
            return ENAMETOOLONG;
    }
    call->program_fd = open_as_caller(call->tid, absolute, !(flags & AT_SYMLINK_NOFOLLOW));
    return call->program_fd < 0 ? -call->program_fd : 0;
}

/*
 * As the kernel's binfmt_script parses it. 1 and the two words; 0 when it is no script; -errno.
 * `argument` is empty when there is none.
 */
static int interpreter_line(int fd, char *interpreter, char *argument) {
    char path[64], line[INTERPRETER_LINE_MAX + 1];
    int file;
    ssize_t got;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return -errno;
    got = pread(file, line, INTERPRETER_LINE_MAX, 0);
    close(file);
    if (got < 2 || line[0] != '#' || line[1] != '!')
        return got < 0 ? -EIO : 0;
    line[got] = 0;
    char *end = memchr(line, '\n', (size_t)got);
    bool whole = end || got < INTERPRETER_LINE_MAX;
    if (!end)
        end = line + (got < INTERPRETER_LINE_MAX ? got : INTERPRETER_LINE_MAX - 1);
    *end = 0;
    char *word = line + 2;
    word += strspn(word, " \t");
    size_t length = strcspn(word, " \t");
    if (length == 0 || (!whole && word[length] == 0))
        return -ENOEXEC;
    memcpy(interpreter, word, length);
    interpreter[length] = 0;
    word += length;
    word += strspn(word, " \t");
    for (length = strlen(word);
         length > 0 && (word[length - 1] == ' ' || word[length - 1] == '\t');)
        length--;
    memcpy(argument, word, length);
    argument[length] = 0;
    return 1;
}

struct prefix {
    char bytes[PREFIX_MAX];
    size_t length;
    uint32_t count;
};

static void prepend(struct prefix *prefix, const char *string) {
    size_t size = strlen(string) + 1;
    memmove(prefix->bytes + size, prefix->bytes, prefix->length);
    memcpy(prefix->bytes, string, size);
    prefix->length += size;
    prefix->count++;
}

/* Follows interpreter lines to the file that the kernel will execute, and collects what it puts
 * before the argv. */
static int follow_scripts(struct exec_call *call, char *name, struct prefix *prefix) {
    char word[INTERPRETER_LINE_MAX], argument[INTERPRETER_LINE_MAX], absolute[PATH_MAX];
    int error;
    call->file_fd = call->program_fd;
    call->file = call->program_file;
    for (int depth = 0;; depth++) {
        int script = interpreter_line(call->file_fd, word, argument);
        if (script <= 0)
            return -script;
        if (depth == INTERPRETERS_MAX)
            return ELOOP;
        /* The kernel drops argv[0], which for an inner interpreter is the word that we put there.
         */
        if (depth > 0) {
            size_t first = strlen(prefix->bytes) + 1;
            memmove(prefix->bytes, prefix->bytes + first, prefix->length - first);
            prefix->length -= first;
            prefix->count--;
        }
        prepend(prefix, name);
        if (argument[0])
            prepend(prefix, argument);
        prepend(prefix, word);
        snprintf(name, PATH_MAX, "%s", word);
        if (word[0] == '/')
            snprintf(absolute, sizeof(absolute), "%s", word);
        else if ((error = join(absolute, call->cwd, word)) != 0)
            return error;
        int fd = open_as_caller(call->tid, absolute, true);
        if (fd < 0)
            return -fd;
        if (call->file_fd != call->program_fd)
            close(call->file_fd);
        call->file_fd = fd;
        if ((error = examine(fd, &call->file)) != 0)
            return error;
        call->has_argument = argument[0] != 0;
        memcpy(call->argument, argument, sizeof(argument));
        if ((error = object_path(call->tid, fd, call->interpreter)) != 0)
            return error;
    }
}

/* The argv block that the kernel will build, as a hash. */
static int expect_argv(struct exec_call *call, const struct prefix *prefix) {
    size_t skip = 0;
    char *block;
    if (prefix->count == 0 && call->argc > 0) {
        call->expected_argc = call->argc;
        call->expected_length = call->argv_length;
        call->expected_hash = programs_argv_hash(call->argv, call->argv_length);
        return 0;
    }
    if (call->argc > 0)
        skip = strlen(call->argv) + 1;
    block = malloc(prefix->length + call->argv_length + 1);
    if (!block)
        return ENOMEM;
    memcpy(block, prefix->bytes, prefix->length);
    memcpy(block + prefix->length, call->argv + skip, call->argv_length - skip);
    call->expected_argc = prefix->count + (call->argc > 0 ? call->argc - 1 : 0);
    call->expected_length = (uint32_t)(prefix->length + call->argv_length - skip);
    if (call->expected_argc == 0) { /* an empty argv becomes one empty string */
        block[0] = 0;
        call->expected_argc = call->expected_length = 1;
    }
    call->expected_hash = programs_argv_hash(block, call->expected_length);
    free(block);
    return 0;
}

static int read_call(struct exec_call *call, const struct seccomp_notif *notification) {
    char name[PATH_MAX];
    static struct prefix prefix;
    int error;
    prefix.length = prefix.count = 0;
    if ((error = thread_group_of(call->tid, &call->pid)) != 0)
        return error;
    if ((error = caller_link(call->tid, "cwd", call->cwd)) != 0)
        return error;
    if ((error = open_program(call, notification, name)) != 0)
        return error;
    if ((error = examine(call->program_fd, &call->program_file)) != 0)
        return error;
    if ((error = object_path(call->tid, call->program_fd, call->program)) != 0)
        return error;
    if ((error = read_argv(
             call, notification->data.args[notification->data.nr == SYS_execveat ? 2 : 1])) != 0)
        return error;
    if ((error = follow_scripts(call, name, &prefix)) != 0)
        return error;
    return expect_argv(call, &prefix);
}

int exec_call_read(const struct seccomp_notif *notification, struct exec_call **out) {
    struct exec_call *call = calloc(1, sizeof(*call));
    if (!call)
        return ENOMEM;
    call->tid = (pid_t)notification->pid;
    call->program_fd = call->file_fd = -1;
    int error = read_call(call, notification);
    if (error) {
        exec_call_close(call);
        return error;
    }
    *out = call;
    return 0;
}

void exec_call_close(struct exec_call *call) {
    if (call->file_fd >= 0 && call->file_fd != call->program_fd)
        close(call->file_fd);
    if (call->program_fd >= 0)
        close(call->program_fd);
    free(call->argv);
    free(call);
}

static bool same_file(int fd, const struct identity *before) {
    struct identity now;
    return programs_identify(fd, &now, NULL) == 0 && now.ino == before->ino &&
           now.dev == before->dev && now.ctime_sec == before->ctime_sec &&
           now.ctime_nsec == before->ctime_nsec;
}

bool exec_call_unchanged(const struct exec_call *call) {
    return same_file(call->program_fd, &call->program_file) &&
           same_file(call->file_fd, &call->file);
}
