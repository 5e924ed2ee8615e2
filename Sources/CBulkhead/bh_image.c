#include "bh_image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(struct bh_part) == sizeof(struct iovec), "bh_part is an iovec");
_Static_assert(offsetof(struct bh_part, length) == offsetof(struct iovec, iov_len), "bh_part is an iovec");

int bh_image_open(const char *path, int read_only) {
    int fd = open(path, (read_only ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

int64_t bh_image_size(int fd) {
    struct stat status;
    if (fstat(fd, &status) < 0) return -errno;
    return S_ISREG(status.st_mode) ? (int64_t)status.st_size : -EINVAL;
}

int bh_image_lock(int fd, int shared) { return flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0 ? -errno : 0; }

int bh_image_is_sealed(int fd) {
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

int bh_image_resize(int fd, int64_t size) { return ftruncate(fd, size) < 0 ? -errno : 0; }

long bh_image_read(int fd, const struct bh_part *parts, int count, int64_t offset) {
    ssize_t got = preadv(fd, (const struct iovec *)parts, count, offset);
    return got < 0 ? -errno : got;
}

long bh_image_write(int fd, const struct bh_part *parts, int count, int64_t offset) {
    ssize_t put = pwritev(fd, (const struct iovec *)parts, count, offset);
    return put < 0 ? -errno : put;
}

int bh_image_zero(int fd, int64_t offset, int64_t length, int punch) {
    int mode = FALLOC_FL_KEEP_SIZE | (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
    return fallocate(fd, mode, offset, length) < 0 ? -errno : 0;
}

int bh_image_sync(int fd) { return fdatasync(fd) < 0 ? -errno : 0; }

void *bh_image_memory(size_t length) {
    void *base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

void bh_image_forget(void *base, size_t length) { madvise(base, length, MADV_DONTNEED); }

void bh_image_free(void *base, size_t length) { munmap(base, length); }
