import Control
import Logging
import PCI
import Platform

/// Where things are.
public struct Paths: Sendable {
  /// Brokers and `bulkhead-jail`.
  public var libexec = Installation.standardLibexec
  public var runtime = RuntimeFolder.system
  /// Of the varlink service; nil: `io.bulkhead` below ``runtime``.
  public var socket: String?
  /// The cgroup v2 group of the devices, absolute below the mount point; nil: the supervisor finds or makes one.
  public var controlGroup: String?

  public init() {}

  func executable(_ name: String) -> String { "\(libexec)/\(name)" }
  var state: String { "\(runtime)/state" }
  var outletSockets: String { "\(runtime)/nbd" }
  var service: String { socket ?? RuntimeFolder.serviceSocket(in: runtime) }
  var lock: String { "\(runtime)/lock" }
}

/// What all devices share: the loop, the kernel's interfaces, and whom to tell.
final class Host {
  let loop: EventLoop
  let paths: Paths
  let tree: KernelTree
  let bus: PCIBus
  let bindings: BindingQueue
  let safety: SafetyCheck
  let state: StateFolder
  /// What systemd keeps for the next supervisor.
  let files: FileStore
  /// Nil where the machine has no cgroup v2.
  var groups: ControlGroups?
  let log: Logger
  /// Whether brokers and drivers can become users of their own; otherwise they stay ours, in user namespaces.
  let isPrivileged: Bool
  /// The group that may use the service's socket, if it exists; -1: none.
  let socketGroup: Int32
  /// The group that may use the disks' sockets: that of block devices, for who writes there writes to the disk.
  let diskGroup: Int32
  /// Who has which file as the medium of an emulated device.
  var media: [FileIdentity: String] = [:]
  /// Tells what happened to whoever watches.
  var publish: (Service.Event) -> Void = { _ in }
  /// The devices of a group that the configuration names without a driver.
  var heldMembers: (Int) -> Set<PCIAddress> = { _ in [] }
  /// A device of the group, other than this one, that has a driver now.
  var groupOwner: (Int, PCIAddress) -> String? = { _, _ in nil }

  /// - Parameter files: nil: nothing outlives us.
  init(
    loop: EventLoop, paths: Paths, log: Logger, isPrivileged: Bool = ProcessUser.canBeGiven, files: FileStore? = nil
  ) {
    self.files = files ?? FileStore(log: log)
    self.loop = loop
    self.paths = paths
    self.log = log
    self.isPrivileged = isPrivileged
    socketGroup = isPrivileged ? SocketGroup.number(of: "bulkhead") : -1
    diskGroup = isPrivileged ? SocketGroup.number(of: "disk") : -1
    tree = KernelTree()
    bus = PCIBus(tree: tree)
    bindings = BindingQueue(loop: loop)
    safety = SafetyCheck(tree: tree)
    state = StateFolder(path: paths.state)
  }

  /// Of sockets: the group that may use them is chosen by root only.
  var socketMode: UInt32 { isPrivileged ? 0o660 : 0o600 }

  /// Seconds since 1970.
  static func wallClock() -> Int { WallClock.seconds() }
}
