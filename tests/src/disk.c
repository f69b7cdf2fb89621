/* See disk.rs: answers for the disk. Growing a regular file fails while the file that BEADLE_E2E_FULL names is there, and a
 * sync waits while the one that BEADLE_E2E_STUCK names is. Everything else is as ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_there(const char *variable) {
    const char *path = getenv(variable);
    return path && access(path, F_OK) == 0;
}

/* Whether writing up to `end` would make the file longer than it is, on a disk that is full. */
static int has_no_room(int fd, off_t end) {
    struct stat file;
    if (!is_there("BEADLE_E2E_FULL") || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) return 0;
    if (end <= file.st_size) return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    int flags = fcntl(fd, F_GETFL);
    off_t at = lseek(fd, 0, flags >= 0 && flags & O_APPEND ? SEEK_END : SEEK_CUR);
    if (at >= 0 && has_no_room(fd, at + (off_t)count)) return -1;
    return NEXT(write)(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return has_no_room(fd, at + (off_t)count) ? -1 : NEXT(pwrite)(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return has_no_room(fd, at + (off_t)count) ? -1 : NEXT(pwrite64)(fd, bytes, count, at);
}

int fallocate(int fd, int mode, off_t at, off_t count) {
    return has_no_room(fd, at + count) ? -1 : NEXT(fallocate)(fd, mode, at, count);
}

int fallocate64(int fd, int mode, off64_t at, off64_t count) {
    return has_no_room(fd, at + count) ? -1 : NEXT(fallocate64)(fd, mode, at, count);
}

int posix_fallocate(int fd, off_t at, off_t count) {
    return has_no_room(fd, at + count) ? ENOSPC : NEXT(posix_fallocate)(fd, at, count);
}

static void wait_while_stuck(void) {
    while (is_there("BEADLE_E2E_STUCK")) usleep(1000);
}

int fsync(int fd) {
    wait_while_stuck();
    return NEXT(fsync)(fd);
}

int fdatasync(int fd) {
    wait_while_stuck();
    return NEXT(fdatasync)(fd);
}
