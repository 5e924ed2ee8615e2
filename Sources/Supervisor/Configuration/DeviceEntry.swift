import Control
import PCI

/// One `[[device]]` of the configuration.
public struct DeviceEntry: Equatable, Sendable {
  /// Which devices an entry means. All that are given must fit.
  public struct Match: Equatable, Sendable, CustomStringConvertible {
    public var address: PCIAddress?
    public var vendor: UInt16?
    public var device: UInt16?
    public var deviceClass: ClassPattern?

    public init(
      address: PCIAddress? = nil, vendor: UInt16? = nil, device: UInt16? = nil, deviceClass: ClassPattern? = nil
    ) {
      self.address = address
      self.vendor = vendor
      self.device = device
      self.deviceClass = deviceClass
    }

    /// `0000:01:00.0`, `id 1b36:0010`, `class 010802`, or several of them.
    public var description: String {
      var parts: [String] = []
      if let address { parts.append("\(address)") }
      if let vendor, let device { parts.append("id \(hexadecimal(vendor)):\(hexadecimal(device))") }
      if let deviceClass { parts.append("class \(deviceClass)") }
      return parts.joined(separator: ", ")
    }

    public func fits(_ candidate: PCIDevice) -> Bool {
      self != Match() && (address.map { $0 == candidate.address } ?? true)
        && (vendor.map { $0 == candidate.vendorID } ?? true)
        && (device.map { $0 == candidate.deviceID } ?? true)
        && (deviceClass.map { $0.fits(candidate.classCode) } ?? true)
    }
  }

  public var name: String?
  /// Empty where ``emulated`` is not.
  public var match: Match
  public var emulated: EmulatedDevice?
  public var settings: DeviceSettings
  /// Keys that must fit the class of the device.
  var classKeys: [ClassKey] = []
  /// Where each value was said, in the entry or in `[defaults]`, by the key's full name: `limits.memory`.
  var origins: [String: SourceLocation] = [:]
  /// Where its `[[device]]` is.
  public var location: SourceLocation

  public init(
    name: String?, match: Match = Match(), emulated: EmulatedDevice? = nil, settings: DeviceSettings,
    location: SourceLocation
  ) {
    self.name = name
    self.match = match
    self.emulated = emulated
    self.settings = settings
    self.location = location
  }

  /// Lasts until the next boot, and gives way to entries that last longer.
  var isTransient = false

  /// Leaves its devices to the kernel.
  var isExemption: Bool { settings.driver == .kernel }

  /// Names are parts of paths and of export names: lower case, digits and hyphens, up to 32, a letter first.
  static func isName(_ text: String) -> Bool {
    guard let first = text.utf8.first, (1...32).contains(text.utf8.count) else { return false }
    let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
    let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    return letters.contains(first)
      && text.utf8.allSatisfy { letters.contains($0) || digits.contains($0) || $0 == UInt8(ascii: "-") }
  }

  /// The name of a device that the configuration gives none: `pci-0000-01-00-0`.
  static func defaultName(_ address: PCIAddress) -> String {
    "pci-" + address.description.map { $0.isHexDigit ? String($0) : "-" }.joined()
  }
}

/// A class code with as many digits as matter: `0108` is any interface of NVM controllers.
public struct ClassPattern: Equatable, Sendable, CustomStringConvertible {
  public var value: UInt32
  public var mask: UInt32

  /// PCI Code and ID Assignment 1.11 section 1.
  private static let names: [String: String] = [
    "nvme": "010802", "nvm": "0108", "sata": "0106", "sas": "0107", "scsi": "0100", "storage": "01",
    "ethernet": "0200", "network": "02", "display": "03", "usb": "0c03",
  ]

  static var knownNames: [String] { names.keys.sorted() }

  /// A name such as `nvme`, or two, four or six hexadecimal digits, with `x` for digits that do not matter at the end.
  public init?(_ text: String) {
    let digits = (ClassPattern.names[text] ?? text).lowercased()
    let given = digits.prefix { $0 != "x" }
    guard digits.count <= 6, digits.dropFirst(given.count).allSatisfy({ $0 == "x" }), [2, 4, 6].contains(given.count),
      given.utf8.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }), let number = UInt32(given, radix: 16)
    else { return nil }
    let shift = UInt32(6 - given.count) * 4
    value = number << shift
    mask = (0xff_ffff >> shift) << shift
  }

  public func fits(_ classCode: UInt32) -> Bool { classCode & mask == value }

  /// Hexadecimal digits that matter: more is more specific.
  public var precision: Int { mask.nonzeroBitCount / 4 }

  public var description: String {
    let digits = String(value, radix: 16)
    return String((String(repeating: "0", count: 6 - digits.count) + digits).prefix(precision))
  }
}
