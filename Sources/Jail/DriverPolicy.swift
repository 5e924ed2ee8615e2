import Glibc
import Protocol

extension SeccompPolicy {
  /// What a driver may ask of the kernel, all its life. Every entry is something that a driver or the start of a static
  /// Swift executable really does (seen with strace); the rest of the kernel does not exist for it.
  ///
  /// The filter is on before exec, so it also has the one `execveat` of the driver itself.
  /// - Parameters:
  ///   - ranges: what may be mapped of the VFIO device file.
  ///   - hasBell: whether the device is emulated and wants to be told of writes to its registers.
  public static func driver(mapping ranges: [BarRange], hasBell: Bool = false) -> SeccompPolicy {
    let bell = SeccompRule(
      "write", [.file(DriverFile.bell, "bell")],
      because: "tells an emulated device that a register was written; a real device's driver has no bell")
    return SeccompPolicy(
      title: "driver", rules: waiting + files + (hasBell ? [bell] : []) + ranges.map(mapOfBar) + memory + runtime)
  }

  /// Waiting: the driver's event loop.
  private static let waiting: [SeccompRule] = [
    SeccompRule("ppoll", because: "the event loop waits for interrupts, kicks and control messages"),
    SeccompRule("clock_gettime", because: "deadlines, where the vDSO cannot read the clock without a call"),
    SeccompRule("clock_nanosleep", because: "short waits that the device's specification asks for"),
    SeccompRule("restart_syscall", because: "the kernel continues a sleep that SIGSTOP and SIGCONT interrupted"),
  ]

  /// Open files: no call takes a number that is not in the manifest, and none takes the memfds or the device file.
  private static let files: [SeccompRule] = {
    let control = ArgumentCondition.file(DriverFile.control, "control")
    let interrupts = ArgumentCondition.files(DriverFile.interrupts..<DriverFile.kicks, "interrupts")
    let queues = ArgumentCondition.files(
      DriverFile.kicks..<DriverFile.calls + Int32(DriverFile.maximumQueues), "queue eventfds")
    let flags = UInt64(Int(MSG_DONTWAIT) | Int(MSG_NOSIGNAL))
    return SeccompRule.each("read", of: queues, because: "resets the eventfd of a kick or a call")
      + SeccompRule.each("write", of: queues, because: "signals a queue's eventfd")
      + SeccompRule.each("read", of: interrupts, because: "resets the eventfd of an interrupt")
      + [
        SeccompRule("read", [control], because: "takes a control message; files sent with it are dropped"),
        SeccompRule("write", [control], because: "sends a control message"),
        SeccompRule(
          "recvfrom",
          [control, .only(3, bits: flags, "flags only DONTWAIT, NOSIGNAL"), .equals(4, 0, "no address")],
          because: "takes a control message; unlike recvmsg it cannot receive files"),
        SeccompRule(
          "sendto",
          [control, .only(3, bits: flags, "flags only DONTWAIT, NOSIGNAL"), .equals(4, 0, "no address")],
          because: "sends a control message; unlike sendmsg it cannot pass files on"),
        SeccompRule("write", [.file(DriverFile.log, "log")], because: "log lines and the runtime's last words"),
      ]
  }()

  /// Memory, never executable.
  private static let memory: [SeccompRule] = {
    let readWrite = ArgumentCondition.only(2, bits: UInt64(PROT_READ | PROT_WRITE), "protection only READ, WRITE")
    let arenas: [(Int32, String)] = [
      (DriverFile.rings, "rings"), (DriverFile.arena, "arena"), (DriverFile.payload, "payload"),
    ]
    return arenas.map { number, name in
      SeccompRule(
        "mmap",
        [
          .file(number, name, argument: 4), readWrite,
          .masked(3, ignoring: UInt64(MAP_POPULATE), UInt64(MAP_SHARED), "flags SHARED, maybe POPULATE"),
        ], because: "the driver's view of the memory it shares with broker or device")
    } + [
      SeccompRule(
        "mmap",
        [
          .masked(4, ignoring: ~0xffff_ffff, 0xffff_ffff, "no file"), readWrite,
          .masked(
            3, ignoring: UInt64(MAP_NORESERVE), UInt64(MAP_PRIVATE | MAP_ANONYMOUS),
            "flags PRIVATE and ANONYMOUS, maybe NORESERVE"),
        ], because: "heap of the C and Swift runtimes"),
      SeccompRule("munmap", because: "gives memory back"),
      SeccompRule("brk", because: "heap of the C and Swift runtimes"),
      SeccompRule(
        "mprotect", [.only(2, bits: UInt64(PROT_READ), "protection READ or NONE")],
        because: "the C start-up code makes relocated data read-only"),
    ]
  }()

  /// What the C and Swift runtimes do at start and at exit. `readlink`, `newfstatat`, `openat` and `ioctl`, which they
  /// also try, fail with EPERM, and they go on without.
  private static let runtime: [SeccompRule] = [
    SeccompRule(
      "futex", [.masked(1, ignoring: 1, 128, "operation WAIT or WAKE, PRIVATE")],
      because: "one-time initialization in the runtimes; failing it aborts them"),
    SeccompRule("getrandom", because: "seeds of hash tables"),
    SeccompRule(
      "prlimit64", [.equals(0, 0, "of itself"), .equals(2, 0, "no new limit")],
      because: "the C start-up code reads the size of the stack"),
    SeccompRule(
      "arch_prctl", [.equals(0, 0x1002, "ARCH_SET_FS")], because: "the C start-up code sets the thread pointer"),
    SeccompRule("set_tid_address", because: "the C start-up code; returns the thread's id"),
    SeccompRule("set_robust_list", because: "the C start-up code"),
    SeccompRule("rseq", because: "the C start-up code"),
    SeccompRule("gettid", because: "the Swift runtime finds the main thread's stack"),
    SeccompRule("exit_group", because: "ends the process"),
    SeccompRule(
      "execveat",
      [
        .file(DriverFile.executable, "the executable, closed by the call itself"),
        .equals(4, 0x1000, "flags EMPTY_PATH"),
      ], because: "starts the driver, once, under its own filter"),
  ]

  /// The one thing that can be done with the VFIO device file.
  private static func mapOfBar(_ range: BarRange) -> SeccompRule {
    SeccompRule(
      "mmap",
      [
        .file(DriverFile.device, "device", argument: 4),
        .equals(5, range.fileOffset, "offset is the start of a granted range"),
        ArgumentCondition(1, .atMost(range.length), "length within the granted range"),
        .only(2, bits: UInt64(PROT_READ | PROT_WRITE), "protection only READ, WRITE"),
        .equals(3, UInt64(MAP_SHARED), "flags SHARED"),
      ], because: "registers of the device, in the BAR ranges that the broker granted")
  }
}

extension ArgumentCondition {
  /// The argument is `value`, whatever the bits in `ignored` are.
  fileprivate static func masked(_ argument: UInt32, ignoring ignored: UInt64, _ value: UInt64, _ text: String) -> Self
  {
    Self(argument, .masked(mask: ~ignored, value: value & ~ignored), text)
  }
}
