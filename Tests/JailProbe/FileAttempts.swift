/// Paths, sockets, and what can be done with files that are open.
extension Attempt {
  static let paths = [
    Attempt("open", 2, root), Attempt("openat", 257, here, root), Attempt("openat2", 437, here, root, zeros, 24),
    Attempt("open-vfio", 2, text("/dev/vfio/vfio"), 2), Attempt("open-proc", 2, text("/proc/self/maps")),
    Attempt("creat", 85, nowhere), Attempt("open_by_handle_at", 304, here, zeros),
    Attempt("name_to_handle_at", 303, here, root, zeros, zeros), Attempt("stat", 4, root, zeros),
    Attempt("newfstatat", 262, here, root, zeros), Attempt("statx", 332, here, root, 0, 0, zeros),
    Attempt("statfs", 137, root, zeros), Attempt("access", 21, root), Attempt("faccessat2", 439, here, root),
    Attempt("readlink", 89, text("/proc/self/exe"), zeros, 4096), Attempt("getcwd", 79, zeros, 4096),
    Attempt("chdir", 80, root), Attempt("fchdir", 81, 3), Attempt("chroot", 161, nowhere),
    Attempt("getdents64", 217, 3, zeros, 4096), Attempt("mknod", 133, nowhere), Attempt("mkdir", 83, nowhere),
    Attempt("rmdir", 84, nowhere), Attempt("unlink", 87, nowhere), Attempt("rename", 82, nowhere, nowhere),
    Attempt("link", 86, nowhere, nowhere), Attempt("symlink", 88, nowhere, nowhere), Attempt("chmod", 90, nowhere),
    Attempt("chown", 92, nowhere), Attempt("truncate", 76, nowhere), Attempt("setxattr", 188, nowhere, root, zeros),
    Attempt("inotify_init1", 294), Attempt("fanotify_init", 300, 0x200),
  ]

  static let sockets = [
    Attempt("socket-inet", 41, 2, 1), Attempt("socket-unix", 41, 1, 1), Attempt("socket-netlink", 41, 16, 3),
    Attempt("socket-vsock", 41, 40, 1), Attempt("socketpair", 53, 1, 5, 0, zeros), Attempt("connect", 42, 3, zeros, 2),
    Attempt("bind", 49, 3, zeros, 2), Attempt("listen", 50, 2), Attempt("accept4", 288, 3, 0, 0, 0x800),
    Attempt("shutdown", 48, 3, 99), Attempt("setsockopt", 54, 3, 1, 99, zeros, 4),
    Attempt("getsockopt", 55, 3, 1, 3, zeros, zeros), Attempt("sendmsg", 46, 2, zeros),
    Attempt("sendmsg-files", 46, 3, messageWithDevice, 0x40), Attempt("recvmsg", 47, 3, zeros, 0x40),
    Attempt("sendmmsg", 307, 3, zeros, 0), Attempt("recvmmsg", 299, 3, zeros, 0, 0x40),
    Attempt("sendto-log", 44, 2, zeros, 1), Attempt("sendto-address", 44, 3, zeros, 0, 0x40, zeros, 2),
    Attempt("sendto-oob", 44, 3, zeros, 1, 0x41), Attempt("recvfrom-oob", 45, 3, zeros, 1, 0x41),
    Attempt("recvfrom-address", 45, 3, zeros, 1, 0x40, zeros, zeros),
  ]

  /// The VFIO device file.
  static let device = [
    Attempt("ioctl-device-info", 16, 7, 0x3b6b, zeros), Attempt("ioctl-region-info", 16, 7, 0x3b6c, zeros),
    Attempt("ioctl-set-irqs", 16, 7, 0x3b6e, zeros), Attempt("ioctl-reset", 16, 7, 0x3b6f),
    Attempt("read-device", 0, 7, zeros, 4), Attempt("write-device", 1, 7, zeros, 4),
    Attempt("pread-device", 17, 7, zeros, 4, 7 << 40), Attempt("pwrite-device", 18, 7, zeros, 4),
    Attempt("readv-device", 19, 7, zeros, 1), Attempt("writev-device", 20, 7, zeros, 1),
    Attempt("preadv-device", 295, 7, zeros, 1), Attempt("pwritev2-device", 328, 7, zeros, 1),
    Attempt("lseek-device", 8, 7), Attempt("fstat-device", 5, 7, zeros), Attempt("dup-device", 32, 7),
    Attempt("dup2-device", 33, 7, 300), Attempt("dup3-device", 292, 7, 301), Attempt("fcntl-dupfd-device", 72, 7, 0, 8),
    Attempt("fcntl-dupfd-cloexec-device", 72, 7, 1030, 8), Attempt("fcntl-getfl-device", 72, 7, 3),
    Attempt("sendfile-device", 40, 2, 7), Attempt("splice-device", 275, 7, 0, 2),
    Attempt("copy_file_range-device", 326, 7, 0, 7), Attempt("recvfrom-device", 45, 7, zeros, 1),
    Attempt("execveat-device", 322, 7, nowhere, zeros, zeros, 0x1000), Attempt("flock-device", 73, 7, 8),
  ]

  /// Files 4, 5 and 6 can be mapped, and nothing else; log and control serve one direction or two.
  static let memfds = [
    Attempt("read-rings", 0, 4, zeros, 4), Attempt("read-arena", 0, 5, zeros, 4),
    Attempt("write-arena", 1, 5, zeros, 4),
    Attempt("write-payload", 1, 6, zeros, 4), Attempt("ftruncate-arena", 77, 5, 16384),
    Attempt("fallocate-arena", 285, 5, 0, 0, 4096), Attempt("fcntl-seals-arena", 72, 5, 1034),
    Attempt("fsync-arena", 74, 5), Attempt("read-log", 0, 2, zeros, 0), Attempt("read-file-0", 0, 0, zeros, 4),
    Attempt("write-file-1", 1, 1, zeros, 4), Attempt("write-interrupt", 1, 16, zeros, 0),
    Attempt("read-upper-half", 0, 1 << 32 | 7, zeros, 4), Attempt("write-upper-half", 1, 1 << 32 | 7, zeros, 4),
    Attempt("close", 3, 250), Attempt("close_range", 436, 300, 301),
  ]

  /// New files of any kind.
  static let descriptors = [
    Attempt("memfd_create", 319, root), Attempt("memfd_secret", 447, 0), Attempt("eventfd2", 290),
    Attempt("epoll_create1", 291), Attempt("signalfd4", 289, none, zeros, 8), Attempt("timerfd_create", 283, 1),
    Attempt("pipe2", 293, zeros), Attempt("pidfd_open", 434, 1), Attempt("pidfd_getfd", 438, 7, 0),
    Attempt("userfaultfd", 323, 1), Attempt("io_uring_setup", 425, 1, zeros), Attempt("io_setup", 206, 1, zeros),
    Attempt("perf_event_open", 298, zeros, 0, none, none), Attempt("bpf", 321, 99, zeros, 8),
    Attempt("landlock_create_ruleset", 444, 0, 0, 1), Attempt("mq_open", 240, nowhere),
  ]

  /// A message that would pass the device file on.
  private static var messageWithDevice: UInt {
    let message = UnsafeMutablePointer<UInt>.allocate(capacity: 32)
    message.initialize(repeating: 0, count: 32)
    let control = message + 16
    message[4] = UInt(bitPattern: control)  // msg_control
    message[5] = 24  // msg_controllen
    control[0] = 20  // cmsg_len
    control[1] = 1 | 1 << 32  // SOL_SOCKET, SCM_RIGHTS
    control[2] = 7
    return UInt(bitPattern: message)
  }
}
