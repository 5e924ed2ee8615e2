#include "bh_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(struct bh_part) == sizeof(struct iovec), "bh_part is an iovec");
_Static_assert(offsetof(struct bh_part, length) == offsetof(struct iovec, iov_len), "bh_part is an iovec");

int bh_accept(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

long bh_receive_bytes(int fd, void *bytes, size_t length) {
    ssize_t got = recv(fd, bytes, length, MSG_DONTWAIT);
    return got < 0 ? -errno : got;
}

long bh_receive_parts(int fd, const struct bh_part *parts, size_t count) {
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    return got < 0 ? -errno : got;
}

long bh_send_parts(int fd, const struct bh_part *parts, size_t count) {
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

int bh_is_pipe(int fd) {
    struct stat status;
    if (fstat(fd, &status) < 0) return -errno;
    return S_ISFIFO(status.st_mode) ? 1 : 0;
}

int bh_ignore_sigpipe(void) { return signal(SIGPIPE, SIG_IGN) == SIG_ERR ? -errno : 0; }

int bh_unlimit_locked_memory(void) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    return setrlimit(RLIMIT_MEMLOCK, &limit) < 0 ? -errno : 0;
}

int bh_lock_memory(void) { return mlockall(MCL_CURRENT | MCL_FUTURE) < 0 ? -errno : 0; }

int bh_open_readonly(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

long bh_read_at(int fd, void *bytes, size_t length, int64_t offset) {
    ssize_t got = pread(fd, bytes, length, offset);
    return got < 0 ? -errno : got;
}
