#include "bh_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

_Static_assert(BH_TAP_NAME_SIZE == IFNAMSIZ, "room for a name");

static int result(int value) { return value < 0 ? -errno : value; }

int bh_tap_open(const char *path) { return result(open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)); }

int bh_tap_features(int fd, uint32_t *flags) {
    unsigned int features = 0;
    int got = ioctl(fd, TUNGETFEATURES, &features);
    *flags = features;
    return result(got);
}

int bh_tap_set_interface(int fd, char name[BH_TAP_NAME_SIZE], uint16_t flags) {
    struct ifreq request = {.ifr_flags = (short)flags};
    memcpy(request.ifr_name, name, IFNAMSIZ);
    int got = ioctl(fd, TUNSETIFF, &request);
    if (got < 0) return -errno;
    memcpy(name, request.ifr_name, IFNAMSIZ);
    return 0;
}

int bh_tap_get_interface(int fd, char name[BH_TAP_NAME_SIZE], uint16_t *flags) {
    struct ifreq request = {0};
    if (ioctl(fd, TUNGETIFF, &request) < 0) return -errno;
    memcpy(name, request.ifr_name, IFNAMSIZ);
    *flags = (uint16_t)request.ifr_flags;
    return 0;
}

int bh_tap_set_queue(int fd, uint16_t flags) {
    struct ifreq request = {.ifr_flags = (short)flags};
    return result(ioctl(fd, TUNSETQUEUE, &request));
}

int bh_tap_set_header_size(int fd, int bytes) { return result(ioctl(fd, TUNSETVNETHDRSZ, &bytes)); }
int bh_tap_get_header_size(int fd, int *bytes) { return result(ioctl(fd, TUNGETVNETHDRSZ, bytes)); }
int bh_tap_set_little_endian(int fd, int on) { return result(ioctl(fd, TUNSETVNETLE, &on)); }
/* The value itself is the argument, not a pointer to it. */
int bh_tap_set_offload(int fd, unsigned long offloads) { return result(ioctl(fd, TUNSETOFFLOAD, offloads)); }
int bh_tap_set_carrier(int fd, int on) { return result(ioctl(fd, TUNSETCARRIER, &on)); }
int bh_tap_set_persistent(int fd, int on) { return result(ioctl(fd, TUNSETPERSIST, (unsigned long)on)); }
int bh_tap_get_namespace(int fd) { return result(ioctl(fd, TUNGETDEVNETNS)); }
int bh_tap_set_send_buffer(int fd, int bytes) { return result(ioctl(fd, TUNSETSNDBUF, &bytes)); }
int bh_tap_get_send_buffer(int fd, int *bytes) { return result(ioctl(fd, TUNGETSNDBUF, bytes)); }

long bh_tap_receive(int fd, const struct bh_part *parts, size_t count) {
    ssize_t got = readv(fd, (const struct iovec *)parts, (int)count);
    return got < 0 ? -errno : got;
}

long bh_tap_send(int fd, const struct bh_part *parts, size_t count) {
    ssize_t sent = writev(fd, (const struct iovec *)parts, (int)count);
    return sent < 0 ? -errno : sent;
}

unsigned long bh_tap_ioctl_number(unsigned index) {
    static const unsigned long numbers[] = {
        TUNGETFEATURES, TUNSETIFF,     TUNGETIFF,     TUNSETQUEUE,  TUNSETVNETHDRSZ, TUNGETVNETHDRSZ,
        TUNSETVNETLE,   TUNSETOFFLOAD, TUNSETCARRIER, TUNSETSNDBUF, TUNGETSNDBUF,
        TUNSETPERSIST,  TUNGETDEVNETNS,
    };
    return index < sizeof numbers / sizeof *numbers ? numbers[index] : 0;
}
