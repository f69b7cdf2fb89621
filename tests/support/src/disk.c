/* See disk.rs. While the file named by BEADLE_E2E_FULL exists, a regular file can grow only by what this process freed
 * (truncated, removed) since then. While the file named by BEADLE_E2E_STUCK exists, a sync blocks. Nothing else changes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_there(const char *variable) {
    const char *path = getenv(variable);
    return path && access(path, F_OK) == 0;
}

/* Bytes that were freed and not used again. */
static _Atomic off_t room;

/* Whether writing up to `end` would grow the file on a full disk. Files in memory (memfd) have no link and take no disk. */
static int has_no_room(int fd, off_t end) {
    struct stat file;
    if (!is_there("BEADLE_E2E_FULL") || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || file.st_nlink == 0)
        return 0;
    off_t more = end - file.st_size;
    if (more <= 0) return 0;
    if (atomic_fetch_sub(&room, more) >= more) return 0;
    atomic_fetch_add(&room, more);
    errno = ENOSPC;
    return 1;
}

/* Counts what truncating or removing a file frees. */
static void count_freed(const struct stat *file, off_t length) {
    if (is_there("BEADLE_E2E_FULL") && S_ISREG(file->st_mode) && file->st_size > length)
        atomic_fetch_add(&room, file->st_size - length);
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

int ftruncate(int fd, off_t length) {
    struct stat file;
    if (fstat(fd, &file) == 0) count_freed(&file, length);
    return NEXT(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    struct stat file;
    if (fstat(fd, &file) == 0) count_freed(&file, length);
    return NEXT(ftruncate64)(fd, length);
}

int unlink(const char *path) {
    struct stat file;
    if (lstat(path, &file) == 0 && file.st_nlink == 1) count_freed(&file, 0);
    return NEXT(unlink)(path);
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
