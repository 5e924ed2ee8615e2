import Control
import PCI
import Platform

/// What has to be undone for a device, kept in a file so that it survives a crash of the supervisor.
struct StateRecord: Codable, Equatable, Sendable {
  /// A unit that the kernel's NBD client has.
  struct Unit: Codable, Equatable, Sendable {
    var index: Int
    /// N of /dev/nbdN.
    var nbd: Int
    var link: String?
    /// Bytes.
    var size: UInt64
    var blockSize: UInt64
  }

  /// The network interface of the device.
  struct Interface: Codable, Equatable, Sendable {
    /// As the configuration calls it.
    var configuredName: String
    /// As it is called; somebody may have renamed it.
    var name: String
    var index: Int32
    /// Nil: the supervisor's own.
    var namespace: String?
    var alias: String
    /// Set while the interface has a smaller MTU than somebody wanted, since its NIC takes no larger one.
    var limitedMTU: LimitedMTU?
  }

  /// Bytes.
  struct LimitedMTU: Codable, Equatable, Sendable {
    var wanted: UInt32
    /// What the interface was given instead.
    var given: UInt32
  }

  var address: PCIAddress
  /// The device and the members of its group that were bound with it.
  var bindings: [BindingRecord] = []
  var units: [Unit] = []
  var interface: Interface?
  /// The NIC's Ethernet address, as text: as the kernel's driver had it, else as the first driver found it.
  var hardwareAddress: String?
  /// The file behind an emulated device.
  var medium: String?

  init(address: PCIAddress) { self.address = address }
}

/// The folder of the records: `/run/bulkhead/state`.
struct StateFolder: Sendable {
  var path: String

  private func file(_ address: PCIAddress) -> String { "\(path)/\(address).json" }

  /// - Throws: ``Failure`` `state-write`; then nothing must be bound, since nobody could undo it.
  func save(_ record: StateRecord) throws(Failure) {
    let error = FileText.replace(file(record.address), with: JSON.pretty(record) + "\n")
    guard error == 0 else { throw Failure("state-write", "write \(file(record.address))", errno: error) }
  }

  func remove(_ address: PCIAddress) { FileText.remove(file(address)) }

  func load(_ address: PCIAddress) -> StateRecord? {
    guard let text = FileText.contents(file(address)) else { return nil }
    return try? JSON.decode(StateRecord.self, from: text.utf8)
  }

  func loadAll() -> [StateRecord] {
    FileText.names(in: path).filter { $0.hasSuffix(".json") }
      .compactMap { PCIAddress(String($0.dropLast(".json".count))) }.compactMap(load)
  }
}
