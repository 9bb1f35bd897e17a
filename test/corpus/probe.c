/*
 * The oracle of the corpus. Prints the state of a sandbox as text, a fact a line, so that two of them can be compared:
 *   probe CGROUP (NAME MERGED UPPER|- LOWER|-)...
 * Everything it prints is of one instant: it looks again until nothing was scheduled meanwhile, and freezes the cgroup
 * when that does not come. Not frozen from the start: a thaw schedules every process, which would disturb what is judged.
 */
#include "probe.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALM_TRIES 6
#define CALM_US 10000
#define FREEZE_TRIES 2000

void hash_start(struct hash *hash) { *hash = (struct hash){0x9e3779b97f4a7c15u, 0xc2b2ae3d27d4eb4fu}; }

static void hash_word(struct hash *hash, uint64_t word) {
    hash->one = (hash->one ^ word) * 0x9fb21c651e98df25u;
    hash->one ^= hash->one >> 29;
    hash->two = (hash->two + word) * 0xd6e8feb86659fd93u;
    hash->two ^= hash->two >> 32;
}

void hash_add(struct hash *hash, const void *data, size_t length) {
    const uint8_t *at = data;
    uint64_t word;
    size_t left = length;
    for (; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        hash_word(hash, word);
    }
    word = 0;
    memcpy(&word, at, left);
    hash_word(hash, word);
    hash_word(hash, length);
}

void hash_file(struct hash *hash, int fd) {
    static char block[1 << 18];
    off_t offset = 0;
    for (ssize_t got; (got = pread(fd, block, sizeof(block), offset)) > 0; offset += got)
        hash_add(hash, block, (size_t)got);
}

void put_escaped(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c > 0x20 && c < 0x7f && c != '%')
            putchar(c);
        else
            printf("%%%02x", c);
    }
}

static void set_frozen(const char *cgroup, bool frozen) {
    char path[4096], text[256];
    snprintf(path, sizeof(path), "%s/cgroup.freeze", cgroup);
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, frozen ? "1" : "0", 1) != 1) {
        perror(path);
        exit(1);
    }
    close(fd);
    snprintf(path, sizeof(path), "%s/cgroup.events", cgroup);
    for (int tries = 0; tries < FREEZE_TRIES; tries++, usleep(1000)) {
        fd = open(path, O_RDONLY);
        ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        close(fd);
        text[got < 0 ? 0 : got] = 0;
        if (strstr(text, frozen ? "frozen 1" : "frozen 0"))
            return;
    }
    fprintf(stderr, "the sandbox does not %s\n", frozen ? "freeze" : "thaw");
    exit(1);
}

static void look(const char *cgroup, int count, char **roots) {
    for (int i = 0; i + 3 < count; i += 4)
        probe_tree(roots[i], roots[i + 1], roots[i + 2][0] == '-' ? NULL : roots[i + 2],
                   roots[i + 3][0] == '-' ? NULL : roots[i + 3]);
    probe_processes(cgroup);
}

int main(int argc, char **argv) {
    if (argc < 2 || (argc - 2) % 4 != 0) {
        fprintf(stderr, "usage: probe CGROUP (NAME MERGED UPPER|- LOWER|-)...\n");
        return 2;
    }
    char *text = NULL;
    size_t length = 0;
    FILE *real = stdout;
    for (int tries = 0;; tries++) {
        bool frozen = tries == CALM_TRIES;
        stdout = open_memstream(&text, &length);
        if (frozen)
            set_frozen(argv[1], true);
        uint64_t before = probe_scheduling(argv[1]);
        look(argv[1], argc - 2, argv + 2);
        bool calm = probe_scheduling(argv[1]) == before;
        if (frozen)
            set_frozen(argv[1], false);
        fclose(stdout);
        stdout = real;
        if (calm || frozen)
            break;
        free(text);
        usleep(CALM_US);
    }
    fwrite(text, 1, length, stdout);
    free(text);
    return fflush(stdout) == 0 ? 0 : 1;
}
