import Platform
import Protocol

/// What the configuration says of a device beyond which one it is. The values given here are the built-in defaults;
/// `[defaults]` changes them for all devices, an entry for its own.
public struct DeviceSettings: Equatable, Sendable {
  public enum Driver: Equatable, Sendable {
    /// By the ids in the drivers' manifests.
    case automatic
    /// Bound to vfio-pci and left alone, so that another device of its IOMMU group can be used.
    case none
    /// The kernel's own has the device, whatever other entries say.
    case kernel
    case named(String)
  }

  public enum Start: String, CaseIterable, Sendable {
    case auto
    case manual
  }

  public var driver: Driver?
  /// Where `driver` was said.
  public var driverLocation: SourceLocation?
  public var start = Start.auto
  public var outlet = Outlet()
  public var limits = Limits()
  public var restart = Restart()
  public var heartbeat = Heartbeat()
  public var violations = Violations()
  public var options: [Option] = []
  /// Take the device although a file system or an interface is in use on it.
  public var force = false

  public init() {}

  /// Where the rest of the machine uses the device.
  public struct Outlet: Equatable, Sendable {
    public enum Kernel: Equatable, Sendable {
      case never
      /// Without the kernel's NBD the device fails to start.
      case required
      /// Without the kernel's NBD there is only the socket.
      case ifPresent
    }

    public enum Namespaces: String, CaseIterable, Sendable {
      case first
      case all
    }

    /// Nil: not said. A device of this machine is required to have one, an emulated one has none.
    public var kernel: Kernel?
    /// Sockets between the kernel's block device and the broker, for each unit.
    ///
    /// With one, the kernel's NBD client waits for a request as long as it takes, and sends it again to a new broker.
    /// With several it takes a request that is not answered within 30 s (its queue's time-out) for a broken connection,
    /// closes that, and after the dead-connection time-out fails (nbd_xmit_timeout in drivers/block/nbd.c, Linux 6.1):
    /// a device that is quarantined for longer loses its outlet.
    public var connections = 1
    /// A Unix socket that speaks NBD.
    public var socket = true
    public var namespaces = Namespaces.first
    public var readOnly = false
    /// Of a network device.
    public var interface = Interface()

    /// ``kernel``, or what a device of this machine has if nothing was said.
    var kernelOutlet: Kernel { kernel ?? .required }
  }

  /// The interface of a network device. Addresses, and whether it is up, are the administrator's.
  public struct Interface: Equatable, Sendable {
    public enum Datapath: String, CaseIterable, Sendable {
      /// vhost-net where the kernel has it, else the broker.
      case auto
      /// The kernel moves the frames.
      case vhost
      /// The broker moves the frames.
      case broker
    }

    /// Nil: derived from the device's name or address.
    public var name: String?
    /// Nil: the NIC's own.
    public var address: HardwareAddress?
    /// Bytes; nil: the kernel's 1500.
    public var mtu: Int?
    /// Of `ip netns`; nil: the supervisor's own.
    public var namespace: String?
    /// The bridge or VRF that it belongs to.
    public var master: String?
    public var datapath = Datapath.auto
    /// How long vhost-net polls for more before it sleeps; 0: not at all; nil: ``LookingOn/vhost``. What polls gives way to
    /// whoever wants the processor.
    public var busyPoll: Nanoseconds?
  }

  public struct Limits: Equatable, Sendable {
    /// Bytes of the driver's own memory.
    public var memory = 64 << 20
    public var pids = 1
    /// Percent of one processor; nil: no limit.
    public var cpu: Int?
    /// Bytes of the driver's DMA memory; nil: what its manifest asks for.
    public var arena: Int?
    /// Bytes of payload memory between outlet and device.
    public var payload = 32 << 20
    /// Virtqueues, pairs of them for a network device; nil: one for each processor, at most as many as the driver can
    /// serve, at most 4.
    public var queues: Int?
    /// Entries of a virtqueue, a power of two; nil: what the driver's manifest asks for.
    public var queueSize: Int?
    /// How long driver and broker go on looking for work after the last, before they sleep; nil: ``DeviceClass/defaultSpin``.
    public var spin: Nanoseconds?
    /// Interrupts a second of one vector that count as a storm; 0: never.
    public var interruptRate = 200_000
  }

  public struct Restart: Equatable, Sendable {
    public enum Policy: String, CaseIterable, Sendable {
      case always
      /// Not when the driver leaves by itself with status 0.
      case onFailure = "on-failure"
      case never
    }

    public var policy = Policy.always
    /// Before the first restart; doubled for each that follows soon.
    public var delay: Nanoseconds = 100_000_000
    public var maximumDelay: Nanoseconds = 5_000_000_000
    /// Restarts within ``interval`` after which the device is quarantined; 0: never.
    public var burst = 10
    public var interval: Nanoseconds = 60_000_000_000
  }

  public struct Heartbeat: Equatable, Sendable {
    public var interval: Nanoseconds = 1_000_000_000
    public var timeout: Nanoseconds = 5_000_000_000
    /// From launch to ready.
    public var start: Nanoseconds = 60_000_000_000
  }

  public struct Violations: Equatable, Sendable {
    public enum Consequence: String, CaseIterable, Sendable {
      case tolerate
      case restart
      case quarantine
    }

    /// So many of one driver are only counted.
    public var tolerate = 3
    /// What the next one leads to.
    public var then = Consequence.quarantine
    /// What a DMA access outside the arenas leads to, from the first one.
    public var dmaFault = Consequence.restart
  }

  /// An option for the driver.
  public struct Option: Equatable, Sendable {
    public var name: String
    public var value: String
    public var location: SourceLocation

    /// Where it was said does not matter.
    public static func == (left: Option, right: Option) -> Bool {
      left.name == right.name && left.value == right.value
    }
  }
}
