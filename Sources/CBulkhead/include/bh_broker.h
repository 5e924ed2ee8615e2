/* What a broker asks of the kernel beyond bh_system.h: byte streams of clients, and memory that stays. Each returns a value
 * or -errno. The bodies are in bh_broker.c. */
#ifndef BH_BROKER_H
#define BH_BROKER_H

#include <stddef.h>
#include <stdint.h>

/* A part of a message: struct iovec, whose header would change what other headers see. */
struct bh_part {
    void *base;
    size_t length;
};

/* The next connection of a listening socket; non-blocking, close-on-exec. */
int bh_accept(int listener);
/* recv(2), recvmsg(2) and sendmsg(2) that never wait and never raise SIGPIPE. */
long bh_receive_bytes(int fd, void *bytes, size_t length);
long bh_receive_parts(int fd, const struct bh_part *parts, size_t count);
long bh_send_parts(int fd, const struct bh_part *parts, size_t count);
/* 1 if the file is a pipe. */
int bh_is_pipe(int fd);
int bh_ignore_sigpipe(void);
/* No limit for the locked memory of this process; needs CAP_SYS_RESOURCE. */
int bh_unlimit_locked_memory(void);
/* Keeps everything that is and will be mapped in memory. */
int bh_lock_memory(void);
/* open(2), read-only and close-on-exec. */
int bh_open_readonly(const char *path);
/* pread(2). */
long bh_read_at(int fd, void *bytes, size_t length, int64_t offset);

#endif
