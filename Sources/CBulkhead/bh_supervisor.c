#include "bh_supervisor.h"
#include "bh_system.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int bh_signal_file(const int *signals, unsigned count) {
    sigset_t set;
    sigemptyset(&set);
    for (unsigned i = 0; i < count; i++) sigaddset(&set, signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int bh_signal_next(int fd) {
    struct signalfd_siginfo info;
    ssize_t got = read(fd, &info, sizeof info);
    if (got < 0) return -errno;
    return got == (ssize_t)sizeof info ? (int)info.ssi_signo : -EIO;
}

int bh_pidfd_wait(int pidfd, int *code, int *killed) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0) return -errno;
    if (info.si_pid == 0) return 0;
    *killed = info.si_code != CLD_EXITED;
    *code = info.si_status;
    return 1;
}

int bh_log_pipe(int fds[2]) {
    if (pipe2(fds, O_CLOEXEC) < 0) return -errno;
    if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0) {
        int error = errno;
        close(fds[0]);
        close(fds[1]);
        return -error;
    }
    return 0;
}

static int address_of(const char *path, struct sockaddr_un *address, socklen_t *length) {
    size_t count = strlen(path);
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (count == 0 || count >= sizeof address->sun_path) return -ENAMETOOLONG;
    memcpy(address->sun_path, path, count);
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + count);
    if (path[0] == '@') address->sun_path[0] = 0;
    return 0;
}

int bh_unix_permit(const char *path, unsigned mode, int gid) {
    if (gid >= 0 && chown(path, (uid_t)-1, (gid_t)gid) < 0) return -errno;
    return chmod(path, mode) < 0 ? -errno : 0;
}

int bh_unix_listens_at(int fd, const char *path) {
    struct sockaddr_un wanted, found;
    socklen_t length, room = sizeof found;
    int listens = 0;
    socklen_t size = sizeof listens;
    struct stat present;
    memset(&found, 0, sizeof found);
    if (address_of(path, &wanted, &length) < 0) return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens) return 0;
    /* The kernel counts the zero at the end of a bound path, and takes it or not when it is bound. */
    if (getsockname(fd, (struct sockaddr *)&found, &room) < 0 || found.sun_family != AF_UNIX) return 0;
    if (strncmp(wanted.sun_path, found.sun_path, sizeof wanted.sun_path) != 0) return 0;
    return lstat(path, &present) == 0 && S_ISSOCK(present.st_mode);
}

int bh_unix_listen(const char *path, unsigned mode, int gid) {
    struct sockaddr_un address;
    socklen_t length;
    struct stat present;
    int error = address_of(path, &address, &length);
    if (error < 0) return error;
    if (lstat(path, &present) == 0) {
        if (!S_ISSOCK(present.st_mode)) return -EEXIST;
        if (unlink(path) < 0) return -errno;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    /* Nobody can connect before it listens, and then the mode is right. A umask would be that of all threads. */
    error = bind(fd, (struct sockaddr *)&address, length) < 0 ? -errno : 0;
    if (error == 0) error = bh_unix_permit(path, mode, gid);
    if (error == 0 && listen(fd, 64) < 0) error = -errno;
    if (error == 0) return fd;
    close(fd);
    return error;
}

int bh_unix_accept(int fd) {
    int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return connection < 0 ? -errno : connection;
}

int bh_peer_uid(int fd, uid_t *uid) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
    *uid = credentials.uid;
    return 0;
}

int bh_unix_datagram(const char *path, const void *bytes, size_t length, const int *fds, size_t count) {
    struct sockaddr_un address;
    socklen_t size;
    int error = address_of(path, &address, &size);
    if (error < 0) return error;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    if (connect(fd, (struct sockaddr *)&address, size) < 0) {
        error = -errno;
    } else {
        ssize_t sent = bh_send_message(fd, bytes, length, fds, count);
        error = sent < 0 ? (int)sent : 0;
    }
    close(fd);
    return error;
}

int bh_lock_file(int fd) { return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0; }

int bh_cgroup_delegated(const char *path) {
    char value[2];
    /* systemd 252 and later use the user namespace too; the trusted one is older. */
    const char *names[] = {"trusted.delegate", "user.delegate"};
    for (unsigned i = 0; i < 2; i++) {
        ssize_t got = getxattr(path, names[i], value, sizeof value);
        if (got == 1 && value[0] == '1') return 1;
    }
    return 0;
}

long bh_block_device_number(const char *path) {
    struct stat found;
    if (stat(path, &found) < 0) return -errno;
    if (!S_ISBLK(found.st_mode)) return -ENOTBLK;
    return (long)major(found.st_rdev) << 32 | (long)minor(found.st_rdev);
}
