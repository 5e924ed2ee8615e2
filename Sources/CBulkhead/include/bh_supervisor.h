/* System calls of the supervisor that Swift cannot spell. Each returns a value or -errno. */
#ifndef BH_SUPERVISOR_H
#define BH_SUPERVISOR_H

#include <sys/types.h>

/* Blocks `signals` and returns a file that reads as them. */
int bh_signal_file(const int *signals, unsigned count);
/* The next signal of a signal file; -EAGAIN: none. */
int bh_signal_next(int fd);

/* Reaps the process behind a pidfd. 1: it has ended, by itself with status `*code` (`*killed` 0) or by signal `*code`
 * (`*killed` 1); 0: it still runs. */
int bh_pidfd_wait(int pidfd, int *code, int *killed);

/* A pipe, close-on-exec, with a read end that does not wait. */
int bh_log_pipe(int fds[2]);

/* A listening stream socket at `path` with `mode` and group `gid` (-1: unchanged); close-on-exec, non-blocking. A socket
 * that is left over is replaced. */
int bh_unix_listen(const char *path, unsigned mode, int gid);
int bh_unix_accept(int fd);
/* The user at the other end of a connected Unix socket. */
int bh_peer_uid(int fd, uid_t *uid);
/* Whether a socket listens at `path`, where there is still a socket: 1 or 0. */
int bh_unix_listens_at(int fd, const char *path);
/* Gives the socket file at `path` a mode, and a group unless that is -1. */
int bh_unix_permit(const char *path, unsigned mode, int gid);
/* One datagram to a Unix socket, with copies of files; a path that begins with '@' is in the abstract namespace. */
int bh_unix_datagram(const char *path, const void *bytes, size_t length, const int *fds, size_t count);

/* Takes an exclusive lock on an open file without waiting. */
int bh_lock_file(int fd);
/* 1 if systemd has marked this cgroup directory as given to its unit, else 0. */
int bh_cgroup_delegated(const char *path);
/* Device number of a block special file as major << 32 | minor. */
long bh_block_device_number(const char *path);

#endif
