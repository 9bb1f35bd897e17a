/*
 * Trees as the sandbox sees them: `F ROOT PATH STATE` for what is there, `L ROOT PATH STATE` for what an overlay's lower has
 * at a path that its upper mentions (the rest of a lower never changes). STATE is `-` or
 *   type mode uid gid size mtime content xattrs link-target inode
 * Left out on purpose: ctime, atime and block counts; of a directory also size and mtime, of others the mtime unless they
 * are regular files or symbolic links.
 */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAMES_MAX 65536

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Attributes that a program in the sandbox sees. */
static uint64_t xattrs_of(const char *path) {
    static char list[NAMES_MAX], value[NAMES_MAX];
    const char *names[1024];
    size_t count = 0;
    struct hash hash;
    ssize_t length = llistxattr(path, list, sizeof(list));
    for (const char *at = list; length > 0 && at < list + length && count < 1024; at += strlen(at) + 1)
        if (strncmp(at, "trusted.", 8) != 0)
            names[count++] = at;
    if (count == 0)
        return 0;
    qsort(names, count, sizeof(*names), by_name);
    hash_start(&hash);
    for (size_t i = 0; i < count; i++) {
        ssize_t size = lgetxattr(path, names[i], value, sizeof(value));
        hash_add(&hash, names[i], strlen(names[i]));
        hash_add(&hash, value, size > 0 ? (size_t)size : 0);
    }
    return hash.one ^ hash.two;
}

static char kind_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG: return 'f';
    case S_IFDIR: return 'd';
    case S_IFLNK: return 'l';
    case S_IFIFO: return 'p';
    case S_IFSOCK: return 's';
    default: return 'o';
    }
}

static void put_state(const char *path) {
    struct stat status;
    if (lstat(path, &status) != 0) {
        if (errno != ENOENT && errno != ENOTDIR) {
            perror(path);
            exit(1);
        }
        printf("-\n");
        return;
    }
    char kind = kind_of(status.st_mode);
    struct hash hash;
    hash_start(&hash);
    printf("%c %o %u %u ", kind, status.st_mode & 07777, status.st_uid, status.st_gid);
    if (kind == 'f') {
        int fd = open(path, O_RDONLY | O_NOATIME | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
            perror(path);
            exit(1);
        }
        hash_file(&hash, fd);
        close(fd);
    }
    if (kind == 'f' || kind == 'l')
        printf("%lld %lld.%09ld %016llx%016llx ", (long long)status.st_size,
               (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec, (unsigned long long)hash.one,
               (unsigned long long)hash.two);
    else
        printf("- - - ");
    printf("%016llx ", (unsigned long long)xattrs_of(path));
    if (kind == 'l') {
        char target[PATH_MAX];
        ssize_t length = readlink(path, target, sizeof(target));
        put_escaped(target, length > 0 ? (size_t)length : 0);
    } else {
        putchar('-');
    }
    if (kind == 'f' && status.st_nlink > 1)
        printf(" %llu\n", (unsigned long long)status.st_ino);
    else
        printf(" -\n");
}

struct tree {
    const char *name;
    const char *merged;
    const char *upper;
    const char *lower;
};

static void put_line(char what, const struct tree *tree, const char *path, const char *base) {
    char full[PATH_MAX * 2];
    printf("%c %s ", what, tree->name);
    put_escaped(path, strlen(path));
    putchar(' ');
    snprintf(full, sizeof(full), "%s/%s", base, path);
    put_state(full);
}

/* `from`: whose names are followed; the merged tree's below a directory that was moved. */
static void walk(const struct tree *tree, const char *from, const char *path) {
    char full[PATH_MAX * 2], below[PATH_MAX];
    snprintf(full, sizeof(full), "%s/%s", from, path);
    DIR *directory = opendir(full);
    if (!directory) {
        perror(full);
        exit(1);
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof(below), "%s%s%s", path, path[0] ? "/" : "", entry->d_name);
        put_line('F', tree, below, tree->merged);
        if (tree->lower)
            put_line('L', tree, below, tree->lower);
        struct stat status;
        snprintf(full, sizeof(full), "%s/%s", from, below);
        if (lstat(full, &status) != 0 || !S_ISDIR(status.st_mode))
            continue;
        bool moved = tree->upper && lgetxattr(full, "trusted.overlay.redirect", NULL, 0) >= 0;
        walk(tree, moved ? tree->merged : from, below);
    }
    closedir(directory);
}

void probe_tree(const char *name, const char *merged, const char *upper, const char *lower) {
    struct tree tree = {.name = name, .merged = merged, .upper = upper, .lower = lower};
    put_line('F', &tree, "", merged);
    walk(&tree, upper ? upper : merged, "");
}
