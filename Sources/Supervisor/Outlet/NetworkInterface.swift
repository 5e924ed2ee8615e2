import Glibc
import Netlink
import PCI
import Platform
import Protocol
import TAP

/// A TAP interface of a device: made, or found again as an earlier supervisor has left it.
///
/// It is persistent: it loses no more than its carrier when all processes that have it open die. So name, index,
/// addresses, routes and bridge membership survive a supervisor that is killed, if the next one has its record.
final class NetworkInterface {
  /// What the configuration wants of one that is made.
  struct Wish {
    var name: InterfaceName
    var namespace: String?
    var queuePairs = 1
    /// Nil: the kernel makes one up.
    var address: HardwareAddress?
    var mtu: Int?
    var master: String?
    var alias = ""
  }

  let tap: TAPInterface
  private(set) var index: Int32
  /// Where it is; nil: here.
  private(set) var namespace: NetworkNamespace?
  /// Of the interface's namespace.
  private(set) var control: LinkControl
  /// The namespace that it was made in.
  private let home: NetworkNamespace.Identity
  /// Whether somebody has moved it to another namespace than the one that it was made in.
  private(set) var isMoved = false

  private init(
    _ tap: TAPInterface, _ link: Link, _ namespace: NetworkNamespace?, _ control: LinkControl
  ) throws(Failure) {
    self.tap = tap
    index = link.index
    self.namespace = namespace
    self.control = control
    home = try NetworkInterface.identity(of: namespace)
  }

  /// What to call the namespace that it is in: as ip-netns(8) does, or `net:[INODE]` where it has no name there; nil: it is
  /// in ours.
  /// - Parameter home: the name of the one that it was made in.
  func namespaceName(home: String?) -> String? {
    guard isMoved, let place = try? namespace?.identity() else { return home }
    if place == (try? NetworkNamespace.current().identity()) { return nil }
    let name = FileText.names(in: "/run/netns").first { (try? NetworkNamespace(named: $0).identity()) == place }
    return name ?? "\(place)"
  }

  private static func identity(of namespace: NetworkNamespace?) throws(Failure) -> NetworkNamespace.Identity {
    if let namespace { return try namespace.identity() }
    return try NetworkNamespace.current().identity()
  }

  /// An interface of that name that is not the one of the record; nil: the name is free, or it is ours.
  /// - Throws: `network-namespace`, `netlink-route`, `link-lookup`.
  static func stranger(for wish: Wish, record: StateRecord.Interface?) throws(Failure) -> Link? {
    let control = try LinkControl(namespace: try open(wish.namespace))
    guard let link = try control.link(named: wish.name.description) else { return nil }
    return record.map { $0.namespace == wish.namespace && $0.fits(link) } == true ? nil : link
  }

  private static func open(_ namespace: String?) throws(Failure) -> NetworkNamespace? {
    guard let namespace else { return nil }
    return try NetworkNamespace(named: namespace)
  }

  private static func here<Result: ~Copyable>(
    _ namespace: NetworkNamespace?, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    guard let namespace else { return try body() }
    return try namespace.perform(body)
  }

  // MARK: Finding it again

  /// The interface of a record, as it is; nil where it is gone, or somebody else's by now.
  /// - Throws: as ``TAPInterface/init(reattaching:queues:path:)``, and as ``stranger(for:record:)``.
  static func found(_ record: StateRecord.Interface, queuePairs: Int) throws(Failure) -> NetworkInterface? {
    guard record.namespace != nil else { return try found(record, queuePairs, nil) }
    // With its namespace it would be gone too.
    guard let namespace = try? open(record.namespace) else { return nil }
    return try found(record, queuePairs, namespace)
  }

  private static func found(
    _ record: StateRecord.Interface, _ queuePairs: Int, _ namespace: NetworkNamespace?
  ) throws(Failure) -> NetworkInterface? {
    let control = try LinkControl(namespace: namespace)
    guard let link = try control.link(index: record.index), record.fits(link) else { return nil }
    let name = try InterfaceName(link.name)
    let tap = try here(namespace) { () throws(Failure) in try TAPInterface(reattaching: name, queues: queuePairs) }
    // Renamed in between, and the name was free: the kernel has made another one, which goes with its files.
    guard let same = try control.link(named: tap.name), same.index == link.index else { return nil }
    return try NetworkInterface(tap, link, namespace, control)
  }

  /// The interface of files that systemd has kept, wherever it is by now. One that is not where it was made goes with its
  /// last file, as in ``follow()``.
  /// - Parameters:
  ///   - files: its queues, which become the interface's; in any case they are the caller's no more. Those above
  ///     `queuePairs` are closed.
  ///   - namespace: the name of the one that it was made in.
  /// - Throws: `tap-adopt`, EBADFD: it was deleted; `tap-namespace`, `link-lookup`, as ``stranger(for:record:)``.
  static func kept(
    _ files: [Int32], queuePairs: Int, namespace: String?
  ) throws(Failure) -> NetworkInterface {
    var left = files[...]
    defer { for file in left { Descriptor.close(file) } }
    var queues: [TAPQueue] = []
    while queues.count < queuePairs, let file = left.popFirst() {
      queues.append(try TAPQueue(adopting: Descriptor(owning: file)))
    }
    let first = try TAPInterface(adopting: queues)
    let there = NetworkNamespace(owning: try first.namespace())
    let tap = try there.perform { () throws(Failure) in try TAPInterface(adopting: queues, queues: queuePairs) }
    if queuePairs > 1 { try tap.useQueues(queuePairs) }
    // Its last driver has not taken it along.
    try tap.setCarrier(false)
    let home = try open(namespace)
    let control = try LinkControl(namespace: home)
    let name = try tap.presentName()
    if try there.identity() == identity(of: home) {
      guard let link = try control.link(named: name) else { throw lost(name) }
      // It may have come back from elsewhere.
      try tap.setPersistent(true)
      return try NetworkInterface(tap, link, home, control)
    }
    guard let link = try LinkControl(namespace: there).link(named: name) else { throw lost(name) }
    let interface = try NetworkInterface(tap, link, home, control)
    try interface.follow()
    return interface
  }

  private static func lost(_ name: String) -> Failure {
    Failure("link-lookup", "find \(name) again", errno: ENODEV)
  }

  /// Whether the interface of a record is where it was made, whatever it is called.
  /// - Throws: as ``stranger(for:record:)``.
  static func isThere(_ record: StateRecord.Interface) throws(Failure) -> Bool { try control(of: record) != nil }

  /// What reaches the interface of a record; nil where it is gone, or somebody else's by now.
  private static func control(of record: StateRecord.Interface) throws(Failure) -> LinkControl? {
    if record.namespace != nil, (try? open(record.namespace)) == nil { return nil }
    let control = try LinkControl(namespace: try open(record.namespace))
    guard let link = try control.link(index: record.index), record.fits(link) else { return nil }
    return control
  }

  /// Deletes the interface of a record; nothing to do where it is gone, or somebody else's by now.
  static func delete(_ record: StateRecord.Interface) throws(Failure) {
    try control(of: record)?.delete(index: record.index)
  }

  // MARK: Making it

  /// Makes the interface, down and without carrier. It is not persistent yet: the record comes first.
  /// - Throws: as ``TAPInterface/init(name:queues:path:)``; `network-namespace`, `link-master`, `link-change`.
  static func made(_ wish: Wish) throws(Failure) -> NetworkInterface {
    let namespace = try open(wish.namespace)
    let control = try LinkControl(namespace: namespace)
    let tap = try here(namespace) { () throws(Failure) in
      try TAPInterface(name: wish.name, queues: wish.queuePairs)
    }
    guard let link = try control.link(named: tap.name) else {
      throw Failure("tap-interface", "make the interface \(wish.name): it is gone again", errno: ENODEV)
    }
    let made = try NetworkInterface(tap, link, namespace, control)
    try made.set(wish)
    return made
  }

  private func set(_ wish: Wish) throws(Failure) {
    // The alias tells whose it is before udev or anybody else looks closer.
    var change = LinkChange(address: wish.address, mtu: wish.mtu.map(UInt32.init), alias: wish.alias)
    if let master = wish.master {
      guard let link = try control.link(named: master) else {
        throw Failure(
          "link-master",
          "make \(wish.name) a part of \(master): there is no such interface"
            + (wish.namespace.map { " in the network namespace \($0)" } ?? ""),
          hint: "make the bridge or VRF first, or leave it to the administrator's tools: remove outlet.master")
      }
      change.master = .link(link.index)
    }
    try control.change(index: index, change)
    // The kernel has told udev of it before it had its alias, by which udev knows it: udev is told once more.
    if wish.namespace == nil { _ = FileText.write("change", to: "/sys/class/net/\(wish.name)/uevent") }
  }

  func record(configuredName: InterfaceName, namespace: String?, alias: String) -> StateRecord.Interface {
    StateRecord.Interface(
      configuredName: configuredName.description, name: tap.name, index: index, namespace: namespace, alias: alias)
  }

  /// Finds it where somebody has moved it to. Away from where it was made it goes with its last file: nobody would find
  /// it by its record there.
  /// - Throws: `tap-namespace`, EBADFD: it was deleted; `link-lookup`.
  func follow() throws(Failure) {
    let there = NetworkNamespace(owning: try tap.namespace())
    let control = try LinkControl(namespace: there)
    let name = try tap.presentName()
    guard let link = try control.link(named: name) else { throw NetworkInterface.lost(name) }
    isMoved = try there.identity() != home
    try tap.setPersistent(!isMoved)
    namespace = there
    self.control = control
    index = link.index
  }

  /// Takes the interface away, with all that hangs on it.
  func delete() {
    // It may have moved to where we cannot delete it; then it goes with its last file.
    try? tap.setPersistent(false)
    if let link = try? control.link(index: index), link.kind == "tun", link.name == (try? tap.presentName()) {
      try? control.delete(index: index)
    }
    tap.close()
  }
}

extension StateRecord.Interface {
  /// Whether a link is the one that was made. Indices are given once, in the order of making; the rest is for those who
  /// ask for one.
  func fits(_ link: Link) -> Bool { link.index == index && link.kind == "tun" && link.alias == alias }
}

extension DeviceSession {
  /// `bh-NAME` where the configuration names the device and that fits, else `bh-` with the address, as `bh-03-00-0`.
  static func interfaceName(_ address: PCIAddress, name: String) -> String {
    if name != DeviceEntry.defaultName(address), name.utf8.count + 3 <= InterfaceName.maximumLength {
      return "bh-\(name)"
    }
    var digits = address.description.map { $0.isHexDigit ? String($0) : "-" }.joined()
    if address.domain == 0 { digits = String(digits.dropFirst("0000-".count)) }
    let text = "bh-\(digits)"
    // Eight digits of domain leave no room for the rest but this.
    return text.utf8.count <= InterfaceName.maximumLength ? text : "bh" + digits.filter(\.isHexDigit)
  }
}
