import CBulkhead
import DriverKit
import Glibc

/// Tries what a jail must refuse. One line for each: `jail: NAME: denied EPERM` or `jail: NAME: ALLOWED`.
struct JailAttack {
  let grant: DeviceGrant

  func run() {
    var allowed = 0
    let tries = files + deviceFile + processes + privileges + memory
    for attempt in tries where !attempt.run() { allowed += 1 }
    Log.info("jail: \(tries.count) tried, \(allowed) allowed")
  }

  /// One system call.
  struct Try {
    let name: String
    let number: Int
    var arguments: [UInt]

    init(_ name: String, _ number: some BinaryInteger, _ arguments: UInt...) {
      self.name = name
      self.number = Int(number)
      self.arguments = arguments + Array(repeating: 0, count: 6 - arguments.count)
    }

    /// - Returns: whether it was refused.
    func run() -> Bool {
      let result = bh_syscall(
        number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5])
      // A child that must not exist leaves at once, before it can disturb anything.
      if JailAttack.makesChild.contains(number), result == 0 { _exit(0) }
      guard result < 0 else {
        Log.error("jail: \(name): ALLOWED")
        return false
      }
      Log.info("jail: \(name): denied \(Failure.name(of: Int32(-result)))")
      return true
    }
  }

  /// Text that lives as long as the process, as an argument.
  private func path(_ text: String) -> UInt { UInt(bitPattern: strdup(text)) }

  /// Zeroed memory for structures that a call would read or write.
  private var scratch: UInt { UInt(bitPattern: calloc(1, 4096)) }

  private var files: [Try] {
    let here = UInt(bitPattern: Int(AT_FDCWD))
    return [
      Try("open-root", SYS_openat, here, path("/"), 0),
      Try("open-passwd", SYS_openat, here, path("/etc/passwd"), 0),
      Try("open-vfio", SYS_openat, here, path("/dev/vfio/vfio"), 2),
      Try("create-file", SYS_openat, here, path("/made"), 0o102, 0o600),
      Try("openat2", SYS_openat2, here, path("/"), scratch, 24),
      Try("stat", SYS_newfstatat, here, path("/"), scratch, 0),
      Try("readlink", SYS_readlinkat, here, path("/"), scratch, 64),
      Try("unlink", SYS_unlinkat, here, path("/made"), 0),
      Try("mkdir", SYS_mkdirat, here, path("/made"), 0o700),
      Try("chmod", SYS_fchmodat, here, path("/"), 0o777),
      Try("chdir", SYS_chdir, path("/")),
      Try("getdents", SYS_getdents64, 4, scratch, 4096),
      Try("socket-inet", SYS_socket, 2, 1, 0),
      Try("socket-unix", SYS_socket, 1, 1, 0),
      Try("socket-netlink", SYS_socket, 16, 3, 0),
      Try("socketpair", SYS_socketpair, 1, 1, 0, scratch),
      Try("connect", SYS_connect, 3, scratch, 16),
      Try("sendmsg-control", SYS_sendmsg, 3, scratch, 0x40),
      Try("recvmsg-control", SYS_recvmsg, 3, scratch, 0x40),
      Try("pipe", SYS_pipe2, scratch, 0),
      Try("eventfd", SYS_eventfd2, 0, 0),
      Try("memfd", SYS_memfd_create, path("made"), 0),
      Try("io-uring", SYS_io_uring_setup, 8, scratch),
      Try("dup-control", SYS_dup, 3),
      Try("ftruncate-arena", SYS_ftruncate, 5, 0),
      Try("read-rings", SYS_read, 4, scratch, 8),
    ]
  }

  private var deviceFile: [Try] {
    let file = UInt(DriverFile.device)
    // Region 7 is config space (VFIO_PCI_CONFIG_REGION_INDEX), in the offsets of Linux's vfio-pci.
    let config: UInt = 7 << 40
    let getInfo: UInt = 0x3b6b
    let reset: UInt = 0x3b6f
    var tries = [
      Try("vfio-ioctl-info", SYS_ioctl, file, getInfo, scratch),
      Try("vfio-ioctl-reset", SYS_ioctl, file, reset),
      Try("vfio-read", SYS_read, file, scratch, 4),
      Try("vfio-write", SYS_write, file, scratch, 4),
      Try("vfio-pread-config", SYS_pread64, file, scratch, 4, config),
      Try("vfio-pwrite-config", SYS_pwrite64, file, scratch, 4, config + 4),
      Try("vfio-dup", SYS_dup, file),
      Try("vfio-dup3", SYS_dup3, file, 50, 0),
      Try("vfio-fcntl-dup", SYS_fcntl, file, 0, 50),
      Try("vfio-close", SYS_close, file),
      Try("vfio-mmap-config", SYS_mmap, 0, 4096, 3, 1, file, config),
    ]
    guard let range = grant.bars.first else { return tries }
    // The page behind the first range is the one that was left out: the MSI-X table on controllers that have it in BAR 0.
    let left = UInt(range.fileOffset + range.length)
    tries += [
      Try("vfio-mmap-msix-table", SYS_mmap, 0, 4096, 3, 1, file, left),
      Try("vfio-mmap-msix-table-read-only", SYS_mmap, 0, 4096, 1, 1, file, left),
      Try("vfio-mmap-beyond", SYS_mmap, 0, UInt(range.length) + 4096, 3, 1, file, UInt(range.fileOffset)),
      Try("vfio-mmap-executable", SYS_mmap, 0, 4096, 7, 1, file, UInt(range.fileOffset)),
      Try("vfio-mmap-private", SYS_mmap, 0, 4096, 3, 2, file, UInt(range.fileOffset)),
    ]
    return tries
  }

  #if arch(x86_64)
    private static let makesChild: [Int] = [Int(SYS_clone), Int(SYS_clone3), Int(SYS_fork)]
    private var forks: [Try] {
      [Try("fork", SYS_fork), Try("iopl", SYS_iopl, 3), Try("ioperm", SYS_ioperm, 0x80, 1, 1)]
    }
  #else
    private static let makesChild: [Int] = [Int(SYS_clone), Int(SYS_clone3)]
    private var forks: [Try] { [] }
  #endif

  private var processes: [Try] {
    let signal: UInt = 17
    return forks + [
      Try("clone", SYS_clone, signal),
      Try("clone3", SYS_clone3, scratch, 64),
      Try("execve", SYS_execve, path("/bin/sh"), scratch, scratch),
      Try("execveat-arena", SYS_execveat, 5, path(""), scratch, scratch, 0x1000),
      Try("ptrace", SYS_ptrace, 0),
      Try("kill", SYS_kill, UInt(bitPattern: -1), 0),
      Try("tgkill", SYS_tgkill, 1, 1, 0),
      Try("pidfd-open", SYS_pidfd_open, 1, 0),
      Try("pidfd-getfd", SYS_pidfd_getfd, 3, 3, 0),
      Try("process-vm-read", SYS_process_vm_readv, 1, scratch, 1, scratch, 1, 0),
      Try("signal-handler", SYS_rt_sigaction, 10, 0, scratch, 8),
    ]
  }

  private var privileges: [Try] {
    [
      Try("mount", SYS_mount, path("none"), path("/"), path("tmpfs"), 0, 0),
      Try("umount", SYS_umount2, path("/"), 2),
      Try("pivot-root", SYS_pivot_root, path("/"), path("/")),
      Try("chroot", SYS_chroot, path("/")),
      Try("unshare", SYS_unshare, 0x1000_0000),
      Try("setns", SYS_setns, 3, 0),
      Try("setuid", SYS_setuid, 0),
      Try("setgid", SYS_setgid, 0),
      Try("capset", SYS_capset, scratch, scratch),
      Try("prctl", SYS_prctl, 1, 9),
      Try("seccomp", SYS_seccomp, 1, 0, scratch),
      Try("setrlimit", SYS_prlimit64, 0, 7, scratch),
      Try("bpf", SYS_bpf, 0, scratch, 64),
      Try("perf-event", SYS_perf_event_open, scratch, 0, UInt.max, UInt.max, 0),
      Try("userfaultfd", SYS_userfaultfd, 0),
      Try("keyctl", SYS_keyctl, 0, 0),
      Try("init-module", SYS_finit_module, 3, path(""), 0),
      Try("kexec", SYS_kexec_load, 0, 0, 0, 0),
      Try("reboot", SYS_reboot, 0xfee1_dead, 0x2812_1969, 0),
      Try("sethostname", SYS_sethostname, path("x"), 1),
      Try("settime", SYS_clock_settime, 0, scratch),
      Try("syslog", SYS_syslog, 3, scratch, 64),
      Try("swapoff", SYS_swapoff, path("/")),
    ]
  }

  private var memory: [Try] {
    let arena = UInt(DriverFile.arena)
    let all = UInt(UInt32.max)
    return [
      Try("mmap-executable", SYS_mmap, 0, 4096, 7, 0x22, all, 0),
      Try("mmap-arena-executable", SYS_mmap, 0, 4096, 5, 1, arena, 0),
      Try("mprotect-executable", SYS_mprotect, scratch & ~4095, 4096, 7),
      Try("mremap", SYS_mremap, scratch & ~4095, 4096, 8192, 1),
      Try("madvise", SYS_madvise, scratch & ~4095, 4096, 0),
      Try("mlock", SYS_mlock, scratch & ~4095, 4096),
    ]
  }
}
