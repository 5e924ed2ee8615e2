/* The kernel's uevents: netlink socket calls that need macros Swift does not import. */
#ifndef BH_UEVENT_H
#define BH_UEVENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A non-blocking socket that hears the kernel's own uevents (group 1; group 2 is udev's), with the sender's identity. */
int bh_uevent_socket(int buffer);

/* Who sent a netlink message. */
struct bh_netlink_sender {
    uint32_t port;   /* 0: the kernel */
    uint32_t groups; /* bit 0: multicast group 1 */
    int has_credentials;
    uint32_t uid;
    int truncated;
};

/* Receives one message: its length, or -errno; -EAGAIN if there is none. */
ssize_t bh_netlink_receive(int fd, void *bytes, size_t length, struct bh_netlink_sender *sender);

#endif
