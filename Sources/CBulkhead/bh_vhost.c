#include "bh_vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>

_Static_assert(sizeof(struct bh_vhost_region) == sizeof(struct vhost_memory_region), "a region is the kernel's");
_Static_assert(offsetof(struct bh_vhost_region, address) == offsetof(struct vhost_memory_region, guest_phys_addr), "");
_Static_assert(offsetof(struct bh_vhost_region, size) == offsetof(struct vhost_memory_region, memory_size), "");
_Static_assert(offsetof(struct bh_vhost_region, base) == offsetof(struct vhost_memory_region, userspace_addr), "");

static int result(int value) { return value < 0 ? -errno : value; }

int bh_vhost_open(const char *path) { return result(open(path, O_RDWR | O_CLOEXEC)); }

int bh_vhost_set_owner(int fd) { return result(ioctl(fd, VHOST_SET_OWNER)); }

int bh_vhost_get_features(int fd, uint64_t *features) {
    *features = 0;
    return result(ioctl(fd, VHOST_GET_FEATURES, features));
}

int bh_vhost_set_features(int fd, uint64_t features) { return result(ioctl(fd, VHOST_SET_FEATURES, &features)); }

int bh_vhost_set_memory(int fd, const struct bh_vhost_region *regions, uint32_t count) {
    unsigned char bytes[sizeof(struct vhost_memory) + BH_VHOST_MAX_REGIONS * sizeof *regions]
        __attribute__((aligned(8)));
    struct vhost_memory header = {.nregions = count};
    if (count > BH_VHOST_MAX_REGIONS) return -E2BIG;
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, &header, sizeof header);
    if (count > 0) memcpy(bytes + sizeof header, regions, count * sizeof *regions);
    return result(ioctl(fd, VHOST_SET_MEM_TABLE, bytes));
}

static int set_state(int fd, unsigned long number, uint32_t ring, uint32_t value) {
    struct vhost_vring_state state = {.index = ring, .num = value};
    return result(ioctl(fd, number, &state));
}

static int set_file(int fd, unsigned long number, uint32_t ring, int file) {
    struct vhost_vring_file argument = {.index = ring, .fd = file};
    return result(ioctl(fd, number, &argument));
}

int bh_vhost_set_ring_size(int fd, uint32_t ring, uint32_t size) {
    return set_state(fd, VHOST_SET_VRING_NUM, ring, size);
}

int bh_vhost_set_ring_base(int fd, uint32_t ring, uint32_t index) {
    return set_state(fd, VHOST_SET_VRING_BASE, ring, index);
}

int bh_vhost_get_ring_base(int fd, uint32_t ring) {
    struct vhost_vring_state state = {.index = ring};
    if (ioctl(fd, VHOST_GET_VRING_BASE, &state) < 0) return -errno;
    return (int)(state.num & 0xffff);
}

int bh_vhost_set_ring_address(
    int fd, uint32_t ring, const void *descriptors, const void *avail, const void *used) {
    struct vhost_vring_addr address = {
        .index = ring,
        .desc_user_addr = (uint64_t)(uintptr_t)descriptors,
        .avail_user_addr = (uint64_t)(uintptr_t)avail,
        .used_user_addr = (uint64_t)(uintptr_t)used};
    return result(ioctl(fd, VHOST_SET_VRING_ADDR, &address));
}

int bh_vhost_set_kick(int fd, uint32_t ring, int file) { return set_file(fd, VHOST_SET_VRING_KICK, ring, file); }
int bh_vhost_set_call(int fd, uint32_t ring, int file) { return set_file(fd, VHOST_SET_VRING_CALL, ring, file); }
int bh_vhost_set_error(int fd, uint32_t ring, int file) { return set_file(fd, VHOST_SET_VRING_ERR, ring, file); }

int bh_vhost_set_busy_poll(int fd, uint32_t ring, uint32_t microseconds) {
    return set_state(fd, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, ring, microseconds);
}

int bh_vhost_set_backend(int fd, uint32_t ring, int file) {
    return set_file(fd, VHOST_NET_SET_BACKEND, ring, file);
}

unsigned long bh_vhost_ioctl_number(unsigned index) {
    static const unsigned long numbers[] = {
        VHOST_SET_OWNER,      VHOST_GET_FEATURES,   VHOST_SET_FEATURES,
        VHOST_SET_MEM_TABLE,  VHOST_SET_VRING_NUM,  VHOST_SET_VRING_ADDR,
        VHOST_SET_VRING_BASE, VHOST_GET_VRING_BASE, VHOST_SET_VRING_KICK,
        VHOST_SET_VRING_CALL, VHOST_SET_VRING_ERR,  VHOST_SET_VRING_BUSYLOOP_TIMEOUT,
        VHOST_NET_SET_BACKEND,
    };
    return index < sizeof numbers / sizeof *numbers ? numbers[index] : 0;
}

size_t bh_vhost_size(unsigned index) {
    static const size_t sizes[] = {
        sizeof(struct vhost_memory),
        sizeof(struct vhost_memory_region),
        sizeof(struct vhost_vring_state),
        sizeof(struct vhost_vring_addr),
        sizeof(struct vhost_vring_file),
    };
    return index < sizeof sizes / sizeof *sizes ? sizes[index] : 0;
}
