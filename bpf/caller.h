/*
 * Reads what a thread standing in execve is about to execute: the path, the object behind it as the
 * caller's own root resolves it, the interpreter line, the argv. All of it can still change; the
 * verification at exec is what binds it.
 */
#ifndef SENTRY_CALLER_H
#define SENTRY_CALLER_H

#include <linux/limits.h>
#include <linux/seccomp.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "events.h"

#define INTERPRETER_LINE_MAX 256 /* BINPRM_BUF_SIZE */
#define INTERPRETERS_MAX 5

struct exec_call {
    pid_t tid;
    pid_t pid;
    char program[PATH_MAX];     /* resolved */
    char interpreter[PATH_MAX]; /* resolved; empty when the program is no script */
    char argument[INTERPRETER_LINE_MAX];
    bool has_argument;
    char cwd[PATH_MAX];
    char *argv; /* the caller's, NUL-terminated strings */
    uint32_t argv_length;
    uint32_t argc;
    bool argv_truncated;
    struct identity program_file; /* the script, or the program itself */
    int program_fd;               /* held open, so that its inode is not used again */
    struct identity file;         /* what the kernel will execute */
    int file_fd;
    uint32_t expected_argc; /* what the kernel will pass, interpreter and script included */
    uint32_t expected_length;
    uint64_t expected_hash;
};

/*
 * 0 and a call to free with exec_call_close; or the errno that the caller should get, without
 * anybody being asked, because the exec could not succeed anyway (no such file, not executable) or
 * is not one that can be vouched for.
 */
int exec_call_read(const struct seccomp_notif *notification, struct exec_call **out);
void exec_call_close(struct exec_call *call);
/* The files are still what they were when the call was read. */
bool exec_call_unchanged(const struct exec_call *call);

#endif
