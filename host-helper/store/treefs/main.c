/* The request loop: one frame, one answer. Ends when the helper closes the pipe or breaks the protocol. */
#include "treefs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

static uint8_t payload[MAX_PAYLOAD];

static void handle_sync(struct reader *r) {
    static char root_path[MAX_PATH_BYTES + 1];
    read_path(r, root_path);
    if (r->bad) return;
    int fd = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) != 0) {
        wire_failed(errno, "sync", root_path);
    } else {
        wire_done(1, 0);
    }
    if (fd >= 0) close(fd);
}

/* The lock lives as long as this process: a killed helper leaves none behind, and work in progress still holds it. */
static void handle_lock(struct reader *r) {
    static char path[MAX_PATH_BYTES + 1];
    char text[64] = {0};
    read_path(r, path);
    uint32_t pid = read_u32(r);
    if (r->bad) return;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        wire_failed(errno, "open", path);
        return;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        if (pread(fd, text, sizeof(text) - 1, 0) < 0) text[0] = 0;
        close(fd);
        wire_failed(error, "", text);
        return;
    }
    int length = snprintf(text, sizeof(text), "%u\n", pid);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)length, 0) != length) {
        wire_failed(errno, "write", path);
        close(fd);
        return;
    }
    wire_done(1, 0); /* fd stays open */
}

static void handle(enum request_type type, struct reader *r) {
    if (apply_is_open() && type != REQUEST_APPLY_END) {
        handle_step(type, r);
        return;
    }
    switch (type) {
    case REQUEST_SCAN: handle_scan(r); break;
    case REQUEST_DETAIL: handle_detail(r); break;
    case REQUEST_STREAM: handle_stream(r); break;
    case REQUEST_SYNC: handle_sync(r); break;
    case REQUEST_LOCK: handle_lock(r); break;
    case REQUEST_PUNCH: handle_punch(r); break;
    case REQUEST_STRIP: handle_strip(r); break;
    case REQUEST_COPY_UP: handle_copy_up(r); break;
    case REQUEST_APPLY: handle_apply(r); break;
    case REQUEST_APPLY_END:
        if (apply_is_open()) {
            handle_apply_end(r);
        } else {
            r->bad = true;
        }
        break;
    default: r->bad = true;
    }
}

int main(void) {
    struct frame_header header;
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    /* The helper decides when this ends, not a Ctrl-C to the terminal's process group. */
    signal(SIGINT, SIG_IGN);
    umask(0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    while (wire_read_frame(&header, payload)) {
        struct reader r = {.at = payload, .end = payload + header.length, .bad = false};
        wire_begin(header.request);
        handle((enum request_type)header.type, &r);
        if (r.bad) {
            fprintf(stderr, "treefs: malformed request of type %u\n", header.type);
            apply_abandon();
            return 2;
        }
    }
    apply_abandon();
    return 0;
}
