/*
 * What the sentry's integration test needs of a process in a sandbox and cannot say in a script:
 * changes of every family, a seccomp filter with a listener handed over as runc does, races. Built
 * by the test.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static void check(int ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(120);
}

static void put(const char *name, int flags, const char *text) {
    int fd = open(name, flags, 0644);
    check(fd >= 0, name);
    check(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write");
    close(fd);
}

static void change(const char *family) {
    int fd, other;
    if (strcmp(family, "create") == 0) {
        put("new", O_WRONLY | O_CREAT | O_EXCL, "");
    } else if (strcmp(family, "write") == 0) {
        put("file", O_WRONLY, "written");
    } else if (strcmp(family, "copy-up") == 0) {
        put("lower-file", O_WRONLY | O_APPEND, "written");
    } else if (strcmp(family, "rename") == 0) {
        check(rename("file", "renamed") == 0, "rename");
    } else if (strcmp(family, "rename-directory") == 0) {
        check(rename("lower-directory", "moved") == 0, "rename");
    } else if (strcmp(family, "exchange") == 0) {
        check(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "second", 2) == 0, "exchange");
    } else if (strcmp(family, "unlink") == 0) {
        check(unlink("file") == 0, "unlink");
    } else if (strcmp(family, "whiteout") == 0) {
        check(unlink("lower-file") == 0, "unlink");
    } else if (strcmp(family, "opaque") == 0) {
        check(unlink("lower-directory/inner") == 0 && rmdir("lower-directory") == 0, "rmdir");
        check(mkdir("lower-directory", 0755) == 0, "mkdir");
    } else if (strcmp(family, "chmod") == 0) {
        check(chmod("file", 0600) == 0, "chmod");
    } else if (strcmp(family, "chown") == 0) {
        check(chown("file", 1, 1) == 0, "chown");
    } else if (strcmp(family, "utimes") == 0) {
        check(utimensat(AT_FDCWD, "file", (struct timespec[2]){{1, 0}, {1, 0}}, 0) == 0,
              "utimensat");
    } else if (strcmp(family, "xattr") == 0) {
        check(setxattr("file", "user.x", "1", 1, 0) == 0, "setxattr");
    } else if (strcmp(family, "link") == 0) {
        check(link("file", "linked") == 0, "link");
    } else if (strcmp(family, "symlink") == 0) {
        check(symlink("file", "pointer") == 0, "symlink");
    } else if (strcmp(family, "fifo") == 0) {
        check(mkfifo("fifo", 0600) == 0, "mkfifo");
    } else if (strcmp(family, "mkdir") == 0) {
        check(mkdir("directory", 0755) == 0, "mkdir");
    } else if (strcmp(family, "truncate") == 0) {
        check(truncate("file", 1) == 0, "truncate");
    } else if (strcmp(family, "fallocate") == 0) {
        fd = open("file", O_RDWR);
        check(fallocate(fd, 0, 0, 65536) == 0, "fallocate");
    } else if (strcmp(family, "copy-range") == 0) {
        fd = open("file", O_RDONLY);
        other = open("second", O_WRONLY);
        check(copy_file_range(fd, NULL, other, NULL, 2, 0) == 2, "copy_file_range");
    } else if (strcmp(family, "mapped-store") == 0) {
        fd = open("file", O_RDWR);
        volatile char *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        check(bytes != MAP_FAILED, "mmap");
        bytes[0] = 'm';
    } else if (strcmp(family, "unnamed") == 0) {
        char path[64];
        fd = open(".", O_TMPFILE | O_WRONLY, 0644);
        check(fd >= 0, "O_TMPFILE");
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        check(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0, "linkat");
    } else {
        check(0, family);
    }
}

static int listener(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                          &program);
    check(fd >= 0, "seccomp");
    return fd;
}

/* The message that runc sends to linux.seccomp.listenerPath. */
static void hand_over(int fd, const char *path) {
    char state[] = "{\"ociVersion\":\"1.0.2\",\"fds\":[\"seccompFd\"],\"pid\":1,\"state\":{}}";
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct iovec part = {.iov_base = state, .iov_len = strlen(state)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    check(connect(connection, (struct sockaddr *)&address, sizeof(address)) == 0, "connect");
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof(int));
    check(sendmsg(connection, &message, 0) > 0, "sendmsg");
    close(connection);
    close(fd);
}

static void on_tick(int signal) { (void)signal; }

/* From here on a handled signal interrupts this process every 5 ms, until it executes something. */
static void tick(void) {
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec often = {{0, 5000000}, {0, 5000000}};
    timer_t timer;
    check(sigaction(SIGUSR1, &action, NULL) == 0 &&
              timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
              timer_settime(timer, 0, &often, NULL) == 0,
          "timer");
}

/* With three more arguments that together are longer than what an ask shows. */
static void execute_big(char **argv, int argc) {
    char *big = malloc(60001);
    memset(big, 'x', 60000);
    big[60000] = 0;
    argv[argc++] = big;
    argv[argc++] = big;
    argv[argc++] = big;
    argv[argc] = NULL;
    execv(argv[0], argv);
}

static void execute_memory(char **argv) {
    int from = open(argv[0], O_RDONLY), to = memfd_create("copy", MFD_CLOEXEC);
    check(from >= 0 && to >= 0, "memfd");
    while (sendfile(to, from, NULL, 1 << 20) > 0)
        ;
    syscall(SYS_execveat, to, "", argv, (char *[]){NULL}, AT_EMPTY_PATH);
}

static void execute_relative(char **argv) {
    int directory = open("/bin", O_PATH | O_DIRECTORY);
    syscall(SYS_execveat, directory, argv[0] + strlen("/bin/"), argv, (char *[]){NULL}, 0);
}

static void execute(const char *how, char **argv, int argc) {
    if (strcmp(how, "tick") == 0)
        tick();
    if (strcmp(how, "big") == 0)
        execute_big(argv, argc);
    else if (strcmp(how, "memory") == 0)
        execute_memory(argv);
    else if (strcmp(how, "relative") == 0)
        execute_relative(argv);
    else if (strcmp(how, "no-argv") == 0)
        execve(argv[0], (char *[]){NULL}, (char *[]){NULL});
    else if (strcmp(how, "chroot") == 0 && chroot("/usr") == 0 && chdir("/bin") == 0)
        execv("./true", argv);
    else
        execv(argv[0], argv);
    _exit(errno == ENOSYS   ? 121
          : errno == EPERM  ? 122
          : errno == ENOENT ? 123
          : errno == E2BIG  ? 125
                            : 124);
}

/* Tries to execute each line of stdin ("[how] /program arg arg"); prints how each ended. */
static void serve(void) {
    char line[4096];
    setvbuf(stdin, NULL, _IONBF, 0);
    while (fgets(line, sizeof(line), stdin)) {
        char *argv[64], *how = "plainly";
        int argc = 0, status;
        for (char *word = strtok(line, " \n"); word && argc < 60; word = strtok(NULL, " \n")) {
            if (argc == 0 && !strchr(word, '/'))
                how = word;
            else
                argv[argc++] = word;
        }
        argv[argc] = NULL;
        if (argc == 0)
            continue;
        pid_t child = fork();
        if (child == 0) {
            int null = open("/dev/null", O_RDWR);
            dup2(null, 0);
            dup2(null, 1);
            execute(how, argv, argc);
        }
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status))
            printf("signal %d\n", WTERMSIG(status));
        else
            printf("exit %d\n", WEXITSTATUS(status));
        fflush(stdout);
    }
}

static volatile int stop_flipping;
static char flipped[16] = "good";

static void *flip(void *unused) {
    (void)unused;
    while (!stop_flipping) {
        memcpy(flipped, "good", 5);
        for (volatile int i = 0; i < 200; i++)
            ;
        memcpy(flipped, "evil", 5);
        for (volatile int i = 0; i < 200; i++)
            ;
    }
    return NULL;
}

/* Executes `actor mark FILE good` again and again while a thread turns the word into "evil" and
 * back. */
static void race(const char *self, const char *file, int tries) {
    int killed = 0, ran = 0, refused = 0;
    for (int i = 0; i < tries; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            char *argv[] = {"actor", "mark", (char *)file, flipped, NULL};
            pthread_t thread;
            pthread_create(&thread, NULL, flip, NULL);
            execv(self, argv);
            _exit(122);
        }
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status))
            killed++;
        else if (WEXITSTATUS(status) == 0)
            ran++;
        else
            refused++;
    }
    printf("killed %d ran %d refused %d\n", killed, ran, refused);
}

/* A filter of its own makes this thread one that cannot be synchronised with the others. */
static void *stand_in_read(void *pipe_end) {
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = 1, .filter = code};
    char byte;
    check(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "seccomp in a thread");
    ssize_t got = read(*(int *)pipe_end, &byte, 1);
    return (void *)(long)got;
}

/*
 * Loses its listener at once, blocks in three ways, and says afterwards whether any call noticed
 * something: each has to end by its own event. Then serves execs.
 */
static void orphan(void) {
    int gate[2], block[2], poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    struct timespec begin, end;
    pthread_t reader;
    void *got;
    char byte;
    close(listener());
    check(pipe(gate) == 0 && pipe(block) == 0, "pipe");
    check(epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event) == 0, "epoll_ctl");
    pthread_create(&reader, NULL, stand_in_read, &block[0]);
    pid_t child = fork();
    if (child == 0) {
        clock_gettime(CLOCK_MONOTONIC, &begin);
        int slept = nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 500000000}, NULL);
        clock_gettime(CLOCK_MONOTONIC, &end);
        double seconds =
            (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
        _exit(slept == 0 && seconds >= 1.5 && seconds < 4 ? 0 : 1);
    }
    printf("blocked\n");
    fflush(stdout);
    int ready = epoll_wait(poll, &event, 1, -1);
    int epoll_errno = errno;
    check(read(0, &byte, 1) == 1, "read");
    check(write(block[1], "x", 1) == 1, "write");
    pthread_join(reader, &got);
    int status;
    waitpid(child, &status, 0);
    printf("epoll %d %d read %ld sleep %d\n", ready, ready < 0 ? epoll_errno : 0, (long)got,
           WEXITSTATUS(status));
    fflush(stdout);
    serve();
}

/* A deleted file whose lease is lost as soon as anybody opens it; says whether it still has it. */
static void hold_lease(const char *name) {
    char line[16];
    int fd = open(name, O_RDWR | O_CREAT, 0600);
    signal(SIGIO, SIG_IGN);
    check(fd >= 0 && write(fd, "leased", 6) == 6, name);
    check(fcntl(fd, F_SETLEASE, F_WRLCK) == 0 && unlink(name) == 0, "lease");
    printf("leased\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        printf("%s\n", fcntl(fd, F_GETLEASE) == F_WRLCK ? "kept" : "lost");
        fflush(stdout);
    }
}

/* As many children as are asked for, which keep our arguments. */
static void crowd(int count) {
    for (int i = 0; i < count; i++)
        if (fork() == 0) {
            for (;;)
                pause();
        }
    printf("up\n");
    fflush(stdout);
    pause();
}

/* As many processes as are asked for that no debugger can stop: each waits for a child of vfork. */
static void unstoppable(int count) {
    for (int i = 0; i < count; i++)
        if (fork() == 0) {
            if (vfork() == 0)
                for (;;)
                    pause();
            _exit(0);
        }
    printf("up\n");
    fflush(stdout);
    pause();
}

/* Others can put something into it. */
static void hold_queue(const char *name) {
    check(mq_open(name, O_RDWR | O_CREAT, 0600, NULL) >= 0 && mq_unlink(name) == 0, "mq_open");
    printf("queued\n");
    fflush(stdout);
    pause();
}

/* Tells the number of a child that shares a page with us. */
static void share(void) {
    check(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED,
          "mmap");
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    printf("%d\n", child);
    fflush(stdout);
    pause();
}

/* A timer in a child that sleeps; arms it when it is told to. */
static void arm(void) {
    char line[16];
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    printf("%d\n", child);
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        struct itimerspec later = {.it_value = {.tv_sec = 1000}};
        check(timerfd_settime(timer, 0, &later, NULL) == 0, "timerfd");
        printf("armed\n");
        fflush(stdout);
    }
}

/* As many as are asked for of the same memory. */
static void hold_mappings(int count) {
    const size_t size = 4u << 20;
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    check(fd >= 0 && ftruncate(fd, (off_t)size) == 0, "memfd");
    for (int i = 0; i < count; i++)
        check(mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED, "mmap");
    printf("mapped\n");
    fflush(stdout);
    pause();
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "change") == 0 && argc == 4) {
        check(chdir(argv[2]) == 0, argv[2]);
        change(argv[3]);
    } else if (strcmp(what, "mark") == 0 && argc == 4) {
        if (strcmp(argv[3], "good") != 0)
            put(argv[2], O_WRONLY | O_CREAT | O_APPEND, argv[3]);
    } else if (strcmp(what, "guarded") == 0 && argc == 3) {
        hand_over(listener(), argv[2]);
        serve();
    } else if (strcmp(what, "guarded-race") == 0 && argc == 5) {
        hand_over(listener(), argv[2]);
        race("/proc/self/exe", argv[3], atoi(argv[4]));
    } else if (strcmp(what, "lease") == 0 && argc == 3) {
        hold_lease(argv[2]);
    } else if (strcmp(what, "mappings") == 0 && argc == 3) {
        hold_mappings(atoi(argv[2]));
    } else if (strcmp(what, "crowd") == 0 && argc == 4) {
        crowd(atoi(argv[2]));
    } else if (strcmp(what, "unstoppable") == 0 && argc == 3) {
        unstoppable(atoi(argv[2]));
    } else if (strcmp(what, "queue") == 0 && argc == 3) {
        hold_queue(argv[2]);
    } else if (strcmp(what, "share") == 0) {
        share();
    } else if (strcmp(what, "arm") == 0) {
        arm();
    } else if (strcmp(what, "orphan") == 0) {
        orphan();
    } else {
        fprintf(stderr, "unknown: %s\n", what);
        return 119;
    }
    return 0;
}
