/* The ioctls of linux/if_tun.h, and frames through a TAP file. Each returns a value or -errno and holds no logic.
 * The bodies are in bh_tap.c: linux/if.h and glibc's net/if.h do not go together in one module. */
#ifndef BH_TAP_H
#define BH_TAP_H

#include <stddef.h>
#include <stdint.h>

#include "bh_broker.h"

/* Room for an interface's name with its final zero (IFNAMSIZ). */
#define BH_TAP_NAME_SIZE 16

/* A TAP file that belongs to no interface yet; non-blocking, close-on-exec. */
int bh_tap_open(const char *path);
/* TUNGETFEATURES: the IFF_* that this kernel knows. */
int bh_tap_features(int fd, uint32_t *flags);
/* TUNSETIFF: makes the interface, or adds a queue to it. `name` returns what it is called. */
int bh_tap_set_interface(int fd, char name[BH_TAP_NAME_SIZE], uint16_t flags);
/* TUNGETIFF */
int bh_tap_get_interface(int fd, char name[BH_TAP_NAME_SIZE], uint16_t *flags);
/* TUNSETQUEUE with IFF_ATTACH_QUEUE or IFF_DETACH_QUEUE. */
int bh_tap_set_queue(int fd, uint16_t flags);
int bh_tap_set_header_size(int fd, int bytes);
int bh_tap_get_header_size(int fd, int *bytes);
/* TUNSETVNETLE: headers are little-endian on any machine (virtio 1). */
int bh_tap_set_little_endian(int fd, int on);
int bh_tap_set_offload(int fd, unsigned long offloads);
int bh_tap_set_carrier(int fd, int on);
/* TUNSETPERSIST: whether the interface stays when its last file is closed. */
int bh_tap_set_persistent(int fd, int on);
/* TUNGETDEVNETNS: a file that stands for the network namespace in which the interface is now; close-on-exec. */
int bh_tap_get_namespace(int fd);
int bh_tap_set_send_buffer(int fd, int bytes);
int bh_tap_get_send_buffer(int fd, int *bytes);
/* readv(2) and writev(2): one frame with its header. */
long bh_tap_receive(int fd, const struct bh_part *parts, size_t count);
long bh_tap_send(int fd, const struct bh_part *parts, size_t count);

/* Numbers of ioctls, for the table test: Swift does not import _IOW(). 0 beyond the last one. */
unsigned long bh_tap_ioctl_number(unsigned index);

#endif
