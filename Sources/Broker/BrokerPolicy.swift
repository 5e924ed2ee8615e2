import Glibc
import Jail

extension SeccompPolicy {
  /// What a broker may ask of the kernel once it is set up. There is no path that it could open, and no device and no
  /// outlet but its own: `particular` says what may be asked of those.
  static func broker(_ particular: [SeccompRule]) -> SeccompPolicy {
    SeccompPolicy(title: "broker", rules: waiting + dataPath + particular + control + memory + runtime)
  }

  private static let waiting: [SeccompRule] = [
    SeccompRule("ppoll", because: "the event loop"),
    SeccompRule("timerfd_settime", because: "the event loop's timers"),
    SeccompRule("clock_gettime", because: "deadlines, where the vDSO cannot read the clock without a call"),
    SeccompRule("clock_nanosleep", because: "waits between two attempts to reset a device that is locked"),
    SeccompRule("restart_syscall", because: "the kernel continues a wait that SIGSTOP and SIGCONT interrupted"),
  ]

  private static let dataPath: [SeccompRule] = [
    SeccompRule("recvmsg", because: "control messages; a new driver's socket; requests and payload from clients"),
    SeccompRule("sendmsg", because: "control messages with a driver's files; replies to clients"),
    SeccompRule("read", because: "resets the eventfd of a call, and the timer"),
    SeccompRule("write", because: "signals the eventfd of a kick; log lines"),
  ]

  private static let control: [SeccompRule] = [
    SeccompRule("eventfd2", because: "a new driver's interrupts, kicks and calls"),
    SeccompRule("memfd_create", because: "a new driver's rings and arena"),
    SeccompRule("ftruncate", because: "gives a new memfd its size"),
    SeccompRule("fcntl", [.equals(1, 1033, "F_ADD_SEALS")], because: "seals a new memfd"),
    SeccompRule("close", because: "clients and drivers leave"),
  ]

  private static let memory: [SeccompRule] = {
    let readWrite = ArgumentCondition.only(2, bits: UInt64(PROT_READ | PROT_WRITE), "protection only READ, WRITE")
    return [
      SeccompRule("mmap", [readWrite], because: "rings and arenas of a new driver; heap"),
      SeccompRule("munmap", because: "frees them when the driver is gone"),
      SeccompRule("mremap", because: "heap: a large block grows"),
      SeccompRule("brk", because: "heap"),
    ]
  }()

  private static let runtime: [SeccompRule] = [
    SeccompRule("getrandom", because: "seeds of hash tables"),
    SeccompRule(
      "futex", [.only(1, bits: 0x81, "operation WAIT or WAKE, PRIVATE")], because: "one-time initialization"),
    SeccompRule("exit_group", because: "ends the process"),
  ]
}
