#include "bh_tap_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

int bh_network_namespace(void) {
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int bh_enter_network_namespace(int fd) { return setns(fd, CLONE_NEWNET) < 0 ? -errno : 0; }

int bh_new_network_namespace(void) { return unshare(CLONE_NEWNET) < 0 ? -errno : 0; }
