#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "programs.h"
#include "roots.h"
#include "selftest.h"

/* Works in the scratch directory; 0, or an errno. ENOTSUP and the like mean that the file system
 * lacks the operation. */
typedef int operation(void);

static int written(const char *name, const char *text) {
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int error = write(fd, text, strlen(text)) < 0 ? errno : 0;
    close(fd);
    return error;
}

static int checked(int result) { return result < 0 ? errno : 0; }

static int do_create(void) { return written("file", ""); }

static int do_write(void) { return written("file", "some text"); }

static int do_truncate(void) { return checked(truncate("file", 4096)); }

static int do_allocate(void) {
    int fd = open("file", O_RDWR | O_CLOEXEC);
    int error = checked(fallocate(fd, 0, 8192, 4096));
    close(fd);
    return error;
}

static int do_copy_range(void) {
    int from = open("file", O_RDONLY | O_CLOEXEC), to = open("copy", O_WRONLY | O_CLOEXEC);
    int error = checked((int)copy_file_range(from, NULL, to, NULL, 4, 0));
    close(from);
    close(to);
    return error;
}

static int do_mapped_store(void) {
    int fd = open("file", O_RDWR | O_CLOEXEC), error = 0;
    char *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (bytes == MAP_FAILED)
        return errno;
    *(volatile char *)bytes = 'x';
    munmap(bytes, 4096);
    return error;
}

static int do_mode(void) { return checked(chmod("file", 0640)); }

static int do_owner(void) { return checked(chown("file", 1, 1)); }

static int do_times(void) {
    return checked(utimensat(AT_FDCWD, "file", (struct timespec[2]){{1, 1}, {2, 2}}, 0));
}

static int do_attribute(void) { return checked(setxattr("file", "user.turntable", "1", 1, 0)); }

static int do_link(void) { return checked(link("file", "second")); }

static int do_rename(void) { return checked(rename("second", "third")); }

static int do_unlink(void) { return checked(unlink("third")); }

static int do_symlink(void) { return checked(symlink("file", "symlink")); }

static int do_directory(void) { return checked(mkdir("directory", 0700)); }

static int do_remove_directory(void) { return checked(rmdir("directory")); }

static int do_unnamed(void) {
    char path[64];
    int fd = open(".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int error = checked(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    close(fd);
    return error;
}

static int do_look(void) {
    char byte;
    int fd = open("file", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ssize_t got = read(fd, &byte, 1);
    (void)got;
    close(fd);
    fd = open("file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        return EEXIST;
    DIR *directory = opendir(".");
    if (!directory)
        return errno;
    while (readdir(directory))
        ;
    closedir(directory);
    return 0;
}

static const struct {
    const char *name;
    operation *run;
    bool changes;
} operations[] = {
    {"create", do_create, true},
    {"write", do_write, true},
    {"truncate", do_truncate, true},
    {"fallocate", do_allocate, true},
    {"reading", do_look, false},
    {"copy_file_range", do_copy_range, true},
    {"a store through a shared mapping", do_mapped_store, true},
    {"chmod", do_mode, true},
    {"chown", do_owner, true},
    {"utimensat", do_times, true},
    {"setxattr", do_attribute, true},
    {"link", do_link, true},
    {"rename", do_rename, true},
    {"unlink", do_unlink, true},
    {"symlink", do_symlink, true},
    {"mkdir", do_directory, true},
    {"rmdir", do_remove_directory, true},
    {"O_TMPFILE and linkat", do_unnamed, true},
    {"looking", do_look, false},
};

#define OPERATIONS (sizeof(operations) / sizeof(*operations))

/* Looking at a file makes its next change visible in the ctime even within the same clock tick. */
static void look_at_all(void) {
    static const char *const names[] = {".", "file", "copy", "second", "third", "directory"};
    struct stat status;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (lstat(names[i], &status) != 0)
            continue;
}

static bool run_all(struct tracked_root *own, struct tracked_root *other, char *detail,
                    size_t size) {
    static struct root_hints hints;
    unsigned skipped = 0;
    if (written("copy", "text") != 0) {
        snprintf(detail, size, "the state directory cannot be written");
        return false;
    }
    /* Delayed work of the file system (a first writeback) must not be taken for a hint of reading.
     */
    for (size_t i = 0; i < OPERATIONS; i++) {
        look_at_all();
        root_take(own, 0, &hints);
        int error = operations[i].run();
        root_take(own, 0, &hints);
        if (error == EOPNOTSUPP || error == ENOSYS || error == EXDEV) {
            skipped++;
            continue;
        }
        if (error) {
            snprintf(detail, size, "%s failed: %s", operations[i].name, strerror(error));
            return false;
        }
        if (operations[i].changes != (hints.hints > 0)) {
            snprintf(detail, size,
                     operations[i].changes ? "%s gave no hint" : "%s gave a false hint",
                     operations[i].name);
            return false;
        }
    }
    root_take(other, 0, &hints);
    if (hints.hints > 0) {
        snprintf(detail, size, "a change was hinted for the wrong directory");
        return false;
    }
    snprintf(detail, size, "%zu kinds of change seen, %u not possible here", OPERATIONS - skipped,
             skipped);
    return true;
}

static void remove_all(const char *path) {
    DIR *directory = opendir(path);
    char name[PATH_MAX];
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >= (int)sizeof(name))
            continue;
        if (entry->d_type == DT_DIR)
            remove_all(name);
        else
            unlink(name);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

bool selftest_hints(const char *state_dir, char *detail, size_t size) {
    char scratch[PATH_MAX], own_path[PATH_MAX + 8], other_path[PATH_MAX + 8];
    struct tracked_root own, other;
    bool complete = false;
    int error, before;
    if (!programs_have_hints()) {
        snprintf(detail, size, "%s", programs_hints_trouble());
        return false;
    }
    if (snprintf(scratch, sizeof(scratch), "%s/.sentry-XXXXXX", state_dir) >=
            (int)sizeof(scratch) ||
        !mkdtemp(scratch)) {
        snprintf(detail, size, "the state directory cannot be written: %s", strerror(errno));
        return false;
    }
    snprintf(own_path, sizeof(own_path), "%s/own", scratch);
    snprintf(other_path, sizeof(other_path), "%s/other", scratch);
    before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (mkdir(own_path, 0700) != 0 || mkdir(other_path, 0700) != 0 || chdir(own_path) != 0) {
        snprintf(detail, size, "the state directory cannot be used: %s", strerror(errno));
    } else if ((error = root_track(&own, 0, own_path)) != 0) {
        snprintf(detail, size, "the programs cannot be attached: %s", strerror(-error));
    } else {
        if ((error = root_track(&other, 1, other_path)) != 0) {
            snprintf(detail, size, "a second directory cannot be tracked: %s", strerror(-error));
        } else {
            complete = run_all(&own, &other, detail, size);
            root_untrack(&other);
        }
        root_untrack(&own);
    }
    if (before < 0 || fchdir(before) != 0)
        complete = chdir("/") == 0 && complete;
    if (before >= 0)
        close(before);
    remove_all(scratch);
    return complete;
}
