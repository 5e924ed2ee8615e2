import Glibc
import Jail

/// The files that a broker's policy names.
struct BrokerFiles {
  var container: Int32
  var device: Int32
  var interrupts: Int32?
}

extension SeccompPolicy {
  /// What a broker may ask of the kernel once it is set up. There is no path that it could open, and no device but its own.
  static func broker(_ files: BrokerFiles) -> SeccompPolicy {
    SeccompPolicy(title: "broker", rules: waiting + dataPath + control + device(files) + memory + runtime)
  }

  private static let waiting: [SeccompRule] = [
    SeccompRule("ppoll", because: "the event loop"),
    SeccompRule("clock_gettime", because: "deadlines, where the vDSO cannot read the clock without a call"),
    SeccompRule("clock_nanosleep", because: "waits between two attempts to reset a device that is locked"),
    SeccompRule("restart_syscall", because: "the kernel continues a wait that SIGSTOP and SIGCONT interrupted"),
  ]

  private static let dataPath: [SeccompRule] = [
    SeccompRule("recvmsg", because: "takes requests and payload from clients; control messages; a new driver's socket"),
    SeccompRule("recvfrom", [.equals(4, 0, "no address")], because: "takes the negotiation of clients"),
    SeccompRule("sendmsg", because: "sends replies to clients, and control messages with a driver's files"),
    SeccompRule("read", because: "resets the eventfd of a call"),
    SeccompRule("write", because: "signals the eventfd of a kick; log lines"),
  ]

  private static let control: [SeccompRule] = [
    SeccompRule(
      "accept4", [.equals(3, UInt64(0o2004000), "flags NONBLOCK, CLOEXEC")], because: "takes a client of the outlet"),
    SeccompRule(
      "socketpair", [.equals(0, 1, "AF_UNIX")],
      because: "connections for the kernel's NBD client; no other address family"),
    SeccompRule("eventfd2", because: "a new driver's interrupts, kicks and calls"),
    SeccompRule("memfd_create", because: "a new driver's rings and arena"),
    SeccompRule("ftruncate", because: "gives a new memfd its size"),
    SeccompRule("fcntl", [.equals(1, 1033, "F_ADD_SEALS")], because: "seals a new memfd"),
    SeccompRule("close", because: "clients and drivers leave"),
  ]

  private static func device(_ files: BrokerFiles) -> [SeccompRule] {
    let device = ArgumentCondition.file(files.device, "device")
    let container = ArgumentCondition.file(files.container, "container")
    // linux/vfio.h: _IO(';', 100 + n)
    func request(_ number: UInt64, _ name: String) -> ArgumentCondition { .equals(1, 0x3B64 + number, name) }
    var rules = [
      SeccompRule("pread64", [device], because: "reads config space"),
      SeccompRule("pwrite64", [device], because: "writes config space: bus master, and what the filter permits"),
      SeccompRule("ioctl", [device, request(9, "VFIO_DEVICE_GET_IRQ_INFO")], because: "counts vectors before wiring"),
      SeccompRule("ioctl", [device, request(10, "VFIO_DEVICE_SET_IRQS")], because: "wires and unwires interrupts"),
      SeccompRule("ioctl", [device, request(11, "VFIO_DEVICE_RESET")], because: "resets between drivers"),
      SeccompRule("ioctl", [container, request(13, "VFIO_IOMMU_MAP_DMA")], because: "gives the device a new arena"),
      SeccompRule("ioctl", [container, request(14, "VFIO_IOMMU_UNMAP_DMA")], because: "takes an old arena away"),
      SeccompRule("ioctl", [request(5, "VFIO_GROUP_UNSET_CONTAINER")], because: "leaves in order"),
    ]
    if let interrupts = files.interrupts {
      rules.append(SeccompRule("pread64", [.file(interrupts, "/proc/interrupts")], because: "watches interrupt rates"))
    }
    return rules
  }

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
