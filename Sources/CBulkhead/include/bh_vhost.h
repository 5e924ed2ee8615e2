/* The ioctls of linux/vhost.h that vhost-net needs. Each returns a value or -errno and holds no logic. The bodies are in
 * bh_vhost.c. */
#ifndef BH_VHOST_H
#define BH_VHOST_H

#include <stddef.h>
#include <stdint.h>

/* The most regions of memory that one table here has: the driver's arena and payload. */
#define BH_VHOST_MAX_REGIONS 2

/* struct vhost_memory_region: `address` is what descriptors say, `base` is where that is in this process. */
struct bh_vhost_region {
    uint64_t address;
    uint64_t size;
    uint64_t base;
    uint64_t padding;
};

int bh_vhost_open(const char *path);
int bh_vhost_set_owner(int fd);
int bh_vhost_get_features(int fd, uint64_t *features);
int bh_vhost_set_features(int fd, uint64_t features);
int bh_vhost_set_memory(int fd, const struct bh_vhost_region *regions, uint32_t count);
int bh_vhost_set_ring_size(int fd, uint32_t ring, uint32_t size);
int bh_vhost_set_ring_base(int fd, uint32_t ring, uint32_t index);
/* The next available index that the kernel would take, or -errno. */
int bh_vhost_get_ring_base(int fd, uint32_t ring);
int bh_vhost_set_ring_address(
    int fd, uint32_t ring, const void *descriptors, const void *avail, const void *used);
/* eventfds; -1 takes one away. */
int bh_vhost_set_kick(int fd, uint32_t ring, int file);
int bh_vhost_set_call(int fd, uint32_t ring, int file);
int bh_vhost_set_error(int fd, uint32_t ring, int file);
/* How long the kernel polls before it sleeps, in microseconds. */
int bh_vhost_set_busy_poll(int fd, uint32_t ring, uint32_t microseconds);
/* The TAP's file; -1 stops the ring and waits until the kernel has let go of its buffers. */
int bh_vhost_set_backend(int fd, uint32_t ring, int file);

/* Numbers of ioctls, and sizes of their arguments, for the table test. 0 beyond the last one. */
unsigned long bh_vhost_ioctl_number(unsigned index);
size_t bh_vhost_size(unsigned index);

#endif
