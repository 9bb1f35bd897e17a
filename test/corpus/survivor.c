/*
 * The process that outlives its turn: `mutate serve NAME` goes into the background and does, one word at a time, what
 * `mutate tell NAME WORD ARG...` of a later turn asks for. They meet at an abstract socket, which leaves no file. While
 * nobody asks it sleeps and is not scheduled.
 */
#include "mutate.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 8
#define MESSAGE_MAX 4096
#define MEMORY_BYTES (256u << 10)

static char *memory;
static char *mapping, *anonymous, *segment;
static size_t mapping_size;
static int held = -1, second = -1;
static volatile sig_atomic_t signals;
static char **words;

static socklen_t address_of(const char *name, struct sockaddr_un *address) {
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "corpus-%s", name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(address->sun_path + 1));
}

static long value(int index) { return strtol(words[index], NULL, 0); }

static void on_signal(int number) {
    (void)number;
    signals++;
    memory[0]++;
}

static void *sleeps(void *unused) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (;;)
        pause();
    return unused;
}

static void *ticks(void *quiet) {
    for (;;) {
        usleep(2000);
        if (!quiet)
            memory[1]++;
    }
    return NULL;
}

/* Does one word; an answer for whoever asked. */
static const char *obey(void) {
    static char answer[128];
    const char *word = words[0];
    snprintf(answer, sizeof(answer), "done");
    if (strcmp(word, "memory") == 0) {
        memset(memory + value(1), words[2][0], (size_t)value(3));
    } else if (strcmp(word, "same-memory") == 0) {
        memory[100] = memory[100];
    } else if (strcmp(word, "grow") == 0) {
        memset(malloc((size_t)value(1)), 'g', (size_t)value(1));
    } else if (strcmp(word, "where") == 0) {
        snprintf(answer, sizeof(answer), "%d %lx", getpid(), (unsigned long)(uintptr_t)(memory + 64));
    } else if (strcmp(word, "open") == 0) {
        held = opened(words[1], O_RDWR | O_CREAT);
    } else if (strcmp(word, "open-read") == 0) {
        held = opened(words[1], O_RDONLY);
    } else if (strcmp(word, "write") == 0) {
        need(write(held, words[1], strlen(words[1])), "write");
    } else if (strcmp(word, "write-sync") == 0) {
        need(pwrite(held, words[1], strlen(words[1]), 0), "write");
        need(fsync(held), "fsync");
    } else if (strcmp(word, "seek") == 0) {
        need(lseek(held, value(1), SEEK_SET), "lseek");
    } else if (strcmp(word, "chmod-held") == 0) {
        need(fchmod(held, (mode_t)value(1)), "fchmod");
    } else if (strcmp(word, "flags") == 0) {
        need(fcntl(held, F_SETFL, O_APPEND), "fcntl");
    } else if (strcmp(word, "lock") == 0) {
        need(fcntl(held, F_SETLK, &(struct flock){.l_type = F_WRLCK}), "lock");
    } else if (strcmp(word, "close") == 0) {
        need(close(held), "close");
        held = -1;
    } else if (strcmp(word, "map") == 0) {
        int fd = opened(words[1], O_RDWR);
        struct stat status;
        need(fstat(fd, &status), "stat");
        mapping_size = (size_t)status.st_size;
        mapping = mmap(NULL, mapping_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
    } else if (strcmp(word, "map-private") == 0) {
        int fd = opened(words[1], O_RDONLY);
        mapping_size = 4096;
        mapping = mmap(NULL, mapping_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        if (mapping != MAP_FAILED)
            (void)*(volatile char *)mapping;
        close(fd);
    } else if (strcmp(word, "store") == 0) {
        memcpy(mapping + value(1), words[2], strlen(words[2]));
    } else if (strcmp(word, "msync") == 0) {
        need(msync(mapping, mapping_size, MS_SYNC), "msync");
    } else if (strcmp(word, "unmap") == 0) {
        need(munmap(mapping, mapping_size), "munmap");
    } else if (strcmp(word, "cd") == 0) {
        need(chdir(words[1]), "chdir");
    } else if (strcmp(word, "umask") == 0) {
        umask((mode_t)value(1));
    } else if (strcmp(word, "setenv") == 0) {
        setenv(words[1], words[2], 1);
    } else if (strcmp(word, "listen") == 0) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)value(1))};
        held = socket(AF_INET, SOCK_STREAM, 0);
        need(bind(held, (void *)&at, sizeof(at)), "bind");
        need(listen(held, 8), "listen");
    } else if (strcmp(word, "listen-unix") == 0) {
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        snprintf(at.sun_path, sizeof(at.sun_path), "%s", words[1]);
        held = socket(AF_UNIX, SOCK_STREAM, 0);
        need(bind(held, (void *)&at, sizeof(at)), "bind");
        need(listen(held, 8), "listen");
    } else if (strcmp(word, "pair") == 0) {
        int ends[2];
        need(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
        held = ends[0];
        second = ends[1];
    } else if (strcmp(word, "pipe") == 0) {
        int ends[2];
        need(pipe(ends), "pipe");
        second = ends[0];
        held = ends[1];
    } else if (strcmp(word, "memfd") == 0) {
        held = memfd_create("kept", 0);
        need(write(held, words[1], strlen(words[1])), "write");
    } else if (strcmp(word, "watch") == 0) {
        held = inotify_init1(IN_NONBLOCK);
        need(inotify_add_watch(held, words[1], IN_ALL_EVENTS), "inotify");
    } else if (strcmp(word, "shared") == 0) {
        anonymous = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        anonymous[0] = 's';
    } else if (strcmp(word, "store-shared") == 0) {
        anonymous[value(1)] = words[2][0];
    } else if (strcmp(word, "segment") == 0) {
        int id = shmget((key_t)value(1), 4096, IPC_CREAT | 0600);
        need(id, "shmget");
        segment = shmat(id, NULL, 0);
        segment[0] = 's';
    } else if (strcmp(word, "thread") == 0) {
        pthread_t made;
        pthread_create(&made, NULL, sleeps, NULL);
    } else if (strcmp(word, "ticks") == 0 || strcmp(word, "quiet-ticks") == 0) {
        pthread_t made;
        pthread_create(&made, NULL, ticks, word[0] == 'q' ? (void *)1 : NULL);
    } else if (strcmp(word, "fork") == 0) {
        if (fork() == 0) {
            close_range(3, ~0u, 0); /* or whoever asked would wait for the end of its connection */
            for (;;)
                pause();
        }
    } else if (strcmp(word, "fork-writer") == 0) {
        pid_t child = fork();
        if (child == 0) {
            anonymous[8] = words[1][0];
            _exit(0);
        }
        waitpid(child, NULL, 0);
    } else if (strcmp(word, "fork-and-reap") == 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    } else if (strcmp(word, "signals") == 0) {
        signal(SIGUSR1, on_signal);
    } else if (strcmp(word, "block") == 0) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
    } else if (strcmp(word, "limit") == 0) {
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, 100});
    } else if (strcmp(word, "quit") == 0) {
        exit(0);
    } else if (strcmp(word, "nothing") != 0) {
        return "unknown word";
    }
    return answer;
}

static int receive(int connection) {
    static char message[MESSAGE_MAX];
    static char *split[WORDS_MAX + 1];
    int count = 0, passed = -1;
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec into = {.iov_base = message, .iov_len = sizeof(message) - 1};
    struct msghdr header = {
        .msg_iov = &into, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(connection, &header, MSG_CMSG_CLOEXEC);
    if (got <= 0)
        return -1;
    message[got] = 0;
    struct cmsghdr *extra = CMSG_FIRSTHDR(&header);
    if (extra && extra->cmsg_type == SCM_RIGHTS) {
        memcpy(&passed, CMSG_DATA(extra), sizeof(passed));
        held = passed;
    }
    for (char *at = message; at < message + got && count < WORDS_MAX; at += strlen(at) + 1)
        split[count++] = at;
    for (int i = count; i <= WORDS_MAX; i++)
        split[i] = "0";
    words = split;
    return 0;
}

static void serve(int listener) {
    for (;;) {
        int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0)
            continue;
        if (receive(connection) == 0) {
            const char *answer = obey();
            send(connection, answer, strlen(answer), MSG_NOSIGNAL);
        }
        close(connection);
    }
}

static void *serves(void *listener) {
    serve(*(int *)listener);
    return NULL;
}

int survivor_serve(const char *name, int count, char **options) {
    struct sockaddr_un address;
    socklen_t length = address_of(name, &address);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool twice = count > 0 && strcmp(options[0], "double") == 0;
    bool headless = count > 0 && strcmp(options[0], "headless") == 0;
    need(bind(listener, (void *)&address, length), "bind");
    need(listen(listener, 8), "listen");
    pid_t child = fork();
    need(child, "fork");
    if (child != 0) {
        if (twice)
            waitpid(child, NULL, 0);
        return 0;
    }
    setsid();
    if (twice && fork() != 0)
        _exit(0);
    int nowhere = opened("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(nowhere, fd);
    close(nowhere);
    memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 'm', MEMORY_BYTES);
    if (headless) {
        pthread_t made;
        pthread_create(&made, NULL, serves, &listener);
        syscall(SYS_exit, 0); /* this thread alone */
    }
    serve(listener);
    return 0;
}

/* `tell NAME with-fd PATH WORD...` passes an open file along. */
int survivor_tell(const char *name, int count, char **said) {
    static char message[MESSAGE_MAX];
    char answer[256];
    struct sockaddr_un address;
    socklen_t length = address_of(name, &address);
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec from = {.iov_base = message};
    struct msghdr header = {.msg_iov = &from, .msg_iovlen = 1};
    if (count > 2 && strcmp(said[0], "with-fd") == 0) {
        int fd = opened(said[1], O_RDWR);
        header.msg_control = &control;
        header.msg_controllen = sizeof(control);
        control.head = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
        said += 2;
        count -= 2;
    }
    for (int i = 0; i < count; i++) {
        size_t size = strlen(said[i]) + 1;
        if (from.iov_len + size > sizeof(message))
            return 2;
        memcpy(message + from.iov_len, said[i], size);
        from.iov_len += size;
    }
    int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    need(connect(connection, (void *)&address, length), "connect");
    need(sendmsg(connection, &header, 0), "sendmsg");
    ssize_t got = recv(connection, answer, sizeof(answer), 0);
    need(got, "recv");
    printf("%.*s\n", (int)got, answer);
    char more;
    while (recv(connection, &more, 1, 0) > 0) /* it is back to waiting, or nearly */
        ;
    return got >= 7 && memcmp(answer, "unknown", 7) == 0;
}
