import Netlink
import Platform
import Protocol

/// The kernel's block devices of one device: `/dev/nbdN` for each unit, with links that have names.
final class KernelBlockOutlet {
  /// Seconds that requests wait for a new broker when the old one died; then they fail.
  static let deadConnectionTimeout: UInt64 = 300

  private(set) var units: [StateRecord.Unit]
  private let name: String
  private let linkDirectory: String
  private let identifier: String

  /// - Parameter units: what an earlier supervisor had connected and this one takes up.
  init(name: String, identifier: String, units: [StateRecord.Unit] = [], linkDirectory: String = "/dev/bulkhead") {
    self.name = name
    self.identifier = identifier
    self.units = units
    self.linkDirectory = linkDirectory
  }

  /// Whether the kernel has NBD at all; loads its module if need be.
  /// - Throws: ``Failure`` `nbd-missing`.
  static func require() throws(Failure) {
    let hint = KernelModule.load("nbd")
    do throws(Failure) { _ = try NBDControl() } catch {
      var failure = error
      failure.hint =
        (hint ?? failure.hint) + "; or set outlet.kernel to false or \"auto\" and use the Unix socket"
      throw failure
    }
  }

  /// Gives a unit's sockets to the kernel: a new block device, or the one that lost its sockets with the last broker.
  /// - Returns: what is connected, and whether it is new.
  /// - Throws: ``Failure`` of ``NBDControl``, `outlet-changed`, `outlet-link`.
  func connect(
    _ unit: BlockUnit, flags: UInt16, sockets: [Int32]
  ) throws(Failure) -> (unit: StateRecord.Unit, isNew: Bool) {
    let control = try NBDControl()
    var connection = NBDConnection(
      sizeBytes: unit.size, blockSize: UInt64(unit.blockSize), serverFlags: NBDServerFlags(rawValue: UInt64(flags)),
      // No time-out for a request: a driver that hangs is replaced, and the request replayed.
      sockets: sockets, timeoutSeconds: 0, deadConnectionTimeoutSeconds: Self.deadConnectionTimeout,
      backendIdentifier: "\(identifier)/\(unit.index)")
    if let known = units.first(where: { $0.index == Int(unit.index) }) {
      guard known.size == unit.size, known.blockSize == UInt64(unit.blockSize) else {
        throw Failure(
          "outlet-changed", "connect /dev/nbd\(known.nbd) again: unit \(unit.index) has another size now",
          hint: "stop the device and start it anew")
      }
      if try control.status(index: known.nbd).contains(where: \.isConnected) {
        try control.reconfigure(index: known.nbd, connection)
        return (known, false)
      }
      // The kernel has given it up meanwhile; it may have the same number again.
      units.removeAll { $0.index == known.index }
      connection.index = known.nbd
    }
    let index = try control.connect(connection)
    var record = StateRecord.Unit(
      index: Int(unit.index), nbd: index, link: nil, size: unit.size, blockSize: UInt64(unit.blockSize))
    record.link = link(unit, to: index)
    units.append(record)
    announce(index)
    return (record, true)
  }

  /// The kernel tells udev of the new disk before it shows whose it is (`backend`, nbd_genl_connect in
  /// drivers/block/nbd.c), and udev's name depends on that: it is told once more.
  private func announce(_ index: Int) { _ = FileText.write("change", to: "/sys/block/nbd\(index)/uevent") }

  /// The name of a unit: the device's for the first, with `-nsN` for the others.
  func name(of unit: BlockUnit) -> String { unit.index == 0 ? name : "\(name)-ns\(unit.identifier)" }

  private func link(_ unit: BlockUnit, to index: Int) -> String? {
    guard FileText.makeDirectories(linkDirectory) == 0 else { return nil }
    let path = "\(linkDirectory)/\(name(of: unit))"
    return FileText.link(path, to: "../nbd\(index)") == 0 ? path : nil
  }

  /// Who uses one of the block devices, and for what; empty if nobody does.
  func uses() -> [String] { units.flatMap { OutletUse().uses(of: "nbd\($0.nbd)") } }

  /// Disconnects all block devices and removes their links.
  /// - Returns: what went wrong; the rest is done all the same.
  func disconnect() -> [Failure] {
    var failures: [Failure] = []
    for unit in units {
      if let link = unit.link { FileText.remove(link) }
      do throws(Failure) { try NBDControl().disconnect(index: unit.nbd) } catch { failures.append(error) }
    }
    units = []
    return failures
  }
}
