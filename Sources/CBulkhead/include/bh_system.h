/* System calls that Swift cannot spell (variadic, missing from its view of glibc, or with macros). Each returns a value
 * or -errno. The bodies are in bh_system.c: they need _GNU_SOURCE, which must not leak into Swift's module of glibc. */
#ifndef BH_SYSTEM_H
#define BH_SYSTEM_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The most files that one message can carry. */
#define BH_MAX_FDS 128

/* A memfd of `size` bytes that can be neither shrunk, grown nor resealed; not executable where the kernel can say so. */
int bh_memfd_sealed(const char *name, uint64_t size);
int bh_eventfd(void);
int bh_seqpacket_pair(int fds[2]);
int bh_stream_pair(int fds[2]);
int bh_set_nonblocking(int fd, int on);
int bh_set_cloexec(int fd, int on);

/* Sends one message with up to BH_MAX_FDS files. */
ssize_t bh_send_message(int fd, const void *bytes, size_t length, const int *fds, size_t count);

/* Receives one message. `*count` is the room in `fds` on entry and the number of files on return; files are
 * close-on-exec. A message or a file list that did not fit is refused whole: -EMSGSIZE, its files closed. */
ssize_t bh_receive_message(int fd, void *bytes, size_t length, int *fds, size_t *count);

/* Waits for events; `nanoseconds` < 0 waits for ever. */
int bh_ppoll(struct pollfd *fds, uint64_t count, int64_t nanoseconds);
int64_t bh_monotonic_ns(void);
/* The monotonic clock as of the last timer tick (1 to 10 ms old): read without asking the hardware. */
int64_t bh_monotonic_coarse_ns(void);

/* A timer as a file (CLOCK_MONOTONIC): set once, it costs nothing at each wait. */
int bh_timer_file(void);
/* Expires at `nanoseconds` of the monotonic clock; 0 disarms it. */
int bh_timer_set(int fd, int64_t nanoseconds);
int bh_pidfd_open(pid_t pid);
int bh_pidfd_send_signal(int pidfd, int signal);

/* The signal that this process gets when its parent ends, 0 for none, or -errno. */
int bh_death_signal(void);

/* Memory-reclaim safety of a process that serves block I/O (prctl(2), Linux 5.6). */
int bh_set_io_flusher(void);
/* "EPERM" for EPERM; NULL for an unknown number. */
const char *bh_strerror_name(int error);

#endif
