import Control
import Emulation
import Glibc
import PCI
import Platform
import Protocol
import TAP

/// A device that its broker emulates. What holds its blocks, or the interface that is its wire, is open here from start to
/// stop, so that a broker that dies loses nothing.
final class EmulatedSource: DeviceSource {
  /// How long another process that has the file may take to go: the broker of a supervisor that was killed.
  var patience: Nanoseconds = 1_000_000_000

  private unowned let session: DeviceSession
  /// What the configuration means now.
  private var wanted: EmulatedDevice
  /// What is emulated, while it is taken.
  private var taken: EmulatedDevice?
  private var medium: Int32?
  private var identity: FileIdentity?

  init(of session: DeviceSession, device: EmulatedDevice) {
    self.session = session
    wanted = device
  }

  deinit { if let medium { Descriptor.close(medium) } }

  private var present: EmulatedDevice { taken ?? wanted }

  var isPresent: Bool { true }
  var iommuGroup: Int? { nil }
  var isGone: Bool { false }
  var isLeftTaken: Bool { !session.record.units.isEmpty }

  func update(_ hardware: Hardware) {
    if case .emulated(let device) = hardware { wanted = device }
  }

  func claim() throws(Failure) -> [Refusal] {
    // Where the last start ended in failure it is still open, with what was written to it.
    if medium != nil, taken == wanted { return [] }
    closeMedium()
    let deadline = monotonicNow() + patience
    while true {
      do throws(Failure) {
        let file = try openMedium()
        // All TAPs are one file: two of them differ by name.
        identity = wanted.options.model == .nvme ? FileIdentity(of: file.number) : nil
        medium = file.release()
        if let identity { session.host.media[identity] = "\(session.address) (\(session.name))" }
        return []
      } catch {
        if error.code == "tap-interface", error.errno == EBUSY, let wire = wanted.options.wire {
          guard monotonicNow() < deadline else { return [Self.refusal(wire: wire)] }
          usleep(20_000)
          continue
        }
        guard error.errno == EWOULDBLOCK, let file = wanted.options.file else { throw error }
        let owner = FileIdentity(of: file).flatMap { session.host.media[$0] }
        if owner == nil, monotonicNow() < deadline {
          usleep(20_000)
          continue
        }
        return [Self.refusal(file, owner)]
      }
    }
  }

  /// What the broker emulates the device with. A network controller without a wire has none; its place is held.
  private func openMedium() throws(Failure) -> Descriptor {
    guard wanted.options.model == .e1000e else { return try wanted.options.openMedium() }
    guard let wire = wanted.options.wire else { return try EventDescriptor.make() }
    return try TAPWire.open(try InterfaceName(wire))
  }

  private static func refusal(wire: String) -> Refusal {
    Refusal(
      code: "wire-taken", message: "there is an interface \(wire) already",
      hint: "wire= names an interface that is made: see which it is: ip -d link show \(wire)", overridable: false)
  }

  private static func refusal(_ file: String, _ owner: String?) -> Refusal {
    Refusal(
      code: "medium-taken", message: "\(file) is in use by \(owner ?? "another process")",
      hint: owner == nil
        ? "see which: fuser -v \(file); two devices may share a file if both have readonly=on"
        : "give each device a file of its own, or all of them readonly=on", overridable: false)
  }

  func take(_ done: @escaping (Failure?) -> Void) {
    taken = wanted
    // Block devices that an earlier supervisor has left are those of another disk, or of memory that is gone.
    let isOther = session.record.medium != wanted.options.file || wanted.options.file == nil
    if wanted.options.model == .nvme, isOther {
      session.closeOutlet()
      session.outlet = nil
    }
    session.record.medium = wanted.options.file
    session.log.info("emulated: \(wanted.options)")
    done(nil)
  }

  func release(isGone: Bool, _ done: @escaping (Failure?) -> Void) {
    closeMedium()
    taken = nil
    done(nil)
  }

  private func closeMedium() {
    if let identity { session.host.media[identity] = nil }
    identity = nil
    if let medium { Descriptor.close(medium) }
    medium = nil
  }

  var brokerName: String { "bulkhead-broker-emulated" }
  var brokerFiles: [Int32] { medium.map { [$0] } ?? [] }

  func complete(_ configuration: inout BrokerConfiguration) throws(Failure) {
    configuration.emulation = present.options.textWithoutFile
  }

  func description(state: String) -> Device {
    let function = present.identity
    var device = Device(
      address: "\(session.address)", vendorID: hexadecimal(function.vendorID),
      deviceID: hexadecimal(function.deviceID), vendor: function.vendorName, model: function.deviceName,
      className: function.className, state: state)
    device.emulation = Device.Emulation(
      file: present.options.file, size: mediumSize, options: present.options.textWithoutFile)
    return device
  }

  /// Bytes; nil while it is not open, and of a wire.
  private var mediumSize: Int? {
    var found = stat()
    guard let medium, present.options.model == .nvme, fstat(medium, &found) == 0 else { return nil }
    return Int(found.st_size)
  }

  var isolation: IsolationCheck? {
    let function = present.identity
    var check = IsolationCheck(
      address: "\(session.address)", vendorID: hexadecimal(function.vendorID),
      deviceID: hexadecimal(function.deviceID), vendor: function.vendorName, model: function.deviceName,
      className: function.className, interruptRemapping: "not needed")
    check.isolatable = true
    check.resetMethods = ["flr"]
    check.drivers = session.assignment?.driver.map { [$0.manifest.name] } ?? []
    check.notes = [
      "nothing to check: the device is emulated by its broker, which checks each address that the device accesses"
    ]
    return check
  }
}
