import Control
import Logging
import PCI
import Platform

/// Where things are.
public struct Paths: Sendable {
  /// `bulkhead-broker` and `bulkhead-jail`.
  public var libexec = "/usr/lib/bulkhead"
  public var runtime = "/run/bulkhead"
  /// Of the varlink service; nil: `io.bulkhead` below ``runtime``.
  public var socket: String?

  public init() {}

  var broker: String { "\(libexec)/bulkhead-broker" }
  var jail: String { "\(libexec)/bulkhead-jail" }
  var state: String { "\(runtime)/state" }
  var outletSockets: String { "\(runtime)/nbd" }
  var service: String { socket ?? "\(runtime)/io.bulkhead" }
  var lock: String { "\(runtime)/lock" }
}

/// What all devices share: the loop, the kernel's interfaces, and whom to tell.
final class Host {
  let loop: EventLoop
  let paths: Paths
  let tree: KernelTree
  let bus: PCIBus
  let binder: Binder
  let safety: SafetyCheck
  let state: StateFolder
  /// Nil where the machine has no cgroup v2.
  var groups: ControlGroups?
  let log: Logger
  /// The group that may use sockets, if it exists.
  let socketGroup: Int32
  /// Tells what happened to whoever watches.
  var publish: (Service.Event) -> Void = { _ in }
  /// The devices of a group that the configuration names without a driver.
  var heldMembers: (Int) -> Set<PCIAddress> = { _ in [] }
  /// A device of the group, other than this one, that has a driver now.
  var groupOwner: (Int, PCIAddress) -> String? = { _, _ in nil }

  init(loop: EventLoop, paths: Paths, log: Logger, socketGroup: Int32) {
    self.loop = loop
    self.paths = paths
    self.log = log
    self.socketGroup = socketGroup
    tree = KernelTree()
    bus = PCIBus(tree: tree)
    binder = Binder(sysfs: tree)
    safety = SafetyCheck(tree: tree)
    state = StateFolder(path: paths.state)
  }

  /// Seconds since 1970.
  static func wallClock() -> Int { WallClock.seconds() }
}
