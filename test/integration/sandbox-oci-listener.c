/*
 * A seccomp listener for tests: takes the descriptor that runc hands over, prints every exec and refuses paths that hold "forbidden".
 * Usage: listener SOCKET
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int receive(int connection) {
    static char state[65536];
    union {
        char bytes[CMSG_SPACE(sizeof(int) * 4)];
        struct cmsghdr align;
    } control;
    struct iovec piece = {state, sizeof(state)};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    if (recvmsg(connection, &message, 0) <= 0 || !CMSG_FIRSTHDR(&message))
        return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    return fd;
}

static void answer(int fd) {
    struct seccomp_notif request = {0};
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0)
        return;
    char path[32], name[256] = "";
    snprintf(path, sizeof(path), "/proc/%u/mem", request.pid);
    int memory = open(path, O_RDONLY);
    if (memory >= 0 && pread(memory, name, sizeof(name) - 1, (off_t)request.data.args[0]) < 0)
        name[0] = 0;
    if (memory >= 0)
        close(memory);
    printf("exec %s\n", name);
    struct seccomp_notif_resp response = {.id = request.id};
    if (strstr(name, "forbidden"))
        response.error = -EACCES;
    else
        response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path))
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    strcpy(address.sun_path, argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 1) != 0)
        return 1;
    printf("listening\n");
    int fd = receive(accept(listener, NULL, NULL));
    if (fd < 0)
        return 1;
    for (;;)
        answer(fd);
}
