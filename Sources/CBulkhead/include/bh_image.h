/* The file behind an emulated disk. Each returns a value or -errno. The bodies are in bh_image.c. */
#ifndef BH_IMAGE_H
#define BH_IMAGE_H

#include "bh_broker.h"

#include <stddef.h>
#include <stdint.h>

/* open(2), close-on-exec, made if it is not there unless read-only. */
int bh_image_open(const char *path, int read_only);
/* The size of a regular file, in bytes; -EINVAL for anything else. */
int64_t bh_image_size(int fd);
/* flock(2) without waiting: -EWOULDBLOCK where somebody else has it. */
int bh_image_lock(int fd, int shared);
/* 1 for a memfd that cannot shrink, so that a mapping of it cannot fail. */
int bh_image_is_sealed(int fd);
/* Makes the file `size` bytes long; new bytes are zero and take no room. */
int bh_image_resize(int fd, int64_t size);
/* preadv(2), pwritev(2). */
long bh_image_read(int fd, const struct bh_part *parts, int count, int64_t offset);
long bh_image_write(int fd, const struct bh_part *parts, int count, int64_t offset);
/* fallocate(2): the range reads as zeroes; `punch` gives the room back. */
int bh_image_zero(int fd, int64_t offset, int64_t length, int punch);
/* fdatasync(2). */
int bh_image_sync(int fd);
/* Zeroed memory that takes no room until it is touched, and takes none again after bh_image_forget. NULL: no memory. */
void *bh_image_memory(size_t length);
void bh_image_forget(void *base, size_t length);
void bh_image_free(void *base, size_t length);

#endif
